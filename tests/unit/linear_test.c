/*
 * The checker of histories: what it must flag and what it must not, against a search by brute force, and how large a
 * history may be.
 *
 * links: tests/linear/linear.c tests/linear/search.c tests/linear/memo.c tests/linear/explain.c common/mem.c
 *	common/buf.c common/random.c
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "common/random.h"
#include "tests/linear/linear.h"

#define COUNT(list) (sizeof(list) / sizeof(*(list)))
#define NEVER LINEAR_NEVER

/* ---- rows of a history ---- */

static struct linear_op get(int64_t call, int64_t ret, uint64_t value)
{
	return (struct linear_op){ .kind = LINEAR_GET, .key = 1, .call = call, .ret = ret, .value = value };
}

static struct linear_op put(int64_t call, int64_t ret, uint64_t value)
{
	return (struct linear_op){ .kind = LINEAR_PUT, .key = 1, .call = call, .ret = ret, .value = value };
}

static struct linear_op delete (int64_t call, int64_t ret)
{
	return (struct linear_op){ .kind = LINEAR_DELETE, .key = 1, .call = call, .ret = ret };
}

static struct linear_op cas(int64_t call, int64_t ret, uint64_t expected, uint64_t value)
{
	struct linear_op o = put(call, ret, value);

	o.kind = LINEAR_CAS;
	o.expected = expected;
	return o;
}

static struct linear_op refused(int64_t call, int64_t ret, uint64_t expected, uint64_t found)
{
	struct linear_op o = cas(call, ret, expected, 99);

	o.refused = true;
	o.found = found;
	return o;
}

static enum linear_answer judge(const struct linear_op *ops, size_t count)
{
	struct linear_verdict v;

	linear_check(ops, count, NULL, &v);
	linear_fini(&v);
	return v.answer;
}

#define assert_yes(list) assert_int_equal(judge(list, COUNT(list)), LINEAR_YES)
#define assert_no(list) assert_int_equal(judge(list, COUNT(list)), LINEAR_NO)

/* ---- controls ---- */

static void what_is_linearizable_is_found_so(void **state)
{
	struct linear_op beside[] = { put(1, 4, 1), get(2, 3, 0), get(2, 3, 1) };
	struct linear_op order[] = { put(1, 2, 1), cas(3, 4, 1, 2), get(5, 6, 2), delete (7, 8),
		get(9, 10, 0), cas(11, 12, 0, 3), get(13, 14, 3), refused(15, 16, 2, 3),
		refused(15, 16, 2, LINEAR_UNTOLD) };
	struct linear_op touching[] = { put(1, 2, 1), get(2, 3, 0) };

	(void)state;
	assert_int_equal(judge(NULL, 0), LINEAR_YES);
	assert_yes(beside);
	assert_yes(order);
	assert_yes(touching);
}

static void a_stale_read_is_flagged(void **state)
{
	struct linear_op absent[] = { put(1, 2, 1), get(3, 4, 0) };
	struct linear_op older[] = { put(1, 2, 1), put(3, 4, 2), get(5, 6, 1) };
	struct linear_op back[] = { put(1, 2, 1), put(3, 10, 2), get(4, 5, 2), get(6, 7, 1) };
	struct linear_op deleted[] = { put(1, 2, 1), delete (3, 4), get(5, 6, 1) };

	(void)state;
	assert_no(absent);
	assert_no(older);
	assert_no(back);
	assert_no(deleted);
}

static void a_doubled_write_is_flagged(void **state)
{
	struct linear_op back_again[] = { put(1, 9, 1), get(2, 3, 1), put(4, 5, 2), get(6, 7, 1) };
	struct linear_op unanswered[] = { put(1, NEVER, 1), get(2, 3, 1), put(4, 5, 2), get(6, 7, 1) };
	struct linear_op cas_twice[] = { put(1, 2, 1), cas(3, NEVER, 1, 2), get(4, 5, 2), put(6, 7, 1),
		get(8, 9, 2) };

	(void)state;
	assert_no(back_again);
	assert_no(unanswered);
	assert_no(cas_twice);
}

static void a_condition_that_did_not_count_is_flagged(void **state)
{
	struct linear_op lost_update[] = { put(1, 2, 1), cas(3, 6, 1, 2), cas(4, 5, 1, 3) };
	struct linear_op refused_and_right[] = { put(1, 2, 1), refused(3, 4, 1, LINEAR_UNTOLD) };
	struct linear_op refused_by_nobody[] = { put(1, 2, 1), refused(3, 4, 2, 3) };
	struct linear_op refused_and_done[] = { put(1, 2, 1), refused(3, 4, 2, 1), get(5, 6, 99) };
	struct linear_op made_twice[] = { cas(1, 4, 0, 1), cas(2, 3, 0, 2) };

	(void)state;
	assert_no(lost_update);
	assert_no(refused_and_right);
	assert_no(refused_by_nobody);
	assert_no(refused_and_done);
	assert_no(made_twice);
}

static void what_was_not_answered_happens_late_or_never(void **state)
{
	struct linear_op late[] = { put(1, NEVER, 1), put(2, 3, 2), get(4, 5, 2), get(6, 7, 1) };
	struct linear_op never[] = { put(1, NEVER, 1), get(2, 3, 0), get(4, 5, 0) };
	struct linear_op chain[] = { cas(1, NEVER, 2, 3), cas(2, NEVER, 1, 2), put(3, NEVER, 1), get(4, 5, 0),
		get(6, 7, 3) };
	struct linear_op refuser[] = { put(1, NEVER, 7), put(2, 3, 1), refused(4, 5, 1, LINEAR_UNTOLD) };
	struct linear_op too_early[] = { get(1, 2, 1), put(3, NEVER, 1) };
	struct linear_op unheard[] = { get(1, NEVER, 5), put(2, 3, 1) };

	(void)state;
	assert_yes(late);
	assert_yes(never);
	assert_yes(chain);
	assert_yes(refuser);
	assert_no(too_early);
	assert_yes(unheard);
}

/* Keys are judged apart, and the one that is easiest to read is shown. */
static void the_smallest_key_that_offends_is_named(void **state)
{
	struct linear_op ops[] = { put(1, 2, 1), get(3, 4, 1), put(5, 6, 2), get(7, 8, 1), put(1, 2, 1),
		put(3, 4, 2), get(5, 6, 1), get(7, 8, 2), put(1, 2, 1), get(3, 4, 1) };
	struct linear_verdict v;
	size_t order[] = { 4, 5 };

	(void)state;
	for (size_t i = 0; i < COUNT(ops); i++)
		ops[i].key = i < 4 ? 9 : i < 8 ? 7 : 3;
	linear_check(ops, COUNT(ops), NULL, &v);
	assert_int_equal(v.answer, LINEAR_NO);
	assert_int_equal(v.keys, 3);
	assert_int_equal(v.key, 7);
	assert_int_equal(v.misfit, 6);
	assert_int_equal(v.order_count, 2);
	assert_memory_equal(v.order, order, sizeof(order));
	linear_fini(&v);
}

static const char *name_key(void *arg, uint64_t key)
{
	(void)arg;
	return key == 1 ? "k/a" : "?";
}

static void a_counter_example_can_be_read(void **state)
{
	struct linear_op ops[] = { put(1, 2, 11), refused(2, 3, 12, 11), cas(3, 4, 11, 12), delete (5, 9),
		put(6, NEVER, 13), get(7, 8, 11), get(8, NEVER, 0) };
	struct linear_names names = { .key = name_key };
	struct linear_verdict v;
	struct buf text = { 0 };

	(void)state;
	linear_check(ops, COUNT(ops), NULL, &v);
	linear_explain(ops, COUNT(ops), &v, &names, &text);
	assert_string_equal(buf_text(&text),
	    "not linearizable: key k/a\n"
	    "  no order has room for this answer:\n"
	    "    #5 [7 .. 8] get: 11\n"
	    "  an order of what came before it:\n"
	    "    #0 [1 .. 2] put 11\n"
	    "    #1 [2 .. 3] cas 12 to 99: refused, it was 11\n"
	    "    #2 [3 .. 4] cas 11 to 12\n"
	    "    and then the register is: 12\n"
	    "  and these, begun before that answer, may come next, later or never:\n"
	    "    #3 [5 .. 9] delete\n"
	    "    #4 [6 .. no answer] put 13\n");
	linear_fini(&v);
	buf_free(&text);
}

/* ---- against brute force ---- */

#define TINY 6

/* Every order of every choice of the unanswered is tried, by the definition. */
struct tiny {
	struct linear_op ops[TINY];
	size_t count;
};

static bool may_be_next(const struct tiny *t, unsigned placed, size_t which)
{
	for (size_t i = 0; i < t->count; i++)
		if ((placed & 1U << i) == 0 && t->ops[i].ret < t->ops[which].call)
			return false;
	return (placed & 1U << which) == 0;
}

/* The value after it, or false: its answer does not fit. */
static bool apply(const struct linear_op *o, uint64_t *value)
{
	bool open = o->ret == LINEAR_NEVER;

	if (o->kind == LINEAR_GET)
		return open || *value == o->value;
	if (o->kind == LINEAR_CAS && open)
		*value = *value == o->expected ? o->value : *value;
	else if (o->kind == LINEAR_CAS && o->refused)
		return *value != o->expected && (o->found == LINEAR_UNTOLD || o->found == *value);
	else if (o->kind == LINEAR_CAS && *value != o->expected)
		return false;
	else
		*value = o->kind == LINEAR_DELETE ? 0 : o->value;
	return true;
}

static bool is_linearizable(const struct tiny *t, unsigned placed, uint64_t value)
{
	bool whole = true;

	for (size_t i = 0; i < t->count; i++)
		whole = whole && ((placed & 1U << i) != 0 || t->ops[i].ret == LINEAR_NEVER);
	if (whole)
		return true;
	for (size_t i = 0; i < t->count; i++) {
		uint64_t after = value;

		if (may_be_next(t, placed, i) && apply(&t->ops[i], &after) &&
		    is_linearizable(t, placed | 1U << i, after))
			return true;
	}
	return false;
}

static struct tiny tiny_history(struct random *random)
{
	struct tiny t = { .count = 1 + random_below(random, TINY) };
	uint64_t values = 2 + random_below(random, 2);

	for (size_t i = 0; i < t.count; i++) {
		int64_t call = (int64_t)random_below(random, 12);

		t.ops[i] = (struct linear_op){
			.kind = (enum linear_kind)random_below(random, 4),
			.key = 1,
			.call = call,
			.ret = random_below(random, 4) == 0 ? LINEAR_NEVER
							    : call + (int64_t)random_below(random, 6),
			.value = random_below(random, values),
			.expected = random_below(random, values),
			.refused = random_below(random, 2) == 0,
			.found = random_below(random, 2) == 0 ? LINEAR_UNTOLD : random_below(random, values),
		};
	}
	return t;
}

/* What had happened when the misfit was answered, with this answer or without. */
static struct tiny cut(const struct tiny *t, size_t misfit, bool with)
{
	struct tiny c = *t;

	for (size_t i = 0; i < t->count; i++)
		if (t->ops[i].ret > t->ops[misfit].ret ||
		    (t->ops[i].ret == t->ops[misfit].ret && i > misfit) || (i == misfit && !with))
			c.ops[i].ret = LINEAR_NEVER;
	return c;
}

/* The misfit is the first answer with which all is wrong, and the order before it is one. */
static void check_reason(const struct tiny *t, const struct linear_verdict *v)
{
	struct tiny before = cut(t, v->misfit, false), with = cut(t, v->misfit, true);
	unsigned placed = 0;
	uint64_t value = 0;

	assert_true(is_linearizable(&before, 0, 0));
	assert_false(is_linearizable(&with, 0, 0));
	for (size_t i = 0; i < v->order_count; i++) {
		assert_true(may_be_next(&before, placed, v->order[i]));
		assert_true(apply(&before.ops[v->order[i]], &value));
		placed |= 1U << v->order[i];
	}
	for (size_t i = 0; i < t->count; i++)
		assert_true((placed & 1U << i) != 0 || before.ops[i].ret == LINEAR_NEVER);
}

static void brute_force_agrees(void **state)
{
	struct random random = { 1 };
	size_t verdicts[2] = { 0, 0 };

	(void)state;
	for (int i = 0; i < 60000; i++) {
		struct tiny t = tiny_history(&random);
		bool expected = is_linearizable(&t, 0, 0);
		struct linear_verdict v;

		linear_check(t.ops, t.count, NULL, &v);
		if (v.answer != (expected ? LINEAR_YES : LINEAR_NO)) {
			struct buf text = { 0 };

			linear_explain(t.ops, t.count, &v, NULL, &text);
			fail_msg("history %d: brute force says %s, not %s", i, expected ? "yes" : "no",
			    buf_text(&text));
		}
		if (v.answer == LINEAR_NO)
			check_reason(&t, &v);
		verdicts[v.answer]++;
		linear_fini(&v);
	}
	print_message("# %zu are linearizable, %zu are not\n", verdicts[LINEAR_YES], verdicts[LINEAR_NO]);
	assert_true(verdicts[LINEAR_YES] > 5000 && verdicts[LINEAR_NO] > 5000);
}

/* ---- large ones ---- */

struct shape {
	size_t ops, keys;
	uint64_t values; /* of a key; 0: each write has its own */
	uint64_t spread; /* how long an operation lasts; an effect comes each tick */
	uint64_t unanswered; /* per cent; half of them have no effect */
};

static uint64_t value_for(struct random *random, const struct shape *s, size_t number)
{
	return s->values == 0 ? number + 1 : 1 + random_below(random, s->values);
}

/* What happened at tick `number` on a register, as the client was told. */
static struct linear_op happen(
    struct random *random, const struct shape *s, size_t number, uint64_t *registers)
{
	struct linear_op o = { .key = random_below(random, s->keys) };
	uint64_t *value = &registers[o.key], dice = random_below(random, 100);
	int64_t now = (int64_t)(number * 100 + 50);

	o.kind = dice < 40 ? LINEAR_GET : dice < 70 ? LINEAR_PUT : dice < 80 ? LINEAR_DELETE : LINEAR_CAS;
	o.call = now - (int64_t)random_below(random, s->spread);
	o.ret = now + (int64_t)random_below(random, s->spread);
	o.value = o.kind == LINEAR_GET ? *value : value_for(random, s, number);
	o.expected = random_below(random, 2) == 0 ? *value : value_for(random, s, number / 2);
	o.refused = o.kind == LINEAR_CAS && o.expected != *value;
	o.found = s->values == 0 ? *value : LINEAR_UNTOLD;
	if (random_below(random, 100) < s->unanswered) {
		o.ret = LINEAR_NEVER;
		if (random_below(random, 2) == 0)
			return o;
	}
	if (o.kind == LINEAR_PUT || (o.kind == LINEAR_CAS && !o.refused))
		*value = o.value;
	else if (o.kind == LINEAR_DELETE)
		*value = LINEAR_ABSENT;
	return o;
}

static struct linear_op *large_history(const struct shape *s, uint64_t seed)
{
	struct linear_op *ops = calloc(s->ops, sizeof(*ops));
	uint64_t *registers = calloc(s->keys, sizeof(*registers));
	struct random random = { seed };

	for (size_t i = 0; i < s->ops; i++)
		ops[i] = happen(&random, s, i, registers);
	free(registers);
	return ops;
}

static void tell_time(const char *what, const struct linear_verdict *v, clock_t begun)
{
	print_message("# %s: %.3f s, %llu steps, %zu KiB\n", what, (double)(clock() - begun) / CLOCKS_PER_SEC,
	    (unsigned long long)v->steps, v->bytes / 1024);
}

/* A read late in the history finds what an early one of its key found, or what nobody wrote. */
static void make_stale(const struct shape *s, struct linear_op *ops)
{
	size_t late = s->ops * 9 / 10, early;

	while (ops[late].kind != LINEAR_GET || ops[late].ret == LINEAR_NEVER)
		late++;
	for (early = s->ops / 20; early < late; early++)
		if (ops[early].key == ops[late].key && ops[early].kind == LINEAR_GET &&
		    ops[early].value != LINEAR_ABSENT)
			break;
	assert_true(early < late);
	ops[late].value = s->values == 0 ? ops[early].value : s->values + 1;
}

static void check_large(const char *what, const struct shape *s)
{
	struct linear_op *ops = large_history(s, 1);
	struct linear_verdict v;
	clock_t begun = clock();

	linear_check(ops, s->ops, NULL, &v);
	tell_time(what, &v, begun);
	assert_int_equal(v.answer, LINEAR_YES);
	assert_int_equal(v.keys, s->keys);
	linear_fini(&v);
	make_stale(s, ops);
	begun = clock();
	linear_check(ops, s->ops, NULL, &v);
	tell_time("  with a stale read", &v, begun);
	assert_int_equal(v.answer, LINEAR_NO);
	linear_fini(&v);
	free(ops);
}

static void ten_thousand_operations_are_decided(void **state)
{
	(void)state;
	check_large("100 keys, unique values", &(struct shape){ 10000, 100, 0, 80000, 5 });
	check_large("100 keys, five values", &(struct shape){ 10000, 100, 5, 80000, 5 });
	check_large("one key, unique values", &(struct shape){ 10000, 1, 0, 800, 5 });
}

/* ---- limits ---- */

/* Puts that are all under way at once, and a read in the end that shows none of them. */
static void a_limit_that_is_hit_gives_no_verdict(void **state)
{
	struct linear_op ops[31];
	struct linear_verdict v;
	struct buf text = { 0 };

	(void)state;
	for (size_t i = 0; i < 20; i++)
		ops[i] = put((int64_t)i, 100, i + 1);
	for (size_t i = 20; i < 30; i++)
		ops[i] = cas((int64_t)i, 100, i - 19, i - 18);
	ops[30] = get(101, 102, 77);
	linear_check(ops, COUNT(ops), &(struct linear_limits){ .steps = 100000 }, &v);
	assert_int_equal(v.answer, LINEAR_UNDECIDED);
	assert_in_range(v.steps, 100000, 101000);
	linear_fini(&v);
	linear_check(ops, COUNT(ops), &(struct linear_limits){ .bytes = 1 << 20 }, &v);
	assert_int_equal(v.answer, LINEAR_UNDECIDED);
	assert_in_range(v.bytes, 1 << 20, 4 << 20);
	linear_explain(ops, COUNT(ops), &v, NULL, &text);
	assert_memory_equal(buf_text(&text), "undecided: a limit was hit at key 1 after ", 42);
	linear_fini(&v);
	buf_free(&text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_linearizable_is_found_so),
		cmocka_unit_test(a_stale_read_is_flagged),
		cmocka_unit_test(a_doubled_write_is_flagged),
		cmocka_unit_test(a_condition_that_did_not_count_is_flagged),
		cmocka_unit_test(what_was_not_answered_happens_late_or_never),
		cmocka_unit_test(the_smallest_key_that_offends_is_named),
		cmocka_unit_test(a_counter_example_can_be_read),
		cmocka_unit_test(brute_force_agrees),
		cmocka_unit_test(ten_thousand_operations_are_decided),
		cmocka_unit_test(a_limit_that_is_hit_gives_no_verdict),
	};

	return cmocka_run_group_tests_name("linear", tests, NULL, NULL);
}
