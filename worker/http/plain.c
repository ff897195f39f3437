#include "worker/http/plain.h"

#include "worker/http/json_body.h"
#include "worker/http/text.h"

#define FORM "application/x-www-form-urlencoded"

bool plain_parameter(struct bytes query, const char *wanted, struct buf *to)
{
	size_t before = to->size;
	struct bytes name, value;

	while (text_query_next(&query, &name, &value)) {
		if (!bytes_equal(name, bytes_text(wanted)))
			continue;
		if (text_percent_decode(value, true, to))
			return true;
		to->size = before;
	}
	return false;
}

static bool is_form(const struct request *q)
{
	const struct bytes *type = request_header(q, "content-type");
	struct bytes kind;

	if (type == NULL)
		return false;
	kind = *type;
	for (size_t i = 0; i < kind.size; i++)
		if (kind.data[i] == ';')
			kind.size = i;
	return text_is(text_trim(kind), FORM);
}

bool plain_form(const struct request *q, const char *name, struct buf *to)
{
	return (is_form(q) && plain_parameter(q->body, name, to)) || plain_parameter(q->query, name, to);
}

static bool has_strings(json_t *object)
{
	const char *name;
	json_t *value;

	if (!json_is_object(object))
		return false;
	json_object_foreach(object, name, value)
	{
		if (!json_is_string(value))
			return false;
	}
	return true;
}

json_t *plain_object(const struct request *q, struct operation *op)
{
	json_t *object = json_body(q->body, JSON_ALLOW_NUL, op);

	if (object == NULL || has_strings(object))
		return object;
	operation_refuse(op, ERR_BAD_REQUEST, "the body is an object of strings");
	json_decref(object);
	return NULL;
}

struct bytes plain_member(json_t *object, const char *name)
{
	const json_t *value = json_object_get(object, name);

	return bytes_of(value != NULL ? json_string_value(value) : "", json_string_length(value));
}

enum err plain_parse_put(struct operation *op, struct bytes value)
{
	enum err e;

	op->kind = REQUEST_WRITE;
	if ((e = operation_check_key(op, buf_bytes(&op->key), false)) != ERR_OK ||
	    (e = operation_check_value(op, value.size)) != ERR_OK)
		return e;
	operation_begin_steps(op);
	kv_put_step(&op->txn, buf_bytes(&op->key), value, (struct bytes){ 0 });
	operation_end(op);
	return ERR_OK;
}

enum err plain_parse_delete(struct operation *op, bool in_path)
{
	enum err e;

	op->kind = REQUEST_WRITE;
	if ((e = operation_check_key(op, buf_bytes(&op->key), in_path)) != ERR_OK)
		return e;
	operation_begin_steps(op);
	kv_delete_step(&op->txn, buf_bytes(&op->key));
	operation_end(op);
	return ERR_OK;
}

enum err plain_parse_get(struct operation *op, bool in_path)
{
	enum err e;

	op->kind = REQUEST_READ;
	if ((e = operation_check_key(op, buf_bytes(&op->key), in_path)) != ERR_OK)
		return e;
	operation_begin_steps(op);
	kv_get_step(&op->txn, buf_bytes(&op->key));
	operation_end(op);
	return ERR_OK;
}

bool plain_found(const struct answer *a, void (*error)(const struct answer *a, struct response *out),
    struct response *out, struct bytes *value)
{
	struct reader r = reader_of(a->result.steps), records;
	struct answer wrong = *a;
	struct kv_step_result step = { 0 };
	struct kv_record record;

	*value = (struct bytes){ 0 };
	if (kv_step_result_get(&r, &step) && step.count == 0)
		return false;
	records = reader_of(step.records);
	if (kv_record_get(&records, &record)) {
		*value = record.value;
		return true;
	}
	wrong.error = ERR_INTERNAL;
	error(&wrong, out);
	return false;
}

struct answer plain_unfit(const struct answer *a)
{
	struct answer unfit = *a;

	unfit.error = ERR_CONFLICT;
	unfit.text =
	    bytes_text("the value is not UTF-8, so JSON cannot hold it; GET /v1/kv/KEY gives it as it is");
	return unfit;
}

void plain_render_value(struct bytes value, struct response *out)
{
	out->status = 200;
	response_header(out, "Content-Type", text_is_plain(value) ? PLAIN_TEXT : "application/octet-stream");
	out->body = value;
}

void plain_text(struct response *out, int status, const char *text)
{
	out->status = status;
	response_header(out, "Content-Type", PLAIN_TEXT);
	buf_append_text(&out->own, text);
	response_own_body(out);
}

void plain_render_empty(const struct answer *a, struct response *out)
{
	(void)a;
	out->status = 200;
}

void plain_error_headers(const struct answer *a, struct response *out)
{
	if (a->note->write)
		response_header(out, "Holdfast-Applied", a->applied == APPLIED_NO ? "no" : "unknown");
	if (err_http(a->error) == 503)
		response_header(out, "Retry-After", "1");
}

void plain_put_reason(const struct answer *a, struct buf *to)
{
	if (a->error == ERR_NOT_LEADER || a->error == ERR_NO_LEADER)
		buf_append_text(to, "node is not the leader");
	else if (a->text.size > 0)
		buf_append(to, a->text);
	else
		buf_append_text(to, err_text(a->error));
}

void plain_error(const struct answer *a, struct response *out)
{
	plain_error_headers(a, out);
	plain_put_reason(a, &out->own);
	buf_append_text(&out->own, "\n");
	plain_text(out, err_http(a->error), "");
}
