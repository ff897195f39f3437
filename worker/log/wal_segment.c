#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "worker/log/wal_private.h"

/* Never written to, only out. */
static uint8_t zeros[WAL_FILL_STEP];

struct wal_path wal_path_of(uint64_t number)
{
	struct wal_path p;

	snprintf(p.text, sizeof(p.text), WAL_DIR "/%016" PRIx64 ".log", number);
	return p;
}

struct wal_segment *wal_last_segment(struct wal *w)
{
	assert(w->segment_count > 0);
	return &w->segments[w->segment_count - 1];
}

/* Hands over what wal_fill() has made so far. While it is at a step it keeps its file, for the segment after. A file
 * that was taken bears the name of the next until wal_segment_publish(): so long wal_fill() begins no other. */
static void take_next(struct wal *w, struct wal_segment *s)
{
	if (atomic_exchange(&w->filling, true))
		return;
	s->file = w->next;
	s->bytes = w->next_bytes;
	w->next = NULL;
	w->next_bytes = 0;
	if (s->file == NULL)
		atomic_store(&w->filling, false);
}

static enum err make_fresh(struct wal *w, struct wal_segment *s)
{
	enum err e = disk_unlink(w->o.disk, WAL_FRESH); /* what a crash left */

	if (e != ERR_OK && e != ERR_NOT_FOUND)
		return e;
	return disk_open(w->o.disk, WAL_FRESH, DISK_CREATE, &s->file);
}

static enum err write_head(struct wal *w, struct wal_segment *s)
{
	uint8_t block[WAL_HEAD_BYTES];
	enum err e;

	s->seed = wal_put_head(block, &s->head);
	s->end = WAL_HEAD_BYTES;
	if ((e = disk_write(s->file, 0, bytes_of(block, sizeof(block)))) != ERR_OK)
		return e;
	if (s->bytes < WAL_HEAD_BYTES) {
		atomic_fetch_add(&w->disk_bytes, WAL_HEAD_BYTES - s->bytes);
		s->bytes = WAL_HEAD_BYTES;
	}
	return ERR_OK;
}

enum err wal_segment_begin(struct wal *w, const struct wal_head *head, bool prepared, const char **name)
{
	struct wal_segment s = { .head = *head };
	enum err e;

	if (prepared)
		take_next(w, &s);
	*name = s.file != NULL ? WAL_NEXT : WAL_FRESH;
	if (s.file == NULL && (e = make_fresh(w, &s)) != ERR_OK)
		return e;
	if ((e = write_head(w, &s)) != ERR_OK) {
		disk_close(&s.file);
		return e;
	}
	w->segments = xreallocarray(w->segments, w->segment_count + 1, sizeof(s));
	w->segments[w->segment_count++] = s;
	w->chain = s.seed;
	w->synced = s.end;
	w->limit = w->o.segment_bytes;
	w->settled = true;
	return ERR_OK;
}

enum err wal_segment_publish(struct wal *w, const char *name)
{
	struct wal_path path = wal_path_of(wal_last_segment(w)->head.number);
	enum err e = disk_rename(w->o.disk, name, path.text);

	if (strcmp(name, WAL_NEXT) == 0)
		atomic_store(&w->filling, false);
	return e != ERR_OK ? e : disk_sync_dir(w->o.disk, WAL_DIR);
}

enum err wal_segment_change(struct wal *w, uint64_t need)
{
	struct wal_segment *s = wal_last_segment(w);
	struct wal_head head = {
		.number = s->head.number + 1,
		.cluster = w->o.cluster,
		.incarnation = w->o.incarnation,
		.before = { s->head.number, s->end, w->chain },
		.base = w->last,
		.base_time_ms = w->last_time_ms,
		.hard = w->hard,
	};
	const char *name;
	enum err e;

	/* The new head swears that the old segment is durable to its end. */
	if ((e = wal_sync(w)) != ERR_OK)
		return e;
	if ((e = wal_segment_begin(w, &head, true, &name)) != ERR_OK)
		return e;
	if (need > w->limit - WAL_HEAD_BYTES)
		w->limit = wal_round_up(WAL_HEAD_BYTES + need, WAL_BLOCK);
	if ((e = disk_sync(wal_last_segment(w)->file)) != ERR_OK)
		return e;
	/* No batch goes into it before its name is durable, else the batch could be acknowledged and lost. */
	return wal_segment_publish(w, name);
}

enum err wal_zero(struct wal *w, struct disk_file *f, uint64_t *bytes, uint64_t to)
{
	while (*bytes < to) {
		size_t step = to - *bytes < sizeof(zeros) ? (size_t)(to - *bytes) : sizeof(zeros);
		enum err e = disk_write(f, *bytes, bytes_of(zeros, step));

		if (e != ERR_OK)
			return e;
		*bytes += step;
		atomic_fetch_add(&w->disk_bytes, step);
	}
	return ERR_OK;
}
