#include "worker/http/key.h"
#include "worker/http/text.h"

/* The dialect of hraft (API 2): POST /key {"K":"V",...}, GET /key/K, POST /join {"id","addr"}. */

static enum err put_pair(struct operation *op, struct bytes name, json_t *value)
{
	struct bytes v = bytes_of(json_string_value(value), json_string_length(value));
	enum err e;

	if ((e = operation_check_key(op, name, false)) == ERR_OK &&
	    (e = operation_check_value(op, v.size)) == ERR_OK)
		kv_put_step(&op->txn, name, v, (struct bytes){ 0 });
	return e;
}

enum err hraft_take_map(json_t *object, struct operation *op)
{
	enum err e = ERR_OK;
	const char *name;
	json_t *value;

	op->kind = REQUEST_WRITE;
	if (json_object_size(object) > KV_TXN_STEPS_MAX)
		return operation_refuse(op, ERR_TOO_LARGE, "the object has %zu members, the limit is %d",
		    json_object_size(object), KV_TXN_STEPS_MAX);
	operation_begin_steps(op);
	json_object_foreach(object, name, value)
	{
		if ((e = put_pair(op, bytes_text(name), value)) != ERR_OK)
			return e;
	}
	operation_end(op);
	return ERR_OK;
}

enum err hraft_parse_get(struct bytes rest, struct operation *op)
{
	enum err e;

	if ((e = key_take_segment(rest, op)) != ERR_OK)
		return e;
	if (!text_is_utf8(buf_bytes(&op->key)))
		return operation_refuse(op, ERR_BAD_REQUEST, "the key is not UTF-8");
	op->note.list = blob_new(buf_bytes(&op->key));
	return plain_parse_get(op, true);
}

void hraft_render_get(const struct answer *a, struct response *out)
{
	struct bytes value;
	struct answer unfit;
	bool found = plain_found(a, key_error, out, &value);

	if (out->status != 0)
		return;
	buf_append_text(&out->own, "{");
	text_put_json(&out->own, blob_bytes(a->note->list));
	buf_append_text(&out->own, ":");
	if (!text_put_json(&out->own, value)) {
		unfit = plain_unfit(a);
		buf_clear(&out->own);
		key_error(&unfit, out);
		return;
	}
	buf_append_text(&out->own, "}");
	plain_text(out, 200, "");
	if (!found)
		response_header(out, "Holdfast-Found", "false");
}

bool hraft_is_join(json_t *object)
{
	return json_object_size(object) == 2 && json_object_get(object, "id") != NULL &&
	       json_object_get(object, "addr") != NULL;
}

enum err hraft_take_join(json_t *object, struct operation *op)
{
	struct bytes id = plain_member(object, "id");

	if (id.size == 0)
		return operation_refuse(op, ERR_BAD_REQUEST, "the id is empty");
	return operation_add_member(op, id, plain_member(object, "addr"), (struct bytes){ 0 }, ADD_PLAINLY);
}
