#ifndef TESTS_SIM_EVENT_H
#define TESTS_SIM_EVENT_H

#include "common/clock.h"
#include "common/mem.h"

/*
 * What happens, and when: a queue ordered by (time, number), so that two events of one moment come in the order in
 * which they were added. Everything in a universe is an event of this queue; nothing else makes anything happen.
 */
struct universe;
struct event;

struct event_kind {
	const char *name;
	void (*run)(struct universe *u, const struct event *e);
};

/* To a life of a node, or to nobody in particular (NOBODY). What is for a life that is over does not happen. */
#define NOBODY (-1)

struct event {
	struct instant time;
	uint64_t number;
	const struct event_kind *kind;
	int node;
	unsigned life;
	uint64_t a, b; /* what the kind makes of them */
	struct blob *data; /* or NULL; belongs to the event */
};

struct events {
	struct event *heap;
	size_t count, room;
	uint64_t numbers;
};

/* Numbers the event; takes e.data. */
void events_add(struct events *q, struct event e);
/* Takes the next one out; the caller owns its data. False when there is none. */
bool events_next(struct events *q, struct event *out);
void events_fini(struct events *q);

#endif
