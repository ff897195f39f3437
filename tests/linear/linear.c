#define _GNU_SOURCE

#include <assert.h>
#include <stdlib.h>

#include "tests/linear/search.h"

static const struct linear_limits ordinary = { .steps = 1000000000, .bytes = (size_t)1 << 29 };

/* The operations of one key: numbers [first, first + count). */
struct group {
	uint64_t key;
	size_t first, count;
};

static int by_key(const void *a, const void *b, void *arg)
{
	const struct linear_op *ops = arg;
	uint64_t x = ops[*(const size_t *)a].key, y = ops[*(const size_t *)b].key;

	return (x > y) - (x < y);
}

static int by_count(const void *a, const void *b)
{
	const struct group *x = a, *y = b;

	if (x->count != y->count)
		return x->count < y->count ? -1 : 1;
	return (x->key > y->key) - (x->key < y->key);
}

static struct group *group(const struct linear_op *ops, size_t *numbers, size_t count, size_t *groups)
{
	struct group *list = xcalloc(count + 1, sizeof(*list));

	qsort_r(numbers, count, sizeof(*numbers), by_key, (void *)ops);
	*groups = 0;
	for (size_t i = 0; i < count; i++) {
		if (*groups == 0 || list[*groups - 1].key != ops[numbers[i]].key)
			list[(*groups)++] = (struct group){ ops[numbers[i]].key, i, 0 };
		list[*groups - 1].count++;
	}
	qsort(list, *groups, sizeof(*list), by_count);
	return list;
}

/* ---- the reason ---- */

/* A register's history cut behind its first answers: what was then under way has none. */
struct prefix {
	const struct linear_op *ops;
	size_t *numbers,
	    *answers; /* all of the key; those that were answered, in the order of their answers */
	size_t count, answered;
	struct linear_op *cut; /* by number */
	size_t *left; /* numbers of those that had begun */
};

static int by_answer(const void *a, const void *b, void *arg)
{
	const struct linear_op *ops = arg, *x = &ops[*(const size_t *)a], *y = &ops[*(const size_t *)b];

	if (x->ret != y->ret)
		return x->ret < y->ret ? -1 : 1;
	return (*(const size_t *)a > *(const size_t *)b) - (*(const size_t *)a < *(const size_t *)b);
}

static enum linear_answer check_prefix(
    const struct prefix *p, size_t kept, const struct linear_limits *limits, struct linear_verdict *out)
{
	int64_t until = kept > 0 ? p->ops[p->answers[kept - 1]].ret : INT64_MIN;
	size_t count = 0;

	for (size_t i = kept; i < p->answered; i++)
		p->cut[p->answers[i]].ret = LINEAR_NEVER;
	for (size_t i = 0; i < kept; i++)
		p->cut[p->answers[i]].ret = p->ops[p->answers[i]].ret;
	for (size_t i = 0; i < p->count; i++)
		if (p->ops[p->numbers[i]].call <= until)
			p->left[count++] = p->numbers[i];
	return search_register(p->cut, p->left, count, limits, out);
}

/* A part of a linearizable history is linearizable, so the first answer that is wrong can be found by halves. */
static void find_misfit(struct prefix *p, const struct linear_limits *limits, struct linear_verdict *out)
{
	size_t good = 0, bad = p->answered;

	while (bad - good > 1) {
		size_t middle = good + (bad - good) / 2;
		enum linear_answer answer = check_prefix(p, middle, limits, out);

		if (answer == LINEAR_UNDECIDED)
			break;
		if (answer == LINEAR_YES)
			good = middle;
		else
			bad = middle;
	}
	out->misfit = p->answers[bad - 1];
	check_prefix(p, good, limits, out);
}

static void give_reason(const struct linear_op *ops, size_t all, size_t *numbers, size_t count,
    const struct linear_limits *limits, struct linear_verdict *out)
{
	struct prefix p = { .ops = ops, .numbers = numbers, .count = count };

	p.answers = xcalloc(count, sizeof(*p.answers));
	p.left = xcalloc(count, sizeof(*p.left));
	p.cut = xcalloc(all, sizeof(*p.cut));
	for (size_t i = 0; i < count; i++) {
		p.cut[numbers[i]] = ops[numbers[i]];
		if (ops[numbers[i]].ret != LINEAR_NEVER)
			p.answers[p.answered++] = numbers[i];
	}
	qsort_r(p.answers, p.answered, sizeof(*p.answers), by_answer, (void *)ops);
	find_misfit(&p, limits, out);
	free(p.answers);
	free(p.left);
	free(p.cut);
}

/* ---- all keys ---- */

/* The small ones first: they are what the limits suffice for, and what a reader can follow. */
void linear_check(
    const struct linear_op *ops, size_t count, const struct linear_limits *limits, struct linear_verdict *out)
{
	struct linear_limits l = limits != NULL ? *limits : ordinary;
	size_t *numbers = xcalloc(count + 1, sizeof(*numbers));
	struct group *groups;

	l.steps = l.steps != 0 ? l.steps : ordinary.steps;
	l.bytes = l.bytes != 0 ? l.bytes : ordinary.bytes;
	for (size_t i = 0; i < count; i++) {
		assert(ops[i].call <= ops[i].ret && ops[i].value != LINEAR_UNTOLD &&
		       ops[i].expected != LINEAR_UNTOLD);
		numbers[i] = i;
	}
	*out = (struct linear_verdict){ .answer = LINEAR_YES };
	groups = group(ops, numbers, count, &out->keys);
	out->order = xcalloc(count + 1, sizeof(*out->order));
	for (size_t i = 0; i < out->keys && out->answer == LINEAR_YES; i++) {
		size_t *own = numbers + groups[i].first;

		out->key = groups[i].key;
		out->answer = search_register(ops, own, groups[i].count, &l, out);
		if (out->answer == LINEAR_NO)
			give_reason(ops, count, own, groups[i].count, &l, out);
	}
	free(groups);
	free(numbers);
}

void linear_fini(struct linear_verdict *v)
{
	free(v->order);
	v->order = NULL;
	v->order_count = 0;
}
