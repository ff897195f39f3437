#ifndef TESTS_SIM_PLAN_H
#define TESTS_SIM_PLAN_H

#include "common/buf.h"
#include "tests/sim/dice.h"

/* What a seed draws before its universe begins: its size, its speeds, its clients and its faults. */

enum fault {
#define FAULT(NAME, text, nodes, in_million) FAULT_##NAME,
#include "tests/sim/fault.def"
#undef FAULT
	FAULTS
};

/* "frames lost"; static memory. */
const char *fault_text(enum fault f);

/* As the command line calls it, "isolate_leader"; static memory. */
const char *fault_name(enum fault f);
/* False when there is none of this name. */
bool fault_find(const char *name, enum fault *out);

#define NODES_MAX 7
#define PLAN_LENGTH span_ms(60000) /* unless another is asked for */

struct plan {
	uint64_t seed;
	struct span length; /* the time with faults; healing comes after it */
	uint64_t without; /* what plan_drop() switched off */
	bool together; /* all nodes start at one moment */
	int nodes;
	int members; /* of the list, the first ones; the others have to be added */
	bool faults[FAULTS];
	struct span quiet_least, quiet_most; /* between two faults */

	/* the replicas' options */
	struct span election, heartbeat, request;
	uint64_t segment_bytes, log_budget, image_budget, cache_bytes, request_bytes_max, hash_every;
	uint32_t requests_max;
	size_t message_bytes, window_bytes, uncommitted_bytes;
	size_t lane_bytes;
	uint64_t result_bytes, taken_per_second; /* taken: of results, by the clients of a node; 0: at once */
	int drift_ppm[NODES_MAX];

	/* network */
	struct span latency_least, latency_most, delay_most, overtake_most, lag_most;
	uint64_t lose, duplicate, reorder, delay; /* in a million frames */
	bool in_order; /* frames behave as TCP's do: no overtaking, loss only with the connection */
	struct span turn; /* what a turn of a node's loop takes; 0: each input is one */

	/* disks */
	struct span disk_least, disk_most, disk_slow_most;
	uint64_t sweep_from; /* the first disk call to die at in turn */

	/* clients */
	int clients;
	struct span think_most;
	uint64_t tokens, registers, reads, conditions, deletes, limits, cancels; /* in a million */
	uint64_t hasty; /* who was acknowledged a write reads it at once, somewhere */
	int register_keys;
	size_t value_most;
	bool impatient; /* some give up before the node does */
};

void plan_draw(struct plan *p, uint64_t seed, struct span length);
/* Switches the faults off whose bits are set. */
void plan_drop(struct plan *p, uint64_t without);
/* The command that repeats it. */
void plan_command(const struct plan *p, struct buf *out);
/* One line: the size and the faults that are on. */
void plan_tell(const struct plan *p, struct buf *out);

#endif
