/* links: worker/http/plain.c worker/http/m2.c worker/http/key.c worker/http/hraft.c worker/http/raftdb.c worker/http/raft_kv_demo.c worker/http/raft_kv_example.c worker/http/native.c worker/http/native_json.c worker/http/json_body.c worker/http/native_node.c worker/http/native_members.c worker/http/native_backup.c worker/http/native_index.c worker/http/meter.c worker/http/dialect.c worker/http/route.c worker/http/operation.c worker/http/meaning.c worker/http/message.c worker/http/text.c worker/http/head.c worker/kv/op.c common/metric.c common/metric_text.c common/status.c common/member.c common/addr.c common/err.c common/wire.c common/crc.c common/clock.c common/log.c common/buf.c common/mem.c -ljansson -lhttp_parser */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "worker/http/dialect.h"
#include "worker/http/head.h"

/*
 * Every row of every dialect, with everything that could change what its request means: the row declares that it
 * honours it, and then it makes a difference; or the request is refused with a sentence that names it. A new row needs
 * a sample here.
 */
static const struct dialect *const dialects[] = { &native, &m2, &shared_key, &raft_kv_example, NULL };
static const struct limits limits = { 64, 64, 1024 };

/* A request that a row takes. Without a sample the pattern is the path, with k for its '*'. */
static const struct sample {
	const char *method, *pattern, *query, *body;
} samples[] = {
	{ "PUT", "/v1/kv/*", "", "v" },
	{ "DELETE", "/v1/kv", "prefix=p", "" },
	{ "POST", "/v1/batch", "", "[{\"delete\":{\"key\":\"k\"}}]" },
	{ "POST", "/v1/members", "", "{\"id\":\"n\",\"peer\":\"h:1\"}" },
	{ "any", "/set", "key=k&val=v", "" },
	{ "any", "/get", "key=k", "" },
	{ "any", "/del", "key=k", "" },
	{ "any", "/raft/join", "nodeid=n&addr=h:1", "" },
	{ "any", "/raft/leave", "nodeid=n", "" },
	{ "POST", "/key", "", "{\"a\":\"b\"}" },
	{ "POST", "/key/", "", "{\"a\":\"b\"}" },
	{ "GET", "/key", "key=k", "" },
	{ "DELETE", "/key", "key=k", "" },
	{ "any", "/join", "id=n&addr=h:1", "" },
	{ "any", "/remove", "id=n", "" },
	{ "POST", "/keys/*/", "", "{\"value\":\"v\"}" },
	{ "POST", "/cluster/join/", "", "{\"address\":\"h:1\"}" },
};

/* Each with a value that a route understands that honours it. */
static const char *const headers[][2] = {
	{ "If-Match", "\"5\"" },
	{ "If-None-Match", "*" },
	{ "If-Modified-Since", "Tue, 15 Nov 1994 12:45:26 GMT" },
	{ "If-Unmodified-Since", "Tue, 15 Nov 1994 12:45:26 GMT" },
	{ "If-Range", "\"5\"" },
	{ "Range", "bytes=0-1" },
	{ "Content-Range", "bytes 0-1/2" },
	{ "Content-Encoding", "gzip" },
	{ "Idempotency-Key", "token" },
	{ "X-HTTP-Method-Override", "DELETE" },
	{ "X-HTTP-Method", "DELETE" },
	{ "X-Method-Override", "DELETE" },
	{ "Holdfast-Fence", "lock=1" },
};
#define HEADERS (sizeof(headers) / sizeof(headers[0]))

static const char *const parameters[][2] = {
	{ "level", "stale" },
	{ "min_revision", "7" },
	{ "timeout", "3s" },
	{ "prefix", "q" },
	{ "after", "a" },
	{ "limit", "3" },
	{ "keys", "1" },
	{ "verbose", "" },
	{ "wait", "voter" },
	{ "levle", "stale" },
	{ "prefx", "q" },
	{ "Prefix", "q" },
	{ "revision", "3" },
	{ "ttl", "1s" },
	{ "", "1" },
};
#define PARAMETERS (sizeof(parameters) / sizeof(parameters[0]))

/* What a request became, as text that can be compared. */
struct outcome {
	enum err error;
	struct buf operation, answer;
	bool explained;
};

static void free_outcome(struct outcome *o)
{
	buf_free(&o->operation);
	buf_free(&o->answer);
}

static void put_operation(struct buf *to, const struct operation *op)
{
	buf_printf(to, "%d %d %llu %llu %d %d %d %d %llu ", op->kind, op->level,
	    (unsigned long long)op->time_ms, (unsigned long long)op->min_revision, op->note.stale,
	    op->note.verbose, op->note.keys_only, op->note.any, (unsigned long long)op->note.revision);
	buf_append(to, op->token);
	buf_append_text(to, " ");
	buf_append(to, buf_bytes(&op->txn));
}

static struct outcome ask(const struct route *row, const char *method, struct bytes text, struct bytes body)
{
	struct operation op = { .limits = &limits, .spoken = DIALECTS_ALL };
	struct response response = { 0 };
	struct outcome o = { 0 };
	struct framing framing;
	struct request q;
	struct match m;
	const char *why;

	assert_int_equal(head_parse(text, &q, &framing, &why), ERR_OK);
	q.body = body;
	m = route_find(dialects, DIALECTS_ALL, q.method, q.path);
	if (m.route != row)
		fail_msg("%s %s finds another row", method, row->pattern);
	o.error = dialect_parse(&m, &q, &op);
	if (o.error == ERR_OK)
		put_operation(&o.operation, &op);
	else {
		dialect_refuse(&m, &op.note, o.error, APPLIED_NO, buf_bytes(&op.why), 1, &response);
		buf_append(&o.answer, response.body);
		assert_int_equal(response.status, err_http(o.error));
	}
	o.explained = op.note.explain;
	operation_free(&op);
	response_free(&response);
	return o;
}

/* One way to ask a row. */
struct asked {
	const struct dialect *dialect;
	const struct route *row;
	const char *method;
	struct sample sample;
	const char *more_body;
};

static struct outcome ask_with(const struct asked *a, const char *query, const char *lines)
{
	size_t star = strcspn(a->row->pattern, "*");
	struct buf text = { 0 };
	struct outcome o;
	const char *body = a->more_body != NULL ? a->more_body : a->sample.body;

	buf_printf(&text, "%s %.*s", a->method, (int)star, a->row->pattern);
	if (a->row->pattern[star] == '*')
		buf_printf(&text, "k%s", a->row->pattern + star + 1);
	buf_printf(&text, "?%s HTTP/1.1\r\nHost: h\r\n%s\r\n", query, lines);
	o = ask(a->row, a->method, buf_bytes(&text), bytes_text(body));
	buf_free(&text);
	return o;
}

static struct sample sample_of(const struct route *row)
{
	for (size_t i = 0; i < sizeof(samples) / sizeof(samples[0]); i++)
		if (strcmp(samples[i].method, method_name(row->method)) == 0 &&
		    strcmp(samples[i].pattern, row->pattern) == 0)
			return samples[i];
	return (struct sample){ "", "", "", "" };
}

static void for_every_row(void (*check)(const struct asked *a))
{
	for (size_t d = 0; dialects[d] != NULL; d++)
		for (const struct route *r = dialects[d]->routes; r->pattern != NULL; r++) {
			bool any = r->method == METHOD_ANY;
			struct asked a = { dialects[d], r, any ? "GET" : method_name(r->method), sample_of(r),
				NULL };

			check(&a);
			a.method = "POST";
			if (any)
				check(&a);
		}
}

static struct outcome ask_plainly(const struct asked *a)
{
	struct outcome o = ask_with(a, a->sample.query, "");

	if (o.error != ERR_OK)
		fail_msg("%s %s needs a sample: %s", a->method, a->row->pattern, buf_text(&o.answer));
	return o;
}

static void expect_refused(const struct asked *a, const char *word, struct outcome o)
{
	if (o.error == ERR_OK)
		fail_msg("%s %s ignores %s", a->method, a->row->pattern, word);
	if (o.answer.size == 0)
		fail_msg("%s %s refuses %s without a sentence", a->method, a->row->pattern, word);
	free_outcome(&o);
}

static void expect_named(const struct asked *a, const char *word, struct outcome o)
{
	if (o.error == ERR_BAD_REQUEST && strstr(buf_text(&o.answer), word) == NULL)
		fail_msg("%s %s does not name %s: %s", a->method, a->row->pattern, word, buf_text(&o.answer));
	expect_refused(a, word, o);
}

static void expect_different(const struct asked *a, const char *word, struct outcome o)
{
	struct outcome plain = ask_plainly(a);

	if (o.error != ERR_OK)
		fail_msg(
		    "%s %s says that it takes %s: %s", a->method, a->row->pattern, word, buf_text(&o.answer));
	if (bytes_equal(buf_bytes(&o.operation), buf_bytes(&plain.operation)))
		fail_msg("%s %s takes %s and ignores it", a->method, a->row->pattern, word);
	free_outcome(&plain);
	free_outcome(&o);
}

static bool honours_header(const struct route *r, const char *name)
{
	for (size_t n = 0; header_name(n) != NULL; n++)
		if (strcmp(header_name(n), name) == 0)
			return (r->headers & 1u << n) != 0;
	return false;
}

static void check_headers(const struct asked *a)
{
	for (size_t i = 0; i < HEADERS; i++) {
		const char *name = headers[i][0];
		char once[128], twice[256], empty[128];

		snprintf(once, sizeof(once), "%s: %s\r\n", name, headers[i][1]);
		snprintf(twice, sizeof(twice), "%s%s", once, once);
		snprintf(empty, sizeof(empty), "%s:\r\n", name);
		if (!honours_header(a->row, name)) {
			expect_named(a, name, ask_with(a, a->sample.query, once));
			continue;
		}
		expect_different(a, name, ask_with(a, a->sample.query, once));
		expect_named(a, name, ask_with(a, a->sample.query, twice));
		expect_named(a, name, ask_with(a, a->sample.query, empty));
	}
}

static void no_route_ignores_a_header_that_changes_the_request(void **state)
{
	(void)state;
	for_every_row(check_headers);
}

static bool honours_parameter(const struct route *r, const char *name)
{
	for (size_t n = 0; parameter_name(n) != NULL; n++)
		if (strcmp(parameter_name(n), name) == 0)
			return (r->parameters & 1u << n) != 0;
	return false;
}

static void check_parameters(const struct asked *a)
{
	for (size_t i = 0; i < PARAMETERS; i++) {
		const char *name = parameters[i][0];
		bool there = strncmp(a->sample.query, name, strlen(name)) == 0 && *name != '\0';
		char once[128], twice[256];

		snprintf(once, sizeof(once), "%s%s%s=%s", there ? "" : a->sample.query, there ? "" : "&",
		    name, parameters[i][1]);
		snprintf(twice, sizeof(twice), "%s&%s=%s", once, name, parameters[i][1]);
		if (a->dialect->open)
			continue;
		if (!honours_parameter(a->row, name)) {
			expect_named(a, name, ask_with(a, once, ""));
			continue;
		}
		expect_different(a, name, ask_with(a, once, ""));
		expect_named(a, name, ask_with(a, twice, ""));
	}
}

static void no_route_of_ours_ignores_a_parameter(void **state)
{
	(void)state;
	for_every_row(check_parameters);
}

static void check_body(const struct asked *a)
{
	struct asked more = *a;

	more.more_body = "limit=1";
	if (!a->dialect->open && (a->row->flags & ROUTE_BODY) == 0)
		expect_named(a, "body", ask_with(&more, a->sample.query, ""));
}

static void no_route_of_ours_ignores_a_body(void **state)
{
	(void)state;
	for_every_row(check_body);
}

static void check_open(const struct asked *a)
{
	char query[128];
	struct outcome plain, more;

	if (!a->dialect->open || (a->row->flags & ROUTE_LOCAL) != 0)
		return;
	snprintf(query, sizeof(query), "%s&pretty=1", a->sample.query);
	plain = ask_plainly(a);
	more = ask_with(a, query, "");
	assert_int_equal(more.error, ERR_OK);
	assert_true(bytes_equal(buf_bytes(&more.operation), buf_bytes(&plain.operation)));
	free_outcome(&plain);
	free_outcome(&more);
}

static void dialects_pass_over_parameters_that_their_originals_passed_over(void **state)
{
	(void)state;
	for_every_row(check_open);
}

static void check_harmless(const struct asked *a)
{
	struct outcome plain = ask_plainly(a);
	struct outcome more = ask_with(a, a->sample.query,
	    "Accept: */*\r\nContent-Encoding: identity\r\nAuthorization: Basic eDp5\r\nCookie: a=b\r\n"
	    "Upgrade: h2c\r\nCache-Control: no-cache\r\nX-Forwarded-For: ::1\r\n");

	assert_int_equal(more.error, ERR_OK);
	assert_true(bytes_equal(buf_bytes(&more.operation), buf_bytes(&plain.operation)));
	free_outcome(&plain);
	free_outcome(&more);
}

static void headers_that_change_nothing_are_passed_over(void **state)
{
	(void)state;
	for_every_row(check_harmless);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(no_route_ignores_a_header_that_changes_the_request),
		cmocka_unit_test(no_route_of_ours_ignores_a_parameter),
		cmocka_unit_test(no_route_of_ours_ignores_a_body),
		cmocka_unit_test(dialects_pass_over_parameters_that_their_originals_passed_over),
		cmocka_unit_test(headers_that_change_nothing_are_passed_over),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
