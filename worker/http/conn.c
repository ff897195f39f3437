#include "worker/http/conn.h"

#include <assert.h>
#include <stdio.h>
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
	s->unsent -= c->charged_unsent;
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

void conn_end_answer(struct conn *c)
{
	if (conn_unsent(c) == 0) {
		end_answer(c);
		return;
	}
	c->phase = CONN_WRITING;
	c->deadline = INSTANT_NEVER;
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

static void cut_off(struct conn *c)
{
	if (c->phase == CONN_PIECES)
		c->server->handlers->gone(c->server->arg, c->tag);
	conn_reset(c);
	conn_die(c);
}

/* The body goes before the connection may. */
static void refuse_half(struct conn *c, enum pace_found found)
{
	const struct server_options *o = &c->server->options;
	char why[160];

	if (found == PACE_SILENT)
		snprintf(why, sizeof(why), "no byte of the body has come for %lld ms ([http] body_timeout)",
		    (long long)span_to_ms(o->silence));
	else
		snprintf(why, sizeof(why),
		    "the body comes too slowly: less than %llu bytes a second ([http] min_rate)",
		    (unsigned long long)o->rate);
	c->working = true;
	conn_refuse_body(c, ERR_SLOW_REQUEST, why);
	c->working = false;
}

/* What the client moves, if it is waited for at present. */
static bool is_waited_for(const struct conn *c, uint64_t *bytes)
{
	if (c->phase == CONN_BODY && !c->held) {
		*bytes = c->body.size;
		return true;
	}
	if ((c->phase == CONN_PIECES || c->phase == CONN_WRITING) && conn_unsent(c) > 0) {
		*bytes = conn_taken(c);
		return *bytes < c->given - conn_unsent(c);
	}
	return false;
}

/* A client is not waited for while the kernel has nothing to send to it: then this process is late. */
static enum pace_found look_at_pace(struct conn *c)
{
	const struct server *s = c->server;
	const struct pace_rule rule = { s->options.silence, s->options.rate, span_times(s->sweep_every, 2) };
	uint64_t bytes;

	if (is_waited_for(c, &bytes))
		return pace_look(&c->pace, &rule, bytes, loop_now(s->loop));
	pace_end(&c->pace);
	return PACE_GOOD;
}

static void end_slow(struct conn *c, enum pace_found found)
{
	c->server->traffic.cut_off++;
	if (c->phase == CONN_BODY)
		refuse_half(c, found);
	else
		cut_off(c);
	conn_work(c);
}

static void expire(struct conn *c)
{
	if (c->phase == CONN_HEAD) {
		c->server->traffic.cut_off++;
		conn_refuse_unread(c, ERR_SLOW_REQUEST, "the head of the request did not arrive in time");
		return;
	}
	conn_die(c);
	conn_work(c);
}

/* Nothing is read behind a client's end, so the loop does not tell when the other direction is lost too. */
void conn_look_after(struct conn *c)
{
	enum pace_found found = look_at_pace(c);

	if (c->at_end && conn_is_lost(c))
		conn_on_loss(c);
	else if (found != PACE_GOOD)
		end_slow(c, found);
	else if (instant_passed(c->deadline, loop_now(c->server->loop)))
		expire(c);
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
	if (c->phase == CONN_HEAD)
		conn_set_deadline(c, c->server->options.header);
	conn_set_reading(c);
	conn_work(c);
}
