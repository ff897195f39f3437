#include <assert.h>

#include "common/crc.h"
#include "common/wire.h"
#include "worker/peer/frame.h"

#define LENGTH_BYTES 4

static uint32_t checksum(const uint8_t *length, struct bytes payload)
{
	return crc32c(crc32c(0, bytes_of(length, LENGTH_BYTES)), payload);
}

void frame_put(struct buf *out, struct bytes payload)
{
	uint8_t head[FRAME_HEAD_BYTES];

	assert(payload.size > 0 && payload.size <= UINT32_MAX);
	wire_store_u32(head, (uint32_t)payload.size);
	wire_store_u32(head + LENGTH_BYTES, checksum(head, payload));
	buf_append(out, bytes_of(head, sizeof(head)));
	buf_append(out, payload);
}

enum frame_found frame_get(struct bytes in, size_t payload_most, struct bytes *payload)
{
	uint32_t size;

	*payload = (struct bytes){ 0 };
	if (in.size < FRAME_HEAD_BYTES)
		return FRAME_SHORT;
	size = wire_load_u32(in.data);
	if (size == 0 || size > payload_most)
		return FRAME_LENGTH;
	if (in.size - FRAME_HEAD_BYTES < size)
		return FRAME_SHORT;
	*payload = bytes_of(in.data + FRAME_HEAD_BYTES, size);
	if (wire_load_u32(in.data + LENGTH_BYTES) != checksum(in.data, *payload))
		return FRAME_DAMAGED;
	return FRAME_WHOLE;
}
