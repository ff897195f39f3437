/* links: worker/http/text.c worker/http/route.c worker/http/message.c worker/http/head.c worker/http/chunk.c common/err.c common/buf.c common/mem.c -lhttp_parser */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "worker/http/chunk.h"
#include "worker/http/dialect.h"
#include "worker/http/head.h"
#include "worker/http/text.h"

/* The pure parts of HTTP: texts, routes, heads, chunks. */

static struct bytes text(const char *t)
{
	return bytes_text(t);
}

static void numbers_have_one_form(void **state)
{
	static const char *const bad[] = { "", "-1", "+1", " 1", "1 ", "01", "00", "0x1", "1e3",
		"18446744073709551616", "99999999999999999999" };
	uint64_t n;

	(void)state;
	assert_true(text_number(text("0"), &n) && n == 0);
	assert_true(text_number(text("18446744073709551615"), &n) && n == UINT64_MAX);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_false(text_number(text(bad[i]), &n));
}

static void numbers_are_printed(void **state)
{
	struct buf b = { 0 };

	(void)state;
	text_put_number(&b, 0);
	text_put_number(&b, 907);
	text_put_number(&b, UINT64_MAX);
	assert_string_equal(buf_text(&b), "090718446744073709551615");
	buf_free(&b);
}

static void spans_have_a_unit(void **state)
{
	static const char *const bad[] = { "", "5", "0s", "s", "1h", "1.5s", "-1s", "307445734561825861m",
		"1 s" };
	uint64_t ms;

	(void)state;
	assert_true(text_span_ms(text("250ms"), &ms) && ms == 250);
	assert_true(text_span_ms(text("2s"), &ms) && ms == 2000);
	assert_true(text_span_ms(text("3m"), &ms) && ms == 180000);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_false(text_span_ms(text(bad[i]), &ms));
}

static void json_strings_are_utf8(void **state)
{
	static const struct {
		const char *text, *wanted;
	} good[] = {
		{ "", "\"\"" },
		{ "plain /\x7f", "\"plain /\x7f\"" },
		{ "\"a\\b\"", "\"\\\"a\\\\b\\\"\"" },
		{ "\b\f\n\r\t\x01\x1f", "\"\\b\\f\\n\\r\\t\\u0001\\u001F\"" },
		{ "\xc2\x80\xdf\xbf", "\"\xc2\x80\xdf\xbf\"" },
		{ "\xe0\xa0\x80\xed\x9f\xbf\xee\x80\x80\xef\xbf\xbf",
		    "\"\xe0\xa0\x80\xed\x9f\xbf\xee\x80\x80\xef\xbf\xbf\"" },
		{ "\xf0\x90\x80\x80\xf4\x8f\xbf\xbf", "\"\xf0\x90\x80\x80\xf4\x8f\xbf\xbf\"" },
	};
	static const char *const bad[] = { "\x80", "a\xff", "\xc0\x80", "\xc1\xbf", "\xc2", "\xc2z",
		"\xe0\x9f\xbf", "\xed\xa0\x80", "\xe1\x80", "\xe1\x80z", "\xf0\x8f\xbf\xbf",
		"\xf4\x90\x80\x80", "\xf5\x80\x80\x80", "\xf1\x80\x80", "\xf1\x80\x80z" };
	struct buf b = { 0 };

	(void)state;
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		buf_clear(&b);
		assert_true(text_put_json(&b, text(good[i].text)));
		assert_string_equal(buf_text(&b), good[i].wanted);
	}
	buf_clear(&b);
	assert_true(text_put_json(&b, bytes_of("\0", 1)));
	assert_string_equal(buf_text(&b), "\"\\u0000\"");
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		assert_false(text_put_json(&b, text(bad[i])));
		assert_string_equal(buf_text(&b), "\"\\u0000\"");
	}
	buf_free(&b);
}

static void percent_encoding_is_strict(void **state)
{
	static const char *const bad[] = { "%", "%a", "%4g", "a%", "%%41", "% 1", "%-1" };
	struct buf b = { 0 };

	(void)state;
	assert_true(text_percent_decode(text("a%2fB%2F+%00"), false, &b));
	assert_true(bytes_equal(buf_bytes(&b), bytes_of("a/B/+\0", 6)));
	buf_clear(&b);
	assert_true(text_percent_decode(text("a+%2B"), true, &b));
	assert_string_equal(buf_text(&b), "a +");
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_false(text_percent_decode(text(bad[i]), false, &b));
	buf_free(&b);
}

static void a_query_comes_apart(void **state)
{
	struct bytes q = text("a=1&&b&c==&=x"), name, value;

	(void)state;
	assert_true(text_query_next(&q, &name, &value));
	assert_true(bytes_equal(name, text("a")) && bytes_equal(value, text("1")));
	assert_true(text_query_next(&q, &name, &value));
	assert_true(bytes_equal(name, text("b")) && value.size == 0);
	assert_true(text_query_next(&q, &name, &value));
	assert_true(bytes_equal(name, text("c")) && bytes_equal(value, text("=")));
	assert_true(text_query_next(&q, &name, &value));
	assert_true(name.size == 0 && bytes_equal(value, text("x")));
	assert_false(text_query_next(&q, &name, &value));
	q = (struct bytes){ 0 };
	assert_false(text_query_next(&q, &name, &value));
}

/* RFC 4648 §10 */
static void base64_goes_both_ways(void **state)
{
	static const char *const pairs[][2] = { { "", "" }, { "f", "Zg==" }, { "fo", "Zm8=" },
		{ "foo", "Zm9v" }, { "foob", "Zm9vYg==" }, { "fooba", "Zm9vYmE=" },
		{ "foobar", "Zm9vYmFy" } };
	static const char *const bad[] = { "Z", "Zg", "Zg=", "Zh==", "Zm9=", "Zg==Zg==", "=", "====", "Zm 9",
		"Zm9-" };
	struct buf b = { 0 };

	(void)state;
	for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++) {
		buf_clear(&b);
		text_put_base64(&b, text(pairs[i][0]));
		assert_string_equal(buf_text(&b), pairs[i][1]);
		buf_clear(&b);
		assert_true(text_base64_decode(text(pairs[i][1]), &b));
		assert_string_equal(buf_text(&b), pairs[i][0]);
	}
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_false(text_base64_decode(text(bad[i]), &b));
	buf_free(&b);
}

/* --- routes --- */

static const struct route one_routes[] = {
	{ .method = METHOD_GET, .pattern = "/a/*" },
	{ .method = METHOD_PUT, .pattern = "/a/*", .flags = ROUTE_WRITE | ROUTE_VALUE },
	{ .method = METHOD_GET, .pattern = "/a" },
	{ .pattern = NULL },
};
static const struct route other_routes[] = {
	{ .method = METHOD_POST, .pattern = "/a" },
	{ .method = METHOD_GET, .pattern = "/c/*/" },
	{ .method = METHOD_GET, .pattern = "/c/*" },
	{ .method = METHOD_ANY, .pattern = "/d" },
	{ .pattern = NULL },
};
static const struct dialect one = { .name = "one", .routes = one_routes };
static const struct dialect other = { .name = "other", .routes = other_routes };
static const struct dialect *const dialects[] = { &one, &other, NULL };

static void routes_are_found(void **state)
{
	struct match m = route_find(dialects, DIALECTS_ALL, METHOD_PUT, text("/a/b/c"));

	(void)state;
	assert_ptr_equal(m.route, &one_routes[1]);
	assert_true(bytes_equal(m.rest, text("b/c")));
	m = route_find(dialects, DIALECTS_ALL, METHOD_GET, text("/a"));
	assert_ptr_equal(m.route, &one_routes[2]);
	m = route_find(dialects, DIALECTS_ALL, METHOD_POST, text("/a"));
	assert_ptr_equal(m.dialect, &other);
	m = route_find(dialects, DIALECTS_ALL, METHOD_GET, text("/a/"));
	assert_ptr_equal(m.route, &one_routes[0]);
	assert_int_equal(m.rest.size, 0);
}

static void a_star_stands_for_what_is_between(void **state)
{
	struct match m = route_find(dialects, DIALECTS_ALL, METHOD_GET, text("/c/x/"));

	(void)state;
	assert_ptr_equal(m.route, &other_routes[1]);
	assert_true(bytes_equal(m.rest, text("x")));
	m = route_find(dialects, DIALECTS_ALL, METHOD_GET, text("/c/x"));
	assert_ptr_equal(m.route, &other_routes[2]);
	assert_true(bytes_equal(m.rest, text("x")));
	m = route_find(dialects, DIALECTS_ALL, METHOD_GET, text("/c//"));
	assert_ptr_equal(m.route, &other_routes[1]);
	assert_int_equal(m.rest.size, 0);
	m = route_find(dialects, DIALECTS_ALL, METHOD_GET, text("/c/")); /* one slash is not two */
	assert_ptr_equal(m.route, &other_routes[2]);
	assert_null(route_find(dialects, DIALECTS_ALL, METHOD_GET, text("/c")).route);
}

static void any_method_is_one_of_them(void **state)
{
	(void)state;
	for (int method = METHOD_GET; method <= METHOD_OTHER; method++)
		assert_ptr_equal(route_find(dialects, DIALECTS_ALL, (enum method)method, text("/d")).route,
		    &other_routes[3]);
}

static void what_is_plain_text(void **state)
{
	(void)state;
	assert_true(text_is_plain(text("")));
	assert_true(text_is_plain(text("a\tb\r\n\f\033 \xc3\xa4\x7f")));
	assert_false(text_is_plain(text("a\x01")));
	assert_false(text_is_plain(text("\v")));
	assert_false(text_is_plain(text("\xc3")));
	assert_false(text_is_plain(bytes_of("a\0b", 3)));
	assert_false(text_is_plain(bytes_of("\0", 1)));
	assert_true(text_is_utf8(bytes_of("\0", 1)));
	assert_true(text_is_utf8((struct bytes){ NULL, 0 }));
	assert_true(text_is_plain((struct bytes){ NULL, 0 }));
	assert_false(text_is_utf8(text("\xed\xa0\x80"))); /* a surrogate */
}

static void head_goes_where_get_goes(void **state)
{
	struct match m = route_find(dialects, DIALECTS_ALL, METHOD_HEAD, text("/a/b"));

	(void)state;
	assert_ptr_equal(m.route, &one_routes[0]);
}

static void methods_of_a_path_are_told(void **state)
{
	struct match m = route_find(dialects, DIALECTS_ALL, METHOD_DELETE, text("/a"));

	(void)state;
	assert_null(m.route);
	assert_string_equal(route_allow(m.methods), "GET, HEAD, POST");
	m = route_find(dialects, DIALECTS_ALL, METHOD_DELETE, text("/b"));
	assert_null(m.route);
	assert_int_equal(m.methods, 0);
	assert_non_null(m.dialect);
}

static void a_value_has_its_own_limit(void **state)
{
	static const struct limits limits = { 10, 20, 30 };
	struct match value = route_find(dialects, DIALECTS_ALL, METHOD_PUT, text("/a/b"));
	struct match body = route_find(dialects, DIALECTS_ALL, METHOD_POST, text("/a"));

	const char *option;

	(void)state;
	assert_int_equal(route_body_max(&value, &limits, &option), 20);
	assert_string_equal(option, "[limits] value");
	assert_int_equal(route_body_max(&body, &limits, &option), 30);
	assert_string_equal(option, "[http] body_max");
}

/* --- heads --- */

static enum err parse(const char *head, size_t size, struct request *q, struct framing *f)
{
	struct head_search s = { 0 };
	const char *why = NULL;
	size_t found;
	enum err e;

	if (head_find(&s, bytes_of(head, size), &found) != HEAD_WHOLE)
		return ERR_MALFORMED;
	assert_int_equal(found, size);
	e = head_parse(bytes_of(head, size), q, f, &why);
	assert_true((e == ERR_OK) == (why == NULL));
	return e;
}

#define HEAD(text) text "\r\n\r\n", sizeof(text "\r\n\r\n") - 1

static void a_head_comes_apart(void **state)
{
	struct request q;
	struct framing f;

	(void)state;
	assert_int_equal(
	    parse(
		HEAD("PUT /v1/kv/a?b=c&d HTTP/1.1\r\nHost: h\r\nContent-Length: 17\r\nX-y:  a b \t"), &q, &f),
	    ERR_OK);
	assert_int_equal(q.method, METHOD_PUT);
	assert_true(bytes_equal(q.path, text("/v1/kv/a")) && bytes_equal(q.query, text("b=c&d")));
	assert_int_equal(q.header_count, 3);
	assert_true(bytes_equal(*request_header(&q, "x-y"), text("a b")));
	assert_null(request_header(&q, "x"));
	assert_true(f.body_bytes == 17 && f.keep_alive && !f.chunked && !f.expects_continue && !f.http_1_0);
}

static void framing_is_told(void **state)
{
	struct request q;
	struct framing f;

	(void)state;
	assert_int_equal(
	    parse(HEAD("POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: Chunked\r\nExpect: 100-continue"),
		&q, &f),
	    ERR_OK);
	assert_true(f.chunked && f.expects_continue);
	assert_int_equal(parse(HEAD("GET / HTTP/1.1\r\nHost: h\r\nConnection: close"), &q, &f), ERR_OK);
	assert_false(f.keep_alive);
	assert_int_equal(parse(HEAD("GET / HTTP/1.0"), &q, &f), ERR_OK);
	assert_true(f.http_1_0 && !f.keep_alive);
	assert_int_equal(parse(HEAD("GET / HTTP/1.0\r\nConnection: keep-alive"), &q, &f), ERR_OK);
	assert_true(f.keep_alive);
	assert_int_equal(parse(HEAD("GET http://h:80/a?b HTTP/1.1\r\nHost: h"), &q, &f), ERR_OK);
	assert_true(bytes_equal(q.path, text("/a")) && bytes_equal(q.query, text("b")));
	assert_int_equal(parse(HEAD("BREW / HTTP/1.1\r\nHost: h"), &q, &f), ERR_BAD_REQUEST);
	assert_int_equal(
	    parse(HEAD("GET / HTTP/1.1\r\nHost: h\r\nUpgrade: h2c\r\nConnection: Upgrade"), &q, &f), ERR_OK);
}

/* Every one of them means something else to some other reader. */
static void ambiguous_heads_are_refused(void **state)
{
	static const struct {
		const char *head;
		size_t size;
	} bad[] = {
		{ HEAD("GET / HTTP/1.1") },
		{ HEAD("GET / HTTP/1.1\r\nHost: h\r\nHost: h") },
		{ HEAD("GET / HTTP/1.1\r\nHost: h\r\nhost: g") },
		{ HEAD("PUT / HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\nContent-Length: 1") },
		{ HEAD("PUT / HTTP/1.1\r\nHost: h\r\nContent-Length: 1, 1") },
		{ HEAD("PUT / HTTP/1.1\r\nHost: h\r\nContent-Length: +1") },
		{ HEAD("PUT / HTTP/1.1\r\nHost: h\r\nContent-Length: -1") },
		{ HEAD("PUT / HTTP/1.1\r\nHost: h\r\nContent-Length: 0x1") },
		{ HEAD("PUT / HTTP/1.1\r\nHost: h\r\nContent-Length:") },
		{ HEAD("PUT / HTTP/1.1\r\nHost: h\r\nContent-Length: 18446744073709551616") },
		{ HEAD("PUT / HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\nTransfer-Encoding: chunked") },
		{ HEAD("PUT / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\nContent-Length: 1") },
		{ HEAD("PUT / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: gzip, chunked") },
		{ HEAD("PUT / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked, chunked") },
		{ HEAD("PUT / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: "
		       "chunked") },
		{ HEAD("PUT / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: xchunked") },
		{ HEAD("PUT / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: identity") },
		{ HEAD("PUT / HTTP/1.0\r\nTransfer-Encoding: chunked") },
		{ HEAD("GET / HTTP/1.1\r\nHost : h") },
		{ HEAD("GET / HTTP/1.1\r\nHost: h\r\nA b: c") },
		{ HEAD("GET / HTTP/1.1\r\nHost: h\r\n: c") },
		{ HEAD("GET / HTTP/1.1\r\nHost: h\r\nnothing") },
		{ HEAD("GET / HTTP/1.1\r\nHost: h\r\nA: b\r\n c") },
		{ HEAD("GET / HTTP/1.1\r\nHost: h\r\nA: b\r\n\tc") },
		{ HEAD("GET / HTTP/1.1\r\n Host: h") },
		{ HEAD("GET / HTTP/1.1\nHost: h") },
		{ HEAD("GET / HTTP/1.1\r\nHost: h\nA: b") },
		{ HEAD("GET / HTTP/1.1\r\nHost: h\rA: b") },
		{ HEAD("GET / HTTP/1.1\r\nHost: h\0") },
		{ HEAD("GET /\0 HTTP/1.1\r\nHost: h") },
		{ HEAD("GET / HTTP/1.1\r\nHo\0st: h") },
		{ HEAD("GET / HTTP/1.1\r\nHost: h\r\nA: \x01") },
		{ HEAD("GET / HTTP/1.1\r\nHost: h\r\nA: \x7f") },
		{ HEAD("GET / HTTP/1.2\r\nHost: h") },
		{ HEAD("GET / HTTP/2.0\r\nHost: h") },
		{ HEAD("GET /") },
		{ HEAD("GET / x HTTP/1.1\r\nHost: h") },
		{ HEAD("GET a HTTP/1.1\r\nHost: h") },
		{ HEAD("GET * HTTP/1.1\r\nHost: h") },
		{ HEAD("GET http://h HTTP/1.1\r\nHost: h") },
		{ HEAD("GET https://h/ HTTP/1.1\r\nHost: h") },
		{ HEAD("GET /#a HTTP/1.1\r\nHost: h") },
		{ HEAD("CONNECT h:80 HTTP/1.1\r\nHost: h") },
		{ HEAD("GET / HTTP/1.1\r\nHost: h\r\nExpect: tea") },
	};
	struct request q;
	struct framing f;

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		if (parse(bad[i].head, bad[i].size, &q, &f) == ERR_OK)
			fail_msg("taken: %s", bad[i].head);
}

static void too_many_headers_are_refused(void **state)
{
	struct buf b = { 0 };
	struct request q;
	struct framing f;

	(void)state;
	buf_append_text(&b, "GET / HTTP/1.1\r\nHost: h\r\n");
	for (int i = 1; i < REQUEST_HEADERS_MAX; i++)
		buf_printf(&b, "A%d: b\r\n", i);
	buf_append_text(&b, "\r\n");
	assert_int_equal(parse((const char *)b.data, b.size, &q, &f), ERR_OK);
	b.size -= 2;
	buf_append_text(&b, "B: c\r\n\r\n");
	assert_int_equal(parse((const char *)b.data, b.size, &q, &f), ERR_HEADER_TOO_LARGE);
	buf_free(&b);
}

static void the_end_of_a_head_is_found_however_it_comes(void **state)
{
	static const char whole[] = "GET / HTTP/1.1\r\nHost: h\r\n\r\nGET";
	size_t size = 0;

	(void)state;
	for (size_t step = 1; step < sizeof(whole); step++) {
		struct head_search s = { 0 };
		enum head_found found = HEAD_MORE;

		for (size_t have = step; found == HEAD_MORE && have < sizeof(whole) + step; have += step)
			found = head_find(
			    &s, bytes_of(whole, have < sizeof(whole) - 1 ? have : sizeof(whole) - 1), &size);
		assert_int_equal(found, HEAD_WHOLE);
		assert_int_equal(size, sizeof(whole) - 4);
	}
}

/* --- chunks --- */

static enum chunk_result decode(const char *in, size_t size, size_t step, struct buf *body, size_t max)
{
	struct chunks c = { 0 };
	enum chunk_result result = CHUNK_MORE;
	size_t used;

	buf_clear(body);
	for (size_t at = 0; at < size && result == CHUNK_MORE; at += used)
		result = chunks_decode(
		    &c, bytes_of(in + at, size - at < step ? size - at : step), &used, body, max);
	return result;
}

#define CHUNKS(text) text, sizeof(text) - 1

static void chunks_become_a_body(void **state)
{
	struct buf body = { 0 };

	(void)state;
	for (size_t step = 1; step < 50; step++) {
		assert_int_equal(
		    decode(CHUNKS("5\r\nhello\r\n00B;x=\"y\"\r\n, chunks; b\r\n0\r\n\r\n"), step, &body, 16),
		    CHUNK_DONE);
		assert_string_equal(buf_text(&body), "hello, chunks; b");
	}
	assert_int_equal(decode(CHUNKS("0\r\n\r\n"), 1, &body, 0), CHUNK_DONE);
	assert_int_equal(decode(CHUNKS("5\r\nhello\r\n0\r\n\r"), 99, &body, 16), CHUNK_MORE);
	buf_free(&body);
}

static void ambiguous_chunks_are_refused(void **state)
{
	static const struct {
		const char *text;
		size_t size;
	} bad[] = { { CHUNKS("5\nhello\r\n") }, { CHUNKS("5\r\nhelloXY0\r\n\r\n") },
		{ CHUNKS("5\r\nhello\n0\r\n\r\n") }, { CHUNKS("5;a\nb\r\nhello\r\n") }, { CHUNKS(" 5\r\n") },
		{ CHUNKS("5 \r\n") }, { CHUNKS("-1\r\n") }, { CHUNKS("0x5\r\n") }, { CHUNKS("\r\n") },
		{ CHUNKS(";a\r\n") }, { CHUNKS("12345678901234567\r\n") },
		{ CHUNKS("00000000000000005\r\n") }, { CHUNKS("0\r\nTrailer: x\r\n\r\n") },
		{ CHUNKS("0\r\n\n") }, { CHUNKS("5\r\rhello") } };
	struct buf body = { 0 };

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		if (decode(bad[i].text, bad[i].size, 99, &body, 1000) != CHUNK_BAD)
			fail_msg("taken: %s", bad[i].text);
	buf_free(&body);
}

static void a_chunk_over_the_limit_is_refused_when_announced(void **state)
{
	struct buf body = { 0 };

	(void)state;
	assert_int_equal(decode(CHUNKS("11\r\n"), 99, &body, 16), CHUNK_TOO_LARGE);
	assert_int_equal(decode(CHUNKS("ffffffffffffffff\r\n"), 99, &body, 16), CHUNK_TOO_LARGE);
	assert_int_equal(decode(CHUNKS("8\r\n12345678\r\n9\r\n"), 99, &body, 16), CHUNK_TOO_LARGE);
	buf_free(&body);
}

static void a_line_without_end_is_refused(void **state)
{
	struct buf in = { 0 }, body = { 0 };

	(void)state;
	buf_append_text(&in, "5;");
	for (int i = 0; i < 300; i++)
		buf_append_text(&in, "x");
	assert_int_equal(decode((const char *)in.data, in.size, 7, &body, 16), CHUNK_BAD);
	buf_free(&in);
	buf_free(&body);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(numbers_have_one_form),
		cmocka_unit_test(numbers_are_printed),
		cmocka_unit_test(spans_have_a_unit),
		cmocka_unit_test(json_strings_are_utf8),
		cmocka_unit_test(percent_encoding_is_strict),
		cmocka_unit_test(a_query_comes_apart),
		cmocka_unit_test(base64_goes_both_ways),
		cmocka_unit_test(routes_are_found),
		cmocka_unit_test(head_goes_where_get_goes),
		cmocka_unit_test(a_star_stands_for_what_is_between),
		cmocka_unit_test(any_method_is_one_of_them),
		cmocka_unit_test(what_is_plain_text),
		cmocka_unit_test(methods_of_a_path_are_told),
		cmocka_unit_test(a_value_has_its_own_limit),
		cmocka_unit_test(a_head_comes_apart),
		cmocka_unit_test(framing_is_told),
		cmocka_unit_test(ambiguous_heads_are_refused),
		cmocka_unit_test(too_many_headers_are_refused),
		cmocka_unit_test(the_end_of_a_head_is_found_however_it_comes),
		cmocka_unit_test(chunks_become_a_body),
		cmocka_unit_test(ambiguous_chunks_are_refused),
		cmocka_unit_test(a_chunk_over_the_limit_is_refused_when_announced),
		cmocka_unit_test(a_line_without_end_is_refused),
	};

	return cmocka_run_group_tests_name("http_text", tests, NULL, NULL);
}
