/*
 * A replica whose log has a budget: what is cut, what a start finds of it, and writes that are slowed.
 *
 * links: worker/replica/ worker/raft/ worker/log/ worker/kv/ tests/common/replica_alone.c tests/unit/kept_log.c
 *	tests/common/fake_disk.c tests/common/mem_table.c tests/common/mem_tables.c common/ballast.c common/buf.c
 *	common/clock.c common/crc.c common/disk.c common/err.c common/lane.c common/mem.c common/member.c
 *	common/metric.c common/random.c common/random_secret.c common/status.c common/wire.c -lxxhash
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "tests/common/mem_table.h"
#include "tests/common/mem_tables.h"
#include "tests/common/replica_alone.h"
#include "tests/unit/kept_log.h"
#include "worker/replica/inside.h"

#define LIST "n1=n1:1, n2=n2:1, n3=n3:1"
#define VALUE_BYTES 4000
#define BUDGET (4 * WAL_SEGMENT_LEAST)

static void add_size(void *arg, const char *name)
{
	struct alone *a = ((void **)arg)[0];
	uint64_t *sum = ((void **)arg)[1];
	char path[64];

	snprintf(path, sizeof(path), "log/%s", name);
	*sum += fake_disk_file(a->disk, path).size;
}

static uint64_t log_on_disk(struct alone *a)
{
	uint64_t sum = 0;

	assert_int_equal(disk_list(fake_disk_of(a->disk), "log", add_size, (void *[]){ a, &sum }), ERR_OK);
	return sum;
}

/* Its log has the least budgets that there are. */
static struct alone *begin(const char *members)
{
	struct alone *a = alone_new(members);

	kept_forget();
	if (members[0] != '\0') {
		alone_form(a);
	} else {
		alone_write(a, 1, "first");
		alone_pass(a, 2000);
	}
	a->log_budget = 1;
	a->image_budget = WAL_SEGMENT_LEAST;
	alone_kill(a);
	if (members[0] != '\0')
		alone_elect(a);
	else
		alone_pass(a, 2000);
	alone_clear(a);
	alone_forget_answers(a);
	return a;
}

/* Each is answered before the next; n2 accepts what n1 leads. */
static void write_some(struct alone *a, size_t count)
{
	static uint64_t id = 1000;

	for (size_t i = 0; i < count; i++) {
		alone_write_bytes(a, ++id, "key", VALUE_BYTES);
		if (a->members[0] != '\0')
			alone_accept(a, 2);
		alone_pass(a, 1);
		assert_non_null(alone_answered(a, id));
		assert_int_equal(alone_answered(a, id)->error, ERR_OK);
		alone_clear(a);
		alone_forget_answers(a);
	}
}

static void the_log_stays_within_its_budget(void **state)
{
	struct alone *a = begin("");
	uint64_t first = alone_view(a).first, most = 0;

	(void)state;
	for (int i = 0; i < 300; i++) {
		write_some(a, 1);
		most = log_on_disk(a) > most ? log_on_disk(a) : most;
	}
	/* More by what the segment takes in which it begins to press. */
	assert_in_range(most, BUDGET / 2, BUDGET + WAL_SEGMENT_LEAST);
	assert_true(alone_view(a).first > first + 200);
	alone_kill(a);
	alone_pass(a, 2000);
	assert_true(alone_view(a).first > first + 200);
	write_some(a, 50);
	alone_free(a);
}

/* Neither budget nor checkpoints depend on writes that come after a start. */
static void a_log_beyond_its_budget_is_cut_after_a_start(void **state)
{
	struct alone *a = begin("");
	uint64_t first;

	(void)state;
	a->log_budget = 64 * WAL_SEGMENT_LEAST;
	alone_kill(a);
	alone_pass(a, 2000);
	write_some(a, 200);
	first = alone_view(a).first;
	a->log_budget = 1;
	alone_kill(a);
	for (int i = 0; i < 30; i++)
		alone_pass(a, 100);
	assert_true(alone_view(a).first > first + 100);
	assert_true(log_on_disk(a) <= BUDGET);
	alone_free(a);
}

static enum err lose_power(struct alone *a)
{
	replica_close(a->replica);
	a->replica = NULL;
	fake_disk_after_power_cut(a->disk, NULL, 0);
	mem_tables_crash(a->tables, mem_table_volatile(mem_tables_in_force(a->tables)));
	return alone_restart(a);
}

/* The log replays what a loss of power takes of the state: it is never cut above what a checkpoint has made durable. */
static void a_loss_of_power_at_any_time_leaves_a_log_that_reaches_the_state(void **state)
{
	struct alone *a = begin("");

	(void)state;
	for (int i = 0; i < 60; i++) {
		uint64_t applied;

		write_some(a, 3 + (size_t)i % 7);
		applied = alone_view(a).applied;
		assert_int_equal(lose_power(a), ERR_OK);
		alone_pass(a, 2000);
		assert_true(alone_view(a).applied >= applied);
	}
	assert_true(alone_view(a).first > 100);
	alone_free(a);
}

/* What is applied while a checkpoint is under way is not in it. */
static void d7_the_log_is_cut_behind_what_was_applied_when_the_checkpoint_began(void **state)
{
	struct alone *a = begin("");
	uint64_t before;

	(void)state;
	write_some(a, 60);
	a->upkeep_waits = true;
	write_some(a, 30);
	before = alone_view(a).first;
	a->state_waits = true;
	for (uint64_t id = 1; id <= 40; id++)
		alone_write_bytes(a, id, "key", VALUE_BYTES);
	alone_upkeep_then_state(a);
	assert_true(alone_view(a).first > before);
	assert_int_equal(lose_power(a), ERR_OK);
	a->state_waits = a->upkeep_waits = false;
	alone_pass(a, 2000);
	alone_free(a);
}

/* As one that an image has replaced meanwhile, by a state that may be behind it. */
static void d7_a_checkpoint_of_another_state_lets_nothing_be_cut(void **state)
{
	struct alone *a = begin("");
	struct cut *c = &a->replica->cut;
	uint64_t before;

	(void)state;
	write_some(a, 60);
	a->upkeep_waits = true;
	write_some(a, 30);
	before = alone_view(a).first;
	cut_checkpointed(a->replica, (const struct table *)(const void *)a, alone_view(a).applied);
	alone_pass(a, 20);
	assert_int_equal(alone_view(a).first, before);
	cut_checkpointed(a->replica, a->replica->table, c->durable);
	alone_pass(a, 20);
	assert_true(alone_view(a).first > before);
	a->upkeep_waits = false;
	alone_free(a);
}

static void append_config(struct alone *a, uint64_t leader, uint64_t term, struct raft_pos prev)
{
	struct raft_message m = { .type = RAFT_APPEND, .from = leader, .term = term };
	struct entry e = { { term, prev.index + 1 }, 0, ENTRY_CONFIG,
		raft_config(replica_raft(a->replica))->data };

	m.append.prev_term = prev.term;
	m.append.prev_index = prev.index;
	entries_add(&m.append.entries, &e);
	alone_raft(a, &m);
	raft_message_free(&m);
}

static void m4_m5_members_are_known_where_the_log_does_not_reach_back_to_them(void **state)
{
	struct alone *a = begin(LIST);
	struct raft_pos last;
	uint64_t index;

	(void)state;
	write_some(a, 100);
	assert_true(alone_view(a).first > 1);
	alone_kill(a);
	assert_int_equal(raft_config(replica_raft(a->replica))->index, 1);
	assert_int_equal(raft_config(replica_raft(a->replica))->count, 3);

	/* One behind it that is not committed, and is taken back after another start. */
	last = alone_view(a).last;
	append_config(a, 2, alone_view(a).term + 1, last);
	index = raft_config(replica_raft(a->replica))->index;
	assert_int_equal(index, last.index + 1);
	alone_kill(a);
	assert_int_equal(raft_config(replica_raft(a->replica))->index, index);
	alone_append(a, 3, alone_view(a).term + 1, last, 1);
	assert_int_equal(raft_config(replica_raft(a->replica))->index, 1);
	assert_int_equal(raft_config(replica_raft(a->replica))->count, 3);
	alone_free(a);
}

/* n3 says that it has all up to this, and gets what follows. */
static void ask_behind(struct alone *a, uint64_t index)
{
	struct raft_message m = { .type = RAFT_APPEND_ANSWER, .from = 3, .term = alone_view(a).term };

	m.append_answer.accepted = 1;
	m.append_answer.index = index;
	alone_raft(a, &m);
}

/* It is asked for while it is there, and cut before the lane gets to it. */
static void what_was_cut_before_it_was_read_is_not_sent(void **state)
{
	struct alone *a = begin(LIST);
	uint64_t first;

	(void)state;
	a->cache_bytes = 1;
	alone_kill(a);
	alone_elect(a);
	write_some(a, 60);
	a->upkeep_waits = true;
	write_some(a, 30);
	a->log_waits = true;
	a->upkeep_waits = false;
	alone_pass(a, 20);
	first = alone_view(a).first;
	ask_behind(a, first);
	a->log_waits = false;
	alone_pass(a, 20);
	assert_true(alone_view(a).first > first + 1);
	alone_clear(a);
	write_some(a, 1);
	assert_int_equal(alone_view(a).role, RAFT_LEADER);
	alone_free(a);
}

/* --- writes are slowed --- */

/* Nothing can be cut as long as no checkpoint comes to its end. */
static void grow_beyond_all_budgets(struct alone *a)
{
	a->upkeep_waits = true;
	for (int i = 0; i < 200 && kept_line(LOG_LEVEL_WARN)[0] == '\0'; i++)
		write_some(a, 1);
	assert_non_null(strstr(kept_line(LOG_LEVEL_WARN), "writes are slowed"));
	alone_pass(a, 1);
}

static void slowed_writes_wait_and_are_done(void **state)
{
	struct alone *a = begin("");
	uint64_t last;

	(void)state;
	grow_beyond_all_budgets(a);
	last = alone_view(a).last.index;
	for (uint64_t id = 1; id <= 20; id++)
		alone_write_bytes(a, id, "key", VALUE_BYTES);
	assert_true(alone_view(a).last.index <= last + 2);
	for (int i = 0; i < 100; i++)
		alone_pass(a, 20);
	/* 4 KiB a second at most, as of a segment of 64 KiB. */
	assert_in_range(alone_view(a).last.index, last + 1, last + 4);
	a->upkeep_waits = false;
	for (int i = 0; i < 100; i++)
		alone_pass(a, 20);
	for (uint64_t id = 1; id <= 20; id++) {
		assert_non_null(alone_answered(a, id));
		assert_int_equal(alone_answered(a, id)->error, ERR_OK);
	}
	assert_int_equal(alone_view(a).last.index, last + 20);
	assert_non_null(strstr(kept_line(LOG_LEVEL_INFO), "not slowed any more"));
	alone_free(a);
}

/* While nobody knows whose state is right nothing is written, and nobody asks the loop for it without an end. */
static void slowed_writes_wait_for_the_end_of_a_dispute(void **state)
{
	struct alone *a = begin("");
	uint64_t last;

	(void)state;
	grow_beyond_all_budgets(a);
	for (uint64_t id = 1; id <= 5; id++)
		alone_write_bytes(a, id, "key", VALUE_BYTES);
	a->replica->agreement.disputed = 1;
	last = alone_view(a).last.index;
	for (int i = 0; i < 100; i++) {
		alone_pass(a, 20);
		assert_false(instant_passed(replica_deadline(a->replica), a->now));
	}
	assert_int_equal(alone_view(a).last.index, last);
	a->replica->agreement.disputed = 0;
	a->upkeep_waits = false;
	for (int i = 0; i < 50; i++)
		alone_pass(a, 20);
	assert_true(alone_view(a).last.index >= last + 4);
	alone_free(a);
}

static void a_slowed_write_whose_time_is_up_was_not_applied(void **state)
{
	struct alone *a = begin("");
	uint64_t last;

	(void)state;
	grow_beyond_all_budgets(a);
	for (uint64_t id = 1; id <= 50; id++)
		alone_write_bytes(a, id, "key", VALUE_BYTES);
	for (int i = 0; i < 300; i++)
		alone_pass(a, 20);
	assert_non_null(alone_answered(a, 50));
	assert_int_equal(alone_answered(a, 50)->error, ERR_TIMEOUT);
	assert_int_equal(alone_answered(a, 50)->applied, APPLIED_NO);
	last = alone_view(a).last.index;
	a->upkeep_waits = false;
	for (int i = 0; i < 100; i++)
		alone_pass(a, 20);
	assert_int_equal(alone_view(a).last.index, last);
	alone_free(a);
}

static void slowed_writes_of_others_wait_too_and_are_not_refused(void **state)
{
	struct alone *a = begin(LIST);
	uint64_t last;

	(void)state;
	grow_beyond_all_budgets(a);
	/* More than there may be: what is behind it waits. */
	alone_write_bytes(a, 1, "key", 16 * VALUE_BYTES);
	alone_pass(a, 40);
	alone_accept(a, 2);
	assert_non_null(alone_answered(a, 1));
	last = alone_view(a).last.index;
	alone_clear(a);
	for (uint64_t number = 1; number <= 5; number++)
		alone_forward(a, 2, 1, alone_view(a).term, number);
	alone_pass(a, 20);
	alone_accept(a, 2);
	assert_int_equal(alone_view(a).last.index, last);
	assert_int_equal(alone_sent(a, PEER_REFUSE), 0);
	a->upkeep_waits = false;
	for (int i = 0; i < 100; i++) {
		alone_pass(a, 20);
		alone_accept(a, 2);
		alone_clear(a);
	}
	assert_int_equal(alone_view(a).last.index, last + 5);
	alone_free(a);
}

/* The one who asked must hear so before it gives up, and what it gave up must not be worked for. */
static void a_slowed_write_of_another_node_is_refused_before_its_time_is_up(void **state)
{
	struct alone *a = begin(LIST);
	uint64_t last;

	(void)state;
	grow_beyond_all_budgets(a);
	alone_write_bytes(a, 1, "key", 16 * VALUE_BYTES);
	alone_pass(a, 40);
	alone_accept(a, 2);
	last = alone_view(a).last.index;
	alone_clear(a);
	alone_forward_as(
	    a, 2, 1, &(struct peer_forward){ .term = alone_view(a).term, .number = 1 }, (struct bytes){ 0 });
	alone_forward_as(a, 2, 1,
	    &(struct peer_forward){ .term = alone_view(a).term, .number = 2, .time_ms = 400 },
	    (struct bytes){ 0 });
	for (int i = 0; i < 16; i++)
		alone_pass(a, 20);
	assert_int_equal(alone_sent(a, PEER_REFUSE), 0);
	for (int i = 0; i < 3; i++)
		alone_pass(a, 20);
	assert_int_equal(alone_sent(a, PEER_REFUSE), 1);
	a->upkeep_waits = false;
	for (int i = 0; i < 100; i++) {
		alone_pass(a, 20);
		alone_accept(a, 2);
	}
	assert_int_equal(alone_sent(a, PEER_REFUSE), 1);
	assert_int_equal(alone_view(a).last.index, last + 1);
	alone_free(a);
}

/* Who passed them on finds the next leader itself; this node's own go there with it. */
static void slowed_writes_go_to_the_next_leader(void **state)
{
	struct alone *a = begin(LIST);
	struct raft_message m = { .type = RAFT_HEARTBEAT, .from = 3 };
	uint64_t last;

	(void)state;
	grow_beyond_all_budgets(a);
	alone_write_bytes(a, 1, "key", 16 * VALUE_BYTES);
	alone_pass(a, 40);
	alone_accept(a, 2);
	assert_non_null(alone_answered(a, 1));
	last = alone_view(a).last.index;
	alone_write_bytes(a, 2, "key", VALUE_BYTES);
	alone_forward(a, 2, 1, alone_view(a).term, 1);
	alone_clear(a);
	m.term = alone_view(a).term + 1;
	alone_raft(a, &m);
	assert_int_equal(alone_sent(a, PEER_FORWARD), 1);
	a->upkeep_waits = false;
	for (int i = 0; i < 10; i++)
		alone_pass(a, 20);
	assert_int_equal(alone_view(a).last.index, last);
	alone_free(a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_log_stays_within_its_budget),
		cmocka_unit_test(a_log_beyond_its_budget_is_cut_after_a_start),
		cmocka_unit_test(a_loss_of_power_at_any_time_leaves_a_log_that_reaches_the_state),
		cmocka_unit_test(d7_the_log_is_cut_behind_what_was_applied_when_the_checkpoint_began),
		cmocka_unit_test(d7_a_checkpoint_of_another_state_lets_nothing_be_cut),
		cmocka_unit_test(m4_m5_members_are_known_where_the_log_does_not_reach_back_to_them),
		cmocka_unit_test(what_was_cut_before_it_was_read_is_not_sent),
		cmocka_unit_test(slowed_writes_wait_and_are_done),
		cmocka_unit_test(slowed_writes_wait_for_the_end_of_a_dispute),
		cmocka_unit_test(a_slowed_write_whose_time_is_up_was_not_applied),
		cmocka_unit_test(slowed_writes_of_others_wait_too_and_are_not_refused),
		cmocka_unit_test(a_slowed_write_of_another_node_is_refused_before_its_time_is_up),
		cmocka_unit_test(slowed_writes_go_to_the_next_leader),
	};

	return cmocka_run_group_tests_name("log_budget", tests, NULL, NULL);
}
