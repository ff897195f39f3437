#include <assert.h>

#include "worker/log/wal_private.h"

/* Catching up reads on where it stopped; a single entry should not cost a megabyte. */
#define READ_BYTES (64 * 1024)

/* One wal_read() under way. */
struct reading {
	struct wal *w;
	uint64_t index; /* what is to be read next */
	size_t left; /* bytes that may still be added; 0: enough */
	bool any;
	struct entries *out;
};

static struct wal_scan scan_from(struct wal *w, const struct wal_point *p)
{
	const struct wal_segment *s = &w->segments[p->segment];
	struct wal_scan scan = wal_scan_begin(s, s->end, &w->in);

	scan.read_most = READ_BYTES;
	scan.offset = p->offset;
	scan.chain = p->chain;
	scan.left = p->left;
	return scan;
}

static void add(struct reading *r, const struct wal_record *record)
{
	struct entry e = { record->pos, record->time_ms, record->type, NULL };
	size_t cost = record->data.size + WAL_RECORD_BYTES;

	if (cost > r->left && r->any) {
		r->left = 0;
		return;
	}
	e.data = blob_new(record->data);
	entries_add(r->out, &e);
	blob_unref(e.data);
	r->any = true;
	r->left -= cost < r->left ? cost : r->left;
	r->index++;
}

/* Reads on from one point until the next one's entries begin, or there is enough. */
static enum err read_from(struct reading *r, size_t place)
{
	struct wal *w = r->w;
	const struct wal_point *p = &w->points[place];
	uint64_t end = place + 1 < w->point_count ? p[1].index : w->last.index + 1;
	struct wal_scan scan = scan_from(w, p);

	while (r->index < end && r->left > 0) {
		struct wal_record record;
		enum err e = wal_scan_next(&scan, &record);

		if (e != ERR_OK)
			return e;
		if (record.kind == WAL_NOTHING)
			return wal_damaged(w->segments[p->segment].head.number, scan.offset, scan.why);
		if (record.kind == WAL_ENTRY && record.pos.index == r->index)
			add(r, &record);
	}
	return ERR_OK;
}

enum err wal_read(struct wal *w, uint64_t index, size_t bytes_max, struct entries *out)
{
	struct reading r = { .w = w, .index = index, .left = bytes_max > 0 ? bytes_max : 1, .out = out };
	enum err e = ERR_OK;

	assert(index > w->base.index && index <= w->last.index);
	while (e == ERR_OK && r.index <= w->last.index && r.left > 0)
		e = read_from(&r, wal_index_find(w, r.index));
	return e;
}
