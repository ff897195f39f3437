#ifndef WORKER_STORE_MARK_H
#define WORKER_STORE_MARK_H

#include <stdbool.h>
#include <stdint.h>

#include "common/err.h"

/*
 * How far a state's own log is known to be on disk: state.N/synced. What is damaged before that is damage; what lies
 * behind it may be a torn tail, and no page refers to it. Berkeley DB keeps no such thing: it takes the first record
 * that is not whole for the end, and goes on with pages that are ahead of it.
 *
 * Two copies are written in turn, so that a torn one leaves the other. Any thread may raise it.
 */
struct mark;

/* Before it all records of the log are whole. */
struct mark_place {
	uint32_t file, offset;
};

/* In a new state, durable when it returns: nothing is known yet. */
enum err mark_make(const char *home);
/* Reads it. ERR_DAMAGED (logged): it is missing, or none of its copies is whole. */
enum err mark_open(struct mark **out, const char *home);
/* Accepts NULL. */
void mark_close(struct mark *m);
/* Is there one? */
bool mark_exists(const char *home);

struct mark_place mark_place(struct mark *m);
/* Durable when it returns; a place that is not further does nothing. ERR_IO, ERR_NO_SPACE. */
enum err mark_raise(struct mark *m, struct mark_place place);
/* A page is about to be written, the log behind it is synced: raises it for the place that the page refers to. */
enum err mark_page(struct mark *m, const void *page);
/* Was a page written since this was asked last? */
bool mark_was_needed(struct mark *m);

#endif
