/* links: common/metric.c common/metric_text.c common/process.c common/status.c common/wire.c common/crc.c common/clock.c common/buf.c common/mem.c */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/metric_inside.h"
#include "common/metric_text.h"
#include "common/process.h"

/* What a board is shown as, with two routes and two codes. The caller frees it. */
static char *shown(const struct metric_board *b)
{
	struct metric_words *w = metric_words_new();
	struct buf text = { 0 };
	char *copy;

	metric_words_add(w, AXIS_VERSION, bytes_text("version=\"1\""));
	metric_words_add(w, AXIS_ROUTE, bytes_text("method=\"\",route=\"none\""));
	metric_words_add(w, AXIS_ROUTE, bytes_text("method=\"PUT\",route=\"/v1/kv/*\""));
	metric_words_add(w, AXIS_CODE, bytes_text("code=\"200\""));
	metric_words_add(w, AXIS_CODE, bytes_text("code=\"404\""));
	metric_put_text(b, w, &text);
	copy = xstrdup(buf_text(&text));
	buf_free(&text);
	metric_words_free(w);
	return copy;
}

/* The part about one row. */
static void assert_shows(const struct metric_board *b, const char *name, const char *wanted)
{
	char *text = shown(b), *begin, *end, *mark = xasprintf("# HELP %s ", name);

	begin = strstr(text, mark);
	assert_non_null(begin);
	end = strstr(begin + 1, "# HELP ");
	if (end != NULL)
		*end = '\0';
	assert_string_equal(begin, wanted);
	free(text);
	free(mark);
}

static struct metric_board *board;
static struct metrics *m;

static int open_board(void **state)
{
	(void)state;
	board = metric_board_new(NULL);
	m = metric_slot(board, metric_slot_take(board));
	return 0;
}

static int close_board(void **state)
{
	(void)state;
	metric_board_free(board);
	return 0;
}

static void counters_and_gauges_are_shown_as_numbers(void **state)
{
	(void)state;
	metric_add(m->elections_started_total, 2);
	metric_add(m->elections_started_total, 3);
	metric_set(m->term, 7);
	metric_set(m->term, 18446744073709551615u);
	assert_shows(board, "holdfast_elections_started_total",
	    "# HELP holdfast_elections_started_total Elections in which this node stood.\n"
	    "# TYPE holdfast_elections_started_total counter\n"
	    "holdfast_elections_started_total 5\n");
	assert_shows(board, "holdfast_term",
	    "# HELP holdfast_term The term.\n"
	    "# TYPE holdfast_term gauge\n"
	    "holdfast_term 18446744073709551615\n");
}

static void fixed_labels_are_shown_at_zero_too(void **state)
{
	(void)state;
	metric_set(&m->role[3], 1);
	assert_shows(board, "holdfast_role",
	    "# HELP holdfast_role 1 for the role that the node has, 0 for the others.\n"
	    "# TYPE holdfast_role gauge\n"
	    "holdfast_role{role=\"unformed\"} 0\n"
	    "holdfast_role{role=\"follower\"} 0\n"
	    "holdfast_role{role=\"candidate\"} 0\n"
	    "holdfast_role{role=\"leader\"} 1\n"
	    "holdfast_role{role=\"learner\"} 0\n");
}

static void routes_and_codes_are_shown_from_their_first_request_on(void **state)
{
	(void)state;
	assert_shows(board, "holdfast_http_requests_total",
	    "# HELP holdfast_http_requests_total Requests answered.\n"
	    "# TYPE holdfast_http_requests_total counter\n");
	metric_add(&m->http_requests_total[1 * METRIC_CODES + 0], 4);
	metric_add(&m->http_requests_total[0 * METRIC_CODES + 1], 1);
	assert_shows(board, "holdfast_http_requests_total",
	    "# HELP holdfast_http_requests_total Requests answered.\n"
	    "# TYPE holdfast_http_requests_total counter\n"
	    "holdfast_http_requests_total{method=\"\",route=\"none\",code=\"404\"} 1\n"
	    "holdfast_http_requests_total{method=\"PUT\",route=\"/v1/kv/*\",code=\"200\"} 4\n");
}

static void a_bound_belongs_to_its_bucket(void **state)
{
	const struct metric_histogram *h = m->log_sync_seconds;

	(void)state;
	metric_observe_span(m->log_sync_seconds, span_us(100));
	metric_observe_span(m->log_sync_seconds, (struct span){ 100001 });
	metric_observe_span(m->log_sync_seconds, (struct span){ -5 });
	metric_observe_span(m->log_sync_seconds, span_ms(10000));
	metric_observe_span(m->log_sync_seconds, span_ms(10001));
	assert_int_equal(h->buckets[0], 2);
	assert_int_equal(h->buckets[1], 1);
	assert_int_equal(h->buckets[METRIC_BOUNDS - 1], 1);
	assert_int_equal(h->buckets[METRIC_BOUNDS], 1);
	assert_int_equal(h->sum, 100000 + 100001 + 10000 * 1000000ll + 10001 * 1000000ll);
}

static void bounds_rise(void **state)
{
	(void)state;
	for (int unit = 0; unit < 2; unit++)
		for (int i = 1; i < METRIC_BOUNDS; i++)
			assert_true(metric_bounds[unit][i - 1] < metric_bounds[unit][i]);
}

static void histograms_are_cumulative_in_seconds(void **state)
{
	(void)state;
	metric_observe_span(m->commit_seconds, span_us(300));
	metric_observe_span(m->commit_seconds, span_us(300));
	metric_observe_span(m->commit_seconds, span_ms(1500));
	metric_observe_span(m->commit_seconds, span_ms(60000));
	assert_shows(board, "holdfast_commit_seconds",
	    "# HELP holdfast_commit_seconds On the leader: from proposing a batch of entries until it was "
	    "known to be "
	    "committed.\n"
	    "# TYPE holdfast_commit_seconds histogram\n"
	    "holdfast_commit_seconds_bucket{le=\"0.0001\"} 0\n"
	    "holdfast_commit_seconds_bucket{le=\"0.00025\"} 0\n"
	    "holdfast_commit_seconds_bucket{le=\"0.0005\"} 2\n"
	    "holdfast_commit_seconds_bucket{le=\"0.001\"} 2\n"
	    "holdfast_commit_seconds_bucket{le=\"0.0025\"} 2\n"
	    "holdfast_commit_seconds_bucket{le=\"0.005\"} 2\n"
	    "holdfast_commit_seconds_bucket{le=\"0.01\"} 2\n"
	    "holdfast_commit_seconds_bucket{le=\"0.025\"} 2\n"
	    "holdfast_commit_seconds_bucket{le=\"0.05\"} 2\n"
	    "holdfast_commit_seconds_bucket{le=\"0.1\"} 2\n"
	    "holdfast_commit_seconds_bucket{le=\"0.25\"} 2\n"
	    "holdfast_commit_seconds_bucket{le=\"0.5\"} 2\n"
	    "holdfast_commit_seconds_bucket{le=\"1\"} 2\n"
	    "holdfast_commit_seconds_bucket{le=\"2.5\"} 3\n"
	    "holdfast_commit_seconds_bucket{le=\"5\"} 3\n"
	    "holdfast_commit_seconds_bucket{le=\"10\"} 3\n"
	    "holdfast_commit_seconds_bucket{le=\"+Inf\"} 4\n"
	    "holdfast_commit_seconds_sum 61.5006\n"
	    "holdfast_commit_seconds_count 4\n");
}

static void histograms_of_things_count_in_powers_of_two(void **state)
{
	(void)state;
	metric_observe_count(m->apply_entries, 1);
	metric_observe_count(m->apply_entries, 3);
	metric_observe_count(m->apply_entries, 40000);
	assert_int_equal(m->apply_entries->buckets[0], 1);
	assert_int_equal(m->apply_entries->buckets[2], 1);
	assert_int_equal(m->apply_entries->buckets[METRIC_BOUNDS], 1);
	assert_int_equal(m->apply_entries->sum, 40004);
}

static void labels_are_escaped(void **state)
{
	struct buf b = { 0 };

	(void)state;
	metric_put_label(&b, "a", "x\"y\\z\nw");
	metric_put_label(&b, "b", "");
	assert_string_equal(buf_text(&b), "a=\"x\\\"y\\\\z\\nw\",b=\"\"");
	buf_free(&b);
}

static void slots_are_added_up(void **state)
{
	struct metrics *other = metric_slot(board, metric_slot_take(board));

	(void)state;
	metric_add(m->http_accepted_total, 2);
	metric_add(other->http_accepted_total, 40);
	metric_set(m->http_connections, 1);
	metric_set(other->http_connections, 5);
	assert_shows(board, "holdfast_http_accepted_total",
	    "# HELP holdfast_http_accepted_total Connections of HTTP clients that were accepted.\n"
	    "# TYPE holdfast_http_accepted_total counter\n"
	    "holdfast_http_accepted_total 42\n");
	assert_shows(board, "holdfast_http_connections",
	    "# HELP holdfast_http_connections Connections of HTTP clients.\n"
	    "# TYPE holdfast_http_connections gauge\n"
	    "holdfast_http_connections 6\n");
}

static void a_process_that_is_gone_leaves_its_counters_and_no_gauge(void **state)
{
	unsigned slot = metric_slot_take(board);
	struct metrics *gone = metric_slot(board, slot);

	(void)state;
	metric_add(gone->http_accepted_total, 3);
	metric_set(gone->http_connections, 3);
	metric_set(&gone->role[4], 1);
	metric_observe_count(gone->apply_entries, 1);
	metric_slot_release(board, slot);
	assert_int_equal(gone->http_accepted_total->value, 3);
	assert_int_equal(gone->apply_entries->sum, 1);
	assert_int_equal(gone->http_connections->value, 0);
	assert_int_equal(gone->role[4].value, 0);
	/* Its successor counts on. */
	assert_int_equal(metric_slot_take(board), slot);
}

static void each_process_of_a_node_is_a_series_of_its_own(void **state)
{
	unsigned consensus = metric_slot_take(board), http = metric_slot_take(board),
		 unknown = metric_slot_take(board);

	(void)state;
	metric_slot_name(board, 0, PROCESS_SUPERVISOR, 0);
	metric_slot_name(board, consensus, PROCESS_CONSENSUS, 0);
	metric_slot_name(board, http, PROCESS_HTTP, 12);
	metric_set(m->process_open_fds, 7);
	metric_set(metric_slot(board, http)->process_open_fds, 9);
	metric_set(metric_slot(board, unknown)->process_open_fds, 11);
	metric_read(metric_slot(board, consensus)->process_cpu_seconds_total, 1500000000);
	assert_shows(board, "process_open_fds",
	    "# HELP process_open_fds Number of open file descriptors.\n"
	    "# TYPE process_open_fds gauge\n"
	    "process_open_fds{process=\"supervisor\"} 7\n"
	    "process_open_fds{process=\"consensus\"} 0\n"
	    "process_open_fds{process=\"http-12\"} 9\n");
	assert_shows(board, "process_cpu_seconds_total",
	    "# HELP process_cpu_seconds_total Total user and system CPU time spent in seconds.\n"
	    "# TYPE process_cpu_seconds_total counter\n"
	    "process_cpu_seconds_total{process=\"supervisor\"} 0\n"
	    "process_cpu_seconds_total{process=\"consensus\"} 1.5\n"
	    "process_cpu_seconds_total{process=\"http-12\"} 0\n");
	/* A successor starts from nothing, and is the one that counts while both live. */
	metric_slot_name(board, unknown, PROCESS_HTTP, 12);
	metric_set(metric_slot(board, unknown)->process_start_time_seconds, 5);
	metric_slot_release(board, consensus);
	assert_shows(board, "process_open_fds",
	    "# HELP process_open_fds Number of open file descriptors.\n"
	    "# TYPE process_open_fds gauge\n"
	    "process_open_fds{process=\"supervisor\"} 7\n"
	    "process_open_fds{process=\"http-12\"} 11\n");
	assert_int_equal(metric_slot(board, consensus)->process_cpu_seconds_total->value, 0);
}

static void what_the_kernel_says_of_this_process_is_measured(void **state)
{
	struct metrics *own = metric_slot(board, 0);
	uint64_t before;
	int fds[2];

	(void)state;
	process_measure(own);
	assert_in_range(own->process_resident_memory_bytes->value, 100000, 10000000000);
	assert_true(own->process_virtual_memory_bytes->value >= own->process_resident_memory_bytes->value);
	assert_true(own->process_cpu_seconds_total->value > 0);
	assert_true(own->process_max_fds->value > 0);
	assert_in_range(own->process_start_time_seconds->value / 1000000000, (uint64_t)time(NULL) - 3600,
	    (uint64_t)time(NULL) + 1);
	before = own->process_open_fds->value;
	assert_int_equal(pipe(fds), 0);
	process_measure(own);
	assert_int_equal(own->process_open_fds->value, before + 2);
	close(fds[0]);
	close(fds[1]);
}

static void there_is_an_end_of_slots(void **state)
{
	(void)state;
	for (unsigned i = 1; i < METRIC_SLOTS; i++)
		assert_int_equal(metric_slot_take(board), i);
	assert_int_equal(metric_slot_take(board), METRIC_SLOTS);
	assert_null(metric_slot(board, METRIC_SLOTS));
	metric_slot_release(board, METRIC_SLOTS);
	metric_slot_release(board, 77);
	assert_int_equal(metric_slot_take(board), 77);
}

static void another_process_counts_on_the_same_board(void **state)
{
	struct metric_board *b, *same;
	int fd, status;
	pid_t pid;

	(void)state;
	b = metric_board_new(&fd);
	assert_int_equal(metric_slot_take(b), 0);
	assert_int_equal(ftruncate(fd, 0), -1);
	if ((pid = fork()) == 0) {
		same = metric_board_map(fd);
		metric_add(metric_slot(same, 0)->http_accepted_total, 9);
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	assert_int_equal(metric_slot(b, 0)->http_accepted_total->value, 9);
	close(fd);
	metric_board_free(b);
}

static void a_board_of_another_build_is_not_mapped(void **state)
{
	struct metric_board *b;
	int fd;

	(void)state;
	b = metric_board_new(&fd);
	b->layout++;
	assert_null(metric_board_map(fd));
	close(fd);
	metric_board_free(b);
	assert_null(metric_board_map(-1));
}

#define ROUNDS 20000

static void *count(void *arg)
{
	struct metrics *mine = arg;

	for (int i = 0; i < ROUNDS; i++) {
		metric_add(mine->http_accepted_total, 1);
		metric_observe_span(mine->log_sync_seconds, span_us(i));
	}
	return NULL;
}

/* The number behind `name`. */
static unsigned long long value_in(const char *text, const char *name)
{
	const char *at = strstr(text, name);

	assert_non_null(at);
	return strtoull(at + strlen(name), NULL, 10);
}

static void readers_see_counters_rise_while_all_write(void **state)
{
	unsigned long long before = 0;
	pthread_t threads[4];

	(void)state;
	for (int i = 0; i < 4; i++)
		pthread_create(&threads[i], NULL, count, metric_slot(board, metric_slot_take(board)));
	for (int i = 0; i < 50; i++) {
		char *text = shown(board);
		unsigned long long now = value_in(text, "\nholdfast_http_accepted_total ");

		assert_true(now >= before);
		before = now;
		assert_int_equal(value_in(text, "\nholdfast_log_sync_seconds_count "),
		    value_in(text, "\nholdfast_log_sync_seconds_bucket{le=\"+Inf\"} "));
		free(text);
	}
	for (int i = 0; i < 4; i++)
		pthread_join(threads[i], NULL);
	assert_shows(board, "holdfast_http_accepted_total",
	    "# HELP holdfast_http_accepted_total Connections of HTTP clients that were accepted.\n"
	    "# TYPE holdfast_http_accepted_total counter\n"
	    "holdfast_http_accepted_total 80000\n");
}

static void rows_do_not_overlap_and_counters_end_in_total(void **state)
{
	size_t end = 0;
	const struct metric_row *row;

	(void)state;
	for (size_t n = 0; (row = metric_row(n)) != NULL; n++) {
		size_t one =
		    row->type == METRIC_HISTOGRAM ? sizeof(struct metric_histogram) : sizeof(uint64_t);
		size_t length = strlen(row->name);
		bool total = length > 6 && strcmp(row->name + length - 6, "_total") == 0;

		assert_int_equal(row->offset, end);
		end += row->cells * one;
		assert_int_equal(total, (row->type == METRIC_COUNTER || row->type == METRIC_READING));
	}
	assert_int_equal(end, sizeof(struct metrics));
}

int main(void)
{
#define CASE(f) cmocka_unit_test_setup_teardown(f, open_board, close_board)
	const struct CMUnitTest tests[] = {
		CASE(counters_and_gauges_are_shown_as_numbers),
		CASE(fixed_labels_are_shown_at_zero_too),
		CASE(routes_and_codes_are_shown_from_their_first_request_on),
		CASE(a_bound_belongs_to_its_bucket),
		CASE(bounds_rise),
		CASE(histograms_are_cumulative_in_seconds),
		CASE(histograms_of_things_count_in_powers_of_two),
		CASE(labels_are_escaped),
		CASE(slots_are_added_up),
		CASE(a_process_that_is_gone_leaves_its_counters_and_no_gauge),
		CASE(each_process_of_a_node_is_a_series_of_its_own),
		CASE(what_the_kernel_says_of_this_process_is_measured),
		CASE(there_is_an_end_of_slots),
		CASE(another_process_counts_on_the_same_board),
		CASE(a_board_of_another_build_is_not_mapped),
		CASE(readers_see_counters_rise_while_all_write),
		CASE(rows_do_not_overlap_and_counters_end_in_total),
	};
#undef CASE

	return cmocka_run_group_tests_name("metric", tests, NULL, NULL);
}
