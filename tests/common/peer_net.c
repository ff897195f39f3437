#include <arpa/inet.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include <cmocka.h>

#include "common/log.h"
#include "tests/common/peer_net.h"

#define GUARD_MS 20000

struct net net;

static void on_hello(void *arg, const struct peer_hello *hello, const struct bytes *dialed)
{
	struct member *m = arg;

	m->calls++;
	m->last_hello = *hello;
	if (dialed != NULL)
		m->dialed++;
	else
		m->accepted++;
	if (m->renews) {
		unsigned calls = m->calls;

		m->renews = false;
		m->hello.cluster++;
		transport_set_hello(m->transport, &m->hello);
		assert_int_equal(m->calls, calls);
	}
}

static void on_refused(void *arg, const struct bytes *dialed, const char *why)
{
	struct member *m = arg;

	(void)dialed;
	(void)why;
	m->refused++;
}

static void on_stranger(void *arg, const struct peer_hello *hello, const struct bytes *dialed)
{
	struct member *m = arg;

	(void)hello;
	(void)dialed;
	m->strangers++;
}

static void on_frame(void *arg, uint64_t incarnation, struct bytes frame)
{
	struct member *m = arg;

	m->frame_count++;
	m->frame_from = incarnation;
	buf_append(&m->frames, frame);
}

static void on_lost(void *arg, uint64_t incarnation)
{
	struct member *m = arg;

	(void)incarnation;
	m->calls++;
	m->lost++;
}

static void on_unreachable(void *arg, uint64_t incarnation)
{
	struct member *m = arg;

	(void)incarnation;
	m->calls++;
	m->unreachable++;
}

static const struct peer_events events = {
	.hello = on_hello,
	.refused = on_refused,
	.stranger = on_stranger,
	.frame = on_frame,
	.lost = on_lost,
	.unreachable = on_unreachable,
};

static void stop_when_there(void *arg)
{
	(void)arg;
	if (net.wanted != NULL && net.wanted())
		loop_stop(net.loop);
}

static void give_up(void *arg)
{
	(void)arg;
	fail_msg("what the test waits for does not come");
}

void net_await(bool (*wanted)(void))
{
	net.wanted = wanted;
	loop_timer_set(net.guard, instant_add(clock_now(), span_ms(GUARD_MS)));
	loop_run(net.loop);
	net.wanted = NULL;
}

static void ring(void *arg)
{
	loop_stop(arg);
}

void net_turn_for(int64_t ms)
{
	struct loop_timer *t = loop_timer_new(net.loop, ring, net.loop);

	loop_timer_set(t, instant_add(clock_now(), span_ms(ms)));
	loop_run(net.loop);
	loop_timer_free(t);
}

static uint16_t port_of(int fd)
{
	struct sockaddr_in a;
	socklen_t size = sizeof(a);

	assert_int_equal(getsockname(fd, (struct sockaddr *)&a, &size), 0);
	return ntohs(a.sin_port);
}

int net_listen(void)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), on = 1;

	assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)), 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&a, sizeof(a)), 0);
	assert_int_equal(listen(fd, 16), 0);
	return fd;
}

struct peer_options net_quick(void)
{
	struct peer_options o = peer_options_preset();

	o.retry_most = span_ms(50);
	return o;
}

struct member *net_open_on(size_t n, int fd, const struct peer_options *o)
{
	static const char *const names[MEMBERS_MOST] = { "n1", "n2", "n3" };
	struct member *m = &net.members[n];

	*m = (struct member){ 0 };
	snprintf(m->address, sizeof(m->address), "127.0.0.1:%u", port_of(fd));
	m->transport = peer_open(net.loop, fd, o, &events, m);
	m->hello = (struct peer_hello){
		.version_least = PEER_VERSION_LEAST,
		.version_most = PEER_VERSION_MOST,
		.cluster = 7,
		.incarnation = 100 + n,
		.start = 1,
		.boot = 1000 + n,
		.id = bytes_text(names[n]),
		.peer = bytes_text(m->address),
		.http = bytes_text("http://127.0.0.1:1"),
	};
	return m;
}

struct member *net_open(size_t n)
{
	struct peer_options o = net_quick();

	return net_open_on(n, net_listen(), &o);
}

void net_close(struct member *m)
{
	peer_close(m->transport);
	buf_free(&m->frames);
	m->transport = NULL;
}

void net_dial(struct member *from, const struct member *to)
{
	struct bytes address = bytes_text(to->address);

	transport_set_peers(from->transport, &address, 1);
}

void net_speak(struct member *m)
{
	transport_set_hello(m->transport, &m->hello);
}

bool net_send(struct member *from, const struct member *to, const char *text)
{
	char *frame = xasprintf("%c%s", PEER_RAFT, text);
	bool sent = transport_send(from->transport, to->hello.incarnation, bytes_text(frame));

	free(frame);
	return sent;
}

int net_setup(void **state)
{
	(void)state;
	net.loop = loop_new();
	net.guard = loop_timer_new(net.loop, give_up, NULL);
	loop_at_turn_end(net.loop, stop_when_there, NULL);
	return 0;
}

int net_teardown(void **state)
{
	(void)state;
	for (size_t i = 0; i < MEMBERS_MOST; i++)
		net_close(&net.members[i]);
	loop_timer_free(net.guard);
	loop_free(net.loop);
	return 0;
}
