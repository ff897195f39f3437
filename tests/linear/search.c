#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "tests/linear/memo.h"
#include "tests/linear/search.h"

/* An operation inside: an unanswered one comes behind all that were answered. */
struct item {
	struct linear_op op; /* its values reduced */
	size_t number; /* for the caller */
};

/* Unanswered operations that do the same: items [first, first + count), by call. */
struct class
{
	size_t first, count;
};

/* A state of the search from which each choice is tried in turn. */
struct frame {
	size_t trail; /* what was placed when it was reached */
	uint64_t value;
	uint32_t event; /* the call that was chosen last */
	bool answered_tried;
	size_t class; /* the next to try */
};

struct search {
	struct item *items;
	size_t answered, count;
	struct class *classes;
	size_t class_count, *class_of; /* by item - answered */
	uint32_t *used; /* by class: how many are placed */
	uint32_t *used_known; /* the same as far as it matters for what is left */

	/* The events of what is answered and not placed, a ring in the order of time: 2i the call of item i, 2i + 1 its
	 * answer; where it begins and ends lies `end`, an odd number. */
	uint32_t *next, *prev, end;
	size_t *called; /* how many items are called before it */
	uint64_t *placed; /* a bit for each answered item */

	/* Of those that are not placed: by value how many need it, write it, and would change it if it was there. */
	uint32_t *needed, *written, *chained;
	uint32_t untold; /* how many were refused and not told by what */

	uint64_t value;
	uint32_t *trail; /* items in the order in which they are placed */
	size_t trail_count;
	struct frame *frames;
	size_t depth;
	struct memo memo;
	uint64_t steps;
};

/* ---- one operation ---- */

bool linear_fits(const struct linear_op *o, uint64_t value)
{
	switch (o->kind) {
	case LINEAR_GET:
		return value == o->value;
	case LINEAR_PUT:
	case LINEAR_DELETE:
		return true;
	case LINEAR_CAS:
		if (!o->refused)
			return value == o->expected;
		return value != o->expected && (o->found == LINEAR_UNTOLD || value == o->found);
	}
	return false;
}

static bool only_observes(const struct linear_op *o)
{
	return o->kind == LINEAR_GET || (o->kind == LINEAR_CAS && o->refused);
}

uint64_t linear_after(const struct linear_op *o, uint64_t value)
{
	if (only_observes(o))
		return value;
	return o->kind == LINEAR_DELETE ? LINEAR_ABSENT : o->value;
}

/* The value without which it cannot be placed; LINEAR_UNTOLD: none, or it need not be. */
static uint64_t need_of(const struct linear_op *o)
{
	if (o->ret == LINEAR_NEVER || o->kind == LINEAR_PUT)
		return LINEAR_UNTOLD;
	return o->kind == LINEAR_GET ? o->value : o->refused ? o->found : o->expected;
}

/* Counts an operation among those that are not placed. */
static void count_item(struct search *s, const struct linear_op *o, int by)
{
	if (need_of(o) != LINEAR_UNTOLD)
		s->needed[need_of(o)] += (uint32_t)by;
	if (!only_observes(o))
		s->written[o->value] += (uint32_t)by;
	if (o->kind == LINEAR_CAS && o->ret == LINEAR_NEVER)
		s->chained[o->expected] += (uint32_t)by;
	if (o->kind == LINEAR_CAS && o->refused && o->found == LINEAR_UNTOLD)
		s->untold += (uint32_t)by;
}

/* ---- before the search ---- */

static int compare(uint64_t a, uint64_t b)
{
	return (a > b) - (a < b);
}

/* What was answered first, by call; then what was not, by class. */
static int by_place(const void *a, const void *b)
{
	const struct linear_op *x = &((const struct item *)a)->op, *y = &((const struct item *)b)->op;
	bool x_open = x->ret == LINEAR_NEVER, y_open = y->ret == LINEAR_NEVER;
	int c = x_open - y_open;

	if (c == 0 && x_open && (c = compare(x->kind, y->kind)) == 0 &&
	    (c = compare(x->expected, y->expected)) == 0)
		c = compare(x->value, y->value);
	return c != 0 ? c : (x->call > y->call) - (x->call < y->call);
}

static int by_number(const void *a, const void *b)
{
	return compare(*(const uint64_t *)a, *(const uint64_t *)b);
}

/* Its place among the observed ones; behind them if it is none. */
static uint64_t reduce(const uint64_t *observed, size_t count, uint64_t value)
{
	const uint64_t *found = bsearch(&value, observed, count, sizeof(*observed), by_number);

	return found != NULL ? (uint64_t)(found - observed) : count;
}

/* The values that somebody observes, sorted, each once. */
static uint64_t *gather_observed(const struct search *s, size_t *count)
{
	uint64_t *observed = xcalloc(s->count * 2 + 1, sizeof(*observed));
	size_t n = 0;

	for (size_t i = 0; i < s->count; i++) {
		const struct linear_op *o = &s->items[i].op;

		if (o->kind == LINEAR_GET)
			observed[n++] = o->value;
		if (o->kind == LINEAR_CAS)
			observed[n++] = o->expected;
		if (o->kind == LINEAR_CAS && o->refused && o->found != LINEAR_UNTOLD)
			observed[n++] = o->found;
	}
	qsort(observed, n, sizeof(*observed), by_number);
	*count = 0;
	for (size_t i = 0; i < n; i++)
		if (*count == 0 || observed[*count - 1] != observed[i])
			observed[(*count)++] = observed[i];
	return observed;
}

/* Values become small numbers, those that nobody observes all the same one; a delete the put of what is absent. */
static void reduce_values(struct search *s)
{
	size_t n;
	uint64_t *observed = gather_observed(s, &n);

	for (size_t i = 0; i < s->count; i++) {
		struct linear_op *o = &s->items[i].op;

		if (o->kind == LINEAR_DELETE)
			*o =
			    (struct linear_op){ LINEAR_PUT, o->key, o->call, o->ret, .value = LINEAR_ABSENT };
		o->value = reduce(observed, n, o->value);
		o->expected = reduce(observed, n, o->expected);
		o->found = o->found == LINEAR_UNTOLD ? LINEAR_UNTOLD : reduce(observed, n, o->found);
	}
	s->value = reduce(observed, n, LINEAR_ABSENT);
	s->needed = xcalloc(n + 1, sizeof(*s->needed));
	s->written = xcalloc(n + 1, sizeof(*s->written));
	s->chained = xcalloc(n + 1, sizeof(*s->chained));
	for (size_t i = 0; i < s->count; i++)
		count_item(s, &s->items[i].op, 1);
	free(observed);
}

/* Unanswered gets are left out; an unanswered compare-and-set is one that may succeed. */
static void take_items(struct search *s, const struct linear_op *ops, const size_t *numbers, size_t count)
{
	s->items = xcalloc(count + 1, sizeof(*s->items));
	for (size_t i = 0; i < count; i++) {
		struct item *item = &s->items[s->count];

		*item = (struct item){ ops[numbers[i]], numbers[i] };
		if (item->op.ret != LINEAR_NEVER)
			s->answered++;
		else if (item->op.kind == LINEAR_GET)
			continue;
		else
			item->op.refused = false;
		s->count++;
	}
	reduce_values(s);
	qsort(s->items, s->count, sizeof(*s->items), by_place);
}

static void find_classes(struct search *s)
{
	size_t open = s->count - s->answered;

	s->classes = xcalloc(open + 1, sizeof(*s->classes));
	s->class_of = xcalloc(open + 1, sizeof(*s->class_of));
	for (size_t i = s->answered; i < s->count; i++) {
		const struct linear_op *o = &s->items[i].op, *before = &s->items[i - 1].op;

		if (i == s->answered || o->kind != before->kind || o->expected != before->expected ||
		    o->value != before->value)
			s->classes[s->class_count++].first = i;
		s->classes[s->class_count - 1].count++;
		s->class_of[i - s->answered] = s->class_count - 1;
	}
	s->used = xcalloc(s->class_count + 1, sizeof(*s->used));
	s->used_known = xcalloc(s->class_count + 1, sizeof(*s->used_known));
}

struct event {
	int64_t time;
	uint32_t event;
};

/* In one instant calls come before answers. */
static int by_time(const void *a, const void *b)
{
	const struct event *x = a, *y = b;

	if (x->time != y->time)
		return x->time < y->time ? -1 : 1;
	if (x->event % 2 != y->event % 2)
		return x->event % 2 == 0 ? -1 : 1;
	return compare(x->event, y->event);
}

static void link_events(struct search *s)
{
	struct event *events = xcalloc(s->answered * 2 + 1, sizeof(*events));
	size_t called = 0;

	s->end = (uint32_t)s->answered * 2 + 1;
	s->next = xcalloc(s->end + 1, sizeof(*s->next));
	s->prev = xcalloc(s->end + 1, sizeof(*s->prev));
	s->called = xcalloc(s->answered + 1, sizeof(*s->called));
	for (uint32_t i = 0; i < s->answered; i++) {
		events[2 * i] = (struct event){ s->items[i].op.call, 2 * i };
		events[2 * i + 1] = (struct event){ s->items[i].op.ret, 2 * i + 1 };
	}
	qsort(events, s->answered * 2, sizeof(*events), by_time);
	s->prev[s->end] = s->next[s->end] = s->end;
	for (size_t i = 0; i < s->answered * 2; i++) {
		uint32_t e = events[i].event, before = s->prev[s->end];

		s->next[before] = s->prev[s->end] = e;
		s->prev[e] = before;
		s->next[e] = s->end;
		called += e % 2 == 0;
		s->called[e / 2] = called;
	}
	free(events);
}

/* ---- placing and taking back ---- */

static void unlink_event(struct search *s, uint32_t e)
{
	s->next[s->prev[e]] = s->next[e];
	s->prev[s->next[e]] = s->prev[e];
}

static void relink_event(struct search *s, uint32_t e)
{
	s->next[s->prev[e]] = e;
	s->prev[s->next[e]] = e;
}

static void place(struct search *s, size_t item)
{
	s->trail[s->trail_count++] = (uint32_t)item;
	s->value = linear_after(&s->items[item].op, s->value);
	count_item(s, &s->items[item].op, -1);
	if (item >= s->answered) {
		s->used[s->class_of[item - s->answered]]++;
		return;
	}
	s->placed[item / 64] |= (uint64_t)1 << item % 64;
	unlink_event(s, (uint32_t)item * 2 + 1);
	unlink_event(s, (uint32_t)item * 2);
}

static void take_back(struct search *s, const struct frame *f)
{
	while (s->trail_count > f->trail) {
		size_t item = s->trail[--s->trail_count];

		count_item(s, &s->items[item].op, 1);
		if (item >= s->answered) {
			s->used[s->class_of[item - s->answered]]--;
			continue;
		}
		s->placed[item / 64] &= ~((uint64_t)1 << item % 64);
		relink_event(s, (uint32_t)item * 2);
		relink_event(s, (uint32_t)item * 2 + 1);
	}
	s->value = f->value;
}

/* What may be placed next is called before the earliest answer of what is left, so the loops below end there. */
static bool is_call(uint32_t e)
{
	return e % 2 == 0;
}

static void place_observers(struct search *s)
{
	uint32_t e;

	for (e = s->next[s->end]; is_call(e); e = s->next[e]) {
		const struct linear_op *o = &s->items[e / 2].op;

		s->steps++;
		if (only_observes(o) && linear_fits(o, s->value))
			place(s, e / 2);
	}
}

/* ---- the choices ---- */

static size_t earliest_answer(struct search *s)
{
	uint32_t e;

	for (e = s->next[s->end]; is_call(e); e = s->next[e])
		s->steps++;
	return e / 2;
}

/* The next of a class that may be placed, or NULL. */
static const struct linear_op *next_of_class(const struct search *s, size_t class, int64_t until)
{
	const struct class *c = &s->classes[class];
	const struct linear_op *o = &s->items[c->first + s->used[class]].op;

	return s->used[class] < c->count && o->call <= until ? o : NULL;
}

/* Is there anybody who may come next and needs just this value? */
static bool is_wanted(struct search *s, uint64_t value, int64_t until)
{
	for (uint32_t e = s->next[s->end]; is_call(e); e = s->next[e]) {
		const struct linear_op *o = &s->items[e / 2].op;

		s->steps++;
		if (o->kind != LINEAR_PUT && linear_fits(o, value))
			return true;
	}
	for (size_t i = 0; i < s->class_count; i++) {
		const struct linear_op *o = next_of_class(s, i, until);

		s->steps++;
		if (o != NULL && o->kind == LINEAR_CAS && linear_fits(o, value))
			return true;
	}
	return false;
}

/* Would somebody be left who needs the value that is there now, and nobody to write it again? */
static bool spoils(const struct search *s, const struct linear_op *o)
{
	uint32_t left = s->needed[s->value] - (need_of(o) == s->value);

	return linear_after(o, s->value) != s->value && left > 0 && s->written[s->value] == 0;
}

static bool place_answered(struct search *s, struct frame *f)
{
	for (uint32_t e = s->next[f->event]; is_call(e); e = s->next[e]) {
		const struct linear_op *o = &s->items[e / 2].op;

		s->steps++;
		if (linear_fits(o, s->value) && !spoils(s, o)) {
			f->event = e;
			place(s, e / 2);
			return true;
		}
	}
	f->answered_tried = true;
	return false;
}

static bool place_unanswered(struct search *s, struct frame *f)
{
	int64_t until = s->items[earliest_answer(s)].op.ret;

	while (f->class < s->class_count) {
		size_t class = f->class ++;
		const struct linear_op *o = next_of_class(s, class, until);

		s->steps++;
		if (o == NULL || !linear_fits(o, s->value) || o->value == s->value || spoils(s, o) ||
		    !is_wanted(s, o->value, until))
			continue;
		place(s, s->classes[class].first + s->used[class]);
		return true;
	}
	return false;
}

static bool choose_next(struct search *s)
{
	struct frame *f = &s->frames[s->depth - 1];

	take_back(s, f);
	if (!f->answered_tried && place_answered(s, f))
		return true;
	return s->class_count > 0 && place_unanswered(s, f);
}

/* ---- the search ---- */

static bool was_here(struct search *s)
{
	size_t first = s->next[s->end] / 2, from = first / 64;
	size_t last = s->called[earliest_answer(s)] - 1;

	for (size_t i = 0; i < s->class_count; i++) {
		uint64_t value = s->items[s->classes[i].first].op.value;
		bool matters = s->untold > 0 || s->needed[value] > 0 || s->chained[value] > 0;

		s->used_known[i] = matters ? s->used[i] : 0;
	}
	return memo_seen(&s->memo,
	    &(struct memo_key){
		s->value, first, s->placed + from, last / 64 + 1 - from, s->used_known, s->class_count },
	    &s->steps);
}

static enum linear_answer run(struct search *s, const struct linear_limits *limits)
{
	bool arrived = true;

	for (;;) {
		if (arrived) {
			place_observers(s);
			if (s->next[s->end] == s->end)
				return LINEAR_YES;
			if (s->steps > limits->steps || memo_bytes(&s->memo) > limits->bytes)
				return LINEAR_UNDECIDED;
			if (!was_here(s))
				s->frames[s->depth++] =
				    (struct frame){ s->trail_count, s->value, s->end, false, 0 };
		}
		arrived = choose_next(s);
		if (!arrived && --s->depth == 0)
			return LINEAR_NO;
	}
}

static void fini(struct search *s)
{
	free(s->items);
	free(s->classes);
	free(s->class_of);
	free(s->used);
	free(s->used_known);
	free(s->next);
	free(s->prev);
	free(s->called);
	free(s->placed);
	free(s->needed);
	free(s->written);
	free(s->chained);
	free(s->trail);
	free(s->frames);
	memo_fini(&s->memo);
}

enum linear_answer search_register(const struct linear_op *ops, const size_t *numbers, size_t count,
    const struct linear_limits *limits, struct linear_verdict *out)
{
	struct search s = { .steps = out->steps };
	enum linear_answer answer;

	take_items(&s, ops, numbers, count);
	find_classes(&s);
	link_events(&s);
	s.placed = xcalloc(s.answered / 64 + 1, sizeof(*s.placed));
	s.trail = xcalloc(s.count + 1, sizeof(*s.trail));
	s.frames = xcalloc(s.count + 1, sizeof(*s.frames));
	answer = run(&s, limits);
	out->order_count = 0;
	for (size_t i = 0; answer == LINEAR_YES && i < s.trail_count; i++)
		out->order[out->order_count++] = s.items[s.trail[i]].number;
	out->steps = s.steps;
	if (memo_bytes(&s.memo) > out->bytes)
		out->bytes = memo_bytes(&s.memo);
	fini(&s);
	return answer;
}
