#ifndef COMMON_BINDING_H
#define COMMON_BINDING_H

#include "common/names.h"

/*
 * Listening on an address as soon as that can be. At a start a name may not resolve yet and an address may be on no
 * interface yet: a machine that boots gets both in its own time, so they are waited for without end. A predecessor that
 * is just dying may still have the port: that is waited for five seconds. What it waits for stands in the log, at first
 * and then rarely. Never blocks: an operator who stops the node meanwhile is obeyed. What is impossible ends the process:
 * 75 the port stays in use, 77 not permitted, 78 anything else.
 */
struct binding_events {
	/* Listens there; 0 or an errno. */
	int (*attempt)(void *arg, const struct address *a);
	/* It goes on waiting; `what` is a line for people, valid until it is over. */
	void (*waits)(void *arg, const char *what);
	/* It listens. May free the binding. */
	void (*over)(void *arg);
};

/* The first attempt is made in the next turn. `where` is an address that addr_parse() takes, `option` the name of the
 * option that gave it. Copies `where`, borrows the rest. */
struct binding *binding_new(
    struct loop *l, const char *where, const char *option, const struct binding_events *events, void *arg);
/* Accepts NULL. While the resolver is at work, which may take long, the memory is left to the end of the process. */
void binding_free(struct binding *b);

#endif
