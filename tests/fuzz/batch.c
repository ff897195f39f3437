#include <assert.h>

#include "tests/fuzz/common/fuzz.h"
#include "worker/http/dialect.h"

/* The JSON of POST /v1/batch. What a dialect makes of it, the consensus worker's check passes; what it refuses, it
 * says why. */
static const struct dialect *const dialects[] = { &native, NULL };
static const struct limits limits = { KV_KEY_BYTES_MAX, KV_VALUE_BYTES_MAX, 4 * 1024 * 1024 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct request q;
	struct operation op = { .limits = &limits, .spoken = DIALECTS_ALL };
	struct response out = { 0 };
	struct match m;
	enum err e;

	q.method = METHOD_POST;
	q.path = bytes_text("/v1/batch");
	q.body = bytes_of(data, size);
	m = route_find(dialects, DIALECTS_ALL, q.method, q.path);
	e = dialect_parse(&m, &q, &op);
	if (e == ERR_OK)
		assert(kv_txn_check(buf_bytes(&op.txn), true, FEATURE_LEVEL_MOST) == ERR_OK);
	else {
		dialect_refuse(&m, &op.note, e, APPLIED_NO, buf_bytes(&op.why), 1, &out);
		assert(out.status >= 400 && out.body.size > 0);
	}
	response_free(&out);
	operation_free(&op);
	return 0;
}
