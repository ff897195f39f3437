#include <assert.h>
#include <stdlib.h>

#include "worker/log/wal_private.h"

/* Taking away what is needed no more: the oldest segments, or all that is there. */

static void throw_away(struct wal *w, const struct wal_segment *s)
{
	struct wal_gone *g = xcalloc(1, sizeof(*g));

	*g = (struct wal_gone){ atomic_load(&w->gone), s->head.number, s->bytes, s->file };
	while (!atomic_compare_exchange_weak(&w->gone, &g->next, g))
		;
}

/* The log has forgotten its first `count` segments, durably. */
static void forget(struct wal *w, size_t count)
{
	wal_index_forget(w, count);
	for (size_t i = 0; i < count; i++)
		throw_away(w, &w->segments[i]);
	w->segment_count -= count;
	for (size_t i = 0; i < w->segment_count; i++)
		w->segments[i] = w->segments[count + i];
}

/* Whether the log may begin with this segment: what is in it and behind it must follow on the position that its head
 * names, which an entry written later may have discarded. */
static bool may_begin(const struct wal *w, size_t place, uint64_t index)
{
	uint64_t base = w->segments[place].head.base.index;

	return base <= index && wal_index_first(w, place) == base + 1;
}

/* With which segment it begins when it is cut. */
static size_t place_to_cut(const struct wal *w, uint64_t index, uint64_t keep_bytes)
{
	uint64_t bytes = 0, freed = 0;
	size_t place = 0;

	for (size_t i = 0; i < w->segment_count; i++)
		bytes += w->segments[i].bytes;
	for (size_t i = 1; i < w->segment_count && bytes > keep_bytes; i++) {
		freed += w->segments[i - 1].bytes;
		if (!may_begin(w, i, index))
			continue;
		place = i;
		bytes -= freed;
		freed = 0;
	}
	return place;
}

enum err wal_cut(struct wal *w, uint64_t index, uint64_t keep_bytes)
{
	size_t place = place_to_cut(w, index, keep_bytes);
	enum err e;

	if (place == 0)
		return ERR_OK;
	if ((e = wal_begins_write(&w->o, w->segments[place].head.number)) != ERR_OK)
		return e;
	w->base = w->segments[place].head.base;
	forget(w, place);
	return ERR_OK;
}

enum err wal_reset(struct wal *w, struct raft_pos base, uint64_t time_ms, struct raft_hard hard)
{
	struct wal_head head = {
		.number = wal_last_segment(w)->head.number + 1,
		.cluster = w->o.cluster,
		.incarnation = w->o.incarnation,
		.base = base,
		.base_time_ms = time_ms,
		.hard = hard,
	};
	const char *name;
	enum err e;

	assert(hard.term >= w->hard.term && hard.term >= base.term);
	if ((e = wal_segment_begin(w, &head, false, &name)) != ERR_OK)
		return e;
	if ((e = disk_sync(wal_last_segment(w)->file)) != ERR_OK)
		return e;
	if ((e = wal_segment_publish(w, name)) != ERR_OK)
		return e;
	forget(w, w->segment_count - 1);
	w->hard = hard;
	w->base = w->last = base;
	w->last_time_ms = time_ms;
	return ERR_OK;
}

enum err wal_sweep(struct wal *w, bool *more)
{
	struct wal_gone *g;
	enum err e = ERR_OK;

	if (w->sweeping == NULL)
		w->sweeping = atomic_exchange(&w->gone, NULL);
	g = w->sweeping;
	if (g != NULL && (e = disk_unlink(w->o.disk, wal_path_of(g->number).text)) == ERR_OK) {
		w->sweeping = g->next;
		disk_close(&g->file);
		atomic_fetch_sub(&w->disk_bytes, g->bytes);
		free(g);
	}
	*more = w->sweeping != NULL || atomic_load(&w->gone) != NULL;
	return e;
}
