#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "tests/linear/search.h"

#define SHOWN 20 /* the last of an order */

struct explanation {
	const struct linear_op *ops;
	const struct linear_names *names;
	struct buf *out;
};

static void put_key(const struct explanation *e, uint64_t key)
{
	if (e->names != NULL && e->names->key != NULL)
		buf_append_text(e->out, e->names->key(e->names->arg, key));
	else
		buf_printf(e->out, "%" PRIu64, key);
}

static void put_value(const struct explanation *e, uint64_t value)
{
	if (value == LINEAR_ABSENT)
		buf_append_text(e->out, "absent");
	else if (e->names != NULL && e->names->value != NULL)
		buf_append_text(e->out, e->names->value(e->names->arg, value));
	else
		buf_printf(e->out, "%" PRIu64, value);
}

static void put_cas(const struct explanation *e, const struct linear_op *o)
{
	buf_append_text(e->out, "cas ");
	put_value(e, o->expected);
	buf_append_text(e->out, " to ");
	put_value(e, o->value);
	if (!o->refused || o->ret == LINEAR_NEVER)
		return;
	buf_append_text(e->out, ": refused");
	if (o->found == LINEAR_UNTOLD)
		return;
	buf_append_text(e->out, ", it was ");
	put_value(e, o->found);
}

static void put_deed(const struct explanation *e, const struct linear_op *o)
{
	switch (o->kind) {
	case LINEAR_GET:
		buf_append_text(e->out, "get: ");
		put_value(e, o->value);
		return;
	case LINEAR_PUT:
		buf_append_text(e->out, "put ");
		put_value(e, o->value);
		return;
	case LINEAR_DELETE:
		buf_append_text(e->out, "delete");
		return;
	case LINEAR_CAS:
		put_cas(e, o);
		return;
	}
}

static void put_op(const struct explanation *e, size_t number)
{
	const struct linear_op *o = &e->ops[number];

	buf_printf(e->out, "    #%zu [%" PRId64 " .. ", number, o->call);
	if (o->ret == LINEAR_NEVER)
		buf_append_text(e->out, "no answer");
	else
		buf_printf(e->out, "%" PRId64, o->ret);
	buf_append_text(e->out, "] ");
	put_deed(e, o);
	buf_append_text(e->out, "\n");
}

/* What was under way when the misfit was answered and is not in the order. */
static void put_rest(const struct explanation *e, const struct linear_verdict *v, size_t count)
{
	bool *placed = xcalloc(count + 1, sizeof(*placed)), any = false;

	for (size_t i = 0; i < v->order_count; i++)
		placed[v->order[i]] = true;
	placed[v->misfit] = true;
	for (size_t i = 0; i < count; i++) {
		const struct linear_op *o = &e->ops[i];

		if (o->key != v->key || placed[i] || o->call > e->ops[v->misfit].ret ||
		    (o->kind == LINEAR_GET && o->ret == LINEAR_NEVER))
			continue;
		if (!any)
			buf_append_text(e->out,
			    "  and these, begun before that answer, may come next, later or never:\n");
		any = true;
		put_op(e, i);
	}
	free(placed);
}

static void put_order(const struct explanation *e, const struct linear_verdict *v)
{
	uint64_t value = LINEAR_ABSENT;
	size_t left_out = v->order_count > SHOWN ? v->order_count - SHOWN : 0;

	buf_append_text(e->out, "  an order of what came before it");
	if (left_out > 0)
		buf_printf(e->out, " (its last %d of %zu)", SHOWN, v->order_count);
	buf_append_text(e->out, ":\n");
	for (size_t i = 0; i < v->order_count; i++) {
		value = linear_after(&e->ops[v->order[i]], value);
		if (i >= left_out)
			put_op(e, v->order[i]);
	}
	buf_append_text(e->out, "    and then the register is: ");
	put_value(e, value);
	buf_append_text(e->out, "\n");
}

void linear_explain(const struct linear_op *ops, size_t count, const struct linear_verdict *v,
    const struct linear_names *names, struct buf *out)
{
	struct explanation e = { ops, names, out };

	switch (v->answer) {
	case LINEAR_YES:
		buf_printf(out, "linearizable: %zu operations on %zu keys\n", count, v->keys);
		return;
	case LINEAR_UNDECIDED:
		buf_append_text(out, "undecided: a limit was hit at key ");
		put_key(&e, v->key);
		buf_printf(out, " after %" PRIu64 " steps, %zu bytes\n", v->steps, v->bytes);
		return;
	case LINEAR_NO:
		buf_append_text(out, "not linearizable: key ");
		put_key(&e, v->key);
		buf_append_text(out, "\n  no order has room for this answer:\n");
		put_op(&e, v->misfit);
		put_order(&e, v);
		put_rest(&e, v, count);
		return;
	}
}
