#include <assert.h>
#include <stdlib.h>

#include "common/crc.h"
#include "worker/kv/image_frame.h"
#include "worker/kv/image_scan.h"
#include "worker/kv/inside.h"

#define WIRE_TABLE "worker/kv/image.def"
#define WIRE_PREFIX image_frame
#include "common/wire_define.h"

/*
 * What lies in the table behind the scan's place is the state as it is now, and what was put aside as it was then: in
 * order of tables and keys the two become one. Each pass takes some of what was put aside into memory and then goes
 * along the table.
 */

#define RECORD_COST 32 /* to look at a record, beside its bytes */

/* What was put aside of a key: whether there was a record (u8), and the record. */
enum { WAS_ABSENT = 0, WAS_THERE = 1 };

struct image_scan {
	struct kv *kv;
	struct table *aside;
	struct kv_meta meta;
	uint64_t cluster;
	/* Where it is: the tables below this one are done, and of this one all keys below `from`. */
	enum kv_table table;
	struct buf from;
	uint32_t crc; /* of the last frame */
	uint64_t records, bytes;
	bool head_sent, end_sent;
	enum err aside_error; /* it cannot be gone on with */
	struct buf record;
	struct buf
	    batch; /* what was put aside, from the present place on: (key, what) one behind the other */
};

enum err image_scan_begin(struct image_scan **out, struct kv *kv, struct table *aside, uint64_t cluster)
{
	struct image_scan *s = xcalloc(1, sizeof(*s));

	assert(kv->scan == NULL);
	s->kv = kv;
	s->aside = aside;
	s->meta = kv->meta;
	s->cluster = cluster;
	s->table = TABLE_META + 1;
	kv->scan = s;
	*out = s;
	return ERR_OK;
}

uint64_t image_scan_index(const struct image_scan *s)
{
	return s->meta.applied_index;
}

void image_scan_end(struct image_scan *s)
{
	if (s == NULL)
		return;
	s->kv->scan = NULL;
	buf_free(&s->from);
	buf_free(&s->record);
	buf_free(&s->batch);
	free(s);
}

/* --- what changes meanwhile --- */

static bool has_passed(const struct image_scan *s, const struct kv_change *c)
{
	return c->table < s->table ||
	       (c->table == s->table && bytes_compare(c->key, buf_bytes(&s->from)) < 0);
}

/* Only the first old record of a key is that of the image's index. */
void image_scan_put_aside(struct image_scan *s, const struct kv_change *c)
{
	bool was = c->old_record.size > 0;

	if (s->aside_error != ERR_OK || has_passed(s, c))
		return;
	buf_clear(&s->record);
	s->aside_error = table_get(s->aside, c->table, c->key, &s->record);
	if (s->aside_error != ERR_NOT_FOUND)
		return;
	*buf_extend(&s->record, 1) = was ? WAS_THERE : WAS_ABSENT;
	buf_append(&s->record, c->old_record);
	s->aside_error = table_put(s->aside, c->table, c->key, buf_bytes(&s->record));
}

/* --- frames --- */

static size_t begin_frame(struct buf *out, enum image_frame_mark mark)
{
	size_t at = out->size;

	buf_extend(out, IMAGE_FRAME_HEAD_BYTES);
	wire_put_u8(out, (uint8_t)mark);
	return at;
}

static void end_frame(struct image_scan *s, struct buf *out, size_t at)
{
	size_t size = out->size - at - IMAGE_FRAME_HEAD_BYTES;

	s->crc = crc32c(s->crc, bytes_of(out->data + at + IMAGE_FRAME_HEAD_BYTES, size));
	wire_store_u32(out->data + at, (uint32_t)size);
	wire_store_u32(out->data + at + 4, s->crc);
}

static void put_head(struct image_scan *s, struct buf *out)
{
	size_t at = begin_frame(out, IMAGE_HEAD);

	image_frame_head_put(out, &(struct image_frame_head){
				      .format = s->meta.level > 0 ? IMAGE_FORMAT_LEVEL : IMAGE_FORMAT_PLAIN,
				      .cluster = s->cluster,
				      .term = s->meta.applied_term,
				      .index = s->meta.applied_index,
				      .time_ms = s->meta.time_ms,
				      .tokens = s->meta.tokens,
				      .hash_low = s->meta.hash.low,
				      .hash_high = s->meta.hash.high,
				  });
	if (s->meta.level > 0)
		wire_put_u16(out, (uint16_t)s->meta.level);
	end_frame(s, out, at);
	s->head_sent = true;
}

static void put_end(struct image_scan *s, struct buf *out)
{
	size_t at = begin_frame(out, IMAGE_END);

	image_frame_end_put(out, &(struct image_frame_end){ s->records, s->bytes });
	end_frame(s, out, at);
	s->end_sent = true;
}

/* --- a pass --- */

/* One way along a table, into one frame. */
struct pass {
	struct image_scan *s;
	struct buf *out;
	size_t frame_at;
	size_t left; /* of what may be looked at */
	struct reader aside; /* what is left of the batch */
	bool aside_cut; /* behind the batch there is more that was put aside */
	bool stopped; /* before the end of the table */
};

/* The next key to look at is this one, or with `behind` the least key behind it. */
static void move_to(struct image_scan *s, struct bytes key, bool behind)
{
	buf_clear(&s->from);
	buf_append(&s->from, key);
	if (behind)
		buf_extend(&s->from, 1);
}

static void put_record(struct pass *p, struct bytes key, struct bytes record)
{
	image_frame_record_put(p->out, &(struct image_frame_record){ (uint8_t)p->s->table, key, record });
	p->s->records++;
	p->s->bytes += key.size + record.size;
}

static bool is_frame_full(const struct pass *p)
{
	return p->out->size - p->frame_at >= IMAGE_FRAME_BYTES;
}

/* A record was looked at: is there more to be done in this pass? */
static bool spend(struct pass *p, struct bytes key, size_t size)
{
	size_t cost = key.size + size + RECORD_COST;

	move_to(p->s, key, true);
	p->left -= cost < p->left ? cost : p->left;
	p->stopped = p->left == 0 || is_frame_full(p);
	return !p->stopped;
}

static bool gather(void *arg, struct bytes key, struct bytes what)
{
	struct pass *p = arg;

	wire_put_bytes(&p->s->batch, key);
	wire_put_bytes(&p->s->batch, what);
	p->aside_cut = p->s->batch.size >= IMAGE_FRAME_BYTES || p->s->batch.size >= p->left;
	return !p->aside_cut;
}

static bool peek_aside(const struct pass *p, struct bytes *key)
{
	struct reader r = p->aside;

	*key = wire_get_bytes(&r);
	return !r.bad;
}

/* The next of what was put aside is the image's: it goes into the frame, if it is a record. */
static bool take_aside(struct pass *p)
{
	struct bytes key = wire_get_bytes(&p->aside), what = wire_get_bytes(&p->aside);

	if (what.data[0] == WAS_THERE)
		put_record(p, key, bytes_of(what.data + 1, what.size - 1));
	return spend(p, key, what.size);
}

/* Those that lie before `key`, or all when it is NULL. */
static bool take_aside_before(struct pass *p, const struct bytes *key)
{
	struct bytes next;

	while (!p->stopped && peek_aside(p, &next) && (key == NULL || bytes_compare(next, *key) < 0))
		take_aside(p);
	/* Behind the batch it is not known what was put aside. */
	if (!p->stopped && p->aside.left == 0 && p->aside_cut)
		p->stopped = true;
	return !p->stopped;
}

static bool on_record(void *arg, struct bytes key, struct bytes record)
{
	struct pass *p = arg;
	struct bytes next;

	if (!take_aside_before(p, &key))
		return false;
	if (peek_aside(p, &next) && bytes_equal(next, key))
		return take_aside(p);
	put_record(p, key, record);
	return spend(p, key, record.size);
}

static enum err run_pass(struct pass *p)
{
	struct image_scan *s = p->s;
	struct buf from = { 0 };
	enum err e;

	buf_append(&from, buf_bytes(&s->from));
	buf_clear(&s->batch);
	p->aside_cut = false;
	if ((e = s->aside_error = table_scan(s->aside, s->table, buf_bytes(&from), gather, p)) == ERR_OK) {
		p->aside = reader_of(buf_bytes(&s->batch));
		e = table_scan(s->kv->table, s->table, buf_bytes(&from), on_record, p);
	}
	buf_free(&from);
	if (e != ERR_OK)
		return e;
	if (!p->stopped)
		take_aside_before(p, NULL);
	if (!p->stopped) {
		s->table++;
		buf_clear(&s->from);
	}
	return ERR_OK;
}

/* One frame of records, from as many tables as it takes; of a frame without records only the first is kept. */
static enum err put_records(struct image_scan *s, struct buf *out, size_t *left, bool wanted)
{
	struct pass p = { .s = s, .out = out, .frame_at = begin_frame(out, IMAGE_RECORD), .left = *left };
	uint64_t before = s->records;
	enum err e = ERR_OK;

	while (e == ERR_OK && !p.stopped && s->table <= TABLE_ACCESS)
		e = run_pass(&p);
	*left = p.left;
	if (e != ERR_OK || (s->records == before && !wanted))
		out->size = p.frame_at;
	else
		end_frame(s, out, p.frame_at);
	return e;
}

enum err image_scan_read(struct image_scan *s, size_t bytes_max, struct buf *out, bool *more)
{
	size_t before = out->size, left = bytes_max;
	enum err e = s->aside_error;

	assert(!s->end_sent);
	if (e == ERR_OK && !s->head_sent)
		put_head(s, out);
	do {
		if (e == ERR_OK)
			e = put_records(s, out, &left, out->size == before);
	} while (e == ERR_OK && s->table <= TABLE_ACCESS && left > 0);
	if (e == ERR_OK && s->table > TABLE_ACCESS)
		put_end(s, out);
	*more = !s->end_sent;
	return e;
}

bool image_scan_is_spoilt(const struct image_scan *s)
{
	return s->aside_error != ERR_OK;
}
