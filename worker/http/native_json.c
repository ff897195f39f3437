#include <jansson.h>

#include "worker/http/json_body.h"
#include "worker/http/native.h"
#include "worker/http/text.h"

static int append(const char *text, size_t size, void *arg)
{
	buf_append(arg, bytes_of(text, size));
	return 0;
}

/* Takes over the document. */
static void finish(json_t *document, const struct answer *a, int status, struct response *out)
{
	json_dump_callback(document, append, &out->own, JSON_COMPACT);
	json_decref(document);
	native_finish_json(a, status, out);
}

static const char *text_of_error(const struct answer *a, char *room, size_t size)
{
	if (a->text.size == 0)
		return err_text(a->error);
	snprintf(room, size, "%.*s", (int)a->text.size, (const char *)a->text.data);
	return room;
}

/* Which step of a batch the failed guard belongs to; -1 for a single operation, whose list is absent. */
static json_int_t failed_step(const struct answer *a)
{
	struct bytes list = blob_bytes(a->note->list);

	if (a->error != ERR_CONDITION || list.size / 4 <= a->result.failed_guard)
		return -1;
	return wire_load_u32(list.data + 4 * (size_t)a->result.failed_guard);
}

static void add_condition(json_t *document, const struct answer *a, struct response *out)
{
	json_int_t step = failed_step(a);

	json_object_set_new(document, "revision", json_integer((json_int_t)a->result.present));
	if (step >= 0)
		json_object_set_new(document, "step", json_integer(step));
	else if (a->result.present != 0)
		response_etag(out, a->result.present);
}

void native_error(const struct answer *a, struct response *out)
{
	char room[1024];
	json_t *document = json_object(), *text = json_string(text_of_error(a, room, sizeof(room)));

	/* What came from elsewhere and is no UTF-8 is not shown. */
	json_object_set_new(document, "error", text != NULL ? text : json_string(err_text(a->error)));
	json_object_set_new(document, "code", json_string(err_name(a->error)));
	if (a->note->write) {
		const char *applied = a->applied == APPLIED_NO ? "no" : "unknown";

		json_object_set_new(document, "applied", json_string(applied));
		response_header(out, "Holdfast-Applied", applied);
	}
	if (a->error == ERR_CONDITION)
		add_condition(document, a, out);
	if (err_http(a->error) == 503)
		response_header(out, "Retry-After", "1");
	finish(document, a, err_http(a->error), out);
}

/* "name":text where the bytes are UTF-8, else "name64":base64. */
static void put_bytes(struct buf *to, const char *name, struct bytes value)
{
	size_t before = to->size;

	buf_printf(to, "\"%s\":", name);
	if (text_put_json(to, value))
		return;
	to->size = before;
	buf_printf(to, "\"%s64\":\"", name);
	text_put_base64(to, value);
	buf_append_text(to, "\"");
}

static void put_number(struct buf *to, const char *before, uint64_t number)
{
	buf_append_text(to, before);
	text_put_number(to, number);
}

static void put_record(struct buf *to, const struct kv_record *r, bool keys_only)
{
	buf_append_text(to, "{");
	put_bytes(to, "key", r->key);
	buf_append_text(to, ",");
	if (!keys_only) {
		put_bytes(to, "value", r->value);
		buf_append_text(to, ",");
	}
	put_number(to, "\"create\":", r->create);
	put_number(to, ",\"modify\":", r->modify);
	put_number(to, ",\"version\":", r->version);
	buf_append_text(to, "}");
}

/* Printed by hand: through jansson a page of 2 MiB took the worker 22 ms, in which it did nothing else. */
void native_render_list(const struct answer *a, struct response *out)
{
	struct kv_record record = { 0 };
	struct kv_step_result step = { 0 };
	struct buf *to = &out->own;
	const char *between = "";
	struct reader r;

	native_first_step(a, &step);
	r = reader_of(step.records);
	put_number(to, "{\"revision\":", a->result.revision);
	buf_append_text(to, ",\"keys\":[");
	for (; r.left > 0 && kv_record_get(&r, &record); between = ",") {
		buf_append_text(to, between);
		put_record(to, &record, a->note->keys_only);
	}
	buf_append_text(to, "],");
	if (step.more != 0)
		put_bytes(to, "next", record.key);
	else
		buf_append_text(to, "\"next\":null");
	buf_append_text(to, "}");
	native_finish_json(a, 200, out);
}

/* The batch as it is read: an array of objects, each with one of put and delete, and an "if" if wanted. */
struct batch {
	struct operation *op;
	struct buf guards, steps; /* the array has them mixed */
	struct buf list; /* for each guard the number of its step, as u32 */
	struct buf value;
};

static enum err refuse(const struct batch *b, const char *why)
{
	return operation_refuse(b->op, ERR_BAD_REQUEST, "%s", why);
}

/* The member `name` as text or `name64` as base64; exactly one of both. */
static enum err take_bytes(
    struct batch *b, json_t *object, const char *name, const char *name64, struct buf *to)
{
	json_t *text = json_object_get(object, name), *encoded = json_object_get(object, name64);

	buf_clear(to);
	if ((text != NULL) == (encoded != NULL))
		return operation_refuse(b->op, ERR_BAD_REQUEST, "it needs either %s or %s", name, name64);
	if (!json_is_string(text != NULL ? text : encoded))
		return operation_refuse(b->op, ERR_BAD_REQUEST, "%s is a string", name);
	if (text != NULL)
		buf_append(to, bytes_of(json_string_value(text), json_string_length(text)));
	else if (!text_base64_decode(bytes_of(json_string_value(encoded), json_string_length(encoded)), to))
		return operation_refuse(b->op, ERR_BAD_REQUEST, "%s is not base64", name64);
	return ERR_OK;
}

static enum err take_condition(struct batch *b, size_t step, json_t *condition)
{
	json_t *modify = json_object_get(condition, "modify"), *absent = json_object_get(condition, "absent");
	uint8_t number[4];

	if (condition == NULL)
		return ERR_OK;
	if (json_object_size(condition) != 1 || (modify == NULL && absent == NULL))
		return refuse(b, "if is {\"modify\":N} or {\"absent\":true}");
	if (absent != NULL && !json_is_true(absent))
		return refuse(b, "absent is true");
	if (modify != NULL && (!json_is_integer(modify) || json_integer_value(modify) <= 0))
		return refuse(b, "modify is a revision, a number from 1 on");
	if (absent != NULL)
		kv_guard(&b->guards, GUARD_ABSENT, buf_bytes(&b->op->key), 0);
	else
		kv_guard(
		    &b->guards, GUARD_MODIFY, buf_bytes(&b->op->key), (uint64_t)json_integer_value(modify));
	wire_store_u32(number, (uint32_t)step);
	buf_append(&b->list, bytes_of(number, sizeof(number)));
	return ERR_OK;
}

static enum err take_step(struct batch *b, size_t number, json_t *step)
{
	json_t *put = json_object_get(step, "put"), *delete = json_object_get(step, "delete");
	json_t *condition = json_object_get(step, "if"), *inside = put != NULL ? put : delete;
	enum err e;

	if (json_object_size(step) != (condition != NULL ? 2 : 1) || (put != NULL) == (delete != NULL))
		return refuse(b, "a step is an object with put or delete, and if where wanted");
	if (json_object_size(inside) != (put != NULL ? 2 : 1))
		return refuse(b, "put has a key and a value, delete a key, and nothing else");
	if ((e = take_bytes(b, inside, "key", "key64", &b->op->key)) != ERR_OK ||
	    (e = operation_check_key(b->op, buf_bytes(&b->op->key), false)) != ERR_OK ||
	    (e = take_condition(b, number, condition)) != ERR_OK)
		return e;
	if (put == NULL) {
		kv_delete_step(&b->steps, buf_bytes(&b->op->key));
		return ERR_OK;
	}
	if ((e = take_bytes(b, inside, "value", "value64", &b->value)) != ERR_OK ||
	    (e = operation_check_value(b->op, b->value.size)) != ERR_OK)
		return e;
	kv_put_step(&b->steps, buf_bytes(&b->op->key), buf_bytes(&b->value), (struct bytes){ 0 });
	return ERR_OK;
}

static enum err take_steps(struct batch *b, json_t *steps)
{
	size_t count = json_array_size(steps);
	enum err e = ERR_OK;

	if (count == 0)
		return operation_refuse(
		    b->op, ERR_BAD_REQUEST, "a batch is a JSON array of at least one step");
	if (count > KV_TXN_STEPS_MAX)
		return operation_refuse(b->op, ERR_TOO_LARGE, "the batch has %zu steps, the limit is %d",
		    count, KV_TXN_STEPS_MAX);
	for (size_t i = 0; i < count; i++)
		if ((e = take_step(b, i, json_array_get(steps, i))) != ERR_OK)
			return operation_refuse(b->op, e, "step %zu: %s", i, buf_text(&b->op->why));
	return ERR_OK;
}

static enum err parse_document(struct batch *b, struct bytes body)
{
	json_t *document = json_body(body, JSON_ALLOW_NUL, b->op);
	enum err e;

	if (document == NULL)
		return ERR_BAD_REQUEST;
	e = take_steps(b, document);
	json_decref(document);
	return e;
}

enum err native_parse_batch(const struct request *q, struct bytes rest, struct operation *op)
{
	struct batch b = { .op = op };
	enum err e;

	(void)rest;
	op->kind = REQUEST_WRITE;
	if ((e = parse_document(&b, q->body)) == ERR_OK) {
		operation_begin_guards(op);
		buf_append(&op->txn, buf_bytes(&b.guards));
		operation_begin_steps(op);
		buf_append(&op->txn, buf_bytes(&b.steps));
		operation_end(op);
		op->note.list = b.list.size > 0 ? blob_new(buf_bytes(&b.list)) : NULL;
	}
	buf_free(&b.guards);
	buf_free(&b.steps);
	buf_free(&b.list);
	buf_free(&b.value);
	return e;
}

static json_t *step_json(const struct kv_step_result *step)
{
	json_t *object = json_object();

	if (step->kind == STEP_PUT)
		json_object_set_new(object, "created", json_boolean(step->count == 1));
	else
		json_object_set_new(object, "deleted", json_integer((json_int_t)step->count));
	return object;
}

void native_render_batch(const struct answer *a, struct response *out)
{
	json_t *document = json_object(), *results = json_array();
	struct reader r = reader_of(a->result.steps);
	struct kv_step_result step;

	while (r.left > 0 && kv_step_result_get(&r, &step))
		json_array_append_new(results, step_json(&step));
	json_object_set_new(document, "revision", json_integer((json_int_t)a->result.revision));
	json_object_set_new(document, "results", results);
	finish(document, a, 200, out);
}
