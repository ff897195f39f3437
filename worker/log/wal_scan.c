#include <assert.h>
#include <inttypes.h>
#include <string.h>

#include "common/log.h"
#include "worker/log/wal_private.h"

enum err wal_damaged(uint64_t number, uint64_t offset, const char *reason)
{
	return wal_file_damaged(wal_path_of(number).text, offset, reason);
}

enum err wal_file_damaged(const char *path, uint64_t offset, const char *reason)
{
	log_errorx("the raft log is damaged file=%s offset=%" PRIu64 " reason=\"%s\"", path, offset, reason);
	return ERR_DAMAGED;
}

struct wal_scan wal_scan_begin(const struct wal_segment *s, uint64_t end, struct buf *buf)
{
	buf_clear(buf);
	return (struct wal_scan){
		.file = s->file,
		.seed = s->seed,
		.end = end,
		.read_most = 1024 * 1024,
		.offset = WAL_HEAD_BYTES,
		.chain = s->seed,
		.whole = WAL_HEAD_BYTES,
		.buf = buf,
	};
}

/* *at is the `size` bytes at `offset`, valid until the next call, or NULL where the segment has not so many. */
static enum err get(struct wal_scan *s, uint64_t offset, uint64_t size, const uint8_t **at)
{
	uint64_t most = size > s->read_most ? size : s->read_most;
	size_t got;
	enum err e;

	*at = NULL;
	if (offset > s->end || size > s->end - offset)
		return ERR_OK;
	if (offset < s->buf_offset || offset + size > s->buf_offset + s->buf->size) {
		if (most > s->end - offset)
			most = s->end - offset;
		buf_clear(s->buf);
		e = disk_read(s->file, offset, buf_reserve(s->buf, (size_t)most), (size_t)most, &got);
		if (e != ERR_OK)
			return e;
		s->buf_offset = offset;
		s->buf->size = got;
		if (got < size)
			return ERR_OK;
	}
	*at = s->buf->data + (offset - s->buf_offset);
	return ERR_OK;
}

static bool all_zero(const uint8_t *at, uint64_t size)
{
	while (size > 0 && *at == 0)
		at++, size--;
	return size == 0;
}

static void take_batch(struct wal_scan *s, const struct wal_batch *b, uint32_t crc, struct wal_record *out)
{
	*out = (struct wal_record){ .kind = WAL_BATCH, .batch = *b };
	s->offset = b->offset + WAL_BATCH_BYTES;
	s->chain = crc;
	s->left = b->size;
	if (s->left == 0)
		s->whole = s->offset;
}

/* A batch head comes where the last batch ended or, behind zeros, where the next block begins. */
static enum err next_batch(struct wal_scan *s, struct wal_record *out)
{
	uint64_t gap = wal_round_up(s->offset, WAL_BLOCK) - s->offset;
	struct wal_batch b;
	const uint8_t *at;
	uint32_t crc;
	enum err e;

	if ((e = get(s, s->offset, WAL_BATCH_BYTES, &at)) != ERR_OK)
		return e;
	if (at != NULL && wal_get_batch(at, s->seed, s->offset, &b, &crc) && b.chain == s->chain) {
		take_batch(s, &b, crc, out);
		return ERR_OK;
	}
	if ((e = get(s, s->offset, gap + WAL_BATCH_BYTES, &at)) != ERR_OK)
		return e;
	if (at != NULL && all_zero(at, gap) && wal_get_batch(at + gap, s->seed, s->offset + gap, &b, &crc) &&
	    b.chain == s->chain)
		take_batch(s, &b, crc, out);
	else
		s->why = "no valid batch begins here";
	return ERR_OK;
}

static enum err check_known(const struct wal_scan *s, const struct wal_record *r)
{
	bool known = r->kind == WAL_HARD;

	if (r->kind == WAL_ENTRY)
		switch (r->type) {
		case ENTRY_NOOP:
		case ENTRY_CONFIG:
		case ENTRY_WRITE:
			known = true;
		}
	if (known)
		return ERR_OK;
	log_errorx("the raft log holds what this version does not know: upgrade this node offset=%" PRIu64
		   " kind=%d type=%d",
	    s->offset, (int)r->kind, (int)r->type);
	return ERR_VERSION;
}

static enum err next_record(struct wal_scan *s, struct wal_record *out)
{
	struct wal_record r;
	const uint8_t *at = NULL;
	uint64_t size = 0;
	uint32_t crc;
	enum err e;

	s->why = "a record does not validate";
	if (s->left >= WAL_RECORD_BYTES && (e = get(s, s->offset, WAL_RECORD_BYTES, &at)) != ERR_OK)
		return e;
	if (at != NULL)
		size = wal_record_claims(at);
	if (at == NULL || size > s->left)
		return ERR_OK;
	if ((e = get(s, s->offset, size, &at)) != ERR_OK)
		return e;
	if (at == NULL || !wal_get_record(at, (size_t)size, s->chain, &r, &crc))
		return ERR_OK;
	if ((e = check_known(s, &r)) != ERR_OK)
		return e;
	*out = r;
	s->offset += size;
	s->chain = crc;
	s->left -= size;
	if (s->left == 0)
		s->whole = s->offset;
	return ERR_OK;
}

enum err wal_scan_next(struct wal_scan *s, struct wal_record *out)
{
	*out = (struct wal_record){ .kind = WAL_NOTHING };
	return s->left == 0 ? next_batch(s, out) : next_record(s, out);
}

/* Looks at each place in `size` bytes at `offset` where a batch head could begin. */
static void look(
    const struct wal_segment *s, uint64_t offset, const uint8_t *at, size_t size, struct wal_rest *out)
{
	for (size_t i = 0; i + 8 <= size; i += 8) {
		struct wal_batch b;
		uint64_t word;
		uint32_t crc;

		memcpy(&word, at + i, 8);
		if (word == 0)
			continue;
		out->bytes = offset + i + 8;
		if (i + WAL_BATCH_BYTES <= size && wal_get_batch(at + i, s->seed, offset + i, &b, &crc) &&
		    b.mark > out->mark) {
			out->mark = b.mark;
			out->proof = offset + i;
		}
	}
}

enum err wal_scan_rest(const struct wal_segment *s, uint64_t from, struct buf *buf, struct wal_rest *out)
{
	struct wal_scan scan = wal_scan_begin(s, s->bytes, buf);
	uint64_t offset = from;
	const uint8_t *at;
	enum err e;

	*out = (struct wal_rest){ .bytes = from };
	/* Windows overlap, so that no head is missed for lying across two. A file that ends in the middle of a word
	 * grew in a crash; the odd bytes hold no head. */
	while (offset + 8 <= s->bytes) {
		uint64_t size = s->bytes - offset;

		if (size > scan.read_most)
			size = scan.read_most;
		if ((e = get(&scan, offset, size, &at)) != ERR_OK)
			return e;
		if (at == NULL)
			break;
		look(s, offset, at, (size_t)size, out);
		if (offset + size == s->bytes)
			break;
		offset += size - WAL_BATCH_BYTES;
	}
	out->bytes -= from;
	return ERR_OK;
}
