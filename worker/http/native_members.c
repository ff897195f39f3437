#include "worker/http/json_body.h"
#include "worker/http/native.h"
#include "worker/http/text.h"

/* Changes of members: POST /v1/members, DELETE /v1/members/ID. */

static struct bytes text_of(const json_t *value)
{
	return value != NULL ? bytes_of(json_string_value(value), json_string_length(value))
			     : (struct bytes){ NULL, 0 };
}

static enum err take_member(json_t *document, struct operation *op)
{
	json_t *id = json_object_get(document, "id"), *peer = json_object_get(document, "peer"),
	       *http = json_object_get(document, "http"), *replace = json_object_get(document, "replace");
	unsigned how = (op->parameters.wait ? ADD_WAIT : 0) | (json_is_true(replace) ? ADD_REPLACE : 0);

	if (!json_is_string(id) || !json_is_string(peer) || (http != NULL && !json_is_string(http)) ||
	    (replace != NULL && !json_is_boolean(replace)) ||
	    json_object_size(document) != 2 + (size_t)(http != NULL) + (size_t)(replace != NULL))
		return operation_refuse(op, ERR_BAD_REQUEST,
		    "the body is {\"id\":\"N\",\"peer\":\"HOST:PORT\"}, with \"http\" where it differs from "
		    "what the node says, and \"replace\":true where the node is to take the place of a "
		    "member");
	if (json_string_length(id) == 0)
		return operation_refuse(op, ERR_BAD_REQUEST, "id is the name of the new member");
	return operation_add_member(op, text_of(id), text_of(peer), text_of(http), how);
}

enum err native_parse_add_member(const struct request *q, struct bytes rest, struct operation *op)
{
	json_t *document;
	enum err e;

	(void)rest;
	if ((document = json_body(q->body, 0, op)) == NULL)
		return ERR_BAD_REQUEST;
	e = take_member(document, op);
	json_decref(document);
	return e;
}

enum err native_parse_remove_member(const struct request *q, struct bytes rest, struct operation *op)
{
	(void)q;
	if (!text_percent_decode(rest, false, &op->key))
		return operation_refuse(
		    op, ERR_BAD_REQUEST, "in the path a %% is not followed by two hexadecimal digits");
	return operation_remove_member(op, buf_bytes(&op->key));
}
