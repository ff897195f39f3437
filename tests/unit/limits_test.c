/*
 * What is over a limit is refused with a sentence that names the limit, its value and what was sent. Those of the
 * replica; the others are in tests/http/ and tests/system/limits_test.py.
 *
 * links: worker/replica/ worker/raft/ worker/log/ worker/kv/ tests/common/replica_alone.c
 *	tests/common/fake_disk.c tests/common/mem_table.c tests/common/mem_tables.c common/ballast.c common/buf.c
 *	common/clock.c common/crc.c common/disk.c common/err.c common/lane.c common/log.c common/mem.c common/member.c
 *	common/metric.c common/random.c common/random_secret.c common/status.c common/wire.c -lxxhash
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "tests/common/replica_alone.h"
#include "worker/log/wal.h"
#include "worker/replica/space.h"

#define LIST "n1=n1:1, n2=n2:1, n3=n3:1"
#define NONE ((struct bytes){ NULL, 0 })

static struct buf guards, steps, filler;

static struct bytes fill(size_t size)
{
	buf_clear(&filler);
	buf_extend(&filler, size);
	memset(filler.data, 'x', size);
	return buf_bytes(&filler);
}

static void make_long_key(void)
{
	kv_delete_step(&steps, fill(KV_KEY_BYTES_MAX + 1));
}

static void make_long_guarded_key(void)
{
	kv_guard(&guards, GUARD_EXISTS, fill(KV_KEY_BYTES_MAX + 2), 0);
}

static void make_long_value(void)
{
	kv_put_step(&steps, bytes_text("k"), fill(KV_VALUE_BYTES_MAX + 1), NONE);
}

static void make_long_content_type(void)
{
	kv_put_step(&steps, bytes_text("k"), NONE, fill(KV_CONTENT_TYPE_BYTES_MAX + 1));
}

static void make_many_steps(void)
{
	for (int i = 0; i <= KV_TXN_STEPS_MAX; i++)
		kv_delete_step(&steps, bytes_text("k"));
}

static void make_many_guards(void)
{
	for (int i = 0; i <= KV_TXN_STEPS_MAX; i++)
		kv_guard(&guards, GUARD_ABSENT, bytes_text("k"), 0);
}

static void make_deep(void)
{
	kv_delete_step(&steps, bytes_text("k"));
	for (int depth = 1; depth <= KV_TXN_DEPTH_MAX; depth++) {
		struct buf txn = { 0 };

		kv_txn_put(&txn, &(struct kv_txn){ .steps = buf_bytes(&steps) });
		buf_clear(&steps);
		kv_step_put(&steps, &(struct kv_step){ .kind = STEP_TXN, .value = buf_bytes(&txn) });
		buf_free(&txn);
	}
}

/* 7 values of 1 MiB, and what stands around them. */
static void make_large(void)
{
	for (int i = 0; i < KV_TXN_BYTES_MAX / KV_VALUE_BYTES_MAX; i++)
		kv_put_step(&steps, bytes_text("k"), fill(KV_VALUE_BYTES_MAX), NONE);
}

static void make_nothing(void)
{
}

static const struct {
	void (*make)(void);
	size_t token_bytes;
	enum err error;
	const char *sentence;
} large[] = {
	{ make_long_key, 0, ERR_KEY_TOO_LONG, "a key has 4097 bytes, the limit is 4096" },
	{ make_long_guarded_key, 0, ERR_KEY_TOO_LONG, "a key has 4098 bytes, the limit is 4096" },
	{ make_long_value, 0, ERR_TOO_LARGE, "a value has 1048577 bytes, the limit is 1048576" },
	{ make_long_content_type, 0, ERR_TOO_LARGE, "a content type has 1025 bytes, the limit is 1024" },
	{ make_many_steps, 0, ERR_TOO_LARGE, "the operation has more than 10000 steps, the limit" },
	{ make_many_guards, 0, ERR_TOO_LARGE, "the operation has more than 10000 conditions, the limit" },
	{ make_deep, 0, ERR_TOO_LARGE, "the operation has more than 4 levels of nesting, the limit" },
	{ make_large, 0, ERR_TOO_LARGE, "the operation has 7340205 bytes, the limit is 7340032" },
	{ make_nothing, 257, ERR_TOO_LARGE, "the token has 257 bytes, the limit is 256" },
};

static void ask(struct alone *a, uint64_t id, size_t row)
{
	struct ipc_request q = { .id = id, .kind = REQUEST_WRITE, .time_ms = 5000 };
	struct buf txn = { 0 };

	buf_clear(&guards);
	buf_clear(&steps);
	large[row].make();
	kv_txn_put(&txn, &(struct kv_txn){ .guards = buf_bytes(&guards), .steps = buf_bytes(&steps) });
	q.operation = buf_bytes(&txn);
	q.token = fill(large[row].token_bytes);
	replica_request(a->replica, ALONE_CLIENT, &q, a->now);
	alone_pass(a, 0);
	buf_free(&txn);
}

static const struct alone_answer *refused(const struct alone *a, uint64_t id, enum err e)
{
	const struct alone_answer *answer = alone_answered(a, id);

	assert_non_null(answer);
	assert_int_equal(answer->error, e);
	assert_int_equal(answer->applied, APPLIED_NO);
	return answer;
}

static void what_is_too_large_is_refused_without_its_limit(void **state)
{
	struct alone *a = alone_new(LIST);

	(void)state;
	a->request_bytes_max = 64 << 20;
	alone_kill(a);
	for (size_t row = 0; row < sizeof(large) / sizeof(large[0]); row++) {
		ask(a, row + 1, row);
		assert_string_equal(refused(a, row + 1, large[row].error)->text, large[row].sentence);
	}
	alone_free(a);
	buf_free(&guards);
	buf_free(&steps);
	buf_free(&filler);
}

/* They wait: nobody else of the list is there. */
static void too_many_requests_are_refused_without_a_number(void **state)
{
	struct alone *a = alone_new(LIST);

	(void)state;
	for (uint64_t id = 1; id <= 1001; id++)
		alone_write(a, id, "k");
	alone_pass(a, 0);
	assert_string_equal(refused(a, 1001, ERR_BUSY)->text,
	    "1000 requests are in flight at this node, the limit is 1000 "
	    "([limits] requests); repeat it later");
	alone_free(a);
}

static void too_many_bytes_are_refused_without_a_number(void **state)
{
	struct alone *a = alone_new(LIST);
	unsigned long long there, own, limit;

	(void)state;
	alone_write_bytes(a, 1, "k", 600000);
	alone_write_bytes(a, 2, "k", 500000);
	alone_pass(a, 0);
	assert_int_equal(sscanf(refused(a, 2, ERR_BUSY)->text,
			     "requests of %llu bytes are in flight at this node, and this one has %llu, the "
			     "limit is %llu ([limits] "
			     "request_bytes)",
			     &there, &own, &limit),
	    3);
	assert_in_range(there, 600000, 601000);
	assert_in_range(own, 500000, 501000);
	assert_int_equal(limit, 1 << 20);
	alone_free(a);
}

static void full_node_refuses_without_a_number(void **state)
{
	struct space_marks m = space_marks(WAL_SEGMENT_LEAST);
	struct alone *a = alone_new_on("n1=n1:1", m.full + m.ballast - 1);
	unsigned long long room, mark, again;

	(void)state;
	alone_write(a, 1, "k");
	alone_pass(a, 0);
	assert_int_equal(
	    sscanf(refused(a, 1, ERR_FULL)->text,
		"this node has no room on its disk: free_bytes is %llu, free_mark is %llu, and it takes "
		"writes again from %llu on; make room",
		&room, &mark, &again),
	    3);
	assert_true(room < m.full + m.ballast);
	assert_int_equal(mark, m.full);
	assert_int_equal(again, m.again);
	alone_free(a);
}

/* Nobody accepts them, so none is applied. */
static void leader_with_too_many_writes_refuses_without_a_number(void **state)
{
	struct alone *a = alone_new(LIST);
	unsigned long long limit, own;
	uint64_t id = 0;

	(void)state;
	a->request_bytes_max = 256 << 20;
	alone_kill(a);
	alone_form(a);
	alone_elect(a);
	alone_clear(a);
	while (id < 100 && (id == 0 || alone_answered(a, id) == NULL)) {
		alone_clear(a);
		alone_write_bytes(a, ++id, "k", KV_VALUE_BYTES_MAX);
		alone_pass(a, 0);
	}
	assert_int_equal(
	    sscanf(refused(a, id, ERR_BUSY)->text,
		"the writes that wait for a majority of the nodes would have more than %llu bytes, the "
		"limit, with the %llu of this one; repeat it later",
		&limit, &own),
	    2);
	assert_int_equal(limit, 64 << 20);
	assert_in_range(own, KV_VALUE_BYTES_MAX, KV_VALUE_BYTES_MAX + 1000);
	alone_free(a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_too_large_is_refused_without_its_limit),
		cmocka_unit_test(too_many_requests_are_refused_without_a_number),
		cmocka_unit_test(too_many_bytes_are_refused_without_a_number),
		cmocka_unit_test(leader_with_too_many_writes_refuses_without_a_number),
		cmocka_unit_test(full_node_refuses_without_a_number),
	};

	return cmocka_run_group_tests_name("limits", tests, NULL, NULL);
}
