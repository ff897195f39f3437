#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/buf.h"

void buf_free(struct buf *b)
{
	free(b->data);
	*b = (struct buf){ 0 };
}

void buf_clear(struct buf *b)
{
	b->size = 0;
}

uint8_t *buf_reserve(struct buf *b, size_t size)
{
	assert(size <= SIZE_MAX / 2 - b->size);
	if (b->room - b->size < size) {
		size_t room = b->room < 64 ? 64 : b->room;

		while (room - b->size < size)
			room *= 2;
		b->data = xrealloc(b->data, room);
		b->room = room;
	}
	return b->data + b->size;
}

uint8_t *buf_extend(struct buf *b, size_t size)
{
	uint8_t *at = buf_reserve(b, size);

	if (size > 0)
		memset(at, 0, size);
	b->size += size;
	return at;
}

void buf_append(struct buf *b, struct bytes more)
{
	if (more.size == 0)
		return;
	memcpy(buf_reserve(b, more.size), more.data, more.size);
	b->size += more.size;
}

void buf_append_text(struct buf *b, const char *text)
{
	buf_append(b, bytes_text(text));
}

void buf_printf(struct buf *b, const char *format, ...)
{
	va_list ap, again;
	int size;

	va_start(ap, format);
	va_copy(again, ap);
	size = vsnprintf(NULL, 0, format, ap);
	va_end(ap);
	assert(size >= 0);
	vsnprintf((char *)buf_reserve(b, (size_t)size + 1), (size_t)size + 1, format, again);
	va_end(again);
	b->size += (size_t)size;
}

void buf_consume(struct buf *b, size_t size)
{
	assert(size <= b->size);
	if (size == 0)
		return;
	memmove(b->data, b->data + size, b->size - size);
	b->size -= size;
}

struct bytes buf_bytes(const struct buf *b)
{
	return bytes_of(b->data, b->size);
}

const char *buf_text(struct buf *b)
{
	*buf_reserve(b, 1) = '\0';
	return (const char *)b->data;
}
