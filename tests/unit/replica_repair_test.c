/*
 * A replica on a damaged disk: it says what is damaged; with an empty state in the place of a lost one it votes and keeps
 * its log, and serves and leads nothing; and what it finds at work it leaves to its next start.
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
#include <sysexits.h>

#include <cmocka.h>

#include "tests/common/mem_table.h"
#include "tests/common/mem_tables.h"
#include "tests/common/replica_alone.h"
#include "worker/log/wal.h"
#include "worker/replica/refound.h"
#include "worker/replica/repair.h"

#define LIST "n1=n1:1, n2=n2:1, n3=n3:1"

/* n1 of three that led and has applied something. */
static struct alone *formed(void)
{
	struct alone *a = alone_new(LIST);

	alone_form(a);
	alone_elect(a);
	alone_accept(a, 2);
	return a;
}

struct segment {
	char path[64];
};

static void note_segment(void *arg, const char *name)
{
	struct segment *s = arg;

	if (strstr(name, ".log") != NULL)
		snprintf(s->path, sizeof(s->path), "log/%s", name);
}

static struct segment segment_of(struct alone *a)
{
	struct segment s = { "" };

	assert_int_equal(disk_list(fake_disk_of(a->disk), "log", note_segment, &s), ERR_OK);
	return s;
}

static void expect_damaged(struct alone *a, enum replica_part part)
{
	assert_int_equal(alone_restart(a), ERR_DAMAGED);
	assert_int_equal(a->damaged, part);
}

static void each_part_that_is_damaged_is_named(void **state)
{
	struct alone *a = formed();
	struct segment s = segment_of(a);

	(void)state;
	fake_disk_flip(a->disk, "identity", 20, 1);
	expect_damaged(a, PART_IDENTITY);
	fake_disk_flip(a->disk, "identity", 20, 1);
	fake_disk_flip(a->disk, s.path, 4096 + 50, 1);
	expect_damaged(a, PART_LOG);
	fake_disk_flip(a->disk, s.path, 4096 + 50, 1);
	assert_int_equal(alone_restart(a), ERR_OK);
	assert_int_equal(a->damaged, PART_NONE);
	assert_int_equal(disk_unlink(fake_disk_of(a->disk), "identity"), ERR_OK);
	expect_damaged(a, PART_IDENTITY);
	alone_free(a);
}

/* A log that begins behind entries which the state does not have, nor will ever get from it. */
static void a_state_that_is_behind_the_log_is_what_is_damaged(void **state)
{
	struct refound r = refound_new(REFOUND_RESTORE, "n1", "n1:1", "http://n1:2");
	struct alone *a = alone_new("");

	(void)state;
	refound_begin_beyond(&r, (struct raft_pos){ 1, 1 }, 0);
	assert_int_equal(refound_note(&r, fake_disk_of(a->disk)), ERR_OK);
	assert_int_equal(refound_finish(&r, fake_disk_of(a->disk), WAL_SEGMENT_LEAST), ERR_OK);
	expect_damaged(a, PART_STATE);
	refound_free(&r);
	alone_free(a);
}

static void expect_frozen(struct alone *a)
{
	struct raft_view v = alone_view(a);

	assert_true(raft_is_frozen(replica_raft(a->replica)));
	alone_pass(a, 5000);
	assert_true(alone_view(a).role == RAFT_FOLLOWER && alone_view(a).term == v.term);
}

static void lose_state(struct alone *a)
{
	struct tables *old = a->tables;

	a->tables = mem_tables_new();
	a->state_lost = "the test has lost it";
	assert_int_equal(alone_restart(a), ERR_OK);
	mem_tables_free(old);
	a->state_lost = NULL;
}

/* The mark is durable: the next start has the empty state, too, and must not take it for the cluster's. */
static void a_lost_state_is_not_served_and_does_not_lead_for_good(void **state)
{
	struct alone *a = formed();

	(void)state;
	lose_state(a);
	expect_frozen(a);
	alone_kill(a);
	expect_frozen(a);
	alone_read(a, 1, LEVEL_STALE, "key");
	assert_true(alone_answered(a, 1) == NULL || alone_answered(a, 1)->error != ERR_OK);
	alone_free(a);
}

/* Log, term and vote are what they were: nobody else's vote is needed for what this one stands for. */
static void a_lost_state_costs_no_vote(void **state)
{
	struct alone *a = formed();
	struct raft_message ask = { .type = RAFT_VOTE, .from = 2 }, said;
	struct raft_pos last = alone_view(a).last;

	(void)state;
	lose_state(a);
	assert_true(raft_pos_equal(alone_view(a).last, last));
	ask.term = alone_view(a).term + 5;
	ask.vote = (struct raft_vote){ .last_term = last.term, .last_index = last.index };
	alone_clear(a);
	alone_hello(a, 2, replica_view(a->replica).cluster, true);
	alone_raft(a, &ask);
	assert_int_equal(alone_sent_raft(a, RAFT_VOTE_ANSWER, &said), 1);
	assert_true(said.vote_answer.granted && said.term == ask.term);
	alone_free(a);
}

static void find_damage_at_work(struct alone *a)
{
	a->may_die = true;
	mem_table_find_damage(mem_tables_in_force(a->tables));
	alone_write(a, 1, "key");
	alone_accept(a, 2);
	assert_true(a->died);
	assert_null(alone_answered(a, 1));
}

static void damage_that_is_found_at_work_is_left_to_the_next_start(void **state)
{
	struct alone *a = formed();
	struct repair_note n;

	(void)state;
	a->repairs = true;
	alone_kill(a);
	alone_elect(a);
	alone_accept(a, 2);
	find_damage_at_work(a);
	assert_int_equal(a->status, EX_SOFTWARE);
	assert_int_equal(repair_read(&n, fake_disk_of(a->disk)), ERR_OK);
	assert_true(n.stage == REPAIR_FOUND && n.part == PART_STATE);
	repair_note_free(&n);
	alone_free(a);
}

static void damage_ends_a_node_that_does_not_repair_itself(void **state)
{
	struct alone *a = formed();
	struct repair_note n;

	(void)state;
	find_damage_at_work(a);
	assert_int_equal(a->status, EX_IOERR);
	assert_int_equal(repair_read(&n, fake_disk_of(a->disk)), ERR_NOT_FOUND);
	alone_free(a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_part_that_is_damaged_is_named),
		cmocka_unit_test(a_state_that_is_behind_the_log_is_what_is_damaged),
		cmocka_unit_test(a_lost_state_is_not_served_and_does_not_lead_for_good),
		cmocka_unit_test(a_lost_state_costs_no_vote),
		cmocka_unit_test(damage_that_is_found_at_work_is_left_to_the_next_start),
		cmocka_unit_test(damage_ends_a_node_that_does_not_repair_itself),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
