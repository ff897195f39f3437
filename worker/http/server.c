#define _GNU_SOURCE /* accept4 */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/log.h"
#include "worker/http/conn.h"

/* Connections taken from one listening socket before other work has its turn. */
#define ACCEPT_TURN 64

/* Beyond the limit so many more are told so; the others are closed without a word. */
#define REFUSED_MAX 128

#define BREATH_MS 100

struct listener {
	struct server *server;
	struct loop_io *io;
	int fd;
};

static void watch_listeners(struct server *s, bool on)
{
	for (size_t i = 0; i < s->listener_count; i++)
		loop_io_read(s->listeners[i].io, on && !s->stopping && i < 64 && (s->mask >> i & 1) != 0);
}

static void on_breath(void *arg)
{
	watch_listeners(arg, true);
}

static void schedule_sweep(struct server *s)
{
	loop_timer_set(
	    s->sweep, s->count > 0 ? instant_add(loop_now(s->loop), s->sweep_every) : INSTANT_NEVER);
}

/* Calls `visit` for every connection; each may be dead afterwards, but no other. */
static void for_each(struct server *s, void (*visit)(struct conn *c))
{
	struct conn *c, *next;

	for (c = TAILQ_FIRST(&s->conns); c != NULL; c = next) {
		next = TAILQ_NEXT(c, link);
		visit(c);
	}
}

/* Deadlines are looked at now and then instead of with a timer for each: a request moves them several times. */
static void on_sweep(void *arg)
{
	struct server *s = arg;

	for_each(s, conn_look_after);
	schedule_sweep(s);
}

static struct span sweep_span(const struct server_options *o)
{
	int64_t least = o->header.ns;

	least = o->idle.ns < least ? o->idle.ns : least;
	least = o->silence.ns < least ? o->silence.ns : least;
	least /= 4;
	if (least > span_ms(1000).ns)
		least = span_ms(1000).ns;
	return (struct span){ least < span_ms(5).ns ? span_ms(5).ns : least };
}

struct server *server_new(
    struct loop *l, const struct server_options *o, const struct server_handlers *handlers, void *arg)
{
	struct server *s = xcalloc(1, sizeof(*s));

	s->loop = l;
	s->options = *o;
	s->handlers = handlers;
	s->arg = arg;
	TAILQ_INIT(&s->conns);
	s->date_second = -1;
	s->sweep_every = sweep_span(o);
	s->sweep = loop_timer_new(l, on_sweep, s);
	s->breath = loop_timer_new(l, on_breath, s);
	return s;
}

void server_free(struct server *s)
{
	if (s == NULL)
		return;
	s->stopping = false;
	for_each(s, conn_free);
	for (size_t i = 0; i < s->listener_count; i++)
		loop_io_free(s->listeners[i].io);
	free(s->listeners);
	loop_timer_free(s->sweep);
	loop_timer_free(s->breath);
	response_free(&s->response);
	buf_free(&s->out);
	free(s);
}

size_t server_unsent(const struct server *s)
{
	return s->unsent;
}

size_t server_connections(const struct server *s)
{
	return s->count;
}

struct server_traffic server_traffic(const struct server *s)
{
	return s->traffic;
}

void server_remove(struct server *s, struct conn *c)
{
	TAILQ_REMOVE(&s->conns, c, link);
	free(c);
	s->count--;
	if (s->count == 0) {
		schedule_sweep(s);
		if (s->stopping)
			s->handlers->empty(s->arg);
	}
}

static void refuse_connection(struct server *s, struct conn *c)
{
	static const struct request unknown = { .method = METHOD_OTHER };
	char text[160];

	snprintf(text, sizeof(text),
	    "this process has the %zu connections that are its limit ([http] connections_max); connect "
	    "later, or to another node",
	    s->options.connections_max);
	conn_refuse(c, &unknown, ERR_BUSY, bytes_text(text));
}

void server_take(struct server *s, int fd)
{
	struct conn *c;

	if (s->stopping || s->count >= s->options.connections_max + REFUSED_MAX) {
		close(fd);
		return;
	}
	c = conn_new(s, fd);
	s->traffic.accepted++;
	TAILQ_INSERT_TAIL(&s->conns, c, link);
	if (++s->count == 1)
		schedule_sweep(s);
	if (s->count > s->options.connections_max)
		refuse_connection(s, c);
}

/* False when nothing more is to be had at present. */
static bool accept_one(struct listener *l)
{
	int fd = accept4(l->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

	if (fd != -1) {
		server_take(l->server, fd);
		return true;
	}
	if (errno == EINTR || errno == ECONNABORTED)
		return true;
	if (errno != EAGAIN) {
		log_warn("cannot accept a connection");
		watch_listeners(l->server, false);
		loop_timer_set(l->server->breath, instant_add(loop_now(l->server->loop), span_ms(BREATH_MS)));
	}
	return false;
}

static void on_acceptable(void *arg)
{
	for (size_t i = 0; i < ACCEPT_TURN && accept_one(arg); i++)
		;
}

void server_listen(struct server *s, const int *sockets, size_t count)
{
	s->listeners = xreallocarray(NULL, count, sizeof(*s->listeners));
	s->listener_count = count;
	for (size_t i = 0; i < count; i++) {
		struct listener *l = &s->listeners[i];

		*l = (struct listener){ .server = s, .fd = sockets[i] };
		l->io = loop_io_new(s->loop, l->fd, on_acceptable, NULL, l);
	}
	watch_listeners(s, true);
}

void server_accept(struct server *s, uint64_t mask)
{
	s->mask = mask;
	watch_listeners(s, true);
}

void server_pause(struct server *s, bool paused)
{
	struct conn *c, *next;

	if (s->paused == paused)
		return;
	s->paused = paused;
	/* A request that is begun now may well pause the server again. */
	for (c = TAILQ_FIRST(&s->conns); c != NULL && !s->paused; c = next) {
		next = TAILQ_NEXT(c, link);
		conn_release(c);
	}
}

void server_set_times(struct server *s, const struct server_options *o)
{
	s->options.header = o->header;
	s->options.idle = o->idle;
	s->options.silence = o->silence;
	s->options.rate = o->rate;
	s->sweep_every = sweep_span(o);
	schedule_sweep(s);
}

void server_drain(struct server *s)
{
	s->stopping = true;
	watch_listeners(s, false);
	if (s->count == 0)
		s->handlers->empty(s->arg);
}

void server_stop(struct server *s)
{
	if (!s->stopping)
		server_drain(s);
	for_each(s, conn_stop);
}
