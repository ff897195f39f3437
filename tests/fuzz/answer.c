#include <assert.h>
#include <jansson.h>
#include <string.h>

#include "tests/fuzz/common/fuzz.h"
#include "worker/http/dialect.h"
#include "worker/http/meter.h"

/*
 * An answer of the consensus worker, rendered for the request whose number comes first: with keys, values, names and
 * addresses that others chose. Whatever it holds, the head is lines of printable text, and JSON is JSON.
 */
static const struct dialect *const dialects[] = { &native, NULL };
static const struct limits limits = { KV_KEY_BYTES_MAX, KV_VALUE_BYTES_MAX, 4 * 1024 * 1024 };

static const struct asked {
	enum method method;
	const char *path, *query, *body;
} asked[] = {
	{ METHOD_PUT, "/v1/kv/k", "", "v" },
	{ METHOD_GET, "/v1/kv/k", "", "" },
	{ METHOD_GET, "/v1/kv/k", "level=stale", "" },
	{ METHOD_DELETE, "/v1/kv/k", "", "" },
	{ METHOD_GET, "/v1/kv", "prefix=k", "" },
	{ METHOD_GET, "/v1/kv", "keys=1&level=stale", "" },
	{ METHOD_DELETE, "/v1/kv", "prefix=k", "" },
	{ METHOD_POST, "/v1/batch", "",
	    "[{\"put\":{\"key\":\"a\",\"value\":\"v\"}},"
	    "{\"delete\":{\"key\":\"b\"},\"if\":{\"modify\":7}}]" },
	{ METHOD_GET, "/v1/status", "", "" },
	{ METHOD_GET, "/v1/members", "", "" },
	{ METHOD_POST, "/v1/leader", "", "" },
	{ METHOD_GET, "/readyz", "", "" },
	{ METHOD_GET, "/readyz", "verbose=1", "" },
	{ METHOD_GET, "/leader", "", "" },
};

static bool is_json(const char *head)
{
	return strstr(head, "Content-Type: application/json\r\n") != NULL;
}

static void check_head(const char *head, size_t size)
{
	const char *end;

	assert(strlen(head) == size);
	for (; *head != '\0'; head = end + 2) {
		end = strstr(head, "\r\n");
		assert(end != NULL && memchr(head, ':', (size_t)(end - head)) != NULL);
		for (const char *at = head; at < end; at++)
			assert(((uint8_t)*at >= ' ' || *at == '\t') && *at != 0x7f);
	}
}

static void check(struct response *out)
{
	const char *head = buf_text(&out->head);
	json_t *document;

	assert(out->status >= 200 && out->status <= 599);
	check_head(head, out->head.size);
	if (!is_json(head) || out->body.size == 0)
		return;
	document = json_loadb((const char *)out->body.data, out->body.size,
	    JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL | JSON_DECODE_INT_AS_REAL, NULL);
	assert(document != NULL);
	json_decref(document);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct bytes input = bytes_of(data, size);
	const struct asked *ask = &asked[fuzz_byte(&input) % (sizeof(asked) / sizeof(asked[0]))];
	static struct request q;
	struct operation op = { .limits = &limits, .spoken = DIALECTS_ALL };
	struct response out = { 0 };
	struct about about = { "1.0", "a compiler", 1000, NULL, dialects, DIALECTS_ALL };
	struct reader r = reader_of(input);
	struct ipc_answer a;
	struct match m;

	q.method = ask->method;
	q.path = bytes_text(ask->path);
	q.query = bytes_text(ask->query);
	q.body = bytes_text(ask->body);
	m = route_find(dialects, DIALECTS_ALL, q.method, q.path);
	assert(dialect_parse(&m, &q, &op) == ERR_OK);
	if (ipc_answer_get(&r, &a)) {
		dialect_render(&m, op.kind, &op.note, &a, &about, &out);
		check(&out);
	}
	response_free(&out);
	operation_free(&op);
	return 0;
}
