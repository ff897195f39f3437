#ifndef WORKER_HTTP_JSON_BODY_H
#define WORKER_HTTP_JSON_BODY_H

#include <jansson.h>

#include "worker/http/operation.h"

/* A body as JSON, no name twice; `flags` are jansson's besides. The caller decrefs it. NULL, and ERR_BAD_REQUEST with the
 * place in op->why, when it is none. */
json_t *json_body(struct bytes body, size_t flags, struct operation *op);

#endif
