#include <assert.h>

#include "common/ipc_inside.h"
#include "common/log.h"

#define WIRE_TABLE "common/ipc.def"
#define WIRE_PREFIX ipc
#include "common/wire_define.h"

/* More room than this is given back when a burst is over. */
#define KEEP_BYTES_MAX (1024 * 1024)

/* One function for each message: decodes it to the end and calls its handler. */
#define MSG(NAME, name, direction, fields)                                                                   \
	static bool take_##name(struct ipc *i, struct reader *r)                                             \
	{                                                                                                    \
		struct ipc_##name m;                                                                         \
                                                                                                             \
		if (i->handlers->name == NULL || !ipc_##name##_get(r, &m) || !reader_done(r))                \
			return false;                                                                        \
		i->handlers->name(i->arg, &m);                                                               \
		return true;                                                                                 \
	}
#include "common/ipc.def"
#undef MSG

static const struct {
	const char *name;
	enum ipc_direction direction;
	bool (*take)(struct ipc *i, struct reader *r);
} types[] = {
#define MSG(NAME, name, direction, fields) { #name, direction, take_##name },
#include "common/ipc.def"
#undef MSG
};

const char *ipc_type_name(unsigned type)
{
	return type < IPC_TYPE_COUNT ? types[type].name : "?";
}

static void on_batch(void *arg)
{
	ipc_send_waiting(arg);
}

void ipc_init(
    struct ipc *i, const struct ipc_ops *ops, struct loop *l, const struct ipc_handlers *handlers, void *arg)
{
	i->ops = ops;
	i->loop = l;
	i->handlers = handlers;
	i->arg = arg;
	i->batch = loop_batch_new(l, on_batch, i);
}

void ipc_fini(struct ipc *i)
{
	loop_batch_free(i->batch);
	buf_free(&i->gathered);
}

void ipc_close(struct ipc *i)
{
	if (i != NULL)
		i->ops->close(i);
}

size_t ipc_waiting(const struct ipc *i)
{
	return i->gathered.size - i->left + i->taken;
}

void ipc_flush(struct ipc *i)
{
	i->ops->send(i);
}

void ipc_send_waiting(struct ipc *i)
{
	i->ops->send(i);
	if (!i->owes_drained || ipc_waiting(i) > 0)
		return;
	i->owes_drained = false;
	if (i->handlers->drained == NULL)
		return;
	i->handlers->drained(i->arg);
	/* This turn's calls of loop_at_turn_end() are over; what the handler did must not wait for an event. */
	loop_batch_ask(i->batch);
}

static size_t begin_frame(struct ipc *i, enum ipc_type type)
{
	size_t start = i->gathered.size;

	wire_put_u32(&i->gathered, 0);
	wire_put_u8(&i->gathered, (uint8_t)type);
	return start;
}

static void end_frame(struct ipc *i, size_t start)
{
	size_t size = i->gathered.size - start;

	assert(size - IPC_FRAME_HEAD <= i->bytes_max);
	wire_store_u32(i->gathered.data + start, (uint32_t)(size - 4));
	i->owes_drained = true;
	loop_batch_ask(i->batch);
}

#define MSG(NAME, name, direction, fields)                                                                   \
	void ipc_send_##name(struct ipc *i, const struct ipc_##name *m)                                      \
	{                                                                                                    \
		size_t start;                                                                                \
                                                                                                             \
		assert(i->out == direction);                                                                 \
		if (!i->here)                                                                                \
			return;                                                                              \
		start = begin_frame(i, IPC_##NAME);                                                          \
		ipc_##name##_put(&i->gathered, m);                                                           \
		end_frame(i, start);                                                                         \
	}
#include "common/ipc.def"
#undef MSG

struct bytes ipc_next(const struct ipc *i, size_t most)
{
	const uint8_t *from = i->gathered.data + i->left;
	size_t waiting = i->gathered.size - i->left, size = 0;

	if (waiting <= most)
		return bytes_of(from, waiting);
	do
		size += 4 + wire_load_u32(from + size);
	while (size < waiting && size + 4 + wire_load_u32(from + size) <= most);
	return bytes_of(from, size);
}

void ipc_clear(struct buf *b)
{
	buf_clear(b);
	if (b->room > KEEP_BYTES_MAX)
		buf_free(b);
}

static void forget_gathered(struct ipc *i)
{
	i->left = 0;
	ipc_clear(&i->gathered);
}

void ipc_left(struct ipc *i, size_t size)
{
	assert(size <= i->gathered.size - i->left);
	i->left += size;
	if (i->left == i->gathered.size) {
		forget_gathered(i);
	} else if (i->left > i->gathered.size / 2) {
		/* Moves less than has left, so a byte is moved once at most for each time it is sent. */
		buf_consume(&i->gathered, i->left);
		i->left = 0;
	}
}

struct bytes ipc_take(struct ipc *i, struct buf *into)
{
	struct buf emptied = *into;
	size_t left = i->left;

	assert(i->taken == 0);
	*into = i->gathered;
	i->gathered = emptied;
	forget_gathered(i);
	i->taken = into->size - left;
	return bytes_of(into->data + left, i->taken);
}

static bool take_frame(struct ipc *i, struct reader frame)
{
	unsigned type = wire_get_u8(&frame);

	if (frame.bad || type >= IPC_TYPE_COUNT || types[type].direction != i->in ||
	    !types[type].take(i, &frame)) {
		log_warnx("malformed message from another process of this node type=%s", ipc_type_name(type));
		return false;
	}
	return true;
}

/* How many bytes there are of whole frames; and of the one behind them, in all: as far as its length is known. False
 * if that is longer than any can be. */
static bool measure_frames(const struct ipc *i, struct bytes in, size_t *whole, size_t *next)
{
	size_t at = 0, left;

	*next = IPC_FRAME_HEAD;
	while ((left = in.size - at) >= 4) {
		uint32_t length = wire_load_u32(in.data + at);

		if (length > i->bytes_max + 1) {
			log_warnx("message from another process of this node is too long bytes=%u", length);
			return false;
		}
		if (left - 4 < length) {
			*next = 4 + (size_t)length;
			break;
		}
		at += 4 + (size_t)length;
	}
	*whole = at;
	return true;
}

bool ipc_dispatch_whole(struct ipc *i, struct bytes in, size_t *taken, size_t *next)
{
	return measure_frames(i, in, taken, next) && ipc_dispatch(i, bytes_of(in.data, *taken));
}

bool ipc_dispatch(struct ipc *i, struct bytes frames)
{
	struct reader r = reader_of(frames);

	while (r.left > 0) {
		struct bytes frame = wire_get_bytes(&r);

		if (!take_frame(i, reader_of(frame)))
			return false;
	}
	return true;
}

void ipc_lose(struct ipc *i)
{
	if (!i->here)
		return;
	i->here = false;
	i->owes_drained = false;
	i->taken = 0;
	forget_gathered(i);
	if (i->handlers->gone != NULL)
		i->handlers->gone(i->arg);
}
