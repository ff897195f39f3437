#include <assert.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/log.h"
#include "worker/peer/channel.h"
#include "worker/peer/frame.h"
#include "worker/peer/ways.h"

/* What one event reads: enough for a batch, little enough to come back to the timers. */
#define READ_BYTES_LEAST (64 * 1024)
#define READ_BYTES_MOST (256 * 1024)
/* A buffer that a large frame blew up is given back when it is empty. */
#define KEEP_BYTES_MOST (1024 * 1024)
/* A stranger may not make us wait for more than a hello. */
#define HELLO_BYTES_MOST (16 * 1024)

/* A network that says nothing is noticed this soon: sent data not acknowledged, or no life on an idle one. */
#define SILENCE_MS 4000
#define KEEPALIVE_IDLE_S 2
#define KEEPALIVE_EVERY_S 1
#define KEEPALIVE_COUNT 3

/* So much is made ready for the kernel at a time, and the kernel takes so much beyond what is on the network: what is
 * urgent waits behind both. */
#define READY_BYTES ((size_t)64 * 1024)
#define NOTSENT_BYTES (64 * 1024)

enum phase { PHASE_CONNECT, PHASE_MAGIC, PHASE_HELLO, PHASE_FRAMES, PHASE_OVER };

struct channel {
	struct loop *loop;
	struct loop_io *io;
	struct loop_timer *timer; /* the hello's deadline, then that of the news that it is over */
	int fd;
	enum phase phase;
	struct buf in;
	struct way_parts parts;
	struct ways ways;
	bool pieces; /* the far end knows of them */
	struct buf out; /* taken from the ways */
	size_t sent; /* bytes at the front of `out` that have left */
	bool blocked; /* the kernel takes no more for now */
	const struct channel_events *events;
	void *arg;
	char far[ADDRESS_TEXT_BYTES];
	char reason[160];
};

static struct channel_traffic traffic;

struct channel_traffic channel_traffic(void)
{
	return traffic;
}

static void set_option(int fd, int level, int name, int value)
{
	/* Each only makes things better; a system that lacks one is no reason not to talk. */
	if (setsockopt(fd, level, name, &value, sizeof(value)) == -1)
		log_debug("cannot set option %d.%d of a peer's socket", level, name);
}

static void tune(int fd)
{
	set_option(fd, IPPROTO_TCP, TCP_NODELAY, 1);
	set_option(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
	set_option(fd, IPPROTO_TCP, TCP_KEEPIDLE, KEEPALIVE_IDLE_S);
	set_option(fd, IPPROTO_TCP, TCP_KEEPINTVL, KEEPALIVE_EVERY_S);
	set_option(fd, IPPROTO_TCP, TCP_KEEPCNT, KEEPALIVE_COUNT);
	set_option(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, SILENCE_MS);
	set_option(fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, NOTSENT_BYTES);
}

void channel_fail(struct channel *c, const char *format, ...)
{
	va_list ap;

	if (c->phase == PHASE_OVER)
		return;
	va_start(ap, format);
	vsnprintf(c->reason, sizeof(c->reason), format, ap);
	va_end(ap);
	c->phase = PHASE_OVER;
	if (c->io != NULL) {
		loop_io_read(c->io, false);
		loop_io_write(c->io, false);
	}
	loop_timer_set(c->timer, loop_now(c->loop));
}

static void on_timer(void *arg)
{
	struct channel *c = arg;

	switch (c->phase) {
	case PHASE_CONNECT:
		channel_fail(c, "no connection in time");
		break;
	case PHASE_MAGIC:
	case PHASE_HELLO:
		channel_fail(c, "no hello in time");
		break;
	case PHASE_FRAMES:
		break;
	case PHASE_OVER:
		c->events->over(c->arg, c);
		break;
	}
}

static void fail_by_errno(struct channel *c, int error)
{
	channel_fail(c, "%s", strerror(error));
}

static struct bytes unread(const struct channel *c, size_t from)
{
	return bytes_of(c->in.data + from, c->in.size - from);
}

static size_t take_magic(struct channel *c)
{
	struct bytes in = unread(c, 0);
	size_t size = in.size < FRAME_MAGIC_BYTES ? in.size : FRAME_MAGIC_BYTES;

	if (memcmp(in.data, FRAME_MAGIC, size) != 0)
		channel_fail(c, "speaks another protocol");
	else if (size == FRAME_MAGIC_BYTES) {
		c->phase = PHASE_HELLO;
		return size;
	}
	return 0;
}

static void take_hello(struct channel *c, struct bytes frame)
{
	struct reader r = reader_of(frame);
	struct peer_hello hello;

	/* What a later version appends is left unread. */
	if (wire_get_u8(&r) != PEER_HELLO || !peer_hello_get(&r, &hello)) {
		channel_fail(c, "begins without a hello");
		return;
	}
	loop_timer_set(c->timer, INSTANT_NEVER);
	c->phase = PHASE_FRAMES;
	c->pieces = hello.version_most >= PEER_VERSION_PIECES;
	c->events->hello(c->arg, c, &hello);
}

static void take_whole(struct channel *c, struct bytes frame)
{
	if (frame.data[0] == PEER_HELLO || frame.data[0] == PEER_PIECE)
		channel_fail(c, "says type %u where it has nothing to say", frame.data[0]);
	else
		c->events->frame(c->arg, c, frame);
}

static void take_piece(struct channel *c, struct bytes frame)
{
	struct bytes whole;

	if (!parts_take(&c->parts, frame, &whole))
		channel_fail(c, "sent a piece of no frame");
	else if (whole.size > 0) {
		take_whole(c, whole);
		parts_drop(&c->parts, whole);
	}
}

static void take_frame(struct channel *c, struct bytes frame)
{
	if (c->phase == PHASE_HELLO)
		take_hello(c, frame);
	else if (c->events->frame == NULL)
		channel_fail(c, "says type %u where it has nothing to say", frame.data[0]);
	else if (frame.data[0] == PEER_PIECE)
		take_piece(c, frame);
	else
		take_whole(c, frame);
}

/* Delivers the frame at `at`; returns where the next one begins, `at` itself if there is none yet. */
static size_t next_frame(struct channel *c, size_t at)
{
	size_t most = c->phase == PHASE_HELLO ? HELLO_BYTES_MOST : PEER_FRAME_BYTES_TAKEN;
	struct bytes in = unread(c, at), payload;

	switch (frame_get(in, most, &payload)) {
	case FRAME_WHOLE:
		take_frame(c, payload);
		return at + FRAME_HEAD_BYTES + payload.size;
	case FRAME_SHORT:
		break;
	case FRAME_LENGTH:
		channel_fail(c, "sent a frame of %u bytes, of at most %zu", wire_load_u32(in.data), most);
		break;
	case FRAME_DAMAGED:
		channel_fail(c, "sent a frame with a wrong checksum");
		break;
	}
	return at;
}

static void deliver(struct channel *c)
{
	size_t at = 0, next;

	if (c->phase == PHASE_MAGIC)
		at = take_magic(c);
	if (c->phase == PHASE_MAGIC)
		return;
	while (c->phase != PHASE_OVER && (next = next_frame(c, at)) != at)
		at = next;
	buf_consume(&c->in, at);
	if (c->in.size == 0 && c->in.room > KEEP_BYTES_MOST)
		buf_free(&c->in);
}

static void on_readable(void *arg)
{
	struct channel *c = arg;
	size_t room = READ_BYTES_LEAST;
	ssize_t got;

	if (c->phase == PHASE_OVER)
		return;
	/* Within a large frame: as much again as is there already, so that the buffer grows with what really came. */
	if (c->in.size > room)
		room = c->in.size < READ_BYTES_MOST ? c->in.size : READ_BYTES_MOST;
	got = recv(c->fd, buf_reserve(&c->in, room), room, 0);
	if (got > 0) {
		c->in.size += (size_t)got;
		traffic.received += (size_t)got;
		deliver(c);
	} else if (got == 0)
		channel_fail(c, "closed by the other side");
	else if (errno != EAGAIN && errno != EINTR)
		fail_by_errno(c, errno);
}

static void finish_connecting(struct channel *c)
{
	int error = 0;
	socklen_t size = sizeof(error);

	if (getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &error, &size) == -1)
		error = errno;
	if (error != 0) {
		fail_by_errno(c, error);
		return;
	}
	c->phase = PHASE_MAGIC;
	loop_io_write(c->io, false);
	loop_io_read(c->io, true);
	c->events->connected(c->arg, c);
}

static void on_writable(void *arg)
{
	struct channel *c = arg;

	if (c->phase == PHASE_CONNECT)
		finish_connecting(c);
	else if (c->phase != PHASE_OVER) {
		c->blocked = false;
		loop_io_write(c->io, false);
		channel_flush(c);
	}
}

static void drop_sent(struct channel *c, size_t more)
{
	c->sent += more;
	/* What is left moves to the front only when it is the smaller part: no more is moved than was sent. */
	if (c->sent >= c->out.size / 2) {
		buf_consume(&c->out, c->sent);
		c->sent = 0;
	}
	if (c->out.size == 0 && c->out.room > KEEP_BYTES_MOST)
		buf_free(&c->out);
}

/* False: nothing is left to send. */
static bool make_ready(struct channel *c)
{
	while (c->out.size - c->sent < READY_BYTES && ways_next(&c->ways, c->pieces, &c->out))
		;
	return c->sent < c->out.size;
}

void channel_flush(struct channel *c)
{
	while (c->phase > PHASE_CONNECT && c->phase != PHASE_OVER && !c->blocked && make_ready(c)) {
		ssize_t put = send(c->fd, c->out.data + c->sent, c->out.size - c->sent, MSG_NOSIGNAL);

		if (put > 0) {
			traffic.sent += (size_t)put;
			drop_sent(c, (size_t)put);
		} else if (errno == EAGAIN) {
			c->blocked = true;
			loop_io_write(c->io, true);
		} else if (errno != EINTR)
			fail_by_errno(c, errno);
	}
}

bool channel_send(struct channel *c, struct bytes frame, size_t queue_most)
{
	size_t waits = ways_unsent(&c->ways, peer_way(frame));

	assert(frame.size <= PEER_FRAME_BYTES_TAKEN);
	if (c->phase == PHASE_OVER || (waits > 0 && (waits > queue_most || frame.size > queue_most - waits)))
		return false;
	ways_put(&c->ways, frame);
	return true;
}

size_t channel_unsent(const struct channel *c, enum peer_way way)
{
	return ways_unsent(&c->ways, way);
}

void channel_greet(struct channel *c, const struct peer_hello *hello)
{
	struct buf frame = { 0 };

	wire_put_u8(&frame, PEER_HELLO);
	peer_hello_put(&frame, hello);
	buf_append(&c->out, bytes_of(FRAME_MAGIC, FRAME_MAGIC_BYTES));
	frame_put(&c->out, buf_bytes(&frame));
	buf_free(&frame);
	channel_flush(c);
}

static struct channel *new_channel(struct loop *l, int fd, enum phase phase, struct span patience,
    const struct channel_events *events, void *arg)
{
	struct channel *c = xcalloc(1, sizeof(*c));

	c->loop = l;
	c->fd = fd;
	c->phase = phase;
	c->events = events;
	c->arg = arg;
	c->timer = loop_timer_new(l, on_timer, c);
	loop_timer_set(c->timer, instant_add(loop_now(l), patience));
	if (fd != -1) {
		c->io = loop_io_new(l, fd, on_readable, on_writable, c);
		tune(fd);
	}
	return c;
}

static void set_far(struct channel *c, const struct sockaddr_storage *a, socklen_t size)
{
	char text[ADDRESS_TEXT_BYTES];

	snprintf(c->far, sizeof(c->far), "%s", address_text(a, size, text));
}

struct channel *channel_accepted(
    struct loop *l, int fd, struct span patience, const struct channel_events *events, void *arg)
{
	struct channel *c = new_channel(l, fd, PHASE_MAGIC, patience, events, arg);
	struct sockaddr_storage a = { 0 };
	socklen_t size = sizeof(a);

	if (getpeername(fd, (struct sockaddr *)&a, &size) == -1)
		size = 0;
	set_far(c, &a, size);
	return c;
}

struct channel *channel_dial(struct loop *l, const struct address *to, struct span patience,
    const struct channel_events *events, void *arg)
{
	const struct sockaddr *a = (const struct sockaddr *)&to->storage;
	int fd = socket(a->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), error = errno;
	struct channel *c = new_channel(l, fd, PHASE_CONNECT, patience, events, arg);

	set_far(c, &to->storage, to->size);
	if (fd == -1) {
		fail_by_errno(c, error);
		return c;
	}
	loop_io_read(c->io, false);
	loop_io_write(c->io, true);
	if (connect(fd, a, to->size) == -1 && errno != EINPROGRESS)
		fail_by_errno(c, errno);
	return c;
}

void channel_close(struct channel *c)
{
	if (c == NULL)
		return;
	loop_io_free(c->io);
	loop_timer_free(c->timer);
	if (c->fd != -1)
		close(c->fd);
	buf_free(&c->in);
	buf_free(&c->out);
	ways_free(&c->ways);
	parts_free(&c->parts);
	free(c);
}

const char *channel_reason(const struct channel *c)
{
	return c->reason;
}

const char *channel_far(const struct channel *c)
{
	return c->far;
}
