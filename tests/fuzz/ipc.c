#include <assert.h>

#include "common/ipc_inside.h"
#include "tests/fuzz/common/fuzz.h"

/*
 * What processes of one node say to each other: frames as they stand in a packet of the socketpair or behind the
 * envelope of an NNG message. The first byte says which side of which connection hears them. What a handler is given
 * makes, encoded again, the very frames that were taken.
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

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct bytes frames = bytes_of(data, size);
	struct hearing h = { .ipc = { .handlers = &handlers, .arg = &h } };
	bool whole;

	h.ipc.in = (enum ipc_direction)(fuzz_byte(&frames) % 4);
	whole = ipc_dispatch(&h.ipc, frames);
	assert(h.again.size <= frames.size);
	assert(bytes_begins(frames, buf_bytes(&h.again)));
	assert(!whole || h.again.size == frames.size);
	buf_free(&h.again);
	return 0;
}
