#include <inttypes.h>
#include <stdlib.h>

#include "common/log.h"
#include "worker/log/wal_private.h"

/* Opening a log: find its segments and its end, replay, carry what may not be durable into a fresh segment. */

struct recovery {
	struct wal *w;
	struct wal_found *found;
	struct buf buf;
	struct wal_numbers all;
	uint64_t end; /* of the last segment's valid batches */
	uint64_t carry; /* what lies there from here to the end goes into the fresh segment */
	uint64_t done, total; /* bytes of segments that were replayed, and of all */
};

/* Which part of a segment that was durable is carried over with the rest, so that starting again and again leaves
 * no row of nearly empty segments behind. */
#define SMALL_PART 256

/* --- the end --- */

/* Finds where the last segment's valid batches end, and what of them may not be durable. */
static enum err find_end(struct recovery *r)
{
	struct wal_segment *s = wal_last_segment(r->w);
	struct wal_scan scan = wal_scan_begin(s, s->bytes, &r->buf);
	uint64_t mark = WAL_HEAD_BYTES;
	struct wal_record record;
	struct wal_rest rest;
	enum err e;

	do {
		if ((e = wal_scan_next(&scan, &record)) != ERR_OK)
			return e;
		if (record.kind == WAL_BATCH && record.batch.mark > mark)
			mark = record.batch.mark;
	} while (record.kind != WAL_NOTHING);
	if ((e = wal_scan_rest(s, scan.whole, &r->buf, &rest)) != ERR_OK)
		return e;
	if (rest.mark > scan.whole) {
		log_errorx("a batch says that the raft log was synced beyond the damage offset=%" PRIu64
			   " mark=%" PRIu64,
		    rest.proof, rest.mark);
		return wal_damaged(s->head.number, scan.offset, scan.why);
	}
	if (rest.bytes > 0)
		log_warnx("cut a torn tail of the raft log file=%s offset=%" PRIu64 " bytes=%" PRIu64,
		    wal_path_of(s->head.number).text, scan.whole, rest.bytes);
	r->found->cut_bytes = rest.bytes;
	r->end = scan.whole;
	r->carry = mark;
	if (mark - WAL_HEAD_BYTES <= r->w->o.segment_bytes / SMALL_PART)
		r->carry = WAL_HEAD_BYTES;
	return ERR_OK;
}

/* --- progress --- */

#define TOLD_EACH (1024 * 1024)

/* The bytes up to which the segment at this place counts. */
static uint64_t end_of(const struct recovery *r, size_t place)
{
	const struct wal *w = r->w;

	return place == w->segment_count - 1 ? r->carry : w->segments[place + 1].head.before.end;
}

static void count_bytes(struct recovery *r)
{
	for (size_t i = 0; i + 1 < r->w->segment_count; i++)
		r->total += end_of(r, i);
	r->total += r->end;
}

static void tell_progress(const struct recovery *r, uint64_t offset)
{
	const struct wal_options *o = &r->w->o;

	if (o->progress != NULL)
		o->progress(o->progress_arg, r->done + offset, r->total);
}

/* --- replay --- */

static enum err take_entry(
    struct recovery *r, uint64_t number, uint64_t offset, const struct wal_record *record)
{
	const char *why = wal_found_entry(r->found, record->pos, record->time_ms, record->type);

	return why != NULL ? wal_damaged(number, offset, why) : ERR_OK;
}

static enum err replay_record(
    struct recovery *r, size_t place, const struct wal_scan *before, const struct wal_record *record)
{
	struct wal *w = r->w;
	struct wal_point point = {
		.index = record->pos.index,
		.offset = before->offset,
		.segment = (uint32_t)place,
		.chain = before->chain,
		.left = (uint32_t)before->left,
	};
	enum err e;

	if (record->kind == WAL_HARD)
		w->hard = record->hard;
	if (record->kind != WAL_ENTRY)
		return ERR_OK;
	e = take_entry(r, w->segments[place].head.number, before->offset, record);
	if (e != ERR_OK)
		return e;
	wal_index_note(w, &point);
	w->last = record->pos;
	w->last_time_ms = record->time_ms;
	return ERR_OK;
}

/* Replays what is known to be durable of a segment: all before `end`. */
static enum err replay_segment(struct recovery *r, size_t place, uint64_t end)
{
	struct wal_segment *s = &r->w->segments[place];
	struct wal_scan scan = wal_scan_begin(s, end, &r->buf);
	uint64_t told = 0;

	s->end = end;
	while (scan.offset < end) {
		struct wal_scan before = scan;
		struct wal_record record;
		enum err e = wal_scan_next(&scan, &record);

		if (e != ERR_OK)
			return e;
		if (record.kind == WAL_NOTHING)
			return wal_damaged(s->head.number, scan.offset, scan.why);
		if ((e = replay_record(r, place, &before, &record)) != ERR_OK)
			return e;
		if (scan.offset - told >= TOLD_EACH)
			tell_progress(r, told = scan.offset);
	}
	r->w->chain = scan.chain;
	return scan.left == 0 ? ERR_OK : wal_damaged(s->head.number, scan.offset, "a batch ends too late");
}

static enum err check_continues(const struct recovery *r, const struct wal_head *h)
{
	const struct wal *w = r->w;

	if (h->before.chain == w->chain && raft_pos_equal(h->base, w->last) &&
	    h->base_time_ms == w->last_time_ms && h->hard.term == w->hard.term &&
	    h->hard.vote == w->hard.vote)
		return ERR_OK;
	return wal_damaged(h->number, 0, "it does not continue the segment before it");
}

static enum err replay(struct recovery *r)
{
	struct wal *w = r->w;
	const struct wal_head *first = &w->segments[0].head;
	enum err e = ERR_OK;

	w->base = w->last = first->base;
	w->last_time_ms = first->base_time_ms;
	w->hard = first->hard;
	r->found->base = r->found->last = w->base;
	r->found->last_time_ms = w->last_time_ms;
	for (size_t i = 0; i < w->segment_count && e == ERR_OK; i++) {
		tell_progress(r, 0);
		if (i > 0 && (e = check_continues(r, &w->segments[i].head)) != ERR_OK)
			break;
		e = replay_segment(r, i, end_of(r, i));
		r->done += end_of(r, i);
	}
	return e;
}

/* --- carrying over --- */

/* Looks at what is to be carried over: it must make a log before anything is written. */
static enum err check_carried(struct recovery *r)
{
	struct wal_segment *s = wal_last_segment(r->w);
	struct wal_scan scan = wal_scan_begin(s, r->end, &r->buf);
	enum err e = ERR_OK;

	scan.offset = r->carry;
	scan.chain = r->w->chain;
	while (scan.offset < r->end && e == ERR_OK) {
		uint64_t offset = scan.offset;
		struct wal_record record;

		if ((e = wal_scan_next(&scan, &record)) != ERR_OK)
			break;
		if (record.kind == WAL_NOTHING)
			return wal_damaged(s->head.number, scan.offset, scan.why);
		if (record.kind == WAL_ENTRY)
			e = take_entry(r, s->head.number, offset, &record);
	}
	return e;
}

/* The head of the fresh segment: it takes the last one's place if all of that is carried over, else follows it. */
static struct wal_head fresh_head(const struct recovery *r)
{
	const struct wal *w = r->w;
	struct wal_head head = w->segments[w->segment_count - 1].head;

	if (r->carry > WAL_HEAD_BYTES) {
		head.before = (struct wal_end){ head.number, r->carry, w->chain };
		head.base = w->last;
		head.base_time_ms = w->last_time_ms;
		head.hard = w->hard;
	}
	head.number++;
	return head;
}

/* Reads one batch of the old segment and writes it into the fresh one. */
static enum err carry_batch(struct recovery *r, uint64_t number, struct wal_scan *scan)
{
	struct entries entries = { 0 };
	struct raft_hard hard;
	bool has_hard = false;
	enum err e;

	do {
		struct wal_record record;

		if ((e = wal_scan_next(scan, &record)) != ERR_OK)
			goto out;
		if (record.kind == WAL_NOTHING) {
			e = wal_damaged(number, scan->offset, scan->why);
			goto out;
		}
		if (record.kind == WAL_HARD) {
			hard = record.hard;
			has_hard = true;
		}
		if (record.kind == WAL_ENTRY) {
			struct entry entry = { record.pos, record.time_ms, record.type,
				blob_new(record.data) };

			entries_add(&entries, &entry);
			blob_unref(entry.data);
		}
	} while (scan->left > 0);
	if (has_hard || entries.count > 0)
		e = wal_write_batch(r->w, has_hard ? &hard : NULL, entries.data, entries.count);
out:
	entries_free(&entries);
	return e;
}

static enum err carry_over(struct recovery *r, const struct wal_segment *from, uint32_t chain)
{
	struct wal *w = r->w;
	struct wal_scan scan = wal_scan_begin(from, r->end, &r->buf);
	enum err e;

	scan.offset = r->carry;
	scan.chain = chain;
	while (scan.offset < r->end)
		if ((e = carry_batch(r, from->head.number, &scan)) != ERR_OK)
			return e;
	/* Even with nothing carried over: the head. */
	if ((e = disk_sync(wal_last_segment(w)->file)) != ERR_OK)
		return e;
	w->synced = wal_last_segment(w)->end;
	return w->settled ? ERR_OK : wal_write_mark(w);
}

/* Segments whose content has gone into a later one, and what was being prepared. Only now, when the fresh segment
 * is durable under its name. */
static enum err remove_leftovers(struct recovery *r)
{
	struct wal *w = r->w;
	size_t place = 0;
	enum err e;

	for (size_t i = 0; i < r->all.count; i++) {
		if (place < w->segment_count && w->segments[place].head.number == r->all.data[i]) {
			place++;
			continue;
		}
		if ((e = disk_unlink(w->o.disk, wal_path_of(r->all.data[i]).text)) != ERR_OK)
			return e;
	}
	e = disk_unlink(w->o.disk, WAL_NEXT);
	return e == ERR_NOT_FOUND ? ERR_OK : e;
}

static enum err make_safe(struct recovery *r)
{
	struct wal *w = r->w;
	struct wal_segment from = *wal_last_segment(w);
	struct wal_head head = fresh_head(r);
	uint32_t chain = w->chain;
	bool superseded = r->carry == WAL_HEAD_BYTES;
	const char *name;
	enum err e;

	if (superseded) {
		w->segment_count--;
		atomic_fetch_sub(&w->disk_bytes, from.bytes);
	}
	if ((e = wal_segment_begin(w, &head, false, &name)) != ERR_OK)
		goto out;
	if ((e = carry_over(r, &from, chain)) != ERR_OK)
		goto out;
	if ((e = wal_segment_publish(w, name)) != ERR_OK)
		goto out;
	e = remove_leftovers(r);
out:
	if (superseded)
		disk_close(&from.file);
	return e;
}

enum err wal_open(struct wal **out, const struct wal_options *o, struct wal_found *found)
{
	struct recovery r = { .w = wal_new(o), .found = found };
	enum err e;

	*out = NULL;
	*found = (struct wal_found){ 0 };
	if ((e = wal_find_segments(r.w, &r.all)) != ERR_OK)
		goto out;
	if ((e = find_end(&r)) != ERR_OK)
		goto out;
	count_bytes(&r);
	if ((e = replay(&r)) != ERR_OK)
		goto out;
	if ((e = check_carried(&r)) != ERR_OK)
		goto out;
	tell_progress(&r, r.total - r.done);
	if ((e = make_safe(&r)) != ERR_OK)
		goto out;
	found->hard = r.w->hard;
	*out = r.w;
	r.w = NULL;
out:
	if (e != ERR_OK)
		wal_found_free(found);
	wal_close(r.w);
	buf_free(&r.buf);
	free(r.all.data);
	return e;
}
