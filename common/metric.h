#ifndef COMMON_METRIC_H
#define COMMON_METRIC_H

#include <stdatomic.h>

#include "common/clock.h"

/*
 * What the processes of a node count, in memory that all of them map: a board of slots, one for each living process,
 * each a struct metrics with a field for every row of metric.def. Any process adds the slots up to the node's figures.
 *
 * Each field of a slot has one writer, a thread of the slot's process (but for the counter of lost lines, which any
 * thread adds to atomically); so a plain load and a store do, without a lock
 * or a locked instruction. Readers may come at any moment. The supervisor gives a slot to a process when it starts it,
 * and takes it back when the process is gone: then its gauges and readings fall to zero, while its counters stay, and the next
 * process with this slot counts on. So a counter falls only when the whole node is started anew.
 */

/* Upper bounds of a histogram's buckets, besides infinity. */
#define METRIC_BOUNDS 16
#define METRIC_SLOTS 256

/* How the series of a row are told apart: by nothing, or by the words of one axis or two, and how many there may be. */
enum metric_axis {
	AXIS_NONE,
	AXIS_VERSION,
	AXIS_WORKER,
	AXIS_ROLE,
	AXIS_ROUTE,
	AXIS_CODE,
	AXIS_PROCESS,
	AXIS_COUNT
};

#define METRIC_ROUTES 64
#define METRIC_CODES 24

enum metric_cells {
	METRIC_CELLS_NONE = 1,
	METRIC_CELLS_VERSION = 1,
	METRIC_CELLS_WORKER = 2, /* enum metric_worker */
	METRIC_CELLS_ROLE = 5, /* enum node_role */
	METRIC_CELLS_PROCESS = 1, /* each slot is a series */
	METRIC_CELLS_ROUTE = METRIC_ROUTES,
	METRIC_CELLS_ROUTE_CODE = METRIC_ROUTES * METRIC_CODES,
};

enum metric_worker { METRIC_CONSENSUS, METRIC_HTTP };
enum metric_process { PROCESS_SUPERVISOR, PROCESS_CONSENSUS, PROCESS_HTTP };

struct metric_counter {
	_Atomic uint64_t value;
};

struct metric_gauge {
	_Atomic uint64_t value;
};

/* A counter that somebody else keeps, the kernel for example: it ends with its process. */
struct metric_reading {
	_Atomic uint64_t value;
};

/* The buckets are not cumulative here. */
struct metric_histogram {
	_Atomic uint64_t buckets[METRIC_BOUNDS + 1], sum;
};

struct metrics {
#define METRIC(name, type, labels, unit, help) struct metric_##type name[METRIC_CELLS_##labels];
#include "common/metric.def"
#undef METRIC
};

void metric_add(struct metric_counter *c, uint64_t more);
void metric_set(struct metric_gauge *g, uint64_t value);
void metric_read(struct metric_reading *r, uint64_t value);
/* A duration (of a row in NANOSECONDS), and a number of things (of a row in ONE). */
void metric_observe_span(struct metric_histogram *h, struct span s);
void metric_observe_count(struct metric_histogram *h, uint64_t count);

struct metric_board;

/* The supervisor's: an empty board, and a descriptor of it to be inherited (close-on-exec, the caller's). `fd` NULL:
 * for this process alone. NULL when there is no memory for it. */
struct metric_board *metric_board_new(int *fd);
/* The one behind an inherited descriptor, which may be closed afterwards; NULL when it is of another build. */
struct metric_board *metric_board_map(int fd);
/* Accepts NULL. */
void metric_board_free(struct metric_board *b);

/* The supervisor's. METRIC_SLOTS when none is free. */
unsigned metric_slot_take(struct metric_board *b);
/* This is the slot of that process from now on: the supervisor, the consensus worker, or the HTTP worker of this number.
 * Until it is said, nothing with the label PROCESS is shown of it. */
void metric_slot_name(struct metric_board *b, unsigned slot, enum metric_process process, unsigned number);
/* Its process is gone. */
void metric_slot_release(struct metric_board *b, unsigned slot);
/* Valid as long as the board; NULL when there is no such slot. */
struct metrics *metric_slot(struct metric_board *b, unsigned slot);

#endif
