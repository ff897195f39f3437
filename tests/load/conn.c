#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>
#include <http_parser.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "common/log.h"
#include "tests/load/conn.h"

struct conn {
	struct loop *loop;
	const struct conn_handlers *handlers;
	void *arg;
	struct bufferevent *stream; /* NULL: not connected */
	struct loop_timer *failed; /* rings when connecting failed at once */
	struct sockaddr_storage to;
	bool connected, waiting;
	http_parser parser;
	struct buf field, value, body;
	bool value_seen, complete;
	struct answer answer;
};

static void take_header(struct conn *c)
{
	const char *name = buf_text(&c->field);
	const char *value = buf_text(&c->value);

	if (strcasecmp(name, "etag") == 0 && *value == '"')
		c->answer.etag = strtoull(value + 1, NULL, 10);
	else if (strcasecmp(name, "holdfast-version") == 0)
		c->answer.version = strtoull(value, NULL, 10);
	else if (strcasecmp(name, "holdfast-replayed") == 0)
		c->answer.replayed = strcmp(value, "true") == 0;
	else if (strcasecmp(name, "holdfast-applied") == 0)
		c->answer.applied = strcmp(value, "no") == 0 ? APPLIED_NO : APPLIED_UNKNOWN;
	buf_clear(&c->field);
	buf_clear(&c->value);
	c->value_seen = false;
}

static int on_begin(http_parser *p)
{
	struct conn *c = p->data;

	c->answer = (struct answer){ 0 };
	c->value_seen = false;
	buf_clear(&c->field);
	buf_clear(&c->value);
	buf_clear(&c->body);
	return 0;
}

static int on_field(http_parser *p, const char *at, size_t size)
{
	struct conn *c = p->data;

	if (c->value_seen)
		take_header(c);
	buf_append(&c->field, bytes_of(at, size));
	return 0;
}

static int on_value(http_parser *p, const char *at, size_t size)
{
	struct conn *c = p->data;

	c->value_seen = true;
	buf_append(&c->value, bytes_of(at, size));
	return 0;
}

static int on_headers_complete(http_parser *p)
{
	struct conn *c = p->data;

	if (c->value_seen)
		take_header(c);
	return 0;
}

static int on_body(http_parser *p, const char *at, size_t size)
{
	struct conn *c = p->data;

	buf_append(&c->body, bytes_of(at, size));
	return 0;
}

static int on_message_complete(http_parser *p)
{
	struct conn *c = p->data;

	c->complete = true;
	http_parser_pause(p, 1); /* the handler must not run inside the parser */
	return 0;
}

static const http_parser_settings settings = {
	.on_message_begin = on_begin,
	.on_header_field = on_field,
	.on_header_value = on_value,
	.on_headers_complete = on_headers_complete,
	.on_body = on_body,
	.on_message_complete = on_message_complete,
};

void conn_drop(struct conn *c)
{
	loop_timer_set(c->failed, INSTANT_NEVER);
	if (c->stream != NULL)
		bufferevent_free(c->stream);
	c->stream = NULL;
	c->connected = false;
	c->waiting = false;
}

static void lose(struct conn *c)
{
	bool was_waiting = c->waiting;
	bool sent = c->connected;

	conn_drop(c);
	if (was_waiting)
		c->handlers->on_lost(c->arg, sent);
}

static void answer(struct conn *c)
{
	struct answer a = c->answer;

	c->complete = false;
	c->waiting = false;
	a.status = (int)c->parser.status_code;
	a.body = buf_bytes(&c->body);
	if (!http_should_keep_alive(&c->parser))
		conn_drop(c);
	else
		http_parser_pause(&c->parser, 0);
	c->handlers->on_answer(c->arg, &a);
}

static void on_readable(struct bufferevent *stream, void *arg)
{
	struct conn *c = arg;
	struct evbuffer *in = bufferevent_get_input(stream);
	size_t size = evbuffer_get_length(in);
	const char *data = (const char *)evbuffer_pullup(in, -1);
	size_t used;

	if (!c->waiting) { /* nobody asked */
		lose(c);
		return;
	}
	used = http_parser_execute(&c->parser, &settings, data, size);
	if (c->complete) {
		/* The parser stops at the last byte of the message (pausing it there counts that byte as unread). */
		evbuffer_drain(in, size);
		answer(c);
	} else if (HTTP_PARSER_ERRNO(&c->parser) != HPE_OK) {
		lose(c);
	} else {
		evbuffer_drain(in, used);
	}
}

static void on_event(struct bufferevent *stream, short what, void *arg)
{
	struct conn *c = arg;
	int on = 1;

	if ((what & BEV_EVENT_CONNECTED) != 0) {
		c->connected = true;
		setsockopt(bufferevent_getfd(stream), IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
		return;
	}
	lose(c);
}

static void on_failed(void *arg)
{
	lose(arg);
}

struct conn *conn_new(struct loop *l, const struct conn_handlers *handlers, void *arg)
{
	struct conn *c = xcalloc(1, sizeof(*c));

	c->loop = l;
	c->handlers = handlers;
	c->arg = arg;
	c->failed = loop_timer_new(l, on_failed, c);
	return c;
}

void conn_free(struct conn *c)
{
	if (c == NULL)
		return;
	conn_drop(c);
	loop_timer_free(c->failed);
	buf_free(&c->field);
	buf_free(&c->value);
	buf_free(&c->body);
	free(c);
}

static void connect_to(struct conn *c, socklen_t to_size)
{
	c->stream =
	    bufferevent_socket_new(loop_base(c->loop), -1, BEV_OPT_CLOSE_ON_FREE | BEV_OPT_DEFER_CALLBACKS);
	bufferevent_setcb(c->stream, on_readable, NULL, on_event, c);
	bufferevent_enable(c->stream, EV_READ | EV_WRITE);
	http_parser_init(&c->parser, HTTP_RESPONSE);
	c->parser.data = c;
	if (bufferevent_socket_connect(c->stream, (struct sockaddr *)&c->to, (int)to_size) == -1)
		loop_timer_set(c->failed, loop_now(c->loop));
}

void conn_send(struct conn *c, const struct sockaddr_storage *to, socklen_t to_size, struct bytes request)
{
	if (c->stream != NULL && memcmp(&c->to, to, to_size) != 0)
		conn_drop(c);
	memcpy(&c->to, to, to_size);
	if (c->stream == NULL)
		connect_to(c, to_size);
	c->waiting = true;
	bufferevent_write(c->stream, request.data, request.size);
}
