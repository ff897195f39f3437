#ifndef WORKER_HTTP_MEANING_H
#define WORKER_HTTP_MEANING_H

#include "worker/http/operation.h"

/*
 * What else a request says, besides method, path and body: headers that change what it means (header.def), and the
 * parameters of its query. A route declares which of them it honours; with any other the request is refused.
 */
enum header_number {
#define HEADER(NAME, name, advice) HEADER_NUMBER_##NAME,
#include "worker/http/header.def"
#undef HEADER
	HEADER_COUNT
};

enum header_bit {
#define HEADER(NAME, name, advice) HEADER_##NAME = 1 << HEADER_NUMBER_##NAME,
#include "worker/http/header.def"
#undef HEADER
};

enum parameter_number {
#define PARAMETER(NAME, name) PARAMETER_NUMBER_##NAME,
#include "worker/http/parameter.def"
#undef PARAMETER
	PARAMETER_COUNT
};

enum parameter_bit {
#define PARAMETER(NAME, name) PARAMETER_##NAME = 1 << PARAMETER_NUMBER_##NAME,
#include "worker/http/parameter.def"
#undef PARAMETER
};

/* "If-Match"; "level". Static memory; NULL behind the last. */
const char *header_name(size_t n);
const char *parameter_name(size_t n);

/* Refuses the headers of header.def that are not in `takes`. Of those that are, Idempotency-Key is taken here (1 to 256
 * bytes, once -> token); the others are for whoever parses the request. ERR_BAD_REQUEST. */
enum err meaning_take_headers(struct operation *op, const struct request *q, unsigned takes);
/* Takes the query, of which each parameter in `takes` may occur once and no other may. ERR_BAD_REQUEST,
 * ERR_KEY_TOO_LONG. */
enum err meaning_take_query(struct operation *op, const struct request *q, unsigned takes);

#endif
