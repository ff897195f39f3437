#include "worker/http/native.h"

#include <stdio.h>

#include "worker/http/text.h"

/* What several routes honour. */
#define CONDITIONS (HEADER_IF_MATCH | HEADER_IF_NONE_MATCH)
#define TOKEN HEADER_IDEMPOTENCY_KEY
#define WAITS (PARAMETER_MIN_REVISION | PARAMETER_TIMEOUT)
#define READS (WAITS | PARAMETER_LEVEL)
#define PAGES (PARAMETER_PREFIX | PARAMETER_AFTER | PARAMETER_LIMIT | PARAMETER_KEYS)

void native_headers(const struct answer *a, struct response *out)
{
	response_header_number(out, "Holdfast-Revision", a->revision);
	if (a->note->stale && a->age_ms != UINT64_MAX)
		response_header_number(out, "Holdfast-Age", a->age_ms);
	if (a->result.replayed != 0)
		response_header(out, "Holdfast-Replayed", "true");
}

void native_finish_json(const struct answer *a, int status, struct response *out)
{
	out->status = status;
	native_headers(a, out);
	response_header(out, "Content-Type", "application/json");
	response_own_body(out);
}

bool native_first_step(const struct answer *a, struct kv_step_result *step)
{
	struct reader r = reader_of(a->result.steps);

	return kv_step_result_get(&r, step);
}

/* An answer whose inside is not what was asked for: it cannot be told whether a write took place. */
static void render_nonsense(const struct answer *a, struct response *out)
{
	struct answer wrong = *a;

	wrong.error = ERR_INTERNAL;
	wrong.applied = APPLIED_UNKNOWN;
	response_clear(out);
	native_error(&wrong, out);
}

static enum err take_key(struct operation *op, struct bytes rest)
{
	if (!text_percent_decode(rest, false, &op->key))
		return operation_refuse(
		    op, ERR_BAD_REQUEST, "in the key a %% is not followed by two hexadecimal digits");
	return operation_check_key(op, buf_bytes(&op->key), true);
}

/* "N", the only form of our own tags: N without leading zeros, from 1 on. */
static bool take_tag(struct bytes value, uint64_t *revision)
{
	return value.size > 2 && value.data[0] == '"' && value.data[value.size - 1] == '"' &&
	       text_number(bytes_of(value.data + 1, value.size - 2), revision) && *revision > 0;
}

static bool is_star(struct bytes value)
{
	return value.size == 1 && value.data[0] == '*';
}

/* If-Match and If-None-Match of a write become the guards of its key. */
static enum err take_conditions(struct operation *op, const struct request *q)
{
	const struct bytes *match = request_header(q, "if-match");
	const struct bytes *none_match = request_header(q, "if-none-match");
	uint64_t revision = 0;

	if (match == NULL && none_match == NULL)
		return ERR_OK;
	if (request_header_count(q, "if-match") + request_header_count(q, "if-none-match") > 1)
		return operation_refuse(op, ERR_BAD_REQUEST, "one of If-Match and If-None-Match, and once");
	operation_begin_guards(op);
	if (none_match != NULL && is_star(*none_match))
		kv_guard(&op->txn, GUARD_ABSENT, buf_bytes(&op->key), 0);
	else if (none_match != NULL)
		return operation_refuse(op, ERR_BAD_REQUEST, "If-None-Match of a write is *");
	else if (is_star(*match))
		kv_guard(&op->txn, GUARD_EXISTS, buf_bytes(&op->key), 0);
	else if (take_tag(*match, &revision))
		kv_guard(&op->txn, GUARD_MODIFY, buf_bytes(&op->key), revision);
	else
		return operation_refuse(op, ERR_BAD_REQUEST,
		    "If-Match is * or one revision in quotation marks, as the ETag of an answer has it");
	return ERR_OK;
}

/* A write of one key: key and conditions; what follows is its one step. */
static enum err begin_write(const struct request *q, struct bytes rest, struct operation *op)
{
	enum err e;

	op->kind = REQUEST_WRITE;
	if ((e = take_key(op, rest)) != ERR_OK || (e = take_conditions(op, q)) != ERR_OK)
		return e;
	operation_begin_steps(op);
	return ERR_OK;
}

static enum err parse_put(const struct request *q, struct bytes rest, struct operation *op)
{
	const struct bytes *type = request_header(q, "content-type");
	enum err e;

	if ((e = operation_check_value(op, q->body.size)) != ERR_OK ||
	    (e = begin_write(q, rest, op)) != ERR_OK)
		return e;
	if (type != NULL && type->size > KV_CONTENT_TYPE_BYTES_MAX)
		return operation_refuse(op, ERR_BAD_REQUEST,
		    "the Content-Type has %zu bytes, the limit is %d", type->size, KV_CONTENT_TYPE_BYTES_MAX);
	kv_put_step(&op->txn, buf_bytes(&op->key), q->body, type != NULL ? *type : (struct bytes){ 0 });
	operation_end(op);
	return ERR_OK;
}

static void render_put(const struct answer *a, struct response *out)
{
	struct kv_step_result step;

	if (!native_first_step(a, &step)) {
		render_nonsense(a, out);
		return;
	}
	response_etag(out, a->result.revision);
	buf_append_text(&out->own, "{\"revision\":");
	text_put_number(&out->own, a->result.revision);
	buf_append_text(&out->own, "}");
	native_finish_json(a, step.count == 1 ? 201 : 200, out);
}

static enum err parse_delete(const struct request *q, struct bytes rest, struct operation *op)
{
	enum err e;

	if ((e = begin_write(q, rest, op)) != ERR_OK)
		return e;
	kv_delete_step(&op->txn, buf_bytes(&op->key));
	operation_end(op);
	return ERR_OK;
}

static void render_delete(const struct answer *a, struct response *out)
{
	struct kv_step_result step;

	if (!native_first_step(a, &step)) {
		render_nonsense(a, out);
		return;
	}
	buf_append_text(&out->own, "{\"revision\":");
	text_put_number(&out->own, a->result.revision);
	buf_append_text(&out->own, ",\"deleted\":");
	text_put_number(&out->own, step.count);
	if (a->note->limited)
		buf_append_text(&out->own, step.more != 0 ? ",\"more\":true" : ",\"more\":false");
	buf_append_text(&out->own, "}");
	native_finish_json(a, 200, out);
}

static enum err parse_delete_prefix(const struct request *q, struct bytes rest, struct operation *op)
{
	uint32_t limit = op->parameters.limit;

	(void)q;
	(void)rest;
	op->kind = REQUEST_WRITE;
	if ((op->parameters.seen & PARAMETER_PREFIX) == 0)
		return operation_refuse(
		    op, ERR_BAD_REQUEST, "say which: prefix=P; an empty prefix means all keys");
	op->note.limited = limit > 0;
	operation_begin_steps(op);
	kv_delete_first_step(
	    &op->txn, buf_bytes(&op->key), limit < KV_DELETE_KEYS_MAX ? limit : KV_DELETE_KEYS_MAX);
	operation_end(op);
	return ERR_OK;
}

/* If-None-Match of a read compares weakly (RFC 9110 §13.1.2): W/"N" is N behind a proxy that compressed it. */
static enum err take_known_revision(struct operation *op, const struct request *q)
{
	const struct bytes *known = request_header(q, "if-none-match");
	struct bytes tag;

	if (known == NULL)
		return ERR_OK;
	tag = *known;
	op->note.any = is_star(tag);
	if (bytes_begins(tag, bytes_text("W/")))
		tag = bytes_of(tag.data + 2, tag.size - 2);
	if (request_header_count(q, "if-none-match") > 1 ||
	    (!op->note.any && !take_tag(tag, &op->note.revision)))
		return operation_refuse(op, ERR_BAD_REQUEST,
		    "If-None-Match is * or one revision in quotation marks, as the ETag of an answer has it");
	return ERR_OK;
}

static enum err parse_get(const struct request *q, struct bytes rest, struct operation *op)
{
	enum err e;

	op->kind = REQUEST_READ;
	if ((e = take_key(op, rest)) != ERR_OK || (e = take_known_revision(op, q)) != ERR_OK)
		return e;
	operation_begin_steps(op);
	kv_get_step(&op->txn, buf_bytes(&op->key));
	operation_end(op);
	return ERR_OK;
}

static void render_absent(const struct answer *a, struct response *out)
{
	buf_append_text(&out->own, "{\"error\":\"there is no such key\",\"code\":\"not_found\"}");
	native_finish_json(a, 404, out);
}

static void render_get(const struct answer *a, struct response *out)
{
	struct kv_step_result step;
	struct kv_record record;
	struct reader r;

	if (!native_first_step(a, &step)) {
		render_nonsense(a, out);
		return;
	}
	if (step.count == 0) {
		render_absent(a, out);
		return;
	}
	r = reader_of(step.records);
	if (!kv_record_get(&r, &record)) {
		render_nonsense(a, out);
		return;
	}
	native_headers(a, out);
	response_etag(out, record.modify);
	if (a->note->any || a->note->revision == record.modify) {
		out->status = 304;
		return;
	}
	out->status = 200;
	response_header_number(out, "Holdfast-Create-Revision", record.create);
	response_header_number(out, "Holdfast-Version", record.version);
	if (record.content_type.size == 0 || !response_header_bytes(out, "Content-Type", record.content_type))
		response_header(out, "Content-Type", "application/octet-stream");
	out->body = record.value;
}

static enum err parse_list(const struct request *q, struct bytes rest, struct operation *op)
{
	uint32_t limit = op->parameters.limit;

	(void)q;
	(void)rest;
	op->kind = REQUEST_READ;
	if (limit == 0 || limit > KV_PAGE_KEYS_MAX)
		limit = KV_PAGE_KEYS_MAX;
	operation_begin_steps(op);
	kv_range_step(&op->txn, buf_bytes(&op->key), buf_bytes(&op->after), limit, op->note.keys_only);
	operation_end(op);
	return ERR_OK;
}

static const struct route routes[] = {
	{ METHOD_GET, "/", "Show this list.", ROUTE_LOCAL, 0, 0, native_parse_index, native_render_index,
	    NULL, 0 },
	{ METHOD_PUT, "/v1/kv/*", "Put the body as the value of a key.",
	    ROUTE_WRITE | ROUTE_VALUE | ROUTE_BODY, CONDITIONS | TOKEN, WAITS, parse_put, render_put, NULL,
	    0 },
	{ METHOD_GET, "/v1/kv/*", "Get the value of a key.", 0, HEADER_IF_NONE_MATCH, READS, parse_get,
	    render_get, NULL, 0 },
	{ METHOD_DELETE, "/v1/kv/*", "Delete a key.", ROUTE_WRITE, CONDITIONS | TOKEN, WAITS, parse_delete,
	    render_delete, NULL, 0 },
	{ METHOD_GET, "/v1/kv", "List keys, in pages.", 0, 0, READS | PAGES, parse_list, native_render_list,
	    NULL, 0 },
	{ METHOD_DELETE, "/v1/kv", "Delete all keys that begin with a prefix.", ROUTE_WRITE, TOKEN,
	    WAITS | PARAMETER_PREFIX | PARAMETER_LIMIT, parse_delete_prefix, render_delete, NULL, 0 },
	{ METHOD_POST, "/v1/batch", "Put and delete several keys, all or nothing.", ROUTE_WRITE | ROUTE_BODY,
	    TOKEN, WAITS, native_parse_batch, native_render_batch, NULL, 0 },
	{ METHOD_GET, "/v1/status", "Show how this node is.", 0, 0, PARAMETER_TIMEOUT, native_parse_status,
	    native_render_status, NULL, 0 },
	{ METHOD_GET, "/v1/members", "List the members of the cluster.", 0, 0, PARAMETER_TIMEOUT,
	    native_parse_status, native_render_members, NULL, 0 },
	{ METHOD_POST, "/v1/members", "Add a member.", ROUTE_WRITE | ROUTE_BODY, 0,
	    PARAMETER_TIMEOUT | PARAMETER_WAIT, native_parse_add_member, native_render_members, NULL, 0 },
	{ METHOD_DELETE, "/v1/members/*", "Remove a member.", ROUTE_WRITE, 0, PARAMETER_TIMEOUT,
	    native_parse_remove_member, native_render_members, NULL, 0 },
	{ METHOD_POST, "/v1/leader", "Hand over the leadership.", ROUTE_WRITE | ROUTE_BODY, 0,
	    PARAMETER_TIMEOUT, native_parse_transfer, native_render_transfer, NULL, 0 },
	{ METHOD_GET, "/v1/backup", "Download the state of this node.", 0, 0, 0, native_parse_backup,
	    native_render_backup, NULL, 0 },
	{ METHOD_GET, "/livez", "200 while this process is alive.", ROUTE_LOCAL, 0, PARAMETER_VERBOSE,
	    native_parse_local, native_render_livez, NULL, 0 },
	{ METHOD_GET, "/metrics", "Metrics for Prometheus.", ROUTE_LOCAL, 0, 0, native_parse_local,
	    native_render_metrics, NULL, 0 },
	{ METHOD_GET, "/readyz", "200 when this node can serve, else 503.", 0, 0,
	    PARAMETER_TIMEOUT | PARAMETER_VERBOSE, native_parse_probe, native_render_readyz, NULL, 0 },
	{ METHOD_GET, "/leader", "200 on the leader, else 503.", 0, 0, PARAMETER_TIMEOUT | PARAMETER_VERBOSE,
	    native_parse_status, native_render_leader, NULL, 0 },
	{ METHOD_GET, "/health", "What /readyz says, as etcd says it.", 0, 0, PARAMETER_TIMEOUT,
	    native_parse_probe, native_render_health, native_health_error, 0 },
	{ METHOD_GET, "/version", "Show the version of this node.", ROUTE_LOCAL, 0, 0, native_parse_local,
	    native_render_version, NULL, 0 },
	{ .pattern = NULL },
};

const struct dialect native = { .name = "native", .routes = routes, .error = native_error };
