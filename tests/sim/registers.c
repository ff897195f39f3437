#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "tests/linear/linear.h"
#include "tests/sim/universe.h"

/*
 * The registers as whoever knows nothing of revisions sees them: gets, puts, deletes and compare-and-sets, judged by a
 * search for an order in which they could have happened. A value is called by the operation that wrote it, plus 1.
 */

/* A key with more than this to try is left undecided. */
#define STEPS_MOST (50 * 1000 * 1000)

/* Who wrote what has this revision; LINEAR_UNTOLD when nobody was told of it. */
static uint64_t value_at(const struct history *h, uint64_t revision)
{
	if (revision == 0)
		return LINEAR_ABSENT;
	if (revision >= h->revision_room || h->by_revision[revision] == 0)
		return LINEAR_UNTOLD;
	return h->by_revision[revision];
}

static uint64_t value_of(const struct history *h, const struct op *o)
{
	return o->kind == OP_PUT ? (uint64_t)(o - h->ops) + 1 : LINEAR_ABSENT;
}

static bool take_read(const struct history *h, const struct op *o, struct linear_op *out)
{
	out->kind = LINEAR_GET;
	out->value = value_at(h, o->modify);
	return o->outcome == OP_DONE && o->level == LEVEL_LINEARIZABLE;
}

/* A put of unknown outcome that nobody ever saw explains nothing that was seen: it is left out. Where nobody knows who
 * wrote what a condition names, a refusal is left out too, and the condition of what was done. */
static bool take_write(const struct history *h, const struct op *o, struct linear_op *out)
{
	uint64_t expected = o->conditional ? value_at(h, o->expected) : LINEAR_UNTOLD;

	out->kind = expected != LINEAR_UNTOLD ? LINEAR_CAS : o->kind == OP_PUT ? LINEAR_PUT : LINEAR_DELETE;
	out->value = value_of(h, o);
	out->expected = expected != LINEAR_UNTOLD ? expected : LINEAR_ABSENT;
	out->refused = o->outcome == OP_CONDITION;
	out->found = out->refused ? value_at(h, o->modify) : LINEAR_UNTOLD;
	if (o->outcome != OP_DONE && !out->refused)
		out->ret = LINEAR_NEVER;
	if (out->refused)
		return out->found != LINEAR_UNTOLD && expected != LINEAR_UNTOLD;
	return o->outcome == OP_DONE || o->kind == OP_DELETE || o->revision != 0;
}

static bool take(const struct history *h, const struct op *o, struct linear_op *out)
{
	*out = (struct linear_op){ .key = o->key, .call = o->begun.ns, .ret = o->ended.ns };
	if (!o->on_register || o->outcome == OP_REFUSED)
		return false;
	return o->kind == OP_READ ? take_read(h, o, out) : take_write(h, o, out);
}

void registers_check(struct universe *u)
{
	const struct history *h = &u->history;
	struct linear_op *ops = xcalloc(h->count + 1, sizeof(*ops));
	const struct linear_limits limits = { .steps = STEPS_MOST };
	struct linear_verdict v;
	struct buf why = { 0 };
	size_t count = 0;

	for (size_t i = 0; i < h->count; i++)
		count += take(h, &h->ops[i], &ops[count]);
	linear_check(ops, count, &limits, &v);
	u->deeds.judged += count;
	u->deeds.undecided += v.answer == LINEAR_UNDECIDED;
	if (v.answer == LINEAR_NO) {
		linear_explain(ops, count, &v, NULL, &why);
		printf("%s", buf_text(&why));
		universe_fail(u, "register %" PRIu64 " is not linearizable", v.key);
	}
	linear_fini(&v);
	free(ops);
}
