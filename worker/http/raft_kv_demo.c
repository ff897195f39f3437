#include "worker/http/key.h"
#include "worker/http/text.h"

/*
 * The dialect of raft-kv-demo (API 2): POST /key {"key":"K","value":"V"}, in capitals or not, GET and DELETE /key?key=K, /join?id=&addr=,
 * /remove?id=.
 */

/* Go programs send a struct without tags as "Key" and "Value", and Go reads names in capitals or not. NULL: there is none. */
static const char *find_name(json_t *object, const char *word)
{
	const char *name;
	json_t *value;

	json_object_foreach(object, name, value)
	{
		if (text_is(bytes_text(name), word))
			return name;
	}
	return NULL;
}

bool raft_kv_demo_is_pair(json_t *object)
{
	return json_object_size(object) == 2 && find_name(object, "key") != NULL &&
	       find_name(object, "value") != NULL;
}

enum err raft_kv_demo_take_pair(json_t *object, struct operation *op)
{
	buf_append(&op->key, plain_member(object, find_name(object, "key")));
	return plain_parse_put(op, plain_member(object, find_name(object, "value")));
}

enum err raft_kv_demo_parse_get(const struct request *q, struct operation *op)
{
	plain_parameter(q->query, "key", &op->key);
	return plain_parse_get(op, true);
}

void raft_kv_demo_render_get(const struct answer *a, struct response *out)
{
	struct bytes value;

	if (plain_found(a, key_error, out, &value))
		plain_render_value(value, out);
	else if (out->status == 0)
		out->status = 404;
}

enum err raft_kv_demo_parse_delete(const struct request *q, struct operation *op)
{
	plain_parameter(q->query, "key", &op->key);
	return plain_parse_delete(op, true);
}

enum err raft_kv_demo_parse_join(const struct request *q, struct operation *op)
{
	plain_parameter(q->query, "id", &op->key);
	plain_parameter(q->query, "addr", &op->after);
	if (op->key.size == 0)
		return operation_refuse(op, ERR_BAD_REQUEST, "the id is empty");
	return operation_add_member(
	    op, buf_bytes(&op->key), buf_bytes(&op->after), (struct bytes){ 0 }, ADD_PLAINLY);
}

enum err raft_kv_demo_parse_remove(const struct request *q, struct bytes rest, struct operation *op)
{
	(void)rest;
	op->leader_only = true;
	plain_parameter(q->query, "id", &op->key);
	return operation_remove_member(op, buf_bytes(&op->key));
}
