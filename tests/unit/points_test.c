/*
 * Points of agreement: whose state is right is told by a majority of all voters, whoever speaks when.
 *
 * links: worker/replica/points.c worker/raft/quorum.c
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "worker/replica/points.h"

/* Hashes of states. */
#define X 1
#define Y 2
#define Z 3

static struct point point(uint64_t index, uint64_t hash)
{
	return (struct point){ index, { 77, hash } };
}

static void say(struct tally *t, uint64_t member, uint64_t index, uint64_t hash)
{
	assert_true(tally_say(t, member, point(index, hash)));
}

static struct quorum voters(size_t count)
{
	struct quorum q = { 0 };

	for (size_t i = 0; i < count; i++)
		q.incoming.ids[q.incoming.count++] = i + 1;
	return q;
}

static void expect_right(const struct tally *t, const struct quorum *q, uint64_t index, uint64_t hash)
{
	struct point right;

	assert_int_equal(tally_judge(t, q, index, &right), TALLY_AGREED);
	assert_int_equal(right.index, index);
	assert_int_equal(right.hash.low, hash);
}

static void expect(
    const struct tally *t, const struct quorum *q, uint64_t agreed, uint64_t split, uint64_t unclear)
{
	struct tally_outcome o = tally_outcome(t, q);

	assert_int_equal(o.agreed.index, agreed);
	assert_int_equal(o.split, split);
	assert_int_equal(o.unclear, unclear);
}

static void last_points_are_kept_by_index(void **state)
{
	static const uint64_t come[] = { 50, 10, 30, 20, 90, 40, 70, 60, 80, 5, 100, 30 };
	struct points s = { 0 };

	(void)state;
	assert_int_equal(points_last(&s).index, 0);
	for (size_t i = 0; i < sizeof(come) / sizeof(come[0]); i++)
		points_add(&s, point(come[i], i));
	assert_int_equal(s.count, POINTS_KEPT);
	for (size_t i = 0; i < s.count; i++)
		assert_int_equal(s.list[i].index, 30 + 10 * i);
	assert_int_equal(points_find(&s, 30)->hash.low, 11); /* as it was said last */
	assert_null(points_find(&s, 20));
	assert_int_equal(points_last(&s).index, 100);
}

/* The lowest of all goes, be it the new one. */
static void point_finds_its_place_among_all(void **state)
{
	(void)state;
	for (uint64_t at = 1; at <= 2 * POINTS_KEPT + 1; at += 2) {
		struct points s = { 0 };

		for (uint64_t i = 1; i <= POINTS_KEPT; i++)
			points_add(&s, point(2 * i, i));
		points_add(&s, point(at, 99));
		assert_int_equal(s.count, POINTS_KEPT);
		for (size_t i = 1; i < s.count; i++)
			assert_true(s.list[i - 1].index < s.list[i].index);
		assert_int_equal(points_find(&s, at) != NULL, at > 1);
		for (uint64_t i = 2; i <= POINTS_KEPT; i++)
			assert_int_equal(points_find(&s, 2 * i)->hash.low, i);
	}
}

static void majority_of_all_voters_is_right(void **state)
{
	struct quorum q = voters(3);
	struct tally t = { 0 };
	struct point right;

	(void)state;
	say(&t, 1, 100, X);
	assert_int_equal(tally_judge(&t, &q, 100, &right), TALLY_OPEN);
	say(&t, 2, 100, X);
	expect_right(&t, &q, 100, X);
	say(&t, 3, 100, Y);
	expect_right(&t, &q, 100, X);
	expect(&t, &q, 100, 0, 0);
}

/* Two of five agree, and they are all that have spoken. */
static void majority_of_those_who_spoke_is_not_enough(void **state)
{
	struct quorum q = voters(5);
	struct tally t = { 0 };
	struct point right;

	(void)state;
	say(&t, 1, 100, X);
	say(&t, 2, 100, X);
	assert_int_equal(tally_judge(&t, &q, 100, &right), TALLY_OPEN);
	say(&t, 3, 100, Y);
	assert_int_equal(tally_judge(&t, &q, 100, &right), TALLY_OPEN);
	expect(&t, &q, 0, 0, 100);
	say(&t, 4, 100, Y);
	say(&t, 5, 100, Y);
	expect_right(&t, &q, 100, Y);
}

static void leader_alone_may_be_wrong(void **state)
{
	struct quorum q = voters(3);
	struct tally t = { 0 };

	(void)state;
	say(&t, 1, 100, X);
	say(&t, 3, 100, Y);
	say(&t, 2, 100, Y);
	expect_right(&t, &q, 100, Y);
}

static void voters_that_are_split_agree_on_nothing(void **state)
{
	struct quorum three = voters(3), two = voters(2), four = voters(4), one = voters(1);
	struct tally t = { 0 };

	(void)state;
	say(&t, 1, 100, X);
	expect(&t, &one, 100, 0, 0);
	say(&t, 2, 100, Y);
	expect(&t, &two, 0, 100, 0);
	expect(&t, &three, 0, 0, 100);
	say(&t, 3, 100, Z);
	expect(&t, &three, 0, 100, 0);
	/* Three of four have three values: the fourth cannot help. */
	expect(&t, &four, 0, 100, 0);
}

static void split_ends_with_a_later_point_that_agrees(void **state)
{
	struct quorum q = voters(2);
	struct tally t = { 0 };

	(void)state;
	say(&t, 1, 100, X);
	say(&t, 2, 100, Y);
	say(&t, 1, 200, Z);
	expect(&t, &q, 0, 100, 0);
	say(&t, 2, 200, Z);
	expect(&t, &q, 200, 0, 0);
	say(&t, 1, 300, X);
	say(&t, 2, 300, Y);
	expect(&t, &q, 200, 300, 0);
}

static void learner_counts_nothing(void **state)
{
	struct quorum q = voters(3);
	struct tally t = { 0 };
	struct point right;

	(void)state;
	say(&t, 1, 100, X);
	say(&t, 7, 100, X);
	say(&t, 8, 100, X);
	assert_int_equal(tally_judge(&t, &q, 100, &right), TALLY_OPEN);
	say(&t, 7, 100, Y);
	expect(&t, &q, 0, 0, 0);
	say(&t, 9, 200, Y);
	expect(&t, &q, 0, 0, 0);
	say(&t, 2, 100, X);
	expect_right(&t, &q, 100, X);
}

/* 1, 2, 3 are left for 3, 4, 5. */
static void joint_configuration_needs_both_majorities(void **state)
{
	struct quorum q = { .incoming = { { 3, 4, 5 }, 3 }, .outgoing = { { 1, 2, 3 }, 3 } };
	struct tally t = { 0 };
	struct point right;

	(void)state;
	say(&t, 1, 100, X);
	say(&t, 2, 100, X);
	assert_int_equal(tally_judge(&t, &q, 100, &right), TALLY_OPEN);
	say(&t, 4, 100, X);
	say(&t, 5, 100, Y);
	assert_int_equal(tally_judge(&t, &q, 100, &right), TALLY_OPEN);
	expect(&t, &q, 0, 0, 100);
	say(&t, 3, 100, X);
	expect_right(&t, &q, 100, X);
	say(&t, 3, 100, Y); /* X has the old ones, Y the new ones */
	expect(&t, &q, 0, 100, 0);
}

/* 3 was cut off for long; the others have agreed on two more points. */
static void late_answer_is_judged_at_its_own_index(void **state)
{
	struct quorum q = voters(3);
	struct tally t = { 0 };

	(void)state;
	for (uint64_t index = 100; index <= 300; index += 100) {
		say(&t, 1, index, index);
		say(&t, 2, index, index);
	}
	say(&t, 3, 100, Y);
	expect_right(&t, &q, 100, 100);
	expect(&t, &q, 300, 0, 0);
	/* And one so late that nobody remembers. */
	for (uint64_t index = 400; index <= 2000; index += 100) {
		say(&t, 1, index, index);
		say(&t, 2, index, index);
	}
	say(&t, 3, 200, Y);
	expect(&t, &q, 2000, 0, 0);
}

/* After a start the state may be older, and come by a point once more. */
static void what_was_said_last_counts(void **state)
{
	struct quorum q = voters(3);
	struct tally t = { 0 };

	(void)state;
	say(&t, 1, 100, X);
	say(&t, 2, 100, Y);
	say(&t, 2, 100, X);
	expect_right(&t, &q, 100, X);
}

/* A member that was replaced is no voter any more, and what it said is forgotten with it. */
static void replaced_member_is_forgotten(void **state)
{
	struct quorum q = voters(3), later = { .incoming = { { 1, 2, 4 }, 3 } };
	static const uint64_t members[] = { 1, 2, 4 };
	struct tally t = { 0 };

	(void)state;
	say(&t, 1, 100, X);
	say(&t, 2, 100, Y);
	say(&t, 3, 100, Z);
	expect(&t, &q, 0, 100, 0);
	tally_keep(&t, members, 3);
	assert_int_equal(t.count, 2);
	expect(&t, &later, 0, 0, 100);
	say(&t, 4, 100, Y);
	expect_right(&t, &later, 100, Y);
}

/* The voters that are left agree. */
static void split_ends_when_a_voter_is_removed(void **state)
{
	struct quorum two = voters(2), one = voters(1);
	static const uint64_t members[] = { 1 };
	struct tally t = { 0 };

	(void)state;
	say(&t, 1, 100, X);
	say(&t, 2, 100, Y);
	expect(&t, &two, 0, 100, 0);
	tally_keep(&t, members, 1);
	expect(&t, &one, 100, 0, 0);
}

static void members_without_end_are_not_kept(void **state)
{
	struct tally t = { 0 };

	(void)state;
	for (uint64_t id = 1; id <= RAFT_MEMBERS_MAX; id++)
		say(&t, id, 100, X);
	assert_false(tally_say(&t, 1000, point(100, X)));
	say(&t, 5, 100, Y);
	assert_int_equal(t.count, RAFT_MEMBERS_MAX);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(last_points_are_kept_by_index),
		cmocka_unit_test(point_finds_its_place_among_all),
		cmocka_unit_test(majority_of_all_voters_is_right),
		cmocka_unit_test(majority_of_those_who_spoke_is_not_enough),
		cmocka_unit_test(leader_alone_may_be_wrong),
		cmocka_unit_test(voters_that_are_split_agree_on_nothing),
		cmocka_unit_test(split_ends_with_a_later_point_that_agrees),
		cmocka_unit_test(learner_counts_nothing),
		cmocka_unit_test(joint_configuration_needs_both_majorities),
		cmocka_unit_test(late_answer_is_judged_at_its_own_index),
		cmocka_unit_test(what_was_said_last_counts),
		cmocka_unit_test(replaced_member_is_forgotten),
		cmocka_unit_test(split_ends_when_a_voter_is_removed),
		cmocka_unit_test(members_without_end_are_not_kept),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
