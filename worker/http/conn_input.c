#include "worker/http/conn.h"

#include <assert.h>
#include <stdio.h>

/* What a connection makes of the bytes that arrive. */

/* A body's room that is kept for the next request. */
#define BODY_ROOM_KEPT ((size_t)16 * 1024)

static void release_body(struct conn *c)
{
	buf_clear(&c->head);
	buf_clear(&c->body);
	if (c->body.room > BODY_ROOM_KEPT)
		buf_free(&c->body);
	conn_charge(c);
}

static void hand_over(struct conn *c, struct request *q)
{
	c->phase = CONN_BUSY;
	c->deadline = INSTANT_NEVER;
	pace_end(&c->pace);
	c->server->handlers->request(c->server->arg, c, q);
}

static void begin_body(struct conn *c, struct bytes head)
{
	static const char go_on[] = "HTTP/1.1 100 Continue\r\n\r\n";

	c->phase = CONN_BODY;
	c->chunks = (struct chunks){ 0 };
	c->deadline = INSTANT_NEVER;
	pace_end(&c->pace);
	buf_append(&c->head, head);
	conn_drop(c, head.size);
	if (c->framing.expects_continue && conn_input(c).size == 0 &&
	    !conn_send(c, bytes_text(go_on), (struct bytes){ 0 }))
		conn_die(c);
}

/* Until conn_release(). What has arrived stays where it is. */
static void hold(struct conn *c)
{
	c->held = true;
	c->deadline = INSTANT_NEVER;
	c->search = (struct head_search){ 0 };
	conn_set_reading(c);
}

static void refuse_large(struct conn *c, const struct request *q)
{
	char text[192];

	snprintf(text, sizeof(text), "the body has %llu bytes, the limit is %zu (%s)",
	    (unsigned long long)c->framing.body_bytes, c->body_max, c->body_option);
	conn_refuse(c, q, ERR_TOO_LARGE, bytes_text(text));
}

/* The head is whole, at the front of what has arrived. */
static void begin_request(struct conn *c, struct bytes in, size_t head_size)
{
	struct server *s = c->server;
	struct request *q = &s->request;
	struct bytes head = bytes_of(in.data, head_size);
	const char *why;
	enum err e = head_parse(head, q, &c->framing, &why);

	if (e != ERR_OK) {
		conn_refuse(c, q, e, bytes_text(why));
		return;
	}
	c->head_only = q->method == METHOD_HEAD;
	c->body_max = s->handlers->body_max(s->arg, q, &c->body_option);
	if (c->framing.body_bytes > c->body_max) {
		refuse_large(c, q);
	} else if (s->paused && !s->handlers->passes(s->arg, q)) {
		hold(c);
	} else if (!c->framing.chunked && c->framing.body_bytes <= in.size - head_size) {
		/* The common case: nothing is copied before the operation is encoded. */
		size_t body_size = (size_t)c->framing.body_bytes;

		q->body = bytes_of(in.data + head_size, body_size);
		hand_over(c, q);
		conn_drop(c, head_size + body_size);
	} else
		begin_body(c, head);
}

void conn_refuse_unread(struct conn *c, enum err e, const char *why)
{
	struct request *q = &c->server->request;

	*q = (struct request){ .method = METHOD_OTHER };
	c->head_only = false;
	c->framing = (struct framing){ 0 };
	conn_refuse(c, q, e, bytes_text(why));
}

/* RFC 9112 §2.2: an empty line before a request is skipped. */
static struct bytes skip_empty_lines(struct conn *c)
{
	struct bytes in = conn_input(c);

	while (in.size >= 2 && in.data[0] == '\r' && in.data[1] == '\n') {
		conn_drop(c, 2);
		in = conn_input(c);
	}
	return in.size == 1 && in.data[0] == '\r' ? (struct bytes){ 0 } : in;
}

/* How much more there is depends on how it arrives, and the answer must not. */
static void refuse_head(struct conn *c)
{
	char text[128];

	snprintf(text, sizeof(text),
	    "the head of the request has more than %zu bytes (32 KiB), which is the limit",
	    SERVER_HEAD_BYTES_MAX);
	conn_refuse_unread(c, c->search.line == 0 ? ERR_KEY_TOO_LONG : ERR_HEADER_TOO_LARGE, text);
}

static bool take_head(struct conn *c)
{
	struct bytes in = c->phase == CONN_IDLE ? skip_empty_lines(c) : conn_input(c);
	enum head_found found;
	size_t size = 0;

	if (in.size == 0) {
		if (c->at_end)
			conn_die(c);
		return false;
	}
	if (c->phase == CONN_IDLE) {
		c->phase = CONN_HEAD;
		conn_set_deadline(c, c->server->options.header);
	}
	found = head_find(&c->search, in, &size);
	if (found == HEAD_BAD)
		conn_refuse_unread(c, ERR_BAD_REQUEST,
		    "every line of the head ends with CR LF, and none begins with a blank");
	else if (found == HEAD_WHOLE ? size > SERVER_HEAD_BYTES_MAX : in.size > SERVER_HEAD_BYTES_MAX)
		refuse_head(c);
	else if (found == HEAD_WHOLE)
		begin_request(c, in, size);
	else if (c->at_end)
		conn_refuse_unread(c, ERR_SLOW_REQUEST, "the request ended before its head was whole");
	else {
		conn_acknowledge(c);
		return false;
	}
	return true;
}

/* The head was good when it came; it is parsed again rather than kept for every connection that waits. */
static void end_body(struct conn *c)
{
	struct request *q = &c->server->request;
	const char *why;
	enum err e = head_parse(buf_bytes(&c->head), q, &c->framing, &why);

	assert(e == ERR_OK);
	q->body = buf_bytes(&c->body);
	hand_over(c, q);
	release_body(c);
}

static enum chunk_result take_chunks(struct conn *c)
{
	struct bytes in = conn_input(c);
	enum chunk_result result;
	size_t used;

	result = chunks_decode(&c->chunks, in, &used, &c->body, c->body_max);
	conn_drop(c, used);
	return result;
}

static enum chunk_result take_plain(struct conn *c)
{
	conn_take_body(c, c->framing.body_bytes - c->body.size);
	return c->body.size < c->framing.body_bytes ? CHUNK_MORE : CHUNK_DONE;
}

void conn_refuse_body(struct conn *c, enum err e, const char *text)
{
	struct request *q = &c->server->request;
	const char *why;

	head_parse(buf_bytes(&c->head), q, &c->framing, &why);
	conn_refuse(c, q, e, bytes_text(text));
	release_body(c);
}

static bool take_body(struct conn *c)
{
	char text[192];

	if (c->server->paused) {
		hold(c);
		return false;
	}
	switch (c->framing.chunked ? take_chunks(c) : take_plain(c)) {
	case CHUNK_DONE:
		end_body(c);
		return true;
	case CHUNK_MORE:
		if (c->at_end) {
			conn_refuse_body(c, ERR_SLOW_REQUEST, "the request ended before its body was whole");
			return true;
		}
		conn_acknowledge(c);
		if (conn_charge(c))
			return false;
		snprintf(text, sizeof(text),
		    "bodies and unsent answers hold %zu bytes here, the limit is %zu ([limits] "
		    "request_bytes); repeat it later",
		    c->server->buffered, c->server->options.buffered_max);
		conn_refuse_body(c, ERR_BUSY, text);
		return true;
	case CHUNK_BAD:
		conn_refuse_body(
		    c, ERR_BAD_REQUEST, "the chunks of the body are malformed, or have trailers");
		return true;
	case CHUNK_TOO_LARGE:
		snprintf(text, sizeof(text), "the body has more than %zu bytes, the limit (%s)", c->body_max,
		    c->body_option);
		conn_refuse_body(c, ERR_TOO_LARGE, text);
		return true;
	}
	return false;
}

static bool drop_rest(struct conn *c)
{
	conn_drop(c, conn_input(c).size);
	return false;
}

/* False when there is nothing more to do at present. */
static bool step(struct conn *c)
{
	if (c->held)
		return false;
	switch (c->phase) {
	case CONN_IDLE:
	case CONN_HEAD:
		return take_head(c);
	case CONN_BODY:
		return take_body(c);
	case CONN_LINGER:
		return drop_rest(c);
	case CONN_BUSY:
	case CONN_PIECES:
	case CONN_WRITING:
	case CONN_DEAD:
		break;
	}
	return false;
}

/* An answer given from within does not recurse into the next request: the loop here goes on with it. */
void conn_work(struct conn *c)
{
	if (c->working)
		return;
	c->working = true;
	while (step(c))
		;
	c->working = false;
	if (c->phase == CONN_DEAD)
		conn_free(c);
}
