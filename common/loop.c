#include <assert.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/queue.h>
#include <sysexits.h>

#include <event2/event.h>

#include "common/lane.h"
#include "common/log.h"
#include "common/loop.h"
#include "common/mem.h"

struct turn_end {
	STAILQ_ENTRY(turn_end) link;
	void (*call)(void *arg);
	void *arg;
};

struct loop_batch {
	TAILQ_ENTRY(loop_batch) link;
	struct loop *loop;
	void (*call)(void *arg);
	void *arg;
	bool asked;
};

struct loop {
	struct event_base *base;
	struct lane_maker maker;
	struct instant now;
	bool now_known, stopping;
	size_t asked_count;
	STAILQ_HEAD(, turn_end) ends;
	TAILQ_HEAD(, loop_batch) asked;
};

struct loop_io {
	struct event *read, *write;
	void (*on_readable)(void *arg);
	void (*on_writable)(void *arg);
	void *arg;
};

struct loop_timer {
	struct loop *loop;
	struct event *event;
	struct instant when;
	void (*on_time)(void *arg);
	void *arg;
};

struct loop_signal {
	struct event *event;
	void (*on_signal)(void *arg, int number);
	void *arg;
};

/* libevent fails here only for want of memory or descriptors, at a start. */
static void *must(void *made)
{
	if (made == NULL)
		fatal(EX_OSERR, "cannot make a part of the event loop");
	return made;
}

static struct lane *make_lane(struct lane_maker *maker, const char *name, struct lane_work work)
{
	struct loop *l = (struct loop *)(void *)((char *)maker - offsetof(struct loop, maker));

	return lane_thread_new(l, name, work);
}

/* libevent would write to stderr by itself, and wait there. */
static void say_for_libevent(int severity, const char *text)
{
	if (severity >= EVENT_LOG_ERR)
		log_errorx("libevent: %s", text);
	else if (severity == EVENT_LOG_WARN)
		log_warnx("libevent: %s", text);
}

struct loop *loop_new(void)
{
	struct loop *l = xcalloc(1, sizeof(*l));

	event_set_log_callback(say_for_libevent);
	l->base = must(event_base_new());
	l->maker.make = make_lane;
	STAILQ_INIT(&l->ends);
	TAILQ_INIT(&l->asked);
	return l;
}

void loop_free(struct loop *l)
{
	struct turn_end *e;

	if (l == NULL)
		return;
	while ((e = STAILQ_FIRST(&l->ends)) != NULL) {
		STAILQ_REMOVE_HEAD(&l->ends, link);
		free(e);
	}
	event_base_free(l->base);
	free(l);
}

struct event_base *loop_base(struct loop *l)
{
	return l->base;
}

struct lane_maker *loop_lane_maker(struct loop *l)
{
	return &l->maker;
}

struct instant loop_now(struct loop *l)
{
	if (!l->now_known) {
		l->now = clock_now();
		l->now_known = true;
	}
	return l->now;
}

void loop_stop(struct loop *l)
{
	l->stopping = true;
}

static void unask(struct loop_batch *b)
{
	TAILQ_REMOVE(&b->loop->asked, b, link);
	b->loop->asked_count--;
	b->asked = false;
}

static void end_turn(struct loop *l)
{
	struct turn_end *e;
	struct loop_batch *b;

	STAILQ_FOREACH (e, &l->ends, link)
		e->call(e->arg);
	/* What is asked for from here on waits for the next turn, or two that ask for each other never end. */
	for (size_t left = l->asked_count; left > 0 && (b = TAILQ_FIRST(&l->asked)) != NULL; left--) {
		unask(b);
		b->call(b->arg);
	}
}

void loop_run(struct loop *l)
{
	if (!l->stopping)
		end_turn(l);
	while (!l->stopping) {
		int flags = EVLOOP_ONCE | EVLOOP_NO_EXIT_ON_EMPTY;

		if (!TAILQ_EMPTY(&l->asked))
			flags |= EVLOOP_NONBLOCK;
		l->now_known = false;
		if (event_base_loop(l->base, flags) == -1)
			fatal(EX_OSERR, "cannot wait for events");
		end_turn(l);
	}
	l->stopping = false;
	l->now_known = false;
}

void loop_at_turn_end(struct loop *l, void (*call)(void *arg), void *arg)
{
	struct turn_end *e = xcalloc(1, sizeof(*e));

	e->call = call;
	e->arg = arg;
	STAILQ_INSERT_TAIL(&l->ends, e, link);
}

struct loop_batch *loop_batch_new(struct loop *l, void (*call)(void *arg), void *arg)
{
	struct loop_batch *b = xcalloc(1, sizeof(*b));

	b->loop = l;
	b->call = call;
	b->arg = arg;
	return b;
}

void loop_batch_ask(struct loop_batch *b)
{
	if (b->asked)
		return;
	b->asked = true;
	b->loop->asked_count++;
	TAILQ_INSERT_TAIL(&b->loop->asked, b, link);
}

void loop_batch_free(struct loop_batch *b)
{
	if (b == NULL)
		return;
	if (b->asked)
		unask(b);
	free(b);
}

static void set_event(struct event *e, bool on)
{
	int failed = on ? event_add(e, NULL) : event_del(e);

	if (failed)
		fatal(EX_OSERR, "cannot watch a descriptor");
}

static void on_io(evutil_socket_t fd, short what, void *arg)
{
	struct loop_io *io = arg;

	(void)fd;
	if (what & EV_READ)
		io->on_readable(io->arg);
	else
		io->on_writable(io->arg);
}

struct loop_io *loop_io_new(
    struct loop *l, int fd, void (*on_readable)(void *arg), void (*on_writable)(void *arg), void *arg)
{
	struct loop_io *io = xcalloc(1, sizeof(*io));

	io->on_readable = on_readable;
	io->on_writable = on_writable;
	io->arg = arg;
	io->read = must(event_new(l->base, fd, EV_READ | EV_PERSIST, on_io, io));
	io->write = must(event_new(l->base, fd, EV_WRITE | EV_PERSIST, on_io, io));
	loop_io_read(io, true);
	return io;
}

void loop_io_read(struct loop_io *io, bool on)
{
	set_event(io->read, on);
}

void loop_io_write(struct loop_io *io, bool on)
{
	assert(!on || io->on_writable != NULL);
	set_event(io->write, on);
}

void loop_io_free(struct loop_io *io)
{
	if (io == NULL)
		return;
	event_free(io->read);
	event_free(io->write);
	free(io);
}

static void arm(struct loop_timer *t)
{
	int64_t ns = instant_between(loop_now(t->loop), t->when).ns;
	struct timeval tv = { 0 };

	if (ns > 0) {
		tv.tv_sec = ns / 1000000000;
		tv.tv_usec = ns % 1000000000 / 1000;
	}
	if (event_add(t->event, &tv))
		fatal(EX_OSERR, "cannot set a timer");
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
	struct loop_timer *t = arg;

	(void)fd;
	(void)what;
	/* libevent's own clock is coarse (ticks of milliseconds), so it may ring early. */
	if (instant_passed(t->when, loop_now(t->loop)))
		t->on_time(t->arg);
	else
		arm(t);
}

struct loop_timer *loop_timer_new(struct loop *l, void (*on_time)(void *arg), void *arg)
{
	struct loop_timer *t = xcalloc(1, sizeof(*t));

	t->loop = l;
	t->when = INSTANT_NEVER;
	t->on_time = on_time;
	t->arg = arg;
	t->event = must(event_new(l->base, -1, 0, on_timer, t));
	return t;
}

void loop_timer_set(struct loop_timer *t, struct instant when)
{
	t->when = when;
	if (when.ns == INSTANT_NEVER.ns)
		set_event(t->event, false);
	else
		arm(t);
}

void loop_timer_free(struct loop_timer *t)
{
	if (t == NULL)
		return;
	event_free(t->event);
	free(t);
}

static void on_unix_signal(evutil_socket_t number, short what, void *arg)
{
	struct loop_signal *s = arg;

	(void)what;
	s->on_signal(s->arg, number);
}

struct loop_signal *loop_signal_new(
    struct loop *l, int number, void (*on_signal)(void *arg, int number), void *arg)
{
	struct loop_signal *s = xcalloc(1, sizeof(*s));

	s->on_signal = on_signal;
	s->arg = arg;
	s->event = must(event_new(l->base, number, EV_SIGNAL | EV_PERSIST, on_unix_signal, s));
	set_event(s->event, true);
	return s;
}

void loop_signal_free(struct loop_signal *s)
{
	if (s == NULL)
		return;
	event_free(s->event);
	free(s);
}
