#include <assert.h>
#include <endian.h>
#include <string.h>

#include "common/wire.h"

void wire_store_u32(uint8_t *at, uint32_t v)
{
	v = htole32(v);
	memcpy(at, &v, sizeof(v));
}

void wire_store_u64(uint8_t *at, uint64_t v)
{
	v = htole64(v);
	memcpy(at, &v, sizeof(v));
}

uint32_t wire_load_u32(const uint8_t *at)
{
	uint32_t v;

	memcpy(&v, at, sizeof(v));
	return le32toh(v);
}

uint64_t wire_load_u64(const uint8_t *at)
{
	uint64_t v;

	memcpy(&v, at, sizeof(v));
	return le64toh(v);
}

void wire_put_u8(struct buf *b, uint8_t v)
{
	*buf_reserve(b, 1) = v;
	b->size += 1;
}

void wire_put_u16(struct buf *b, uint16_t v)
{
	wire_put_u8(b, (uint8_t)v);
	wire_put_u8(b, (uint8_t)(v >> 8));
}

void wire_put_u32(struct buf *b, uint32_t v)
{
	wire_store_u32(buf_reserve(b, 4), v);
	b->size += 4;
}

void wire_put_u64(struct buf *b, uint64_t v)
{
	wire_store_u64(buf_reserve(b, 8), v);
	b->size += 8;
}

void wire_put_bytes(struct buf *b, struct bytes v)
{
	assert(v.size <= UINT32_MAX);
	wire_put_u32(b, (uint32_t)v.size);
	buf_append(b, v);
}

struct reader reader_of(struct bytes from)
{
	return (struct reader){ from.data, from.size, false };
}

struct bytes wire_get_raw(struct reader *r, size_t size)
{
	struct bytes got;

	if (r->bad || r->left < size) {
		r->bad = true;
		return (struct bytes){ NULL, 0 };
	}
	got = bytes_of(r->at, size);
	r->at += size;
	r->left -= size;
	return got;
}

uint8_t wire_get_u8(struct reader *r)
{
	struct bytes b = wire_get_raw(r, 1);

	return b.data == NULL ? 0 : b.data[0];
}

uint16_t wire_get_u16(struct reader *r)
{
	struct bytes b = wire_get_raw(r, 2);

	return b.data == NULL ? 0 : (uint16_t)(b.data[0] | b.data[1] << 8);
}

uint32_t wire_get_u32(struct reader *r)
{
	struct bytes b = wire_get_raw(r, 4);

	return b.data == NULL ? 0 : wire_load_u32(b.data);
}

uint64_t wire_get_u64(struct reader *r)
{
	struct bytes b = wire_get_raw(r, 8);

	return b.data == NULL ? 0 : wire_load_u64(b.data);
}

struct bytes wire_get_bytes(struct reader *r)
{
	return wire_get_raw(r, wire_get_u32(r));
}

bool reader_done(const struct reader *r)
{
	return !r->bad && r->left == 0;
}
