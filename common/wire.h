#ifndef COMMON_WIRE_H
#define COMMON_WIRE_H

#include "common/buf.h"

/*
 * How values look when they leave memory: little-endian integers of fixed size; bytes as a u32 length and the
 * bytes. What is written once is declared once: a table of messages (*.def) of rows
 *
 *	MSG(NAME, name, mark, F(u64, id) F(bytes, value))
 *
 * becomes structs and codecs by wire_declare.h and wire_define.h. The mark is what the table's owner needs it to
 * be: a number that is never reused for what is on disk or crosses between nodes, a direction between processes.
 *
 * A reader has a sticky error: once short it returns zeros and says so at the end. Left-over bytes are malformed.
 * A length is compared before any arithmetic on it.
 */
struct reader {
	const uint8_t *at;
	size_t left;
	bool bad;
};

typedef uint8_t wire_u8;
typedef uint16_t wire_u16;
typedef uint32_t wire_u32;
typedef uint64_t wire_u64;
typedef struct bytes wire_bytes;

void wire_put_u8(struct buf *b, uint8_t v);
void wire_put_u16(struct buf *b, uint16_t v);
void wire_put_u32(struct buf *b, uint32_t v);
void wire_put_u64(struct buf *b, uint64_t v);
/* A length (u32; a longer value is a bug of the caller) and the bytes. */
void wire_put_bytes(struct buf *b, struct bytes v);

struct reader reader_of(struct bytes from);
uint8_t wire_get_u8(struct reader *r);
uint16_t wire_get_u16(struct reader *r);
uint32_t wire_get_u32(struct reader *r);
uint64_t wire_get_u64(struct reader *r);
/* Borrows from what is read, valid as long as that is. */
struct bytes wire_get_bytes(struct reader *r);
/* `size` raw bytes without a length, borrowed. */
struct bytes wire_get_raw(struct reader *r, size_t size);
/* True when everything was there and nothing is left over. */
bool reader_done(const struct reader *r);

/* For fixed places in a block: stores and loads little-endian at `at`. */
void wire_store_u32(uint8_t *at, uint32_t v);
void wire_store_u64(uint8_t *at, uint64_t v);
uint32_t wire_load_u32(const uint8_t *at);
uint64_t wire_load_u64(const uint8_t *at);

#define WIRE_PASTE(a, b) a##_##b
#define WIRE_NAME(a, b) WIRE_PASTE(a, b)

#endif
