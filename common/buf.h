#ifndef COMMON_BUF_H
#define COMMON_BUF_H

#include <stdarg.h>

#include "common/mem.h"

/*
 * A growing buffer of bytes. Zeroed memory is an empty buffer. It keeps its room when cleared, so that one buffer
 * serves a loop without further allocation.
 */
struct buf {
	uint8_t *data;
	size_t size, room;
};

void buf_free(struct buf *b); /* releases the memory; the buffer is empty and usable again */
void buf_clear(struct buf *b);
/* Makes room for `size` more bytes and returns where they go; buf->size is not changed. */
uint8_t *buf_reserve(struct buf *b, size_t size);
/* Appends `size` bytes of zero and returns where they are, valid until the buffer grows. */
uint8_t *buf_extend(struct buf *b, size_t size);
void buf_append(struct buf *b, struct bytes more);
void buf_append_text(struct buf *b, const char *text);
void buf_printf(struct buf *b, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Drops `size` bytes from the front. */
void buf_consume(struct buf *b, size_t size);
/* Borrows, valid until the buffer changes. */
struct bytes buf_bytes(const struct buf *b);
/* NUL-terminates (outside of size) and returns the text, valid until the buffer changes. */
const char *buf_text(struct buf *b);

#endif
