#include <assert.h>

#include "worker/http/conn.h"

/* An answer whose body comes in pieces: chunks (RFC 9112 §7.1), or to a client of HTTP/1.0 bytes up to the end of the
 * connection. */

static bool is_chunked(const struct conn *c)
{
	return !c->framing.http_1_0;
}

static bool send_or_die(struct conn *c, struct bytes head, struct bytes piece)
{
	if (conn_send(c, head, piece))
		return true;
	conn_die(c);
	conn_work(c);
	return false;
}

bool conn_begin(struct conn *c, const struct response *r)
{
	struct server *s = c->server;

	assert(c->phase == CONN_BUSY && r->stream && !c->head_only);
	c->closing = c->closing || s->stopping || !c->framing.keep_alive || !is_chunked(c);
	c->chunk_begun = false;
	c->phase = CONN_PIECES;
	conn_set_low(c, SERVER_PIECES_LOW);
	server_compose(s, c, r);
	return send_or_die(c, buf_bytes(&s->out), (struct bytes){ 0 });
}

bool conn_piece(struct conn *c, struct bytes piece)
{
	struct buf *out = &c->server->out;

	assert(c->phase == CONN_PIECES && piece.size > 0);
	buf_clear(out);
	if (is_chunked(c))
		buf_printf(out, "%s%zx\r\n", c->chunk_begun ? "\r\n" : "", piece.size);
	c->chunk_begun = true;
	return send_or_die(c, buf_bytes(out), piece);
}

void conn_finish(struct conn *c)
{
	const char *end = c->chunk_begun ? "\r\n0\r\n\r\n" : "0\r\n\r\n";

	assert(c->phase == CONN_PIECES);
	if (is_chunked(c) && !send_or_die(c, bytes_text(end), (struct bytes){ 0 }))
		return;
	conn_set_low(c, 0);
	c->closing = c->closing || c->server->stopping;
	conn_end_answer(c);
	conn_work(c);
}

void conn_break(struct conn *c)
{
	assert(c->phase == CONN_PIECES);
	if (!is_chunked(c))
		conn_reset(c);
	conn_die(c);
	conn_work(c);
}

void conn_on_flow(struct conn *c)
{
	c->server->handlers->flows(c->server->arg, c->tag);
}
