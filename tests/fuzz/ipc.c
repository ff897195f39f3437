#include <assert.h>

#include "common/ipc_inside.h"
#include "tests/fuzz/common/fuzz.h"

/* Less than a real stream has, so that a length over the limit is common. */
#define STREAM_BYTES_MAX 1000

/*
 * What processes of one node say to each other: frames as they stand in a packet of the socketpair, or in
 * a stream in whatever pieces they come. The first byte says which side of which connection hears them, and whether in
 * pieces. What a handler is given makes, encoded again, the very frames that were taken.
 */
struct hearing {
	struct ipc ipc;
	struct buf again;
};

#define MSG(NAME, name, mark, fields)                                                                        \
	static void on_##name(void *arg, const struct ipc_##name *m)                                         \
	{                                                                                                    \
		struct hearing *h = arg;                                                                     \
		size_t start = h->again.size;                                                                \
                                                                                                             \
		assert(h->ipc.in == mark);                                                                   \
		wire_put_u32(&h->again, 0);                                                                  \
		wire_put_u8(&h->again, IPC_##NAME);                                                          \
		ipc_##name##_put(&h->again, m);                                                              \
		wire_store_u32(h->again.data + start, (uint32_t)(h->again.size - start - 4));                \
	}
#include "common/ipc.def"
#undef MSG

static const struct ipc_handlers handlers = {
#define MSG(NAME, name, mark, fields) .name = on_##name,
#include "common/ipc.def"
#undef MSG
};

static void hear_packet(struct hearing *h, struct bytes frames)
{
	bool whole = ipc_dispatch(&h->ipc, frames);

	assert(h->again.size <= frames.size);
	assert(bytes_begins(frames, buf_bytes(&h->again)));
	assert(!whole || h->again.size == frames.size);
}

/* Each piece is a byte that says how long it is, and that much. */
static void hear_pieces(struct hearing *h, struct bytes pieces)
{
	struct buf all = { 0 };
	size_t at = 0, next = 1;

	h->ipc.bytes_max = STREAM_BYTES_MAX;
	while (pieces.size > 0) {
		size_t size = fuzz_byte(&pieces), taken;

		if (size > pieces.size)
			size = pieces.size;
		buf_append(&all, bytes_of(pieces.data, size));
		pieces = bytes_of(pieces.data + size, pieces.size - size);
		if (!ipc_dispatch_whole(&h->ipc, bytes_of(all.data + at, all.size - at), &taken, &next))
			break;
		at += taken;
		assert(all.size - at < next && next <= IPC_FRAME_HEAD + STREAM_BYTES_MAX);
		assert(h->again.size == at);
	}
	assert(h->again.size <= all.size);
	assert(bytes_begins(buf_bytes(&all), buf_bytes(&h->again)));
	buf_free(&all);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct bytes frames = bytes_of(data, size);
	struct hearing h = { .ipc = { .handlers = &handlers, .arg = &h } };
	uint8_t how = fuzz_byte(&frames);

	h.ipc.in = (enum ipc_direction)(how % 4);
	if (how & 4)
		hear_pieces(&h, frames);
	else
		hear_packet(&h, frames);
	buf_free(&h.again);
	return 0;
}
