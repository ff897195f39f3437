#include <assert.h>
#include <fcntl.h>
#include <linux/sockios.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/random.h"
#include "tests/fuzz/common/fuzz.h"
#include "worker/peer/channel.h"
#include "worker/peer/frame.h"
#include "worker/peer/hello.h"

/*
 * A connection that a node accepted: magic, hello, frames. With a first byte of 0 the rest is what arrives; else it is
 * a list of payloads that get their heads here, for no mutation finds a checksum. However the bytes are cut, the same is
 * delivered; every message in it, encoded again, is what it was.
 */
#define TURNS_MOST 20000

static struct loop *loop;
static struct loop_timer *tick;

struct hearing {
	struct channel *channel;
	struct buf seen;
};

static void on_tick(void *arg)
{
	(void)arg;
	loop_stop(loop);
}

static void turn(void)
{
	loop_timer_set(tick, (struct instant){ 0 });
	loop_run(loop);
}

/* What was read, and then nothing but the zeros of fields that the sender does not know. */
static bool says_the_same(struct bytes again, struct bytes read)
{
	size_t i = 0;

	while (i < again.size && i < read.size && again.data[i] == read.data[i])
		i++;
	while (i < again.size && again.data[i] == 0)
		i++;
	return i == again.size;
}

#define MSG(NAME, name, number, fields)                                                                      \
	static void check_##name(struct bytes frame)                                                         \
	{                                                                                                    \
		struct reader r = reader_of(bytes_of(frame.data + 1, frame.size - 1));                       \
		struct buf again = { 0 };                                                                    \
		struct peer_##name m;                                                                        \
                                                                                                             \
		if (peer_##name##_get(&r, &m)) {                                                             \
			peer_##name##_put(&again, &m);                                                       \
			assert(says_the_same(buf_bytes(&again), bytes_of(frame.data + 1, frame.size - 1)));  \
		}                                                                                            \
		buf_free(&again);                                                                            \
	}
#include "worker/replica/transport.def"
#undef MSG

static void check_message(struct bytes frame)
{
	switch ((enum peer_type)frame.data[0]) {
#define MSG(NAME, name, number, fields)                                                                      \
	case PEER_##NAME:                                                                                    \
		check_##name(frame);                                                                         \
		break;
#include "worker/replica/transport.def"
#undef MSG
	}
}

static void on_hello(void *arg, struct channel *c, const struct peer_hello *hello)
{
	const struct peer_hello mine = { .version_least = PEER_VERSION_LEAST,
		.version_most = PEER_VERSION_MOST,
		.cluster = 7,
		.incarnation = 1,
		.start = 1 };
	struct hearing *h = arg;
	enum hello_verdict v = hello_check(&mine, hello, (struct hello_known){ .start = 2, .boot = 3 });

	buf_printf(&h->seen, "hello %s\n", v == HELLO_WELCOME ? "" : hello_verdict_text(v));
	peer_hello_put(&h->seen, hello);
	channel_greet(c, &mine);
}

static void on_frame(void *arg, struct channel *c, struct bytes frame)
{
	struct hearing *h = arg;

	(void)c;
	assert(frame.size > 0);
	check_message(frame);
	buf_printf(&h->seen, "frame %zu\n", frame.size);
	buf_append(&h->seen, frame);
}

static void on_over(void *arg, struct channel *c)
{
	struct hearing *h = arg;

	buf_printf(&h->seen, "over: %s\n", channel_reason(c));
	channel_close(c);
	h->channel = NULL;
}

static const struct channel_events events = { .hello = on_hello, .frame = on_frame, .over = on_over };

/* Until what was sent has been read. */
static void settle(const struct hearing *h, int fd)
{
	int unread = 1;

	for (int i = 0; i < TURNS_MOST && h->channel != NULL && unread > 0; i++) {
		turn();
		assert(ioctl(fd, SIOCOUTQ, &unread) == 0);
	}
	turn();
	assert(h->channel == NULL || unread == 0);
}

/* Says it in pieces of at most `most` bytes, and closes. */
static struct buf hear(struct bytes what, size_t most)
{
	struct random r = { fuzz_seed(what) };
	struct hearing h = { 0 };
	int fds[2];

	assert(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds) == 0);
	h.channel = channel_accepted(loop, fds[0], span_ms(60000), &events, &h);
	while (what.size > 0 && h.channel != NULL) {
		size_t size = 1 + (size_t)random_below(&r, most);
		ssize_t sent = send(fds[1], what.data, size < what.size ? size : what.size, MSG_NOSIGNAL);

		if (sent > 0)
			what = bytes_of(what.data + sent, what.size - (size_t)sent);
		settle(&h, fds[1]);
	}
	shutdown(fds[1], SHUT_WR);
	for (int i = 0; i < TURNS_MOST && h.channel != NULL; i++)
		turn();
	assert(h.channel == NULL);
	close(fds[1]);
	return h.seen;
}

static void put_heads(struct bytes payloads, struct buf *out)
{
	buf_append(out, bytes_of(FRAME_MAGIC, FRAME_MAGIC_BYTES));
	while (payloads.size > 0) {
		struct bytes payload = fuzz_next(&payloads);

		if (payload.size > 0)
			frame_put(out, payload);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct bytes input = bytes_of(data, size);
	struct buf stream = { 0 }, whole, pieces;

	if (loop == NULL) {
		loop = loop_new();
		tick = loop_timer_new(loop, on_tick, NULL);
	}
	if (fuzz_byte(&input) == 0)
		buf_append(&stream, input);
	else
		put_heads(input, &stream);
	whole = hear(buf_bytes(&stream), 64 * 1024);
	pieces = hear(buf_bytes(&stream), stream.size / 16 + 8);
	assert(bytes_equal(buf_bytes(&whole), buf_bytes(&pieces)));
	buf_free(&stream);
	buf_free(&whole);
	buf_free(&pieces);
	return 0;
}
