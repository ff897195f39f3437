#include <errno.h>
#include <linux/sockios.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>

#include "worker/http/conn.h"

/* With this much unread of one connection, no more is taken; more than a head. */
#define INPUT_BYTES_MAX (SERVER_HEAD_BYTES_MAX * 2)
/* Until only this is left; less than a head, whose end may not have arrived. */
#define INPUT_BYTES_AGAIN (SERVER_HEAD_BYTES_MAX / 2)

/* What is read of a body at once, and in one turn. */
#define BODY_READ_BYTES ((size_t)64 * 1024)
#define BODY_TURN_BYTES ((size_t)256 * 1024)

void conn_set_reading(struct conn *c)
{
	if (c->held || c->full || c->at_end)
		bufferevent_disable(c->bev, EV_READ);
	else
		bufferevent_enable(c->bev, EV_READ);
}

/* By hand, because of a bufferevent at its high watermark libevent says again and again that there is something to
 * read, and the turn of the loop does not end before somebody has taken it. */
static void check_full(struct conn *c)
{
	size_t most = c->full ? INPUT_BYTES_AGAIN : INPUT_BYTES_MAX;
	bool full = evbuffer_get_length(bufferevent_get_input(c->bev)) >= most;

	if (full == c->full)
		return;
	c->full = full;
	conn_set_reading(c);
}

static void on_read(struct bufferevent *bev, void *arg)
{
	(void)bev;
	check_full(arg);
	conn_work(arg);
}

static void on_write(struct bufferevent *bev, void *arg)
{
	(void)bev;
	conn_on_sent(arg);
}

static void on_event(struct bufferevent *bev, short what, void *arg)
{
	(void)bev;
	if ((what & BEV_EVENT_EOF) != 0 && !conn_is_lost(arg))
		conn_on_end(arg);
	else
		conn_on_loss(arg);
}

/* The socket takes bytes in large parts, the larger the faster its client has been, so it is asked what of them has
 * arrived: a slow reader makes room there only once in minutes. */
uint64_t conn_taken(const struct conn *c)
{
	uint64_t left = c->given - conn_unsent(c);
	int unacknowledged = 0;

	if (ioctl(bufferevent_getfd(c->bev), SIOCOUTQ, &unacknowledged) == -1)
		unacknowledged = 0;
	return left > (uint64_t)unacknowledged ? left - (uint64_t)unacknowledged : 0;
}

bool conn_is_lost(const struct conn *c)
{
	struct pollfd p = { .fd = bufferevent_getfd(c->bev) };

	return poll(&p, 1, 0) == 1 && (p.revents & (POLLHUP | POLLERR)) != 0;
}

void conn_open_io(struct conn *c, int fd)
{
	c->bev = bufferevent_socket_new(loop_base(c->server->loop), fd, BEV_OPT_CLOSE_ON_FREE);
	bufferevent_setcb(c->bev, on_read, on_write, on_event, c);
	bufferevent_enable(c->bev, EV_READ | EV_WRITE);
}

void conn_close_io(struct conn *c)
{
	bufferevent_free(c->bev);
}

/* To a client that does not read: what the kernel still keeps for it goes as well. */
void conn_reset(struct conn *c)
{
	const struct linger now = { .l_onoff = 1, .l_linger = 0 };

	setsockopt(bufferevent_getfd(c->bev), SOL_SOCKET, SO_LINGER, &now, sizeof(now));
}

/* A client that sends a request in parts waits with the second until the first is acknowledged (Nagle), and the kernel
 * acknowledges 40 ms later unless it is told. It forgets that, so it is told each time. */
void conn_acknowledge(struct conn *c)
{
	const int on = 1;

	setsockopt(bufferevent_getfd(c->bev), IPPROTO_TCP, TCP_QUICKACK, &on, sizeof(on));
}

struct bytes conn_input(struct conn *c)
{
	struct evbuffer *in = bufferevent_get_input(c->bev);
	size_t size = evbuffer_get_length(in);

	return size > 0 ? bytes_of(evbuffer_pullup(in, -1), size) : (struct bytes){ 0 };
}

void conn_drop(struct conn *c, size_t size)
{
	evbuffer_drain(bufferevent_get_input(c->bev), size);
	check_full(c);
	c->server->traffic.received += size;
}

/* Straight from the socket into the body: through a bufferevent it would come in pieces of 4 KiB, each copied twice.
 * That the client is gone is left for the bufferevent to find. */
static void receive_body(struct conn *c, uint64_t size)
{
	size_t turn = 0;

	while (size > 0 && turn < BODY_TURN_BYTES) {
		size_t most = size < BODY_READ_BYTES ? (size_t)size : BODY_READ_BYTES;
		ssize_t n = recv(bufferevent_getfd(c->bev), buf_reserve(&c->body, most), most, MSG_DONTWAIT);

		if (n <= 0)
			return;
		c->body.size += (size_t)n;
		c->server->traffic.received += (size_t)n;
		size -= (uint64_t)n;
		turn += (size_t)n;
	}
}

void conn_take_body(struct conn *c, uint64_t size)
{
	struct evbuffer *in = bufferevent_get_input(c->bev);
	size_t have = evbuffer_get_length(in);

	if (have > size)
		have = (size_t)size;
	evbuffer_remove(in, buf_reserve(&c->body, have), have);
	check_full(c);
	c->body.size += have;
	c->server->traffic.received += have;
	receive_body(c, size - have);
}

static void queue_from(struct conn *c, struct bytes part, size_t *sent)
{
	size_t skip = *sent < part.size ? *sent : part.size;

	*sent -= skip;
	if (part.size > skip)
		bufferevent_write(c->bev, part.data + skip, part.size - skip);
}

/* Nearly every answer fits into the socket: it is sent at once, without a copy and without waiting for the loop to
 * say that the socket takes bytes. */
bool conn_send(struct conn *c, struct bytes head, struct bytes body)
{
	struct iovec parts[2] = {
		{ (void *)(uintptr_t)head.data, head.size },
		{ (void *)(uintptr_t)body.data, body.size },
	};
	struct msghdr m = { .msg_iov = parts, .msg_iovlen = body.size > 0 ? 2 : 1 };
	size_t sent = 0;
	ssize_t n;

	c->server->traffic.sent += head.size + body.size;
	c->given += head.size + body.size;
	if (conn_unsent(c) == 0) {
		n = sendmsg(bufferevent_getfd(c->bev), &m, MSG_DONTWAIT | MSG_NOSIGNAL);
		if (n == -1 && errno != EAGAIN && errno != EINTR)
			return false;
		if (n == (ssize_t)(head.size + body.size))
			return true;
		sent = n > 0 ? (size_t)n : 0;
	}
	queue_from(c, head, &sent);
	queue_from(c, body, &sent);
	return conn_charge(c);
}

size_t conn_unsent(const struct conn *c)
{
	return evbuffer_get_length(bufferevent_get_output(c->bev));
}

void conn_set_low(struct conn *c, size_t unsent)
{
	bufferevent_setwatermark(c->bev, EV_WRITE, unsent, 0);
}

void conn_shut(struct conn *c)
{
	shutdown(bufferevent_getfd(c->bev), SHUT_WR);
}

bool conn_charge(struct conn *c)
{
	struct server *s = c->server;
	size_t unsent = conn_unsent(c), holds = c->body.size + unsent;

	s->unsent = s->unsent - c->charged_unsent + unsent;
	c->charged_unsent = unsent;
	s->buffered = s->buffered - c->charged + holds;
	c->charged = holds;
	return s->buffered <= s->options.buffered_max;
}
