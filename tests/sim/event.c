#include <stdlib.h>

#include "tests/sim/event.h"

static bool before(const struct event *a, const struct event *b)
{
	return a->time.ns < b->time.ns || (a->time.ns == b->time.ns && a->number < b->number);
}

void events_add(struct events *q, struct event e)
{
	size_t at = q->count++;

	if (q->count > q->room) {
		q->room = q->room == 0 ? 1024 : q->room * 2;
		q->heap = xreallocarray(q->heap, q->room, sizeof(*q->heap));
	}
	e.number = ++q->numbers;
	for (; at > 0 && before(&e, &q->heap[(at - 1) / 2]); at = (at - 1) / 2)
		q->heap[at] = q->heap[(at - 1) / 2];
	q->heap[at] = e;
}

bool events_next(struct events *q, struct event *out)
{
	struct event last;
	size_t at = 0, child;

	if (q->count == 0)
		return false;
	*out = q->heap[0];
	last = q->heap[--q->count];
	while ((child = 2 * at + 1) < q->count) {
		if (child + 1 < q->count && before(&q->heap[child + 1], &q->heap[child]))
			child++;
		if (!before(&q->heap[child], &last))
			break;
		q->heap[at] = q->heap[child];
		at = child;
	}
	q->heap[at] = last;
	return true;
}

void events_fini(struct events *q)
{
	for (size_t i = 0; i < q->count; i++)
		blob_unref(q->heap[i].data);
	free(q->heap);
	*q = (struct events){ 0 };
}
