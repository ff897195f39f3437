#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/common/http_served.h"

void answer(struct fixture *f, struct conn *c, int status, struct bytes body)
{
	response_clear(&f->response);
	f->response.status = status;
	f->response.body = body;
	conn_answer(c, &f->response);
}

static size_t on_body_max(void *arg, const struct request *q, const char **option)
{
	struct fixture *f = arg;

	(void)q;
	*option = "[http] body_max";
	return f->body_max;
}

static bool on_passes(void *arg, const struct request *q)
{
	(void)arg;
	return bytes_equal(q->path, bytes_text("/pass"));
}

static void on_request(void *arg, struct conn *c, const struct request *q)
{
	struct fixture *f = arg;
	struct buf body = { 0 };

	buf_printf(&f->seen, "%s %.*s %zu\n", method_name(q->method), (int)q->path.size,
	    (const char *)q->path.data, q->body.size);
	if (bytes_equal(q->path, bytes_text("/later"))) {
		f->later = c;
		conn_tag(c, LATER_TAG);
	} else if (bytes_equal(q->path, bytes_text("/big"))) {
		answer(f, c, 200, bytes_of(f->big, BIG_BYTES));
	} else if (bytes_equal(q->path, bytes_text("/none"))) {
		answer(f, c, 304, (struct bytes){ 0 });
	} else {
		buf_append(&body, bytes_text(method_name(q->method)));
		buf_append(&body, q->path);
		if (q->body.size <= BODY_MAX)
			buf_append(&body, q->body);
		answer(f, c, 200, buf_bytes(&body));
		buf_free(&body);
	}
}

static void on_gone(void *arg, uint64_t tag)
{
	struct fixture *f = arg;

	f->gone = tag;
	f->later = NULL;
}

static void on_refuse(void *arg, const struct request *q, enum err e, struct bytes why, struct response *out)
{
	(void)arg;
	(void)q;
	(void)why;
	out->status = err_http(e);
	out->body = bytes_text(err_name(e));
}

static void on_empty(void *arg)
{
	struct fixture *f = arg;

	f->empties++;
}

static void on_flows(void *arg, uint64_t tag)
{
	struct fixture *f = arg;

	assert_int_equal(tag, LATER_TAG);
	f->flows++;
}

static const struct server_handlers handlers = { on_body_max, on_passes, on_request, on_gone, on_flows,
	on_refuse, on_empty };

static void on_tick(void *arg)
{
	struct fixture *f = arg;

	loop_stop(f->loop);
}

struct server_options calm(void)
{
	return (struct server_options){ 1000, span_ms(60000), span_ms(60000), span_ms(60000), 0,
		64 * 1024 * 1024 };
}

struct fixture *open_fixture(const struct server_options *o)
{
	struct fixture *f = xcalloc(1, sizeof(*f));

	f->loop = loop_new();
	f->tick = loop_timer_new(f->loop, on_tick, f);
	f->server = server_new(f->loop, o, &handlers, f);
	f->body_max = BODY_MAX;
	f->big = xcalloc(1, BIG_BYTES);
	return f;
}

void close_fixture(struct fixture *f)
{
	server_free(f->server);
	loop_timer_free(f->tick);
	loop_free(f->loop);
	response_free(&f->response);
	buf_free(&f->seen);
	free(f->big);
	free(f);
}

void turn(struct fixture *f)
{
	loop_timer_set(f->tick, instant_add(clock_now(), span_ms(1)));
	loop_run(f->loop);
}

/* --- a client --- */

int connect_client(struct fixture *f)
{
	int fds[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds), 0);
	server_take(f->server, fds[0]);
	return fds[1];
}

void say(int fd, struct bytes what)
{
	assert_int_equal(send(fd, what.data, what.size, MSG_NOSIGNAL), what.size);
}

bool hear(int fd, struct buf *heard)
{
	for (;;) {
		ssize_t n = recv(fd, buf_reserve(heard, 65536), 65536, MSG_DONTWAIT);

		if (n <= 0)
			return n == -1 && errno == EAGAIN;
		heard->size += (size_t)n;
	}
}

static void drop_dates(struct buf *heard)
{
	char *at, *end;

	while ((at = strstr(buf_text(heard), "Date: ")) != NULL && (end = strstr(at, "\r\n")) != NULL) {
		memmove(at, end + 2, strlen(end + 2));
		heard->size -= (size_t)(end + 2 - at);
	}
}

void expect_later(struct fixture *f)
{
	for (int i = 0; i < 2000 && f->later == NULL; i++)
		turn(f);
	assert_non_null(f->later);
}

void expect(struct fixture *f, int fd, const char *wanted)
{
	struct buf heard = { 0 };

	for (int i = 0; i < 2000; i++) {
		hear(fd, &heard);
		drop_dates(&heard);
		if (strcmp(buf_text(&heard), wanted) == 0)
			break;
		turn(f);
	}
	assert_string_equal(buf_text(&heard), wanted);
	buf_free(&heard);
}

void expect_end(struct fixture *f, int fd)
{
	struct buf heard = { 0 };
	int i = 0;

	while (hear(fd, &heard) && i++ < 5000)
		turn(f);
	assert_int_equal(heard.size, 0);
	assert_true(i < 5000);
	buf_free(&heard);
	close(fd);
}
