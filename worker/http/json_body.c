#include "worker/http/json_body.h"

json_t *json_body(struct bytes body, size_t flags, struct operation *op)
{
	json_error_t error;
	json_t *made = json_loadb((const char *)body.data, body.size, JSON_REJECT_DUPLICATES | flags, &error);

	if (made == NULL)
		operation_refuse(
		    op, ERR_BAD_REQUEST, "the body is not JSON: line %d column %d", error.line, error.column);
	return made;
}
