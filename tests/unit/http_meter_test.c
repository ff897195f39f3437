/* links: worker/http/meter.c worker/http/native.c worker/http/native_json.c worker/http/json_body.c worker/http/native_node.c worker/http/native_members.c worker/http/native_backup.c worker/http/native_index.c worker/http/dialect.c worker/http/route.c worker/http/operation.c worker/http/meaning.c worker/http/message.c worker/http/text.c worker/kv/op.c common/metric.c common/metric_text.c common/status.c common/member.c common/addr.c common/err.c common/wire.c common/crc.c common/clock.c common/log.c common/buf.c common/mem.c tests/common/child.c -ljansson */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/common/child.h"
#include "worker/http/meter.h"

static const struct dialect *const dialects[] = { &native, NULL };
static struct metric_board *board;
static struct metrics *own;
static struct meter *meter;

static int set_up(void **state)
{
	(void)state;
	board = metric_board_new(NULL);
	own = metric_slot(board, metric_slot_take(board));
	meter = meter_new(dialects, board, own, "1.0");
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	meter_free(meter);
	metric_board_free(board);
	return 0;
}

static struct match match_of(enum method method, const char *path)
{
	return route_find(dialects, DIALECTS_ALL, method, bytes_text(path));
}

static void assert_shown(const char *line)
{
	struct buf text = { 0 };

	meter_put_text(meter, &text);
	if (strstr(buf_text(&text), line) == NULL)
		fail_msg("not shown: %s", line);
	buf_free(&text);
}

static void every_route_and_code_has_its_series(void **state)
{
	struct match m;

	(void)state;
	for (const struct route *r = native.routes; r->pattern != NULL; r++) {
		char *line =
		    xasprintf("\nholdfast_http_requests_total{method=\"%s\",route=\"%s\",code=\"200\"} 1\n",
			method_name(r->method), r->pattern);

		m = (struct match){ .dialect = &native, .route = r };
		meter_answered(meter, &m, 200, span_ms(1));
		assert_shown(line);
		free(line);
	}
	m = match_of(METHOD_GET, "/nowhere");
	meter_answered(meter, &m, 404, span_ms(1));
	assert_shown("\nholdfast_http_requests_total{method=\"other\",route=\"none\",code=\"404\"} 1\n");
#define CODE(status, reason) meter_refused(meter, &m, status);
#include "worker/http/code.def"
#undef CODE
	assert_shown("\nholdfast_http_requests_total{method=\"other\",route=\"none\",code=\"404\"} 2\n");
	assert_shown("\nholdfast_http_requests_total{method=\"other\",route=\"none\",code=\"504\"} 1\n");
}

static void a_code_that_is_not_in_the_table_is_another(void **state)
{
	struct match m = match_of(METHOD_PUT, "/v1/kv/a");

	(void)state;
	meter_refused(meter, &m, 299);
	assert_shown("\nholdfast_http_requests_total{method=\"PUT\",route=\"/v1/kv/*\",code=\"other\"} 1\n");
}

static void what_is_refused_is_not_timed(void **state)
{
	struct match m = match_of(METHOD_PUT, "/v1/kv/a");

	(void)state;
	meter_refused(meter, &m, 400);
	meter_answered(meter, &m, 200, span_ms(3));
	assert_shown("\nholdfast_http_request_seconds_count{method=\"PUT\",route=\"/v1/kv/*\"} 1\n");
	assert_shown("\nholdfast_http_request_seconds_sum{method=\"PUT\",route=\"/v1/kv/*\"} 0.003\n");
}

static struct instant at(int64_t ms)
{
	return (struct instant){ span_ms(ms).ns };
}

static void be_slow(void *arg)
{
	struct ipc_answer a = { .queue_us = 1500, .agree_us = 1000000, .sync_us = 900000, .apply_us = 500 };
	struct match put = match_of(METHOD_PUT, "/v1/kv/a"), none = match_of(METHOD_GET, "/nowhere");

	(void)arg;
	meter_slow(meter, &put, 200, span_ms(1010), &a, at(100000));
	meter_slow(meter, &none, 504, span_ms(2000), NULL, at(100000));
	for (int i = 0; i < 30; i++)
		meter_slow(meter, &put, 200, span_ms(1), NULL, at(100500));
	meter_slow(meter, &put, 200, span_ms(1), NULL, at(101000));
}

static void a_slow_request_is_one_line_and_ten_a_second_are_enough(void **state)
{
	struct buf said = { 0 };
	unsigned lines = 0;
	const char *text;

	(void)state;
	assert_int_equal(child_run(be_slow, NULL, &said), 0);
	text = buf_text(&said);
	assert_non_null(strstr(text, "a request was slow method=PUT route=/v1/kv/* status=200 total=1010.0ms "
				     "queue=1.5ms replicate=1000.0ms "
				     "sync=900.0ms apply=0.5ms elsewhere=8.0ms unlogged=0\n"));
	assert_non_null(strstr(text, "method=other route=none status=504 total=2000.0ms queue=0.0ms"));
	for (const char *line = text; (line = strchr(line, '\n')) != NULL; line++)
		lines++;
	assert_int_equal(lines, 11);
	assert_non_null(strstr(text, "elsewhere=1.0ms unlogged=22\n"));
	assert_int_equal(own->http_slow_requests_total->value, 33);
	buf_free(&said);
}

static void wait_for_leader(void *arg)
{
	struct ipc_answer formed = { .unled = 1, .queue_us = 1600000 }, none = { .error = ERR_NO_LEADER };
	struct match put = match_of(METHOD_PUT, "/v1/kv/a");

	(void)arg;
	meter_slow(meter, &put, 201, span_ms(1600), &formed, at(100000));
	meter_slow(meter, &put, 503, span_ms(5000), &none, at(100000));
}

static void a_request_that_waited_for_a_leader_is_no_news(void **state)
{
	struct buf said = { 0 };

	(void)state;
	assert_int_equal(child_run(wait_for_leader, NULL, &said), 0);
	assert_string_equal(buf_text(&said), "");
	assert_int_equal(own->http_slow_requests_total->value, 2);
	buf_free(&said);
}

int main(void)
{
#define CASE(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		CASE(every_route_and_code_has_its_series),
		CASE(a_code_that_is_not_in_the_table_is_another),
		CASE(what_is_refused_is_not_timed),
		CASE(a_slow_request_is_one_line_and_ten_a_second_are_enough),
		CASE(a_request_that_waited_for_a_leader_is_no_news),
	};
#undef CASE

	return cmocka_run_group_tests_name("http_meter", tests, NULL, NULL);
}
