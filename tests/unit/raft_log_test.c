/* links: worker/raft/raft_log.c worker/raft/entry.c common/mem.c common/buf.c common/wire.c */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>
/* cmocka wants these before it. */
#include <cmocka.h>

#include "worker/raft/raft_log.h"

static void add(struct raft_log *l, uint64_t term)
{
	struct entry e = { { term, l->last.index + 1 }, 0, ENTRY_WRITE, blob_new(bytes_text("data")) };

	raft_log_add(l, &e);
	blob_unref(e.data);
}

/* Behind base 7 in term 3: 3.8 3.9 5.10 5.11 6.12, of which 9 is applied. */
static struct raft_log new_log(void)
{
	const struct raft_run runs[] = { { 3, 8 }, { 5, 10 }, { 6, 12 } };
	const struct entries none = { 0 };
	const struct raft_start s = {
		.base = { 3, 7 }, .last = { 3, 9 }, .runs = runs, .run_count = 3, .applied = 9, .tail = &none
	};
	struct raft_log l;

	raft_log_init(&l, &s);
	add(&l, 5);
	add(&l, 5);
	add(&l, 6);
	return l;
}

static void terms_are_known_of_what_left_memory_too(void **state)
{
	static const uint64_t terms[] = { 3, 3, 3, 5, 5, 6 };
	struct raft_log l = new_log();

	(void)state;
	for (uint64_t i = 0; i < 6; i++)
		assert_int_equal(raft_log_term(&l, 7 + i), terms[i]);
	assert_int_equal(raft_log_term(&l, 6), 0);
	assert_int_equal(raft_log_term(&l, 13), 0);
	assert_true(raft_log_matches(&l, (struct raft_pos){ 3, 7 }));
	assert_false(raft_log_matches(&l, (struct raft_pos){ 5, 9 }));
	assert_false(raft_log_matches(&l, (struct raft_pos){ 0, 13 }));
	raft_log_fini(&l);
}

static void cut_takes_what_was_durable_back(void **state)
{
	struct raft_log l = new_log();

	(void)state;
	l.handed = 12;
	l.durable = 11;
	raft_log_cut(&l, 11);
	assert_true(raft_pos_equal(l.last, (struct raft_pos){ 5, 10 }));
	assert_int_equal(l.handed, 10);
	assert_int_equal(l.durable, 10);
	add(&l, 8);
	assert_int_equal(raft_log_term(&l, 11), 8);
	assert_int_equal(l.durable, 10);
	raft_log_fini(&l);
}

static void backs_off_to_the_last_position_that_may_agree(void **state)
{
	struct raft_log l = new_log();

	(void)state;
	assert_true(raft_pos_equal(raft_log_back_off(&l, 20, 9), (struct raft_pos){ 6, 12 }));
	assert_true(raft_pos_equal(raft_log_back_off(&l, 12, 5), (struct raft_pos){ 5, 11 }));
	assert_true(raft_pos_equal(raft_log_back_off(&l, 11, 4), (struct raft_pos){ 3, 9 }));
	assert_true(raft_pos_equal(raft_log_back_off(&l, 11, 2), (struct raft_pos){ 3, 7 }));
	raft_log_fini(&l);
}

static void only_what_is_applied_leaves_memory(void **state)
{
	struct raft_log l = new_log();

	(void)state;
	raft_log_trim(&l, 11, 0);
	assert_int_equal(l.first, 12);
	assert_int_equal(raft_log_at(&l, 12)->pos.term, 6);
	assert_int_equal(raft_log_term(&l, 11), 5);
	raft_log_fini(&l);
}

static void a_log_that_lost_its_beginning_knows_the_terms_behind_it(void **state)
{
	static const struct raft_pos bases[] = { { 3, 8 }, { 3, 9 }, { 5, 10 }, { 6, 12 } };

	(void)state;
	for (size_t i = 0; i < sizeof(bases) / sizeof(bases[0]); i++) {
		struct raft_log l = new_log(), whole = new_log();

		l.handed = l.durable = l.commit = 12;
		raft_log_set_applied(&l, 12);
		raft_log_cut_before(&l, bases[i]);
		assert_int_equal(raft_log_term(&l, bases[i].index - 1), 0);
		for (uint64_t at = bases[i].index; at <= 12; at++)
			assert_int_equal(raft_log_term(&l, at), raft_log_term(&whole, at));
		assert_true(raft_pos_equal(raft_log_back_off(&l, 11, 2), bases[i]));
		assert_true(l.first > bases[i].index);
		add(&l, 6);
		add(&l, 7);
		assert_int_equal(raft_log_term(&l, 13), 6);
		assert_int_equal(raft_log_term(&l, 14), 7);
		assert_int_equal(raft_log_at(&l, 14)->pos.term, 7);
		raft_log_fini(&l);
		raft_log_fini(&whole);
	}
}

static void a_new_beginning_counts_as_applied_and_durable(void **state)
{
	struct raft_log l = new_log();

	(void)state;
	raft_log_rebase(&l, (struct raft_pos){ 8, 11 }, 77);
	assert_true(raft_pos_equal(l.last, (struct raft_pos){ 8, 11 }));
	assert_int_equal(l.applied, 11);
	assert_int_equal(l.commit, 11);
	assert_int_equal(l.durable, 11);
	assert_int_equal(l.handed, 11);
	assert_int_equal(l.bytes, 0);
	assert_int_equal(l.unapplied_bytes, 0);
	assert_int_equal(l.last_time_ms, 77);
	assert_int_equal(raft_log_term(&l, 11), 8);
	assert_int_equal(raft_log_term(&l, 12), 0);
	add(&l, 9);
	assert_true(raft_log_matches(&l, (struct raft_pos){ 9, 12 }));
	raft_log_cut(&l, 12);
	assert_true(raft_pos_equal(l.last, (struct raft_pos){ 8, 11 }));
	raft_log_fini(&l);
}

/* Whatever comes and goes, and in whatever order. */
static void unapplied_bytes_are_those_behind_applied_in_memory(void **state)
{
	struct raft_log l = new_log();
	size_t each = l.bytes / 3;

	(void)state;
	assert_int_equal(l.unapplied_bytes, 3 * each);
	raft_log_set_applied(&l, 10);
	assert_int_equal(l.unapplied_bytes, 2 * each);
	raft_log_trim(&l, 11, 0);
	assert_int_equal(l.unapplied_bytes, each);
	raft_log_set_applied(&l, 11);
	assert_int_equal(l.unapplied_bytes, each);
	raft_log_set_applied(&l, 12);
	assert_int_equal(l.unapplied_bytes, 0);
	raft_log_set_applied(&l, 8);
	assert_int_equal(l.unapplied_bytes, each);
	raft_log_cut(&l, 12);
	assert_int_equal(l.unapplied_bytes, 0);
	assert_int_equal(l.bytes, 0);
	raft_log_fini(&l);
}

/* What a frozen node has on disk is not in memory, committed or not, and can be cut all the same. */
static void a_frozen_log_begins_in_memory_behind_its_end(void **state)
{
	const struct raft_run runs[] = { { 3, 8 }, { 5, 10 }, { 6, 12 } };
	const struct entries none = { 0 };
	const struct raft_start s = { .base = { 3, 7 },
		.last = { 6, 12 },
		.runs = runs,
		.run_count = 3,
		.applied = 7,
		.tail = &none,
		.frozen = true };
	struct raft_log l;

	(void)state;
	raft_log_init(&l, &s);
	assert_int_equal(l.first, 13);
	assert_int_equal(l.durable, 12);
	assert_int_equal(l.commit, 7);
	assert_int_equal(raft_log_term(&l, 11), 5);
	add(&l, 6);
	raft_log_cut(&l, 11);
	assert_true(raft_pos_equal(l.last, (struct raft_pos){ 5, 10 }));
	assert_int_equal(l.first, 11);
	assert_int_equal(l.durable, 10);
	add(&l, 8);
	assert_int_equal(raft_log_at(&l, 11)->pos.term, 8);
	assert_int_equal(l.unapplied_bytes, l.bytes);
	raft_log_fini(&l);
}

/* c6: a node that would have to forget what is committed ends; it does not go on. */
static void c6_cut_below_commit_ends_the_process(void **state)
{
	struct raft_log l = new_log();
	pid_t child;
	int status;

	(void)state;
	l.durable = l.commit = 11;
	child = fork();
	if (child == 0) {
		setrlimit(RLIMIT_CORE, &(struct rlimit){ 0, 0 });
		signal(SIGABRT, SIG_DFL);
		if (freopen("/dev/null", "w", stderr) != NULL)
			raft_log_cut(&l, 11);
		_exit(0);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
	raft_log_cut(&l, 12);
	assert_int_equal(l.last.index, 11);
	raft_log_fini(&l);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(terms_are_known_of_what_left_memory_too),
		cmocka_unit_test(cut_takes_what_was_durable_back),
		cmocka_unit_test(backs_off_to_the_last_position_that_may_agree),
		cmocka_unit_test(only_what_is_applied_leaves_memory),
		cmocka_unit_test(a_log_that_lost_its_beginning_knows_the_terms_behind_it),
		cmocka_unit_test(a_new_beginning_counts_as_applied_and_durable),
		cmocka_unit_test(unapplied_bytes_are_those_behind_applied_in_memory),
		cmocka_unit_test(a_frozen_log_begins_in_memory_behind_its_end),
		cmocka_unit_test(c6_cut_below_commit_ends_the_process),
	};

	return cmocka_run_group_tests_name("raft_log", tests, NULL, NULL);
}
