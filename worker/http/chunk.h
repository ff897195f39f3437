#ifndef WORKER_HTTP_CHUNK_H
#define WORKER_HTTP_CHUNK_H

#include "common/buf.h"

/*
 * The chunked transfer coding (RFC 9112 §7.1), by hand because libhttp-parser as Debian builds it takes any two bytes
 * as the end of a chunk and a LF inside of an extension: enough for a proxy and this server to see different
 * requests in one stream. Extensions are skipped, up to a bound; trailers are refused.
 */
enum chunk_state {
	CHUNK_SIZE, /* zero: a decoder in zeroed memory is at the start */
	CHUNK_EXTENSION,
	CHUNK_SIZE_LF,
	CHUNK_DATA,
	CHUNK_DATA_CR,
	CHUNK_DATA_LF,
	CHUNK_END_CR,
	CHUNK_END_LF,
};

struct chunks {
	enum chunk_state state;
	uint64_t left; /* of the chunk */
	unsigned line_bytes; /* of the line that tells its size */
};

enum chunk_result { CHUNK_MORE, CHUNK_DONE, CHUNK_BAD, CHUNK_TOO_LARGE };

/* Decodes what is there, appending to *body, and tells in *used how much of it was taken; behind CHUNK_DONE the next
 * request begins. CHUNK_TOO_LARGE as soon as a chunk is announced that would make the body larger than `max`. */
enum chunk_result chunks_decode(
    struct chunks *c, struct bytes in, size_t *used, struct buf *body, size_t max);

#endif
