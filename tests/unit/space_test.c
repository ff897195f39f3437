/*
 * A replica on a filesystem that others fill: when it is full, when no more, and what it does meanwhile.
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
#include <string.h>

#include <cmocka.h>

#include "common/ballast.h"
#include "common/log.h"
#include "tests/common/replica_alone.h"
#include "worker/log/wal.h"
#include "worker/replica/space.h"

#define LIST "n1=n1:1, n2=n2:1, n3=n3:1"
#define MIB ((uint64_t)1024 * 1024)

static struct space_marks marks(void)
{
	return space_marks(WAL_SEGMENT_LEAST);
}

static void marks_follow_from_the_size_of_a_segment(void **state)
{
	struct space_marks m = space_marks(64 * MIB);

	(void)state;
	assert_int_equal(m.full, 192 * MIB);
	assert_int_equal(m.again, 240 * MIB);
	assert_int_equal(m.spent, 128 * MIB);
	assert_int_equal(m.ballast, 192 * MIB);
	m = space_marks(MIB);
	assert_int_equal(m.full, 6 * MIB);
	assert_int_equal(m.ballast, 9 * MIB);
	assert_int_equal(space_marks(1024 * MIB).full, 2112 * MIB);
}

static enum raft_room judge(enum raft_room was, uint64_t free, uint64_t held)
{
	struct space_marks m = space_marks(64 * MIB);

	return space_judge(&m, was, (struct ballast_room){ free, held });
}

static void full_below_the_mark_and_no_more_well_above_it(void **state)
{
	(void)state;
	assert_int_equal(judge(RAFT_ROOM_ENOUGH, 192 * MIB, 192 * MIB), RAFT_ROOM_ENOUGH);
	assert_int_equal(judge(RAFT_ROOM_ENOUGH, 192 * MIB - 1, 192 * MIB), RAFT_ROOM_SHORT);
	assert_int_equal(judge(RAFT_ROOM_SHORT, 240 * MIB - 1, 192 * MIB), RAFT_ROOM_SHORT);
	assert_int_equal(judge(RAFT_ROOM_SHORT, 240 * MIB, 192 * MIB), RAFT_ROOM_ENOUGH);
	/* The ballast comes first. */
	assert_int_equal(judge(RAFT_ROOM_SHORT, 1000 * MIB, 191 * MIB), RAFT_ROOM_SHORT);
	assert_int_equal(judge(RAFT_ROOM_ENOUGH, 1000 * MIB, 0), RAFT_ROOM_ENOUGH);
	assert_int_equal(judge(RAFT_ROOM_ENOUGH, 384 * MIB - 1, 0), RAFT_ROOM_SHORT);
}

static void spent_when_free_space_and_ballast_are(void **state)
{
	(void)state;
	assert_int_equal(judge(RAFT_ROOM_SHORT, 0, 128 * MIB), RAFT_ROOM_SHORT);
	assert_int_equal(judge(RAFT_ROOM_SHORT, 0, 128 * MIB - 1), RAFT_ROOM_NONE);
	assert_int_equal(judge(RAFT_ROOM_ENOUGH, 127 * MIB, 0), RAFT_ROOM_NONE);
	assert_int_equal(judge(RAFT_ROOM_NONE, 128 * MIB, 0), RAFT_ROOM_NONE);
	assert_int_equal(judge(RAFT_ROOM_NONE, 160 * MIB, 0), RAFT_ROOM_SHORT);
}

static struct alone *new_leader(uint64_t free)
{
	struct alone *a = alone_new_on(LIST, free);

	alone_form(a);
	alone_elect(a);
	alone_accept(a, 2);
	alone_accept(a, 3);
	alone_clear(a);
	return a;
}

static void expect(const struct alone *a, uint64_t id, enum err e)
{
	assert_non_null(alone_answered(a, id));
	assert_int_equal(alone_answered(a, id)->error, e);
	assert_int_equal(alone_answered(a, id)->applied, APPLIED_NO);
}

static void full_leader_hands_over_and_takes_no_writes(void **state)
{
	struct alone *a = new_leader(100 * MIB);
	struct raft_message m = { .type = RAFT_HEARTBEAT, .from = 2, .term = alone_view(a).term + 1 }, last;

	(void)state;
	fake_disk_set_free(a->disk, marks().full - 1);
	alone_clear(a);
	/* Within a second it is looked. */
	for (int i = 0; i < 12 && alone_view(a).role == RAFT_LEADER; i++) {
		alone_pass(a, 100);
		alone_accept(a, 2);
		alone_accept(a, 3);
	}
	assert_true(alone_sent_raft(a, RAFT_TIMEOUT_NOW, &last) > 0);
	alone_raft(a, &m);
	alone_write(a, 1, "k");
	alone_pass(a, 0);
	expect(a, 1, ERR_FULL);
	/* It says so with every answer. */
	assert_true(alone_sent_raft(a, RAFT_HEARTBEAT_ANSWER, &last) > 0);
	assert_int_equal(last.heartbeat_answer.room, RAFT_ROOM_SHORT);
	alone_free(a);
}

static void room_comes_back_by_itself(void **state)
{
	struct alone *a = alone_new_on("n1=n1:1", marks().full + marks().ballast - 1);

	(void)state;
	alone_write(a, 1, "k");
	alone_pass(a, 0);
	expect(a, 1, ERR_FULL);
	alone_read(a, 2, LEVEL_STALE, "k");
	alone_pass(a, 0);
	expect(a, 2, ERR_OK);
	fake_disk_set_free(a->disk, 100 * MIB);
	alone_pass(a, 1000);
	alone_write(a, 3, "k");
	alone_pass(a, 0);
	for (int i = 0; i < 10; i++)
		alone_pass(a, 100);
	expect(a, 3, ERR_OK);
	assert_int_equal(fake_disk_file(a->disk, "ballast").size, marks().ballast);
	alone_free(a);
}

/* Between two looks somebody fills the filesystem to the last byte. */
static void nothing_fails_when_the_last_byte_goes_under_writes(void **state)
{
	struct alone *a = alone_new_on("n1=n1:1", 100 * MIB);
	char key[3000] = "";
	uint64_t id = 1;

	(void)state;
	memset(key, 'k', sizeof(key) - 1);
	alone_write(a, id, "k");
	for (int i = 0; i < 10; i++)
		alone_pass(a, 100);
	expect(a, id, ERR_OK);
	fake_disk_set_free(a->disk, 0);
	do {
		alone_write(a, ++id, key);
		alone_pass(a, 0);
		assert_non_null(alone_answered(a, id));
	} while (alone_answered(a, id)->error == ERR_OK && id < 200);
	expect(a, id, ERR_FULL);
	alone_free(a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(marks_follow_from_the_size_of_a_segment),
		cmocka_unit_test(full_below_the_mark_and_no_more_well_above_it),
		cmocka_unit_test(spent_when_free_space_and_ballast_are),
		cmocka_unit_test(full_leader_hands_over_and_takes_no_writes),
		cmocka_unit_test(room_comes_back_by_itself),
		cmocka_unit_test(nothing_fails_when_the_last_byte_goes_under_writes),
	};

	log_set_level(LOG_LEVEL_ERROR);
	return cmocka_run_group_tests_name("space", tests, NULL, NULL);
}
