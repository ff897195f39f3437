#include <string.h>

#include "worker/http/plain.h"
#include "worker/http/text.h"

/*
 * The dialect of raft-kv-example (API 2): GET and POST /keys/K/, POST /cluster/join/. Any node serves any request. As with
 * the router that it was written for, a path without the slash at its end is sent to the one with it.
 */

static void error(const struct answer *a, struct response *out)
{
	struct buf reason = { 0 };

	plain_error_headers(a, out);
	plain_put_reason(a, &reason);
	buf_printf(&out->own, "{\"code\":\"%s\",\"error\":", err_name(a->error));
	if (!text_put_json(&out->own, buf_bytes(&reason)))
		text_put_json(&out->own, bytes_text(err_text(a->error)));
	buf_append_text(&out->own, "}");
	buf_free(&reason);
	out->status = err_http(a->error);
	response_header(out, "Content-Type", PLAIN_JSON);
	response_own_body(out);
}

/* One segment of the path. */
static enum err take_key(struct bytes rest, struct operation *op)
{
	if (memchr(rest.data, '/', rest.size) != NULL)
		return operation_refuse(op, ERR_NOT_FOUND, "there is no such path");
	if (!text_percent_decode(rest, false, &op->key))
		return operation_refuse(
		    op, ERR_BAD_REQUEST, "in the key a %% is not followed by two hexadecimal digits");
	return ERR_OK;
}

/* --- keys --- */

/* False, and nothing, when the value is not UTF-8. */
static bool put_value(struct buf *to, struct bytes value)
{
	size_t before = to->size;

	buf_append_text(to, "{\"value\":");
	if (!text_put_json(to, value)) {
		to->size = before;
		return false;
	}
	buf_append_text(to, "}");
	return true;
}

static enum err parse_get(const struct request *q, struct bytes rest, struct operation *op)
{
	enum err e = take_key(rest, op);

	(void)q;
	return e != ERR_OK ? e : plain_parse_get(op, true);
}

static void finish(struct response *out)
{
	out->status = 200;
	response_header(out, "Content-Type", PLAIN_JSON);
	response_own_body(out);
}

static void render_get(const struct answer *a, struct response *out)
{
	struct bytes value;
	struct answer unfit;
	bool found = plain_found(a, error, out, &value);

	if (out->status != 0)
		return;
	if (!put_value(&out->own, value)) {
		unfit = plain_unfit(a);
		error(&unfit, out);
		return;
	}
	finish(out);
	if (!found)
		response_header(out, "Holdfast-Found", "false");
}

/* The answer says the value again; what it will be is kept. */
static enum err take_value(json_t *object, struct operation *op)
{
	struct bytes value = plain_member(object, "value");
	struct buf echo = { 0 };

	if (json_object_size(object) != 1 || json_object_get(object, "value") == NULL)
		return operation_refuse(op, ERR_BAD_REQUEST, "the body is {\"value\":\"V\"}");
	put_value(&echo, value);
	op->note.list = blob_new(buf_bytes(&echo));
	buf_free(&echo);
	return plain_parse_put(op, value);
}

static enum err parse_post(const struct request *q, struct bytes rest, struct operation *op)
{
	json_t *object;
	enum err e;

	if ((e = take_key(rest, op)) != ERR_OK)
		return e;
	if ((object = plain_object(q, op)) == NULL)
		return ERR_BAD_REQUEST;
	e = take_value(object, op);
	json_decref(object);
	return e;
}

static void render_post(const struct answer *a, struct response *out)
{
	buf_append(&out->own, blob_bytes(a->note->list));
	finish(out);
}

/* --- the slash --- */

static enum err parse_no_slash(const struct request *q, struct bytes rest, struct operation *op)
{
	struct buf location = { 0 };
	enum err e;

	if (rest.size == 0)
		return operation_refuse(op, ERR_NOT_FOUND, "there is no such path");
	if ((e = take_key(rest, op)) != ERR_OK)
		return e;
	buf_append(&location, q->path);
	buf_append_text(&location, "/");
	if (q->query.size > 0) {
		buf_append_text(&location, "?");
		buf_append(&location, q->query);
	}
	op->note.list = blob_new(buf_bytes(&location));
	buf_free(&location);
	return ERR_OK;
}

static void render_slash(const struct answer *a, int status, struct response *out)
{
	struct answer wrong = *a;

	wrong.error = ERR_BAD_REQUEST;
	if (response_header_bytes(out, "Location", blob_bytes(a->note->list)))
		out->status = status;
	else
		error(&wrong, out);
}

static void render_moved(const struct answer *a, struct response *out)
{
	render_slash(a, 301, out);
}

static void render_elsewhere(const struct answer *a, struct response *out)
{
	render_slash(a, 307, out);
}

/* --- members --- */

/* Whoever asks knows an address alone: the node there says who it is. */
static enum err parse_join(const struct request *q, struct bytes rest, struct operation *op)
{
	json_t *object = plain_object(q, op);
	enum err e = ERR_BAD_REQUEST;

	(void)rest;
	if (object != NULL && json_object_size(object) == 1 && json_object_get(object, "address") != NULL)
		e = operation_add_member(op, (struct bytes){ 0 }, plain_member(object, "address"),
		    (struct bytes){ 0 }, ADD_PLAINLY);
	json_decref(object);
	return e;
}

static void render_join(const struct answer *a, struct response *out)
{
	(void)a;
	buf_append_text(&out->own, "{}");
	finish(out);
}

static void join_error(const struct answer *a, struct response *out)
{
	plain_error_headers(a, out);
	render_join(a, out);
	out->status = a->error == ERR_BAD_REQUEST ? 400 : 503;
}

static const struct route routes[] = {
	{ METHOD_GET, "/keys/*/", "Get the value of a key, as {\"value\":V}.", 0, 0, 0, parse_get, render_get,
	    NULL, DIALECT_RAFT_KV_EXAMPLE },
	{ METHOD_POST, "/keys/*/", "Put {\"value\":V}.", ROUTE_WRITE | ROUTE_BODY, 0, 0, parse_post,
	    render_post, NULL, DIALECT_RAFT_KV_EXAMPLE },
	{ METHOD_GET, "/keys/*", "Send the client to the path with a slash at its end.", ROUTE_LOCAL, 0, 0,
	    parse_no_slash, render_moved, NULL, DIALECT_RAFT_KV_EXAMPLE },
	{ METHOD_POST, "/keys/*", "The same.", ROUTE_WRITE | ROUTE_LOCAL | ROUTE_BODY, 0, 0, parse_no_slash,
	    render_elsewhere, NULL, DIALECT_RAFT_KV_EXAMPLE },
	{ METHOD_POST, "/cluster/join/", "Add the node at {\"address\":HOST:PORT}.", ROUTE_WRITE | ROUTE_BODY,
	    0, 0, parse_join, render_join, join_error, DIALECT_RAFT_KV_EXAMPLE },
	{ .pattern = NULL },
};

const struct dialect raft_kv_example = {
	.name = "raft-kv-example", .routes = routes, .error = error, .open = true, .follows = true
};
