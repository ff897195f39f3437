#include <stdlib.h>
#include <string.h>

#include "worker/log/wal_private.h"

static void visit(void *arg, const char *name)
{
	struct wal_numbers *n = arg;
	unsigned long long number;
	struct wal_path path;

	if (strlen(name) != 20)
		return;
	number = strtoull(name, NULL, 16);
	path = wal_path_of(number);
	if (number == 0 || strcmp(path.text + strlen(WAL_DIR) + 1, name) != 0)
		return;
	n->data = xreallocarray(n->data, n->count + 1, sizeof(*n->data));
	n->data[n->count++] = number;
}

static int compare_numbers(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

static bool is_there(const struct wal_numbers *n, uint64_t number)
{
	return bsearch(&number, n->data, n->count, sizeof(number), compare_numbers) != NULL;
}

static enum err check_head(const struct wal_options *o, uint64_t number, const struct wal_head *h)
{
	if (h->number != number)
		return wal_damaged(number, 0, "the head is another segment's");
	if (h->cluster != o->cluster)
		return wal_damaged(number, 0, "it belongs to another cluster");
	if (h->incarnation != o->incarnation)
		return wal_damaged(number, 0, "it belongs to another incarnation of this node");
	if (h->before.number >= number)
		return wal_damaged(number, 0, "the head names no earlier segment");
	return ERR_OK;
}

static enum err read_head(const struct wal_options *o, uint64_t number, struct wal_segment *s)
{
	uint8_t block[WAL_HEAD_BYTES];
	const char *why;
	size_t got;
	enum err e;

	if ((e = disk_size(s->file, &s->bytes)) != ERR_OK)
		return e;
	if ((e = disk_read(s->file, 0, block, sizeof(block), &got)) != ERR_OK)
		return e;
	if (got < sizeof(block))
		return wal_damaged(number, got, "the file ends within the head");
	if ((why = wal_get_head(block, &s->head, &s->seed, &e)) != NULL) {
		wal_damaged(number, 0, why);
		return e;
	}
	return check_head(o, number, &s->head);
}

static enum err open_segment(struct wal *w, uint64_t number, struct wal_segment *s)
{
	enum err e = disk_open(w->o.disk, wal_path_of(number).text, DISK_WRITE, &s->file);

	if (e != ERR_OK)
		return e;
	/* What a failed sync left in the cache looks clean and is not on the disk. Only the last segment can hold
	 * such bytes; the one before is dropped so that its end is seen as it lies there. */
	if (w->segment_count < 2 && (e = disk_drop_cache(s->file)) != ERR_OK)
		return e;
	if ((e = read_head(&w->o, number, s)) == ERR_OK)
		atomic_fetch_add(&w->disk_bytes, s->bytes);
	return e;
}

static enum err missing(uint64_t number, uint64_t begins)
{
	return wal_damaged(number, 0,
	    begins != 0 ? "the segment is missing"
			: "the segment is missing, or " WAL_BEGINS ", if it was cut away");
}

/* From the newest segment to the one before it, and so on, to where the log begins; those that are on no one's way
 * were superseded or cut away. */
static enum err open_segments(struct wal *w, const struct wal_numbers *all, uint64_t begins)
{
	uint64_t number = all->data[all->count - 1];
	enum err e = ERR_OK;

	if (number < begins)
		return missing(begins, begins);
	w->segments = xcalloc(all->count, sizeof(*w->segments));
	while (number != 0 && number >= begins && e == ERR_OK) {
		struct wal_segment *s = &w->segments[w->segment_count];

		if (!is_there(all, number))
			return missing(number, begins);
		e = open_segment(w, number, s);
		w->segment_count++;
		number = s->head.before.number;
	}
	for (size_t i = 0, j = w->segment_count - 1; i < j; i++, j--) {
		struct wal_segment swap = w->segments[i];

		w->segments[i] = w->segments[j];
		w->segments[j] = swap;
	}
	return e;
}

enum err wal_find_segments(struct wal *w, struct wal_numbers *all)
{
	enum err e = disk_list(w->o.disk, WAL_DIR, visit, all);
	uint64_t begins;

	if (e != ERR_OK)
		return e;
	if (all->count == 0)
		return ERR_NOT_FOUND;
	qsort(all->data, all->count, sizeof(*all->data), compare_numbers);
	if ((e = wal_begins_read(&w->o, &begins)) != ERR_OK)
		return e;
	return open_segments(w, all, begins);
}
