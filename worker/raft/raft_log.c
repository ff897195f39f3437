#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "worker/raft/raft_log.h"

static struct entry *slot(const struct raft_log *l, uint64_t index)
{
	return &l->ring[index & (l->room - 1)];
}

static void grow(struct raft_log *l)
{
	struct raft_log old = *l;

	l->room = old.room == 0 ? 64 : old.room * 2;
	l->ring = xreallocarray(NULL, l->room, sizeof(*l->ring));
	for (uint64_t i = l->first; i <= l->last.index; i++)
		*slot(l, i) = *slot(&old, i);
	free(old.ring);
}

static void forget(struct raft_log *l, uint64_t index)
{
	struct entry *e = slot(l, index);

	l->bytes -= entry_bytes(e);
	if (index > l->applied)
		l->unapplied_bytes -= entry_bytes(e);
	blob_unref(e->data);
}

static void add_run(struct raft_log *l, struct raft_run run)
{
	if (l->run_count == l->run_room) {
		l->run_room = l->run_room == 0 ? 16 : l->run_room * 2;
		l->runs = xreallocarray(l->runs, l->run_room, sizeof(*l->runs));
	}
	l->runs[l->run_count++] = run;
}

void raft_log_init(struct raft_log *l, const struct raft_start *s)
{
	uint64_t memory = s->frozen ? s->last.index : s->applied; /* begins behind it */

	*l = (struct raft_log){ .base = s->base, .last = s->base, .applied = s->applied };
	for (size_t i = 0; i < s->run_count; i++)
		if (s->runs[i].first <= memory)
			add_run(l, s->runs[i]);
	assert(s->applied >= s->base.index && s->applied <= s->last.index);
	l->last = (struct raft_pos){ 0, memory };
	l->last.term = raft_log_term(l, memory);
	l->last_time_ms = s->last_time_ms;
	l->first = memory + 1;
	for (size_t i = 0; i < s->tail->count; i++)
		raft_log_add(l, &s->tail->data[i]);
	assert(raft_pos_equal(l->last, s->last));
	l->handed = l->durable = l->last.index;
	l->commit = s->applied;
}

void raft_log_fini(struct raft_log *l)
{
	for (uint64_t i = l->first; i <= l->last.index; i++)
		blob_unref(slot(l, i)->data);
	free(l->ring);
	free(l->runs);
	*l = (struct raft_log){ 0 };
}

uint64_t raft_log_term(const struct raft_log *l, uint64_t index)
{
	size_t low = 0, high = l->run_count;

	if (index == l->base.index)
		return l->base.term;
	if (index < l->base.index || index > l->last.index || l->run_count == 0)
		return 0;
	if (index >= l->runs[high - 1].first)
		return l->runs[high - 1].term;
	while (high - low > 1) {
		size_t middle = (low + high) / 2;

		if (l->runs[middle].first <= index)
			low = middle;
		else
			high = middle;
	}
	return l->runs[low].term;
}

bool raft_log_matches(const struct raft_log *l, struct raft_pos p)
{
	return p.index >= l->base.index && p.index <= l->last.index && raft_log_term(l, p.index) == p.term;
}

const struct entry *raft_log_at(const struct raft_log *l, uint64_t index)
{
	assert(index >= l->first && index <= l->last.index);
	return slot(l, index);
}

void raft_log_add(struct raft_log *l, const struct entry *e)
{
	assert(e->pos.index == l->last.index + 1 && e->pos.term >= l->last.term);
	if (l->run_count == 0 || e->pos.term != l->last.term)
		add_run(l, (struct raft_run){ e->pos.term, e->pos.index });
	if (l->last.index + 1 - l->first == l->room)
		grow(l);
	l->last = e->pos;
	*slot(l, e->pos.index) = *e;
	blob_ref(e->data);
	l->bytes += entry_bytes(e);
	l->unapplied_bytes += entry_bytes(e);
	if (e->time_ms > l->last_time_ms)
		l->last_time_ms = e->time_ms;
}

void raft_log_cut(struct raft_log *l, uint64_t index)
{
	assert(index > l->commit && index > l->applied);
	for (uint64_t i = index > l->first ? index : l->first; i <= l->last.index; i++)
		forget(l, i);
	if (l->first > index)
		l->first = index;
	l->last.index = index - 1;
	while (l->run_count > 0 && l->runs[l->run_count - 1].first >= index)
		l->run_count--;
	l->last.term = raft_log_term(l, index - 1);
	if (l->handed >= index)
		l->handed = index - 1;
	if (l->durable >= index)
		l->durable = index - 1;
}

struct raft_pos raft_log_back_off(const struct raft_log *l, uint64_t index, uint64_t term)
{
	if (index > l->last.index)
		index = l->last.index;
	while (index > l->base.index) {
		uint64_t mine = raft_log_term(l, index);
		size_t run = l->run_count;

		if (mine <= term)
			return (struct raft_pos){ mine, index };
		while (l->runs[run - 1].first > index)
			run--;
		index = l->runs[run - 1].first - 1;
	}
	return l->base;
}

void raft_log_trim(struct raft_log *l, uint64_t index, size_t bytes_max)
{
	while (l->bytes > bytes_max && l->first <= index && l->first <= l->last.index)
		forget(l, l->first++);
}

void raft_log_set_applied(struct raft_log *l, uint64_t index)
{
	assert(index >= l->base.index && index <= l->last.index);
	while (l->applied < index)
		if (++l->applied >= l->first)
			l->unapplied_bytes -= entry_bytes(slot(l, l->applied));
	for (; l->applied > index; l->applied--)
		if (l->applied >= l->first)
			l->unapplied_bytes += entry_bytes(slot(l, l->applied));
}

void raft_log_cut_before(struct raft_log *l, struct raft_pos base)
{
	size_t gone = 0;

	assert(raft_log_matches(l, base) && base.index <= l->applied);
	while (l->first <= base.index)
		forget(l, l->first++);
	while (gone < l->run_count &&
	       (gone + 1 < l->run_count ? l->runs[gone + 1].first : l->last.index + 1) <= base.index + 1)
		gone++;
	l->run_count -= gone;
	if (gone > 0)
		memmove(l->runs, l->runs + gone, l->run_count * sizeof(*l->runs));
	if (l->run_count > 0 && l->runs[0].first <= base.index)
		l->runs[0].first = base.index + 1;
	l->base = base;
}

void raft_log_rebase(struct raft_log *l, struct raft_pos base, uint64_t time_ms)
{
	while (l->first <= l->last.index)
		forget(l, l->first++);
	l->run_count = 0;
	l->base = l->last = base;
	l->first = base.index + 1;
	l->handed = l->durable = l->commit = l->applied = base.index;
	l->last_time_ms = time_ms;
}
