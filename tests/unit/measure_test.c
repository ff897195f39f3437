/*
 * What a replica measures of itself.
 *
 * links: worker/replica/ worker/raft/ worker/log/ worker/kv/ tests/common/replica_alone.c
 *	tests/common/fake_disk.c tests/common/mem_table.c tests/common/mem_tables.c common/ballast.c common/buf.c
 *	common/clock.c common/crc.c common/disk.c common/err.c common/lane.c common/log.c common/mem.c common/member.c
 *	common/metric.c common/random.c common/random_secret.c common/status.c common/wire.c -lxxhash
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "tests/common/replica_alone.h"
#include "worker/replica/inside.h"

#define LIST "n1=n1:1, n2=n2:1, n3=n3:1"

static uint64_t value_of(const struct metric_counter *c)
{
	return c->value;
}

static uint64_t count_of(const struct metric_histogram *h)
{
	uint64_t count = 0;

	for (int i = 0; i <= METRIC_BOUNDS; i++)
		count += h->buckets[i];
	return count;
}

static void elections_are_counted_once(void **state)
{
	struct alone *a = alone_new(LIST);
	struct metrics *m;

	(void)state;
	alone_form(a);
	m = a->replica->measure.metrics;
	assert_int_equal(value_of(m->elections_won_total), 0);
	alone_elect(a);
	alone_pass(a, 10);
	assert_int_equal(value_of(m->elections_started_total), 1);
	assert_int_equal(value_of(m->elections_won_total), 1);
	assert_int_equal(m->role[ROLE_LEADER].value, 1);
	assert_int_equal(m->term->value, alone_view(a).term);
	/* Whom it voted for is in its log; that is no election of its next life. */
	alone_kill(a);
	alone_pass(a, 1);
	m = a->replica->measure.metrics;
	assert_int_equal(value_of(m->elections_started_total), 0);
	assert_int_equal(m->role[ROLE_LEADER].value, 0);
	alone_free(a);
}

static void commits_are_timed_from_the_proposal(void **state)
{
	struct alone *a = alone_new(LIST);
	struct metrics *m;
	uint64_t count, sum;

	(void)state;
	alone_form(a);
	alone_elect(a);
	alone_accept(a, 2);
	m = a->replica->measure.metrics;
	count = count_of(m->commit_seconds);
	sum = m->commit_seconds->sum;
	alone_write(a, 1, "key");
	alone_pass(a, 1);
	assert_int_equal(count_of(m->commit_seconds), count);
	assert_int_equal(m->requests_in_flight->value, 1);
	alone_pass(a, 30);
	alone_accept(a, 2);
	alone_pass(a, 1);
	assert_int_equal(count_of(m->commit_seconds), count + 1);
	assert_true(m->commit_seconds->sum - sum >= 30 * 1000000);
	assert_true(m->commit_seconds->sum - sum < 40 * 1000000);
	assert_int_equal(m->commit_index->value, m->last_index->value);
	assert_int_equal(m->log_lane_jobs->value, 0);
	assert_int_equal(m->requests_in_flight->value, 0);
	alone_free(a);
}

static void at(struct replica *r, int64_t ms)
{
	r->now = (struct instant){ span_ms(ms).ns };
}

/* A batch of entries, proposed at 1010, on this disk at 1030, committed at 1100, applied at 1105. */
static void a_write_tells_where_its_time_went(void **state)
{
	struct alone *a = alone_new(LIST);
	struct pending p = { .kind = REQUEST_WRITE };
	struct ipc_answer answer = { 0 };
	struct replica *r;

	(void)state;
	alone_form(a);
	r = a->replica;
	p.begun = (struct instant){ span_ms(1000).ns };
	p.asked = (struct instant){ span_ms(1010).ns };
	p.index = 100;
	at(r, 1010);
	measure_given(r, 90, 110);
	measure_given(r, 111, 120);
	at(r, 1030);
	measure_durable(r, 110);
	at(r, 1100);
	r->measure.batches[(r->measure.next - 2) % BATCHES].committed = r->now;
	at(r, 1105);
	measure_answer(r, &p, &answer);
	assert_int_equal(answer.queue_us, 10000);
	assert_int_equal(answer.agree_us, 90000);
	assert_int_equal(answer.sync_us, 20000);
	assert_int_equal(answer.apply_us, 5000);
	alone_free(a);
}

static void a_read_tells_where_its_time_went(void **state)
{
	struct alone *a = alone_new(LIST);
	struct pending p = { .kind = REQUEST_READ };
	struct ipc_answer answer = { 0 };

	(void)state;
	p.begun = (struct instant){ span_ms(1000).ns };
	p.asked = (struct instant){ span_ms(1001).ns };
	at(a->replica, 1050);
	measure_answer(a->replica, &p, &answer);
	assert_int_equal(answer.queue_us, 1000);
	assert_int_equal(answer.agree_us, 49000);
	assert_int_equal(answer.apply_us, 0);
	p.known = (struct instant){ span_ms(1041).ns };
	measure_answer(a->replica, &p, &answer);
	assert_int_equal(answer.agree_us, 40000);
	assert_int_equal(answer.apply_us, 9000);
	alone_free(a);
}

/* What is quick is not looked at; a request of another node has no beginning here. */
static void the_quick_and_the_foreign_tell_nothing(void **state)
{
	struct alone *a = alone_new(LIST);
	struct pending p = { .kind = REQUEST_WRITE };
	struct ipc_answer answer = { 0 };

	(void)state;
	at(a->replica, 1004);
	measure_answer(a->replica, &p, &answer);
	p.begun = (struct instant){ span_ms(1000).ns };
	measure_answer(a->replica, &p, &answer);
	assert_int_equal(answer.queue_us + answer.agree_us + answer.sync_us + answer.apply_us, 0);
	alone_free(a);
}

static void batches_are_forgotten_oldest_first(void **state)
{
	struct alone *a = alone_new(LIST);
	struct measure *m;

	(void)state;
	alone_form(a);
	m = &a->replica->measure;
	for (uint64_t i = 100; i < 100 + 3 * BATCHES; i++)
		measure_given(a->replica, i, i);
	assert_int_equal(m->next - m->first, BATCHES);
	assert_true(m->durable >= m->first && m->committed >= m->first);
	measure_durable(a->replica, UINT64_MAX);
	assert_int_equal(m->durable, m->next);
	/* A new leader has other entries in place of the last ten. */
	measure_given(a->replica, 100 + 3 * BATCHES - 10, 100 + 3 * BATCHES + 5);
	assert_int_equal(m->next - m->first, BATCHES - 9);
	assert_int_equal(m->durable, m->next - 1);
	/* And in place of all. */
	measure_given(a->replica, 1, 5);
	assert_int_equal(m->next - m->first, 1);
	alone_free(a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(elections_are_counted_once),
		cmocka_unit_test(commits_are_timed_from_the_proposal),
		cmocka_unit_test(a_write_tells_where_its_time_went),
		cmocka_unit_test(a_read_tells_where_its_time_went),
		cmocka_unit_test(the_quick_and_the_foreign_tell_nothing),
		cmocka_unit_test(batches_are_forgotten_oldest_first),
	};

	return cmocka_run_group_tests_name("measure", tests, NULL, NULL);
}
