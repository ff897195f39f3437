#include "worker/http/chunk.h"

#define LINE_BYTES_MAX 256

static int hex_value(uint8_t c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* A byte of the size itself; sixteen digits fill a uint64_t, leading zeros count. */
static enum chunk_result take_size(struct chunks *c, uint8_t byte)
{
	int value = hex_value(byte);

	if (value != -1 && c->line_bytes <= 16) {
		c->left = c->left << 4 | (unsigned)value;
		return CHUNK_MORE;
	}
	if (c->line_bytes == 1)
		return CHUNK_BAD;
	if (byte == '\r')
		c->state = CHUNK_SIZE_LF;
	else if (byte == ';')
		c->state = CHUNK_EXTENSION;
	else
		return CHUNK_BAD;
	return CHUNK_MORE;
}

static enum chunk_result take_extension(struct chunks *c, uint8_t byte)
{
	if (byte == '\r')
		c->state = CHUNK_SIZE_LF;
	else if ((byte < ' ' && byte != '\t') || byte == 0x7f)
		return CHUNK_BAD;
	return CHUNK_MORE;
}

static enum chunk_result expect(struct chunks *c, uint8_t byte, char wanted, enum chunk_state next)
{
	if (byte != (uint8_t)wanted)
		return CHUNK_BAD;
	c->state = next;
	return CHUNK_MORE;
}

/* Everything but data, byte by byte. */
static enum chunk_result take_byte(struct chunks *c, uint8_t byte)
{
	switch (c->state) {
	case CHUNK_SIZE:
		return ++c->line_bytes > LINE_BYTES_MAX ? CHUNK_BAD : take_size(c, byte);
	case CHUNK_EXTENSION:
		return ++c->line_bytes > LINE_BYTES_MAX ? CHUNK_BAD : take_extension(c, byte);
	case CHUNK_SIZE_LF:
		return expect(c, byte, '\n', c->left == 0 ? CHUNK_END_CR : CHUNK_DATA);
	case CHUNK_DATA_CR:
		return expect(c, byte, '\r', CHUNK_DATA_LF);
	case CHUNK_DATA_LF:
		c->line_bytes = 0;
		return expect(c, byte, '\n', CHUNK_SIZE);
	case CHUNK_END_CR:
		return expect(c, byte, '\r', CHUNK_END_LF);
	case CHUNK_END_LF:
		return byte == '\n' ? CHUNK_DONE : CHUNK_BAD;
	case CHUNK_DATA:
		break;
	}
	return CHUNK_BAD;
}

static size_t take_data(struct chunks *c, struct bytes in, struct buf *body)
{
	size_t size = in.size < c->left ? in.size : (size_t)c->left;

	buf_append(body, bytes_of(in.data, size));
	c->left -= size;
	if (c->left == 0)
		c->state = CHUNK_DATA_CR;
	return size;
}

enum chunk_result chunks_decode(struct chunks *c, struct bytes in, size_t *used, struct buf *body, size_t max)
{
	enum chunk_result result = CHUNK_MORE;

	*used = 0;
	while (*used < in.size && result == CHUNK_MORE) {
		if (c->state == CHUNK_DATA) {
			*used += take_data(c, bytes_of(in.data + *used, in.size - *used), body);
			continue;
		}
		result = take_byte(c, in.data[(*used)++]);
		if (c->state == CHUNK_DATA && c->left > max - body->size)
			return CHUNK_TOO_LARGE;
	}
	return result;
}
