#include <assert.h>
#include <stdlib.h>

#include "common/ipc_inside.h"
#include "common/ipc_link.h"
#include "common/log.h"

/*
 * A connection between HTTP worker (dials) and consensus worker (listens), over a byte stream.
 *
 * A connection is a session: what was sent in it reaches this life of the peer or nobody. It begins with a greeting
 * from each side, {u64 GREETING, u64 generation}, the dialer's first; frames follow. The end of the connection is the
 * end of the session, also where both processes live on.
 */
#define GREETING UINT64_C(0x54534146444c4f48)
#define GREETING_BYTES 16
/* While one that has connected does not greet, another one waits: it may be the worker that is to be served. */
#define GREETING_DUE_MS 2000
/* What is received at once, unless a frame is longer. */
#define RECEIVE_BYTES (64 * 1024)

struct ipc_stream {
	struct ipc ipc;
	struct ipc_link *link;
	bool listens, up;
	uint64_t generation;
	struct loop_timer *greeting_due; /* listener */
	struct buf in; /* received, and not taken yet */
	struct buf out; /* what ipc.taken bytes are the end of; on loan to the link unless that is 0 */
};

static struct ipc_stream *self(struct ipc *i)
{
	return (struct ipc_stream *)(void *)((char *)i - offsetof(struct ipc_stream, ipc));
}

/* --- sending --- */

static struct bytes rest_of(const struct ipc_stream *s)
{
	return bytes_of(s->out.data + (s->out.size - s->ipc.taken), s->ipc.taken);
}

static void send_gathered(struct ipc *i)
{
	struct ipc_stream *s = self(i);
	struct bytes frames = ipc_next(i, SIZE_MAX);

	if (!s->up || i->taken > 0 || frames.size == 0)
		return;
	ipc_left(i, ipc_link_send(s->link, frames));
	if (ipc_waiting(i) > 0)
		ipc_link_send_rest(s->link, ipc_take(i, &s->out));
}

/* There was room for a part of the rest, so there may be for more. */
static void on_sent(void *arg, size_t size)
{
	struct ipc_stream *s = arg;

	assert(size <= s->ipc.taken);
	s->ipc.taken -= size;
	if (s->ipc.taken > 0)
		s->ipc.taken -= ipc_link_send(s->link, rest_of(s));
	if (s->ipc.taken > 0) {
		ipc_link_send_rest(s->link, rest_of(s));
		return;
	}
	ipc_clear(&s->out);
	ipc_send_waiting(&s->ipc);
}

/* The first bytes of a connection: there is room for them. */
static void greet(struct ipc_stream *s)
{
	uint8_t greeting[GREETING_BYTES];

	wire_store_u64(greeting, GREETING);
	wire_store_u64(greeting + 8, s->generation);
	ipc_link_send(s->link, bytes_of(greeting, sizeof(greeting)));
}

/* --- receiving --- */

static void receive_up_to(struct ipc_stream *s, size_t size)
{
	ipc_link_receive(s->link, buf_reserve(&s->in, size), size);
}

static void on_up(void *arg)
{
	struct ipc_stream *s = arg;

	s->up = true;
	if (s->listens)
		loop_timer_set(s->greeting_due, instant_add(loop_now(s->ipc.loop), span_ms(GREETING_DUE_MS)));
	else
		greet(s);
	receive_up_to(s, RECEIVE_BYTES);
}

static void on_down(void *arg)
{
	struct ipc_stream *s = arg;

	s->up = false;
	loop_timer_set(s->greeting_due, INSTANT_NEVER);
	ipc_clear(&s->in);
	ipc_clear(&s->out);
	ipc_lose(&s->ipc);
}

static void on_greeting_due(void *arg)
{
	struct ipc_stream *s = arg;

	log_warnx("a process connected to the socket of an http worker and did not greet");
	ipc_link_hang_up(s->link);
}

static bool take_greeting(struct ipc_stream *s)
{
	struct reader r = reader_of(buf_bytes(&s->in));
	uint64_t greeting = wire_get_u64(&r), peer = wire_get_u64(&r);

	if (r.bad)
		return true;
	if (greeting != GREETING) {
		log_warnx("what connected to another process of this node is none of its workers");
		return false;
	}
	loop_timer_set(s->greeting_due, INSTANT_NEVER);
	buf_consume(&s->in, GREETING_BYTES);
	if (s->listens)
		greet(s);
	s->ipc.here = true;
	if (s->ipc.handlers->here != NULL)
		s->ipc.handlers->here(s->ipc.arg, peer);
	return true;
}

static bool take_frames(struct ipc_stream *s)
{
	size_t taken, next, left;

	if (!ipc_dispatch_whole(&s->ipc, buf_bytes(&s->in), &taken, &next))
		return false;
	left = s->in.size - taken;
	if (left == 0)
		ipc_clear(&s->in);
	else
		buf_consume(&s->in, taken);
	/* No byte more than a long frame has: so what is left over to be moved is always short. */
	receive_up_to(s, next > RECEIVE_BYTES ? next - left : RECEIVE_BYTES);
	return true;
}

static bool on_received(void *arg, size_t size)
{
	struct ipc_stream *s = arg;

	s->in.size += size;
	if (!s->ipc.here && !take_greeting(s))
		return false;
	if (s->ipc.here)
		return take_frames(s);
	receive_up_to(s, RECEIVE_BYTES);
	return true;
}

/* --- opening and closing --- */

static void close_stream(struct ipc *i)
{
	struct ipc_stream *s = self(i);

	ipc_link_close(s->link);
	loop_timer_free(s->greeting_due);
	buf_free(&s->in);
	buf_free(&s->out);
	ipc_fini(i);
	free(s);
}

static const struct ipc_ops stream_ops = { send_gathered, close_stream };
static const struct ipc_link_events link_events = { on_up, on_received, on_sent, on_down };

static struct ipc_stream *new_stream(
    struct loop *l, bool listens, uint64_t generation, const struct ipc_handlers *handlers, void *arg)
{
	struct ipc_stream *s = xcalloc(1, sizeof(*s));

	assert(generation != 0);
	ipc_init(&s->ipc, &stream_ops, l, handlers, arg);
	s->ipc.in = listens ? IPC_HTTP_TO_CONSENSUS : IPC_CONSENSUS_TO_HTTP;
	s->ipc.out = listens ? IPC_CONSENSUS_TO_HTTP : IPC_HTTP_TO_CONSENSUS;
	s->ipc.bytes_max = IPC_STREAM_BYTES_MAX;
	s->listens = listens;
	s->generation = generation;
	s->greeting_due = loop_timer_new(l, on_greeting_due, s);
	return s;
}

static enum err finish_opening(struct ipc **out, struct ipc_stream *s, enum err e)
{
	*out = NULL;
	if (e == ERR_OK)
		*out = &s->ipc;
	else
		close_stream(&s->ipc);
	return e;
}

enum err ipc_listen(struct ipc **out, struct loop *l, const char *path, uint64_t generation,
    const struct ipc_handlers *handlers, void *arg)
{
	struct ipc_stream *s = new_stream(l, true, generation, handlers, arg);

	return finish_opening(out, s, ipc_link_listen(&s->link, l, path, &link_events, s));
}

enum err ipc_dial(struct ipc **out, struct loop *l, const char *path, uint64_t generation,
    const struct ipc_handlers *handlers, void *arg)
{
	struct ipc_stream *s = new_stream(l, false, generation, handlers, arg);

	return finish_opening(out, s, ipc_link_dial(&s->link, l, path, &link_events, s));
}
