#include "worker/http/key.h"

#include <string.h>

#include "worker/http/text.h"

/* Which of the three dialects of /key is meant, and what they have in common. */

#define MAPS (DIALECT_HRAFT | DIALECT_RAFTDB)
#define PAIRS DIALECT_RAFT_KV_DEMO
#define ALL (MAPS | PAIRS)

void key_error(const struct answer *a, struct response *out)
{
	if (a->note->explain ||
	    (a->error != ERR_BAD_REQUEST && a->error != ERR_NOT_FOUND && a->error != ERR_METHOD)) {
		plain_error(a, out);
		return;
	}
	plain_error_headers(a, out);
	out->status = err_http(a->error);
}

enum err key_take_segment(struct bytes rest, struct operation *op)
{
	if (memchr(rest.data, '/', rest.size) != NULL || !text_percent_decode(rest, false, &op->key))
		return operation_refuse(op, ERR_BAD_REQUEST, "the key is one segment of the path");
	return ERR_OK;
}

/* Where pairs are not spoken, one is a map like any other. */
static enum err take_object(json_t *object, struct operation *op)
{
	bool pair = raft_kv_demo_is_pair(object);

	if (pair && (op->spoken & PAIRS) != 0)
		return raft_kv_demo_take_pair(object, op);
	if ((op->spoken & MAPS) != 0)
		return hraft_take_map(object, op);
	return dialect_refuse_silent(op, MAPS);
}

static enum err parse_post(const struct request *q, struct bytes rest, struct operation *op)
{
	json_t *object = plain_object(q, op);
	enum err e = ERR_BAD_REQUEST;

	(void)rest;
	op->leader_only = true;
	if (object != NULL)
		e = take_object(object, op);
	json_decref(object);
	return e;
}

/* Without a level any node answers with the latest; with one that asks the leader for it, the client is sent there. */
static void take_level(const struct request *q, struct operation *op)
{
	struct buf text = { 0 };
	struct bytes level;

	op->level = LEVEL_LINEARIZABLE;
	if (plain_parameter(q->query, "level", &text)) {
		level = text_trim(buf_bytes(&text));
		op->note.stale = text_is(level, "stale");
		op->leader_only = !op->note.stale;
		if (op->note.stale)
			op->level = LEVEL_STALE;
		else if (!text_is(level, "consistent"))
			op->level = LEVEL_LEADER;
	}
	buf_free(&text);
}

static enum err parse_get(const struct request *q, struct bytes rest, struct operation *op)
{
	if ((op->spoken & (rest.size > 0 ? MAPS : PAIRS)) == 0)
		return dialect_refuse_silent(op, rest.size > 0 ? MAPS : PAIRS);
	take_level(q, op);
	return rest.size > 0 ? hraft_parse_get(rest, op) : raft_kv_demo_parse_get(q, op);
}

static void render_get(const struct answer *a, struct response *out)
{
	if (a->note->list != NULL)
		hraft_render_get(a, out);
	else
		raft_kv_demo_render_get(a, out);
}

static enum err parse_delete(const struct request *q, struct bytes rest, struct operation *op)
{
	unsigned owner = rest.size > 0 ? DIALECT_RAFTDB : PAIRS;

	if ((op->spoken & owner) == 0)
		return dialect_refuse_silent(op, owner);
	op->leader_only = true;
	return rest.size > 0 ? raftdb_parse_delete(rest, op) : raft_kv_demo_parse_delete(q, op);
}

static enum err take_join(json_t *object, struct operation *op)
{
	unsigned owner = hraft_is_join(object) ? DIALECT_HRAFT : raftdb_is_join(object) ? DIALECT_RAFTDB : 0;

	if (owner == 0)
		return ERR_BAD_REQUEST;
	if ((op->spoken & owner) == 0)
		return dialect_refuse_silent(op, owner);
	return owner == DIALECT_HRAFT ? hraft_take_join(object, op) : raftdb_take_join(object, op);
}

static enum err parse_join(const struct request *q, struct bytes rest, struct operation *op)
{
	enum err e = ERR_BAD_REQUEST;
	json_t *object;

	(void)rest;
	op->leader_only = true;
	if (q->body.size == 0)
		return (op->spoken & PAIRS) != 0 ? raft_kv_demo_parse_join(q, op)
						 : dialect_refuse_silent(op, PAIRS);
	object = plain_object(q, op);
	if (object != NULL)
		e = take_join(object, op);
	json_decref(object);
	return e;
}

static const struct route routes[] = {
	{ METHOD_POST, "/key", "Put all pairs of a map, or the one of {\"key\":K,\"value\":V}.",
	    ROUTE_WRITE | ROUTE_BODY, 0, 0, parse_post, plain_render_empty, NULL, ALL },
	{ METHOD_POST, "/key/", "The same.", ROUTE_WRITE | ROUTE_BODY, 0, 0, parse_post, plain_render_empty,
	    NULL, ALL },
	{ METHOD_GET, "/key", "Get the value of a key: ?key=K", 0, 0, 0, parse_get, render_get, NULL,
	    DIALECT_RAFT_KV_DEMO },
	{ METHOD_GET, "/key/*", "Get a key and its value as an object; ?key=K: the value.", 0, 0, 0,
	    parse_get, render_get, NULL, ALL },
	{ METHOD_DELETE, "/key", "Delete a key: ?key=K", ROUTE_WRITE, 0, 0, parse_delete, plain_render_empty,
	    NULL, PAIRS },
	{ METHOD_DELETE, "/key/*", "Delete a key.", ROUTE_WRITE, 0, 0, parse_delete, plain_render_empty, NULL,
	    ALL },
	{ METHOD_ANY, "/join",
	    "Add a member: {\"id\",\"addr\"}, {\"id\",\"raftAddr\",\"httpAddr\"} or "
	    "?id=&addr=",
	    ROUTE_WRITE | ROUTE_BODY, 0, 0, parse_join, plain_render_empty, NULL, ALL },
	{ METHOD_ANY, "/remove", "Remove a member: ?id=N", ROUTE_WRITE, 0, 0, raft_kv_demo_parse_remove,
	    plain_render_empty, NULL, DIALECT_RAFT_KV_DEMO },
	{ .pattern = NULL },
};

const struct dialect shared_key = {
	.name = "key", .routes = routes, .error = key_error, .open = true, .follows = true
};
