#include <assert.h>

#include "common/crc.h"
#include "tests/common/mem_table.h"
#include "tests/fuzz/common/fuzz.h"
#include "worker/kv/hash.h"
#include "worker/kv/image_frame.h"

/*
 * An image from a follower or a file: bytes as they are; or payloads that get their sizes and checksums; or records
 * that get a head and an end that fit. Whatever was loaded to its end can be opened, has the hash that it says, and
 * gives an image again that loads the same.
 */
enum { AS_IT_IS, PAYLOADS, RECORDS, WAYS };

struct image {
	struct buf frames;
	uint32_t crc;
};

static void add_frame(struct image *i, struct bytes payload)
{
	i->crc = crc32c(i->crc, payload);
	wire_put_u32(&i->frames, (uint32_t)payload.size);
	wire_put_u32(&i->frames, i->crc);
	buf_append(&i->frames, payload);
}

static void add_payloads(struct image *i, struct bytes input)
{
	while (input.size > 0)
		add_frame(i, fuzz_next(&input));
}

/* Each is a table, a key and a record, all in one frame. */
static void add_records(struct image *i, struct bytes input)
{
	struct image_frame_head head = { .index = fuzz_byte(&input) };
	uint8_t level = fuzz_byte(&input) % (FEATURE_LEVEL_MOST + 2);
	struct image_frame_end end = { 0 };
	struct kv_hash hash = { 0 };
	struct buf payload = { 0 }, records = { 0 };

	wire_put_u8(&records, IMAGE_RECORD);
	while (input.size > 0) {
		enum kv_table table = (enum kv_table)(fuzz_byte(&input) % (TABLE_ACCESS + 2));
		struct bytes key = fuzz_next(&input), record = fuzz_next(&input);

		image_frame_record_put(&records, &(struct image_frame_record){ (uint8_t)table, key, record });
		hash_add(&hash, table, key, record);
		head.tokens += table == TABLE_TOKENS && key.size > 0 && key.data[0] == 1;
		end.records++;
		end.bytes += key.size + record.size;
	}
	head.hash_low = hash.low;
	head.hash_high = hash.high;
	wire_put_u8(&payload, IMAGE_HEAD);
	head.format = level > 0 ? IMAGE_FORMAT_LEVEL : IMAGE_FORMAT_PLAIN;
	image_frame_head_put(&payload, &head);
	if (level > 0)
		wire_put_u16(&payload, level);
	add_frame(i, buf_bytes(&payload));
	add_frame(i, buf_bytes(&records));
	buf_clear(&payload);
	wire_put_u8(&payload, IMAGE_END);
	image_frame_end_put(&payload, &end);
	add_frame(i, buf_bytes(&payload));
	buf_free(&payload);
	buf_free(&records);
}

/* In pieces of whole frames. */
static enum err load(struct table *t, struct bytes frames)
{
	struct image_load *l = image_load_begin(t, FEATURE_LEVEL_MOST);
	struct image_head head;
	enum err e = ERR_OK;

	while (e == ERR_OK && frames.size > 0) {
		size_t size = image_frames_whole(bytes_of(frames.data, frames.size / 2));

		assert(size <= frames.size / 2);
		size = size > 0 ? size : frames.size;
		e = image_load_frames(l, bytes_of(frames.data, size));
		frames = bytes_of(frames.data + size, frames.size - size);
	}
	if (e == ERR_OK)
		e = image_load_end(l);
	assert(e == ERR_OK ? image_load_head(l, &head) : image_load_why(l)[0] != '\0');
	assert(e == ERR_OK || e == ERR_DAMAGED || e == ERR_VERSION);
	image_load_free(l);
	return e;
}

static void scan(struct kv *kv, struct buf *out)
{
	struct table *aside = mem_table_new();
	struct image_scan *s;
	bool more = true;

	assert(image_scan_begin(&s, kv, aside, 0) == ERR_OK);
	while (more)
		assert(image_scan_read(s, 100, out, &more) == ERR_OK);
	image_scan_end(s);
	mem_table_free(aside);
}

static void try_again(struct table *t)
{
	struct table *other = mem_table_new();
	struct buf once = { 0 }, twice = { 0 };
	struct kv *kv, *copy;

	assert(kv_open(&kv, t) == ERR_OK && kv_is_image(kv));
	scan(kv, &once);
	assert(load(other, buf_bytes(&once)) == ERR_OK);
	assert(kv_open(&copy, other) == ERR_OK);
	assert(
	    kv_meta(kv)->hash.low == kv_meta(copy)->hash.low && kv_meta(kv)->tokens == kv_meta(copy)->tokens);
	scan(copy, &twice);
	assert(bytes_equal(buf_bytes(&once), buf_bytes(&twice)));
	kv_close(kv);
	kv_close(copy);
	mem_table_free(other);
	buf_free(&once);
	buf_free(&twice);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct bytes input = bytes_of(data, size);
	unsigned way = fuzz_byte(&input) % WAYS;
	struct table *t = mem_table_new();
	struct image i = { 0 };

	if (way == AS_IT_IS)
		buf_append(&i.frames, input);
	else if (way == PAYLOADS)
		add_payloads(&i, input);
	else
		add_records(&i, input);
	if (load(t, buf_bytes(&i.frames)) == ERR_OK)
		try_again(t);
	mem_table_free(t);
	buf_free(&i.frames);
	return 0;
}
