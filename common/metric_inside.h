#ifndef COMMON_METRIC_INSIDE_H
#define COMMON_METRIC_INSIDE_H

#include <stddef.h>

#include "common/metric.h"

/* What metric.c and metric_text.c share. Nobody else includes it, tests aside. */

enum metric_type { METRIC_COUNTER, METRIC_GAUGE, METRIC_HISTOGRAM, METRIC_READING };
enum metric_unit { METRIC_ONE, METRIC_NANOSECONDS };

/* A row of metric.def, as data. */
struct metric_row {
	const char *name, *help;
	enum metric_type type;
	enum metric_unit unit;
	enum metric_axis
	    axes[2]; /* a cell's number is its word on the first, times the room of the second, plus ... */
	size_t offset, cells; /* in struct metrics */
};

/* NULL behind the last. */
const struct metric_row *metric_row(size_t n);
/* Upper bounds, rising. */
extern const uint64_t metric_bounds[2][METRIC_BOUNDS];

struct metric_board {
	uint32_t layout; /* the same in all processes of one build */
	_Atomic uint32_t used; /* no slot from here on was ever given out */
	_Atomic uint32_t taken[METRIC_SLOTS]; /* by a process that lives; written by the supervisor alone */
	_Atomic uint32_t
	    names[METRIC_SLOTS]; /* 0: none; else 1 + enum metric_process + the number of an HTTP worker */
	struct metrics slots[METRIC_SLOTS];
};

#endif
