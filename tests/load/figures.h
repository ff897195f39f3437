#ifndef TESTS_LOAD_FIGURES_H
#define TESTS_LOAD_FIGURES_H

#include <stdio.h>

#include "common/clock.h"
#include "tests/load/options.h"

/*
 * What is counted and measured. Latencies are kept in buckets of 1/64 of their size.
 */
#define FIGURES_SUB 64
#define FIGURES_BUCKETS (40 * FIGURES_SUB)

struct figures_kind {
	uint64_t ok; /* answered with success, an absent key and a condition that does not hold included */
	uint64_t failed; /* certainly without effect */
	uint64_t unknown; /* sent, outcome not known */
	int64_t most_us;
	uint32_t bucket[FIGURES_BUCKETS];
};

struct figures {
	struct instant begun, ended;
	struct instant last_write; /* when a write was last acknowledged */
	struct span longest_gap; /* without an acknowledged write */
	struct figures_kind reads, writes;
	uint64_t repeated; /* requests sent again since an answer was bad or did not come */
	uint64_t forced; /* requests sent again although nothing was wrong */
	uint64_t replayed; /* answers marked Holdfast-Replayed */
	uint64_t wrong; /* answers that must not be */
	FILE *times; /* NULL: nobody wants to know each */
};

/* With --times makes or replaces that file. */
void figures_begin(struct figures *f, const struct options *o, struct instant now);
void figures_on_ok(struct figures *f, bool write, struct span took, struct instant now);
void figures_end(struct figures *f, struct instant now);
/* To stdout, for people or as JSON. */
void figures_print(const struct figures *f, const struct options *o);
/* Closes the file of --times. */
void figures_close(struct figures *f);

#endif
