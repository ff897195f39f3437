#include <inttypes.h>
#include <stdlib.h>

#include "common/crc.h"
#include "worker/kv/hash.h"
#include "worker/kv/image_frame.h"
#include "worker/kv/inside.h"

#define COMMIT_BYTES (1024 * 1024)

struct image_load {
	struct table *table;
	unsigned level_most;
	bool has_head, has_end;
	struct image_head head;
	uint64_t frames, records, bytes, tokens;
	uint32_t crc; /* of the last frame */
	struct kv_hash hash;
	enum kv_table last_table; /* TABLE_META: no record came yet */
	struct buf last_key;
	size_t uncommitted; /* bytes */
	char *why; /* NULL: all is well so far */
};

struct image_load *image_load_begin(struct table *t, unsigned level_most)
{
	struct image_load *l = xcalloc(1, sizeof(*l));

	l->table = t;
	l->level_most = level_most;
	return l;
}

void image_load_free(struct image_load *l)
{
	if (l == NULL)
		return;
	buf_free(&l->last_key);
	free(l->why);
	free(l);
}

const char *image_load_why(const struct image_load *l)
{
	return l->why == NULL ? "" : l->why;
}

bool image_load_head(const struct image_load *l, struct image_head *out)
{
	*out = l->head;
	return l->has_head;
}

static enum err refuse(struct image_load *l, enum err e, const char *reason)
{
	free(l->why);
	l->why = xasprintf("frame %" PRIu64 ": %s", l->frames, reason);
	return e;
}

static enum err damaged(struct image_load *l, const char *reason)
{
	return refuse(l, ERR_DAMAGED, reason);
}

static enum err refuse_level(struct image_load *l, unsigned level)
{
	char *reason =
	    xasprintf("the state is of feature level %u, and this version knows no level above %u: "
		      "upgrade",
		level, l->level_most);
	enum err e = refuse(l, ERR_VERSION, reason);

	free(reason);
	return e;
}

static bool is_size(uint32_t size)
{
	return size > 0 && size <= IMAGE_PAYLOAD_BYTES_MAX;
}

size_t image_frames_whole(struct bytes b)
{
	size_t at = 0;

	while (b.size - at >= IMAGE_FRAME_HEAD_BYTES) {
		uint32_t size = wire_load_u32(b.data + at);

		if (!is_size(size))
			return b.size;
		if (b.size - at - IMAGE_FRAME_HEAD_BYTES < size)
			break;
		at += IMAGE_FRAME_HEAD_BYTES + size;
	}
	return at;
}

static enum err load_head(struct image_load *l, struct reader *r)
{
	struct image_frame_head h;
	unsigned level = 0;

	if (!image_frame_head_get(r, &h))
		return damaged(l, "the head is cut short");
	if (h.format != IMAGE_FORMAT_PLAIN && h.format != IMAGE_FORMAT_LEVEL)
		return refuse(l, ERR_VERSION, "the format is not known: upgrade");
	if (h.format == IMAGE_FORMAT_LEVEL)
		level = wire_get_u16(r);
	if (!reader_done(r))
		return damaged(l, "the head is too long");
	if (level > l->level_most)
		return refuse_level(l, level);
	l->head = (struct image_head){ h.term, h.index, h.time_ms, h.tokens, h.cluster,
		{ .high = h.hash_high, .low = h.hash_low }, level };
	l->has_head = true;
	return ERR_OK;
}

static bool is_in_order(const struct image_load *l, enum kv_table table, struct bytes key)
{
	if (table != l->last_table)
		return table > l->last_table && table <= TABLE_ACCESS;
	return table != TABLE_META && bytes_compare(key, buf_bytes(&l->last_key)) > 0;
}

static enum err load_record(struct image_load *l, const struct image_frame_record *m)
{
	enum kv_table table = (enum kv_table)m->table;

	if (m->key.size > KV_KEY_BYTES_MAX || m->record.size == 0)
		return damaged(l, "a record has no possible size");
	if (!is_in_order(l, table, m->key))
		return damaged(l, "records are not in the order of tables and keys");
	l->last_table = table;
	buf_clear(&l->last_key);
	buf_append(&l->last_key, m->key);
	l->records++;
	l->bytes += m->key.size + m->record.size;
	l->uncommitted += m->key.size + m->record.size;
	l->tokens += table == TABLE_TOKENS && tokens_counts(m->key);
	hash_add(&l->hash, table, m->key, m->record);
	return table_put(l->table, table, m->key, m->record);
}

static enum err load_records(struct image_load *l, struct reader *r)
{
	enum err e = ERR_OK;

	while (e == ERR_OK && r->left > 0) {
		struct image_frame_record m;

		if (!image_frame_record_get(r, &m))
			return damaged(l, "a record is cut short");
		e = load_record(l, &m);
	}
	if (e == ERR_OK && l->uncommitted >= COMMIT_BYTES) {
		l->uncommitted = 0;
		e = table_commit(l->table);
	}
	return e;
}

static enum err load_end(struct image_load *l, struct reader *r)
{
	struct image_frame_end end;

	image_frame_end_get(r, &end);
	if (!reader_done(r))
		return damaged(l, "the end has a wrong length");
	if (end.records != l->records || end.bytes != l->bytes || l->head.tokens != l->tokens)
		return damaged(l, "it does not hold as many records as it says");
	l->has_end = true;
	return ERR_OK;
}

static enum err load_payload(struct image_load *l, struct bytes payload)
{
	struct reader r = reader_of(payload);
	uint8_t mark = wire_get_u8(&r);

	if (l->has_end)
		return damaged(l, "it lies behind the end");
	if (l->has_head != (mark != IMAGE_HEAD))
		return damaged(l, l->has_head ? "a second head" : "the head is missing");
	switch ((enum image_frame_mark)mark) {
	case IMAGE_HEAD:
		return load_head(l, &r);
	case IMAGE_RECORD:
		return load_records(l, &r);
	case IMAGE_END:
		return load_end(l, &r);
	}
	return damaged(l, "it is of no known kind");
}

/* Takes one frame off the front. */
static enum err load_frame(struct image_load *l, struct reader *r)
{
	uint32_t size = wire_get_u32(r), crc = wire_get_u32(r);
	struct bytes payload = wire_get_raw(r, is_size(size) ? size : 0);

	l->frames++;
	if (r->bad || payload.size == 0)
		return damaged(l, "it is cut short, or no frame");
	l->crc = crc32c(l->crc, payload);
	if (l->crc != crc)
		return damaged(l, "its checksum is wrong, or a frame before it is missing");
	return load_payload(l, payload);
}

enum err image_load_frames(struct image_load *l, struct bytes frames)
{
	struct reader r = reader_of(frames);
	enum err e = ERR_OK;

	while (e == ERR_OK && r.left > 0)
		e = load_frame(l, &r);
	return e;
}

enum err image_load_end(struct image_load *l)
{
	struct kv_meta meta = {
		.applied_term = l->head.term,
		.applied_index = l->head.index,
		.time_ms = l->head.time_ms,
		.tokens = l->head.tokens,
		.hash = l->hash,
		.level = l->head.level,
	};
	struct buf room = { 0 };
	unsigned level;
	enum err e;

	if (!l->has_end)
		return damaged(l, "the end is missing");
	if (l->hash.high != l->head.hash.high || l->hash.low != l->head.hash.low)
		return damaged(l, "its records are not those that it was made from: the hash differs");
	e = level_read(l->table, &room, &level);
	buf_free(&room);
	if (e == ERR_DAMAGED || e == ERR_VERSION)
		return damaged(l, "the feature level cannot be read");
	if (e != ERR_OK)
		return e;
	if (level != l->head.level)
		return damaged(l, "its feature level is not the one that it says");
	return kv_write_image(l->table, &meta);
}
