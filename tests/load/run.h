#ifndef TESTS_LOAD_RUN_H
#define TESTS_LOAD_RUN_H

#include "common/addr.h"
#include "common/loop.h"
#include "tests/load/figures.h"
#include "tests/load/history.h"
#include "tests/load/options.h"
#include "tests/load/work.h"

/*
 * What all clients of one run share.
 */
struct target {
	char *name; /* HOST:PORT */
	struct sockaddr_storage address;
	socklen_t address_size;
};

struct client;

struct run {
	struct options options;
	struct loop *loop;
	struct target *targets;
	unsigned target_count;
	struct work work;
	struct figures figures;
	struct history *history;
	struct client **clients;
	struct client **idle; /* a ring, so that all connections have their turn */
	size_t idle_first, idle_count;
	uint64_t processes; /* numbers given out; they begin with 1 */
	bool ending; /* nothing more is begun */
};

/* A client has nothing to do. */
void run_on_idle(struct run *r, struct client *c);
/* An answer that must not be: counted, and the first ones are shown. */
void run_wrong(struct run *r, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
