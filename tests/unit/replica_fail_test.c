/*
 * A replica whose disk or state fails it: what it must not say any more, and what it must not do, in the moment until
 * its process ends.
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

#include <cmocka.h>

#include "tests/common/mem_table.h"
#include "tests/common/mem_tables.h"
#include "tests/common/replica_alone.h"
#include "worker/log/wal.h"
#include "worker/log/wal_format.h"

#define LIST "n1=n1:1, n2=n2:1, n3=n3:1"

static void other_leads(struct alone *a, uint64_t leader, uint64_t term)
{
	struct raft_message m = { .type = RAFT_HEARTBEAT, .from = leader, .term = term };

	alone_raft(a, &m);
}

/* What it should have written looks clean and is not on the disk: no promise, no answer, and no second sync. */
static void d6_failed_sync_ends_the_process(void **state)
{
	struct alone *a = alone_new(LIST);

	(void)state;
	alone_form(a);
	alone_elect(a);
	alone_accept(a, 2);
	a->may_die = true;
	fake_disk_fail_sync(a->disk);
	alone_write(a, 1, "key");
	assert_true(a->died);
	alone_accept(a, 2);
	assert_null(alone_answered(a, 1));
	alone_free(a);
}

/* Appends wait for the lane when a sync fails. One more sync would succeed without what the first has lost, and the
 * batch behind it would swear that all before was durable: a log with a hole, refused at the next start. */
static void d6_nothing_is_written_behind_a_failed_sync(void **state)
{
	struct alone *a = alone_new(LIST);
	uint64_t calls;

	(void)state;
	alone_form(a);
	other_leads(a, 2, 2);
	a->may_die = a->log_waits = true;
	alone_append(a, 2, 2, (struct raft_pos){ 1, 1 }, 100);
	alone_append(a, 2, 2, (struct raft_pos){ 2, 101 }, 1);
	alone_append(a, 2, 2, (struct raft_pos){ 2, 102 }, 1);
	fake_disk_fail_sync(a->disk);
	alone_log_turn(a);
	calls = fake_disk_calls(a->disk);
	alone_log_turn(a);
	alone_log_turn(a);
	assert_true(a->died);
	assert_int_equal(fake_disk_calls(a->disk), calls);
	a->log_waits = false;
	assert_int_equal(alone_restart(a), ERR_OK);
	assert_int_equal(alone_view(a).last.index, 1);
	alone_free(a);
}

/* The sync that fails is that of a full segment: an append is given up before its entries are in the log, and the
 * one that waits would not follow. */
static void d6_nothing_is_appended_behind_a_failed_append(void **state)
{
	struct alone *a = alone_new(LIST);
	size_t count = WAL_SEGMENT_LEAST / WAL_RECORD_BYTES;

	(void)state;
	alone_form(a);
	other_leads(a, 2, 2);
	a->may_die = a->log_waits = true;
	alone_append(a, 2, 2, (struct raft_pos){ 1, 1 }, count);
	alone_append(a, 2, 2, (struct raft_pos){ 2, 1 + count }, 1);
	fake_disk_fail_sync(a->disk);
	alone_log_turn(a);
	alone_log_turn(a);
	assert_true(a->died);
	a->log_waits = false;
	assert_int_equal(alone_restart(a), ERR_OK);
	alone_free(a);
}

/* The next commit would succeed without what this one has lost, under an applied index beyond it: the log would not
 * give it back after a start, and this node would hold another state than the others for ever. */
static void c11_nothing_is_committed_behind_a_failed_commit(void **state)
{
	struct alone *a = alone_new(LIST);
	size_t records;

	(void)state;
	alone_form(a);
	alone_elect(a);
	alone_accept(a, 2);
	a->may_die = a->state_waits = true;
	for (uint64_t id = 1; id <= 2; id++) {
		alone_write(a, id, id == 1 ? "first" : "second");
		alone_accept(a, 2);
	}
	records = mem_table_count(mem_tables_in_force(a->tables));
	mem_table_fail_commit(mem_tables_in_force(a->tables));
	alone_state_turn(a);
	alone_state_turn(a);
	assert_true(a->died);
	assert_int_equal(mem_table_count(mem_tables_in_force(a->tables)), records);
	assert_int_equal(a->answer_count, 0);
	a->state_waits = false;
	alone_free(a);
}

/* What one lane has lost must not be built upon by another. */
static void nothing_is_logged_behind_a_failed_commit(void **state)
{
	struct alone *a = alone_new(LIST);
	uint64_t calls;

	(void)state;
	alone_form(a);
	alone_elect(a);
	alone_accept(a, 2);
	a->may_die = a->state_waits = true;
	alone_write(a, 1, "first");
	alone_accept(a, 2);
	a->log_waits = true;
	alone_write(a, 2, "second");
	calls = fake_disk_calls(a->disk);
	mem_table_fail_commit(mem_tables_in_force(a->tables));
	alone_state_turn(a);
	alone_log_turn(a);
	assert_true(a->died);
	assert_int_equal(fake_disk_calls(a->disk), calls);
	alone_free(a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(d6_failed_sync_ends_the_process),
		cmocka_unit_test(d6_nothing_is_written_behind_a_failed_sync),
		cmocka_unit_test(d6_nothing_is_appended_behind_a_failed_append),
		cmocka_unit_test(c11_nothing_is_committed_behind_a_failed_commit),
		cmocka_unit_test(nothing_is_logged_behind_a_failed_commit),
	};

	return cmocka_run_group_tests_name("replica that fails", tests, NULL, NULL);
}
