#ifndef WORKER_PEER_FRAME_H
#define WORKER_PEER_FRAME_H

#include "common/buf.h"

/*
 * How bytes travel between nodes: a head of two u32, the length of the payload and the CRC-32C of length and
 * payload, then the payload (one u8 of enum peer_type and its message). In front of the first frame of a
 * connection each side says FRAME_MAGIC. Pure: nothing here reads or sends.
 *
 * The checksum covers the length too, so that zeros are no frame, and it stands beside TCP's own because that one
 * misses an error in some ten million damaged segments.
 */
#define FRAME_MAGIC "holdfast"
#define FRAME_MAGIC_BYTES 8
#define FRAME_HEAD_BYTES 8

enum frame_found {
	FRAME_WHOLE,
	FRAME_SHORT, /* so far so good: the rest has not arrived */
	FRAME_LENGTH, /* a length of 0 or over the limit */
	FRAME_DAMAGED, /* the checksum is another */
};

/* Appends head and payload. */
void frame_put(struct buf *out, struct bytes payload);

/* Looks for a frame at the beginning of `in`, its payload at most `payload_most` bytes. On FRAME_WHOLE *payload
 * borrows from `in`, and the frame took FRAME_HEAD_BYTES more than it. */
enum frame_found frame_get(struct bytes in, size_t payload_most, struct bytes *payload);

#endif
