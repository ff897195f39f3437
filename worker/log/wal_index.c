#include <assert.h>

#include "worker/log/wal_private.h"

void wal_index_note(struct wal *w, const struct wal_point *at)
{
	const struct wal_point *last;
	bool discards = at->index <= w->last.index;

	while (w->point_count > 0 && w->points[w->point_count - 1].index >= at->index)
		w->point_count--;
	last = w->point_count > 0 ? &w->points[w->point_count - 1] : NULL;
	/* Reading over discarded entries would find them, so the one that discards always begins anew. */
	if (last != NULL && !discards && last->segment == at->segment &&
	    at->offset - last->offset < WAL_POINT_BYTES)
		return;
	if (w->point_count == w->point_room) {
		w->point_room = w->point_room == 0 ? 64 : w->point_room * 2;
		w->points = xreallocarray(w->points, w->point_room, sizeof(*w->points));
	}
	w->points[w->point_count++] = *at;
}

/* Indexes and places rise together, since an entry discards all of its index and above. */
static size_t first_point(const struct wal *w, size_t segment)
{
	size_t low = 0, high = w->point_count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (w->points[middle].segment < segment)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

uint64_t wal_index_first(const struct wal *w, size_t segment)
{
	size_t place = first_point(w, segment);

	return place < w->point_count ? w->points[place].index : w->last.index + 1;
}

void wal_index_forget(struct wal *w, size_t count)
{
	size_t place = first_point(w, count);

	w->point_count -= place;
	for (size_t i = 0; i < w->point_count; i++) {
		w->points[i] = w->points[place + i];
		w->points[i].segment -= (uint32_t)count;
	}
}

size_t wal_index_find(const struct wal *w, uint64_t index)
{
	size_t low = 0, high = w->point_count;

	while (high - low > 1) {
		size_t middle = low + (high - low) / 2;

		if (w->points[middle].index <= index)
			low = middle;
		else
			high = middle;
	}
	assert(low < w->point_count && w->points[low].index <= index);
	return low;
}
