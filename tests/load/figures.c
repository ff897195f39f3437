#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <sysexits.h>

#include "common/log.h"
#include "tests/load/figures.h"

/* Numbers below 64 have a bucket each; above, the six bits behind the highest one choose. */
static unsigned bucket_of(uint64_t us)
{
	unsigned high;

	if (us < FIGURES_SUB)
		return (unsigned)us;
	high = 63 - (unsigned)__builtin_clzll(us);
	high = high > 44 ? 44 : high;
	return (high - 5) * FIGURES_SUB + (unsigned)((us >> (high - 6)) & (FIGURES_SUB - 1));
}

/* The highest latency that falls into it. */
static int64_t bucket_most_us(unsigned bucket)
{
	unsigned shift;

	if (bucket < FIGURES_SUB)
		return bucket;
	shift = bucket / FIGURES_SUB - 1;
	return ((int64_t)(FIGURES_SUB + bucket % FIGURES_SUB + 1) << shift) - 1;
}

static int64_t percentile_us(const struct figures_kind *k, double share)
{
	uint64_t wanted = (uint64_t)((double)k->ok * share);
	uint64_t seen = 0;

	for (unsigned i = 0; i < FIGURES_BUCKETS; i++) {
		seen += k->bucket[i];
		if (seen > wanted)
			return bucket_most_us(i) < k->most_us ? bucket_most_us(i) : k->most_us;
	}
	return k->most_us;
}

/* What --times writes of each operation; the bench reads it so, too. */
struct times_record {
	int64_t due_us;
	uint32_t took_us;
	uint32_t write;
};

void figures_begin(struct figures *f, const struct options *o, struct instant now)
{
	if (*o->times != '\0' && (f->times = fopen(o->times, "we")) == NULL)
		fatal(EX_CANTCREAT, "%s", o->times);
	f->begun = now;
	f->last_write = now;
}

static void take_gap(struct figures *f, struct instant now)
{
	struct span gap = instant_between(f->last_write, now);

	if (gap.ns > f->longest_gap.ns)
		f->longest_gap = gap;
	f->last_write = now;
}

void figures_on_ok(struct figures *f, bool write, struct span took, struct instant now)
{
	struct figures_kind *k = write ? &f->writes : &f->reads;
	int64_t us = took.ns / 1000;

	if (f->times != NULL) {
		struct times_record t = { now.ns / 1000 - us, (uint32_t)us, write };

		fwrite(&t, sizeof(t), 1, f->times);
	}
	k->ok++;
	k->bucket[bucket_of((uint64_t)us)]++;
	if (us > k->most_us)
		k->most_us = us;
	if (write)
		take_gap(f, now);
}

void figures_end(struct figures *f, struct instant now)
{
	f->ended = now;
	take_gap(f, now);
}

static double seconds_of(const struct figures *f)
{
	return (double)instant_between(f->begun, f->ended).ns / 1e9;
}

static json_t *kind_json(const struct figures_kind *k, double seconds)
{
	return json_pack("{s:I, s:I, s:I, s:f, s:I, s:I, s:I, s:I, s:I}", "ok", (json_int_t)k->ok, "failed",
	    (json_int_t)k->failed, "unknown", (json_int_t)k->unknown, "per_second", (double)k->ok / seconds,
	    "p50_us", (json_int_t)percentile_us(k, 0.5), "p90_us", (json_int_t)percentile_us(k, 0.9),
	    "p99_us", (json_int_t)percentile_us(k, 0.99), "p999_us", (json_int_t)percentile_us(k, 0.999),
	    "max_us", (json_int_t)k->most_us);
}

static void print_json(const struct figures *f)
{
	double seconds = seconds_of(f);
	json_t *all = json_pack("{s:f, s:o, s:o, s:I, s:I, s:I, s:I, s:I}", "seconds", seconds, "writes",
	    kind_json(&f->writes, seconds), "reads", kind_json(&f->reads, seconds), "longest_gap_us",
	    (json_int_t)(f->longest_gap.ns / 1000), "repeated", (json_int_t)f->repeated, "forced",
	    (json_int_t)f->forced, "replayed", (json_int_t)f->replayed, "wrong", (json_int_t)f->wrong);
	char *text = json_dumps(all, JSON_COMPACT);

	puts(text);
	free(text);
	json_decref(all);
}

static void print_kind(const char *name, const struct figures_kind *k, double seconds)
{
	if (k->ok + k->failed + k->unknown == 0)
		return;
	printf("%-7s %9" PRIu64 " ok %7" PRIu64 " failed %7" PRIu64
	       " unknown %10.0f/s   ms: p50 %.2f  p90 %.2f  "
	       "p99 %.2f  p99.9 %.2f  max %.2f\n",
	    name, k->ok, k->failed, k->unknown, (double)k->ok / seconds, (double)percentile_us(k, 0.5) / 1e3,
	    (double)percentile_us(k, 0.9) / 1e3, (double)percentile_us(k, 0.99) / 1e3,
	    (double)percentile_us(k, 0.999) / 1e3, (double)k->most_us / 1e3);
}

void figures_print(const struct figures *f, const struct options *o)
{
	double seconds = seconds_of(f);

	if (o->json) {
		print_json(f);
		return;
	}
	printf("%.2f s, %" PRIu64 " connections\n", seconds, o->connections);
	print_kind("writes", &f->writes, seconds);
	print_kind("reads", &f->reads, seconds);
	printf("longest time without an acknowledged write %.1f ms; sent again %" PRIu64 ", forced %" PRIu64
	       ", replayed %" PRIu64 ", wrong %" PRIu64 "\n",
	    (double)f->longest_gap.ns / 1e6, f->repeated, f->forced, f->replayed, f->wrong);
}

void figures_close(struct figures *f)
{
	if (f->times != NULL && fclose(f->times) != 0)
		fatal(EX_IOERR, "the times");
	f->times = NULL;
}
