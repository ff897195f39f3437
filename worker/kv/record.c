#include "worker/kv/record.h"

#define FORMAT 1
#define FORMAT_LEVEL 2 /* of the meta record, above feature level 0 */

enum attribute { ATTRIBUTE_END = 0, ATTRIBUTE_CONTENT_TYPE = 1 };

static void put_number(struct buf *b, uint64_t v)
{
	uint8_t *at = buf_reserve(b, 10);

	for (; v >= 0x80; v >>= 7) {
		*at++ = (uint8_t)(v | 0x80);
		b->size++;
	}
	*at = (uint8_t)v;
	b->size++;
}

static uint64_t get_number(struct reader *r)
{
	uint64_t v = 0;
	unsigned shift = 0;
	uint8_t byte;

	do {
		byte = wire_get_u8(r);
		if (shift == 63 && byte > 1)
			r->bad = true;
		v |= (uint64_t)(byte & 0x7f) << shift;
		shift += 7;
	} while ((byte & 0x80) != 0 && !r->bad);
	return v;
}

static struct bytes get_rest(struct reader *r)
{
	return wire_get_raw(r, r->left);
}

static struct bytes get_counted(struct reader *r)
{
	uint64_t size = get_number(r);

	if (size > r->left)
		r->bad = true;
	return wire_get_raw(r, r->bad ? 0 : (size_t)size);
}

/* True when the format is known; *e says what is wrong otherwise. */
static bool begins(struct reader *r, enum err *e)
{
	uint8_t format = wire_get_u8(r);

	*e = r->bad ? ERR_DAMAGED : format == FORMAT ? ERR_OK : ERR_VERSION;
	return *e == ERR_OK;
}

static enum err end(const struct reader *r)
{
	return reader_done(r) ? ERR_OK : ERR_DAMAGED;
}

void record_put(struct buf *b, const struct record *r)
{
	wire_put_u8(b, FORMAT);
	put_number(b, r->create);
	put_number(b, r->modify);
	put_number(b, r->version);
	put_number(b, r->lease);
	put_number(b, r->flags);
	if (r->content_type.size > 0) {
		wire_put_u8(b, ATTRIBUTE_CONTENT_TYPE);
		put_number(b, r->content_type.size);
		buf_append(b, r->content_type);
	}
	wire_put_u8(b, ATTRIBUTE_END);
	buf_append(b, r->value);
}

static void get_attributes(struct reader *r, struct record *out)
{
	uint8_t tag;

	while ((tag = wire_get_u8(r)) != ATTRIBUTE_END && !r->bad) {
		struct bytes content = get_counted(r);

		if (tag == ATTRIBUTE_CONTENT_TYPE)
			out->content_type = content;
	}
}

enum err record_get(struct bytes from, struct record *out)
{
	struct reader r = reader_of(from);
	enum err e;

	*out = (struct record){ 0 };
	if (!begins(&r, &e))
		return e;
	out->create = get_number(&r);
	out->modify = get_number(&r);
	out->version = get_number(&r);
	out->lease = get_number(&r);
	out->flags = get_number(&r);
	get_attributes(&r, out);
	out->value = get_rest(&r);
	return end(&r);
}

void token_record_put(struct buf *b, const struct token_record *r)
{
	wire_put_u8(b, FORMAT);
	put_number(b, r->time_ms);
	put_number(b, r->index);
	wire_put_u64(b, r->operation.low);
	wire_put_u64(b, r->operation.high);
	buf_append(b, r->result);
}

enum err token_record_get(struct bytes from, struct token_record *out)
{
	struct reader r = reader_of(from);
	enum err e;

	*out = (struct token_record){ 0 };
	if (!begins(&r, &e))
		return e;
	out->time_ms = get_number(&r);
	out->index = get_number(&r);
	out->operation.low = wire_get_u64(&r);
	out->operation.high = wire_get_u64(&r);
	out->result = get_rest(&r);
	return end(&r);
}

void age_record_put(struct buf *b, const struct age_record *r)
{
	wire_put_u8(b, FORMAT);
	put_number(b, r->time_ms);
	buf_append(b, r->token_key);
}

enum err age_record_get(struct bytes from, struct age_record *out)
{
	struct reader r = reader_of(from);
	enum err e;

	*out = (struct age_record){ 0 };
	if (!begins(&r, &e))
		return e;
	out->time_ms = get_number(&r);
	out->token_key = get_rest(&r);
	return end(&r);
}

void members_record_put(struct buf *b, const struct members_record *r)
{
	wire_put_u8(b, FORMAT);
	put_number(b, r->index);
	buf_append(b, r->members);
}

enum err members_record_get(struct bytes from, struct members_record *out)
{
	struct reader r = reader_of(from);
	enum err e;

	*out = (struct members_record){ 0 };
	if (!begins(&r, &e))
		return e;
	out->index = get_number(&r);
	out->members = get_rest(&r);
	return end(&r);
}

void setting_record_put(struct buf *b, const struct setting_record *r)
{
	wire_put_u8(b, FORMAT);
	put_number(b, r->value);
}

enum err setting_record_get(struct bytes from, struct setting_record *out)
{
	struct reader r = reader_of(from);
	enum err e;

	*out = (struct setting_record){ 0 };
	if (!begins(&r, &e))
		return e;
	out->value = get_number(&r);
	return end(&r);
}

void meta_record_put(struct buf *b, const struct kv_meta *m)
{
	wire_put_u8(b, m->level > 0 ? FORMAT_LEVEL : FORMAT);
	wire_put_u64(b, m->applied_term);
	wire_put_u64(b, m->applied_index);
	wire_put_u64(b, m->time_ms);
	wire_put_u64(b, m->tokens);
	wire_put_u64(b, m->hash.low);
	wire_put_u64(b, m->hash.high);
}

enum err meta_record_get(struct bytes from, struct kv_meta *out)
{
	struct reader r = reader_of(from);
	uint8_t format = wire_get_u8(&r);

	*out = (struct kv_meta){ 0 };
	if (r.bad)
		return ERR_DAMAGED;
	if (format != FORMAT && format != FORMAT_LEVEL)
		return ERR_VERSION;
	out->level = format == FORMAT_LEVEL; /* at least: which one is said elsewhere */
	out->applied_term = wire_get_u64(&r);
	out->applied_index = wire_get_u64(&r);
	out->time_ms = wire_get_u64(&r);
	out->tokens = wire_get_u64(&r);
	out->hash.low = wire_get_u64(&r);
	out->hash.high = wire_get_u64(&r);
	return end(&r);
}

void mark_record_put(struct buf *b, const struct mark_record *r)
{
	wire_put_u8(b, FORMAT);
	wire_put_u64(b, r->index);
	wire_put_bytes(b, r->text);
}

enum err mark_record_get(struct bytes from, struct mark_record *out)
{
	struct reader r = reader_of(from);
	enum err e;

	*out = (struct mark_record){ 0 };
	if (!begins(&r, &e))
		return e;
	out->index = wire_get_u64(&r);
	out->text = wire_get_bytes(&r);
	return end(&r);
}
