#include "worker/http/conn.h"

#include <assert.h>
#include <stdlib.h>

/* A client that was told to go has this long to read that, before what it still sends resets the connection. */
#define LINGER_MS 1000

void conn_set_deadline(struct conn *c, struct span s)
{
	c->deadline = instant_add(loop_now(c->server->loop), s);
}

static void become_idle(struct conn *c)
{
	c->phase = CONN_IDLE;
	c->search = (struct head_search){ 0 };
	conn_set_deadline(c, c->server->options.idle);
}

void conn_die(struct conn *c)
{
	c->phase = CONN_DEAD;
	c->deadline = INSTANT_NEVER;
}

struct conn *conn_new(struct server *s, int fd)
{
	struct conn *c = xcalloc(1, sizeof(*c));

	c->server = s;
	become_idle(c);
	conn_open_io(c, fd);
	return c;
}

void conn_free(struct conn *c)
{
	struct server *s = c->server;

	conn_close_io(c);
	s->buffered -= c->charged;
	buf_free(&c->head);
	buf_free(&c->body);
	server_remove(s, c);
}

/* The answer has left in full. */
static void end_answer(struct conn *c)
{
	if (!c->closing) {
		become_idle(c);
	} else if (c->at_end) {
		conn_die(c);
	} else {
		conn_shut(c);
		c->phase = CONN_LINGER;
		conn_set_deadline(c, span_ms(LINGER_MS));
	}
}

static uint64_t bytes_left(const struct conn *c)
{
	return c->given - conn_unsent(c);
}

void conn_expect_progress(struct conn *c)
{
	c->left_then = bytes_left(c);
	conn_set_deadline(c, c->server->options.write);
}

void conn_end_answer(struct conn *c)
{
	if (conn_unsent(c) == 0) {
		end_answer(c);
		return;
	}
	c->phase = CONN_WRITING;
	conn_expect_progress(c);
}

void conn_answer(struct conn *c, const struct response *r)
{
	struct server *s = c->server;
	bool bodyless = c->head_only || r->status == 304;

	assert(c->phase == CONN_BUSY && (!r->stream || c->head_only));
	c->closing = c->closing || s->stopping || !c->framing.keep_alive;
	server_compose(s, c, r);
	if (!conn_send(c, buf_bytes(&s->out), bodyless ? (struct bytes){ 0 } : r->body))
		conn_die(c);
	else
		conn_end_answer(c);
	conn_work(c);
}

void conn_refuse(struct conn *c, const struct request *q, enum err e, struct bytes why)
{
	struct server *s = c->server;

	c->phase = CONN_BUSY;
	c->closing = true;
	response_clear(&s->response);
	s->handlers->refuse(s->arg, q, e, why, &s->response);
	conn_answer(c, &s->response);
}

void conn_tag(struct conn *c, uint64_t tag)
{
	c->tag = tag;
}

static void expire_writing(struct conn *c)
{
	if (bytes_left(c) != c->left_then) {
		conn_expect_progress(c);
		return;
	}
	if (c->phase == CONN_PIECES)
		c->server->handlers->gone(c->server->arg, c->tag);
	conn_reset(c);
	conn_die(c);
}

/* The body goes before the connection may. */
static void refuse_half(struct conn *c, const char *why)
{
	c->working = true;
	conn_refuse_body(c, ERR_SLOW_REQUEST, why);
	c->working = false;
}

void conn_expire(struct conn *c)
{
	switch (c->phase) {
	case CONN_HEAD:
		conn_refuse_unread(c, ERR_SLOW_REQUEST, "the head of the request did not arrive in time");
		return;
	case CONN_BODY:
		refuse_half(c, "the body of the request did not arrive in time");
		break;
	case CONN_PIECES:
	case CONN_WRITING:
		expire_writing(c);
		break;
	case CONN_IDLE:
	case CONN_LINGER:
		conn_die(c);
		break;
	case CONN_BUSY:
	case CONN_DEAD:
		break;
	}
	conn_work(c);
}

void conn_on_sent(struct conn *c)
{
	conn_charge(c);
	if (c->phase == CONN_PIECES)
		conn_on_flow(c);
	else if (c->phase == CONN_WRITING && conn_unsent(c) == 0)
		end_answer(c);
	conn_work(c);
}

void conn_on_end(struct conn *c)
{
	c->at_end = true;
	if (c->phase == CONN_LINGER)
		conn_die(c);
	conn_work(c);
}

void conn_on_loss(struct conn *c)
{
	if (c->phase == CONN_BUSY || c->phase == CONN_PIECES)
		c->server->handlers->gone(c->server->arg, c->tag);
	conn_die(c);
	conn_work(c);
}

void conn_stop(struct conn *c)
{
	if (c->phase == CONN_IDLE && conn_input(c).size == 0)
		conn_die(c);
	conn_work(c);
}

void conn_release(struct conn *c)
{
	if (!c->held)
		return;
	c->held = false;
	conn_set_deadline(c, c->phase == CONN_BODY ? c->server->options.body : c->server->options.header);
	conn_set_reading(c);
	conn_work(c);
}
