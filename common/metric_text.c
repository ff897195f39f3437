#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/metric_inside.h"
#include "common/metric_text.h"
#include "common/status.h"

#define NS_IN_SECOND 1000000000

static const size_t axis_room[AXIS_COUNT] = {
	[AXIS_NONE] = 1,
	[AXIS_VERSION] = METRIC_CELLS_VERSION,
	[AXIS_WORKER] = METRIC_CELLS_WORKER,
	[AXIS_ROLE] = METRIC_CELLS_ROLE,
	[AXIS_ROUTE] = METRIC_ROUTES,
	[AXIS_CODE] = METRIC_CODES,
	[AXIS_PROCESS] = 1,
};

struct metric_words {
	struct axis {
		char *words[METRIC_ROUTES];
		size_t count;
	} axes[AXIS_COUNT];
};

static void put_escaped(struct buf *to, const char *text, bool quotes)
{
	for (; *text != '\0'; text++) {
		if (*text == '\n')
			buf_append_text(to, "\\n");
		else if (*text == '\\' || (*text == '"' && quotes))
			buf_printf(to, "\\%c", *text);
		else
			buf_append(to, bytes_of(text, 1));
	}
}

void metric_put_label(struct buf *to, const char *name, const char *value)
{
	buf_printf(to, "%s%s=\"", to->size > 0 ? "," : "", name);
	put_escaped(to, value, true);
	buf_append_text(to, "\"");
}

static void add_one(struct metric_words *w, enum metric_axis axis, const char *name, const char *value)
{
	struct buf label = { 0 };

	metric_put_label(&label, name, value);
	metric_words_add(w, axis, buf_bytes(&label));
	buf_free(&label);
}

struct metric_words *metric_words_new(void)
{
	struct metric_words *w = xcalloc(1, sizeof(*w));

	metric_words_add(w, AXIS_NONE, (struct bytes){ 0 });
	add_one(w, AXIS_WORKER, "worker", "consensus"); /* in the order of enum metric_worker */
	add_one(w, AXIS_WORKER, "worker", "http");
	for (int role = ROLE_UNFORMED; role < METRIC_CELLS_ROLE; role++)
		add_one(w, AXIS_ROLE, "role", node_role_name((enum node_role)role));
	return w;
}

void metric_words_free(struct metric_words *w)
{
	if (w == NULL)
		return;
	for (int axis = 0; axis < AXIS_COUNT; axis++)
		for (size_t i = 0; i < w->axes[axis].count; i++)
			free(w->axes[axis].words[i]);
	free(w);
}

void metric_words_add(struct metric_words *w, enum metric_axis axis, struct bytes labels)
{
	struct axis *a = &w->axes[axis];

	assert(a->count < axis_room[axis]);
	a->words[a->count++] = bytes_dup_text(labels);
}

/* --- the sums --- */

static size_t slots_used(const struct metric_board *b)
{
	return atomic_load_explicit(&b->used, memory_order_relaxed);
}

static const void *field_of(const struct metric_board *b, size_t slot, const struct metric_row *row)
{
	return (const char *)&b->slots[slot] + row->offset;
}

static uint64_t sum_values(const struct metric_board *b, const struct metric_row *row, size_t cell)
{
	uint64_t sum = 0;

	for (size_t slot = 0; slot < slots_used(b); slot++) {
		const _Atomic uint64_t *values = field_of(b, slot, row);

		sum += atomic_load_explicit(&values[cell], memory_order_relaxed);
	}
	return sum;
}

/* Counter, gauge and reading are one number each. */
_Static_assert(sizeof(struct metric_counter) == sizeof(uint64_t), "a counter is a number");
_Static_assert(sizeof(struct metric_gauge) == sizeof(uint64_t), "a gauge is a number");
_Static_assert(sizeof(struct metric_reading) == sizeof(uint64_t), "a reading is a number");

struct sums {
	uint64_t buckets[METRIC_BOUNDS + 1], sum, count;
};

/* The count is the sum of the buckets as they were read, so that both agree while others write. */
static struct sums sum_histograms(const struct metric_board *b, const struct metric_row *row, size_t cell)
{
	struct sums s = { 0 };

	for (size_t slot = 0; slot < slots_used(b); slot++) {
		const struct metric_histogram *h =
		    (const struct metric_histogram *)field_of(b, slot, row) + cell;

		for (size_t i = 0; i <= METRIC_BOUNDS; i++)
			s.buckets[i] += atomic_load_explicit(&h->buckets[i], memory_order_relaxed);
		s.sum += atomic_load_explicit(&h->sum, memory_order_relaxed);
	}
	for (size_t i = 0; i <= METRIC_BOUNDS; i++)
		s.count += s.buckets[i];
	return s;
}

/* --- the text --- */

static void put_number(struct buf *to, enum metric_unit unit, uint64_t value)
{
	unsigned digits = 9;
	uint64_t rest = value % NS_IN_SECOND;

	if (unit == METRIC_ONE) {
		buf_printf(to, "%" PRIu64, value);
		return;
	}
	buf_printf(to, "%" PRIu64, value / NS_IN_SECOND);
	if (rest == 0)
		return;
	for (; rest % 10 == 0; rest /= 10)
		digits--;
	buf_printf(to, ".%0*" PRIu64, (int)digits, rest);
}

/* name{labels,le="bound"} and a blank */
static void begin_sample(struct buf *to, const char *name, const char *suffix, struct bytes labels)
{
	buf_printf(to, "%s%s", name, suffix);
	if (labels.size > 0) {
		buf_append_text(to, "{");
		buf_append(to, labels);
		buf_append_text(to, "}");
	}
	buf_append_text(to, " ");
}

static void put_bucket(
    struct buf *to, const struct metric_row *row, struct bytes labels, size_t n, uint64_t cumulative)
{
	struct buf with = { 0 }, bound = { 0 };

	if (n < METRIC_BOUNDS)
		put_number(&bound, row->unit, metric_bounds[row->unit][n]);
	else
		buf_append_text(&bound, "+Inf");
	buf_append(&with, labels);
	metric_put_label(&with, "le", buf_text(&bound));
	begin_sample(to, row->name, "_bucket", buf_bytes(&with));
	buf_printf(to, "%" PRIu64 "\n", cumulative);
	buf_free(&with);
	buf_free(&bound);
}

static void put_histogram(
    struct buf *to, const struct metric_row *row, struct bytes labels, const struct sums *s)
{
	uint64_t cumulative = 0;

	for (size_t i = 0; i <= METRIC_BOUNDS; i++) {
		cumulative += s->buckets[i];
		put_bucket(to, row, labels, i, cumulative);
	}
	begin_sample(to, row->name, "_sum", labels);
	put_number(to, row->unit, s->sum);
	buf_append_text(to, "\n");
	begin_sample(to, row->name, "_count", labels);
	buf_printf(to, "%" PRIu64 "\n", s->count);
}

static bool is_shown(const struct metric_row *row, uint64_t count)
{
	return count > 0 || row->axes[0] != AXIS_ROUTE;
}

static void put_cell(struct buf *to, const struct metric_board *b, const struct metric_row *row, size_t cell,
    struct bytes labels)
{
	if (row->type == METRIC_HISTOGRAM) {
		struct sums s = sum_histograms(b, row, cell);

		if (is_shown(row, s.count))
			put_histogram(to, row, labels, &s);
	} else {
		uint64_t value = sum_values(b, row, cell);

		if (!is_shown(row, value))
			return;
		begin_sample(to, row->name, "", labels);
		put_number(to, row->unit, value);
		buf_append_text(to, "\n");
	}
}

static void put_head(struct buf *to, const struct metric_row *row)
{
	static const char *const types[] = { "counter", "gauge", "histogram", "counter" };

	buf_printf(to, "# HELP %s ", row->name);
	put_escaped(to, row->help, false);
	buf_printf(to, "\n# TYPE %s %s\n", row->name, types[row->type]);
}

/* --- the processes --- */

static uint32_t name_of(const struct metric_board *b, size_t slot)
{
	return atomic_load_explicit(&b->names[slot], memory_order_relaxed);
}

/* While a worker is replaced by one of the same name, that is the one that is shown. */
static bool is_latest(const struct metric_board *b, size_t slot)
{
	uint64_t start = b->slots[slot].process_start_time_seconds->value;

	for (size_t other = 0; other < slots_used(b); other++) {
		uint64_t its = b->slots[other].process_start_time_seconds->value;

		if (name_of(b, other) == name_of(b, slot) && (its > start || (its == start && other > slot)))
			return false;
	}
	return true;
}

static void put_process_label(struct buf *to, uint32_t name)
{
	char text[32];

	switch (name - 1) {
	case PROCESS_SUPERVISOR:
		metric_put_label(to, "process", "supervisor");
		return;
	case PROCESS_CONSENSUS:
		metric_put_label(to, "process", "consensus");
		return;
	}
	snprintf(text, sizeof(text), "http-%u", (unsigned)(name - 1 - PROCESS_HTTP));
	metric_put_label(to, "process", text);
}

static void put_processes(struct buf *to, const struct metric_board *b, const struct metric_row *row)
{
	struct buf labels = { 0 };

	for (size_t slot = 0; slot < slots_used(b); slot++) {
		const _Atomic uint64_t *value = field_of(b, slot, row);
		uint32_t name = name_of(b, slot);

		if (name == 0 || !is_latest(b, slot))
			continue;
		buf_clear(&labels);
		put_process_label(&labels, name);
		begin_sample(to, row->name, "", buf_bytes(&labels));
		put_number(to, row->unit, atomic_load_explicit(value, memory_order_relaxed));
		buf_append_text(to, "\n");
	}
	buf_free(&labels);
}

void metric_put_text(const struct metric_board *b, const struct metric_words *w, struct buf *to)
{
	const struct metric_row *row;
	struct buf labels = { 0 };

	for (size_t n = 0; (row = metric_row(n)) != NULL; n++) {
		const struct axis *first = &w->axes[row->axes[0]], *second = &w->axes[row->axes[1]];

		put_head(to, row);
		if (row->axes[0] == AXIS_PROCESS)
			put_processes(to, b, row);
		for (size_t i = 0; i < first->count; i++)
			for (size_t k = 0; k < second->count; k++) {
				buf_clear(&labels);
				buf_append_text(&labels, first->words[i]);
				if (row->axes[1] != AXIS_NONE)
					buf_printf(&labels, ",%s", second->words[k]);
				put_cell(to, b, row, i * axis_room[row->axes[1]] + k, buf_bytes(&labels));
			}
	}
	buf_free(&labels);
}
