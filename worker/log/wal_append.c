#include <assert.h>
#include <string.h>

#include "worker/log/wal_private.h"

/* Writes w->out at the end of the last segment; and keeps zeros ahead of it, since a sync is dear where a file
 * grows. */
static enum err write_out(struct wal *w)
{
	struct wal_segment *s = wal_last_segment(w);
	uint64_t end = s->end + w->out.size, ahead;
	enum err e = disk_write(s->file, s->end, buf_bytes(&w->out));

	if (e != ERR_OK)
		return e;
	s->end = end;
	if (end <= s->bytes)
		return ERR_OK;
	atomic_fetch_add(&w->disk_bytes, end - s->bytes);
	s->bytes = end;
	ahead = wal_round_up(end, WAL_BLOCK) + WAL_FILL_STEP;
	return wal_zero(w, s->file, &s->bytes, ahead < w->limit ? ahead : w->limit);
}

static size_t records_bytes(const struct raft_hard *hard, const struct entry *entries, size_t count)
{
	size_t bytes = hard != NULL ? WAL_RECORD_BYTES : 0;

	for (size_t i = 0; i < count; i++)
		bytes += wal_entry_bytes(&entries[i]);
	return bytes;
}

static void put_entry(struct wal *w, const struct entry *e, uint64_t batch_end)
{
	struct wal_segment *s = wal_last_segment(w);
	struct wal_point point = {
		.index = e->pos.index,
		.offset = s->end + w->out.size,
		.segment = (uint32_t)(w->segment_count - 1),
		.chain = w->chain,
		.left = (uint32_t)(batch_end - s->end - w->out.size),
	};

	wal_index_note(w, &point);
	w->chain = wal_put_entry(w->out.data + w->out.size, w->chain, e);
	w->out.size += wal_entry_bytes(e);
	w->last = e->pos;
	w->last_time_ms = e->time_ms;
}

enum err wal_write_batch(
    struct wal *w, const struct raft_hard *hard, const struct entry *entries, size_t count)
{
	struct wal_segment *s = wal_last_segment(w);
	size_t size = records_bytes(hard, entries, count);
	struct wal_batch batch = {
		.offset = s->end,
		.mark = w->synced,
		.size = (uint32_t)size,
		.chain = w->chain,
	};

	assert(size <= UINT32_MAX);
	buf_clear(&w->out);
	w->chain = wal_put_batch(buf_reserve(&w->out, WAL_BATCH_BYTES + size), s->seed, &batch);
	w->out.size = WAL_BATCH_BYTES;
	if (hard != NULL) {
		w->chain = wal_put_hard(w->out.data + w->out.size, w->chain, *hard);
		w->out.size += WAL_RECORD_BYTES;
		w->hard = *hard;
	}
	for (size_t i = 0; i < count; i++)
		put_entry(w, &entries[i], s->end + WAL_BATCH_BYTES + size);
	w->settled = false;
	return write_out(w);
}

/* How many of the entries go with the hard state into the next batch, by room and by size; *fits is false when it
 * needs another segment first. */
static size_t count_fitting(
    struct wal *w, const struct raft_hard *hard, const struct entry *entries, size_t count, bool *fits)
{
	uint64_t end = wal_last_segment(w)->end, room = w->limit > end ? w->limit - end : 0;
	uint64_t bytes = WAL_BATCH_BYTES + (hard != NULL ? WAL_RECORD_BYTES : 0);
	size_t n;

	for (n = 0; n < count; n++) {
		uint64_t more = bytes + wal_entry_bytes(&entries[n]);

		if (more > room || (more > WAL_BATCH_MOST && n > 0))
			break;
		bytes = more;
	}
	*fits = bytes <= room && (n > 0 || count == 0);
	return n;
}

static void assert_follows(
    const struct wal *w, const struct raft_hard *hard, const struct entry *entries, size_t count)
{
	assert(hard == NULL || hard->term >= w->hard.term);
	if (count == 0)
		return;
	assert(entries[0].pos.index > w->base.index && entries[0].pos.index <= w->last.index + 1);
	assert(entries[0].pos.index <= w->last.index || entries[0].pos.term >= w->last.term);
	for (size_t i = 1; i < count; i++) {
		assert(entries[i].pos.index == entries[i - 1].pos.index + 1);
		assert(entries[i].pos.term >= entries[i - 1].pos.term);
	}
}

enum err wal_append(struct wal *w, const struct raft_hard *hard, const struct entry *entries, size_t count)
{
	assert_follows(w, hard, entries, count);
	while (hard != NULL || count > 0) {
		bool fits;
		size_t n = count_fitting(w, hard, entries, count, &fits);
		enum err e;

		if (!fits) {
			size_t need = records_bytes(hard, entries, count > 0 ? 1 : 0);

			if ((e = wal_segment_change(w, WAL_BATCH_BYTES + need)) != ERR_OK)
				return e;
			continue;
		}
		if ((e = wal_write_batch(w, hard, entries, n)) != ERR_OK)
			return e;
		hard = NULL;
		entries += n;
		count -= n;
	}
	return ERR_OK;
}

enum err wal_sync(struct wal *w)
{
	struct wal_segment *s = wal_last_segment(w);
	enum err e;

	if (w->synced == s->end)
		return ERR_OK;
	if ((e = disk_sync(s->file)) == ERR_OK)
		w->synced = s->end;
	return e;
}

enum err wal_write_mark(struct wal *w)
{
	struct wal_segment *s = wal_last_segment(w);
	uint64_t offset = wal_round_up(s->end, WAL_BLOCK);
	struct wal_batch batch = { .offset = offset, .mark = s->end, .chain = w->chain };
	enum err e;

	assert(w->synced == s->end);
	buf_clear(&w->out);
	buf_extend(&w->out, (size_t)(offset - s->end) + WAL_BATCH_BYTES);
	w->chain = wal_put_batch(w->out.data + (offset - s->end), s->seed, &batch);
	if ((e = write_out(w)) != ERR_OK)
		return e;
	if ((e = wal_sync(w)) == ERR_OK)
		w->settled = true;
	return e;
}

enum err wal_settle(struct wal *w)
{
	enum err e = wal_sync(w);

	if (e != ERR_OK || w->settled)
		return e;
	if (wal_round_up(wal_last_segment(w)->end, WAL_BLOCK) + WAL_BATCH_BYTES > w->limit)
		return wal_segment_change(w, 0); /* its head is as good a mark */
	return wal_write_mark(w);
}
