#define _GNU_SOURCE /* memfd_create */
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/crc.h"
#include "common/metric_inside.h"

/* The words of the table. */
enum {
	TYPE_counter = METRIC_COUNTER,
	TYPE_gauge = METRIC_GAUGE,
	TYPE_histogram = METRIC_HISTOGRAM,
	TYPE_reading = METRIC_READING,
	FIRST_NONE = AXIS_NONE,
	FIRST_VERSION = AXIS_VERSION,
	FIRST_WORKER = AXIS_WORKER,
	FIRST_ROLE = AXIS_ROLE,
	FIRST_PROCESS = AXIS_PROCESS,
	FIRST_ROUTE = AXIS_ROUTE,
	FIRST_ROUTE_CODE = AXIS_ROUTE,
	SECOND_NONE = AXIS_NONE,
	SECOND_VERSION = AXIS_NONE,
	SECOND_WORKER = AXIS_NONE,
	SECOND_ROLE = AXIS_NONE,
	SECOND_PROCESS = AXIS_NONE,
	SECOND_ROUTE = AXIS_NONE,
	SECOND_ROUTE_CODE = AXIS_CODE,
};

/* What stands before a name. */
#define PREFIX_NONE "holdfast_"
#define PREFIX_VERSION "holdfast_"
#define PREFIX_WORKER "holdfast_"
#define PREFIX_ROLE "holdfast_"
#define PREFIX_ROUTE "holdfast_"
#define PREFIX_ROUTE_CODE "holdfast_"
#define PREFIX_PROCESS ""

static const struct metric_row rows[] = {
#define METRIC(name, type, labels, unit, help)                                                               \
	{ PREFIX_##labels #name, help, (enum metric_type)TYPE_##type, METRIC_##unit,                         \
		{ (enum metric_axis)FIRST_##labels, (enum metric_axis)SECOND_##labels },                     \
		offsetof(struct metrics, name), METRIC_CELLS_##labels },
#include "common/metric.def"
#undef METRIC
};

#define ROW_COUNT (sizeof(rows) / sizeof(rows[0]))
#define US ((uint64_t)1000)
#define MS (1000 * US)

const uint64_t metric_bounds[2][METRIC_BOUNDS] = {
	[METRIC_ONE] = { 1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192, 16384, 32768 },
	[METRIC_NANOSECONDS] = { 100 * US, 250 * US, 500 * US, MS, 2500 * US, 5 * MS, 10 * MS, 25 * MS,
	    50 * MS, 100 * MS, 250 * MS, 500 * MS, 1000 * MS, 2500 * MS, 5000 * MS, 10000 * MS },
};

const struct metric_row *metric_row(size_t n)
{
	return n < ROW_COUNT ? &rows[n] : NULL;
}

static void add(_Atomic uint64_t *to, uint64_t more)
{
	uint64_t now = atomic_load_explicit(to, memory_order_relaxed);

	atomic_store_explicit(to, now + more, memory_order_relaxed);
}

void metric_add(struct metric_counter *c, uint64_t more)
{
	add(&c->value, more);
}

void metric_set(struct metric_gauge *g, uint64_t value)
{
	atomic_store_explicit(&g->value, value, memory_order_relaxed);
}

void metric_read(struct metric_reading *r, uint64_t value)
{
	atomic_store_explicit(&r->value, value, memory_order_relaxed);
}

static void observe(struct metric_histogram *h, const uint64_t *bounds, uint64_t value)
{
	size_t n = 0;

	while (n < METRIC_BOUNDS && value > bounds[n])
		n++;
	add(&h->buckets[n], 1);
	add(&h->sum, value);
}

void metric_observe_span(struct metric_histogram *h, struct span s)
{
	observe(h, metric_bounds[METRIC_NANOSECONDS], s.ns > 0 ? (uint64_t)s.ns : 0);
}

void metric_observe_count(struct metric_histogram *h, uint64_t count)
{
	observe(h, metric_bounds[METRIC_ONE], count);
}

/* --- the board --- */

/* A worker may be of a newer build than the supervisor that starts it. */
static uint32_t layout(void)
{
	uint32_t crc = (uint32_t)sizeof(struct metric_board);

	for (size_t i = 0; i < ROW_COUNT; i++) {
		crc = crc32c(crc, bytes_text(rows[i].name));
		crc = crc32c(crc, bytes_of(&rows[i].offset, sizeof(rows[i].offset)));
	}
	return crc;
}

static struct metric_board *map(int fd, int flags)
{
	void *at = mmap(NULL, sizeof(struct metric_board), PROT_READ | PROT_WRITE, MAP_SHARED | flags, fd, 0);

	return at == MAP_FAILED ? NULL : at;
}

/* Nobody may make it shorter below those who have mapped it. */
static int make_memory(void)
{
	int fd = memfd_create("holdfast-metrics", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	if (fd != -1 && (ftruncate(fd, sizeof(struct metric_board)) == -1 ||
			    fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) == -1)) {
		close(fd);
		fd = -1;
	}
	return fd;
}

struct metric_board *metric_board_new(int *fd)
{
	struct metric_board *b = NULL;

	if (fd == NULL)
		b = map(-1, MAP_ANONYMOUS);
	else if ((*fd = make_memory()) != -1 && (b = map(*fd, 0)) == NULL) {
		close(*fd);
		*fd = -1;
	}
	if (b != NULL)
		b->layout = layout();
	return b;
}

struct metric_board *metric_board_map(int fd)
{
	struct metric_board *b;
	struct stat s;

	if (fstat(fd, &s) == -1 || s.st_size != sizeof(struct metric_board) || (b = map(fd, 0)) == NULL)
		return NULL;
	if (b->layout == layout())
		return b;
	metric_board_free(b);
	return NULL;
}

void metric_board_free(struct metric_board *b)
{
	if (b != NULL)
		munmap(b, sizeof(*b));
}

unsigned metric_slot_take(struct metric_board *b)
{
	unsigned slot = 0;

	while (slot < METRIC_SLOTS && b->taken[slot] != 0)
		slot++;
	if (slot == METRIC_SLOTS)
		return slot;
	b->taken[slot] = 1;
	if (slot >= b->used)
		b->used = slot + 1;
	return slot;
}

void metric_slot_name(struct metric_board *b, unsigned slot, enum metric_process process, unsigned number)
{
	if (slot < METRIC_SLOTS)
		b->names[slot] = 1 + process + number;
}

void metric_slot_release(struct metric_board *b, unsigned slot)
{
	struct metrics *m = metric_slot(b, slot);

	if (m == NULL)
		return;
	b->names[slot] = 0;
	for (size_t i = 0; i < ROW_COUNT; i++) {
		bool ends = rows[i].type == METRIC_GAUGE || rows[i].type == METRIC_READING;
		_Atomic uint64_t *values = (void *)((char *)m + rows[i].offset);

		for (size_t cell = 0; ends && cell < rows[i].cells; cell++)
			atomic_store_explicit(&values[cell], 0, memory_order_relaxed);
	}
	b->taken[slot] = 0;
}

struct metrics *metric_slot(struct metric_board *b, unsigned slot)
{
	return slot < METRIC_SLOTS ? &b->slots[slot] : NULL;
}
