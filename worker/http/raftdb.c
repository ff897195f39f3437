#include "worker/http/key.h"

/* What the dialect of raftdb (API 2) has besides hraft's: DELETE /key/K, POST /join {"id","raftAddr","httpAddr"}. */

enum err raftdb_parse_delete(struct bytes rest, struct operation *op)
{
	enum err e = key_take_segment(rest, op);

	return e != ERR_OK ? e : plain_parse_delete(op, true);
}

bool raftdb_is_join(json_t *object)
{
	return json_object_size(object) == 3 && json_object_get(object, "id") != NULL &&
	       json_object_get(object, "raftAddr") != NULL && json_object_get(object, "httpAddr") != NULL;
}

enum err raftdb_take_join(json_t *object, struct operation *op)
{
	struct bytes id = plain_member(object, "id");

	if (id.size == 0)
		return operation_refuse(op, ERR_BAD_REQUEST, "the id is empty");
	return operation_add_member(
	    op, id, plain_member(object, "raftAddr"), plain_member(object, "httpAddr"), ADD_PLAINLY);
}
