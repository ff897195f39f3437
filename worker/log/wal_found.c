#include <stdlib.h>

#include "worker/log/wal_private.h"

void wal_found_free(struct wal_found *f)
{
	free(f->terms);
	free(f->configs);
	*f = (struct wal_found){ 0 };
}

static void discard_from(struct wal_found *f, uint64_t index)
{
	while (f->term_count > 0 && f->terms[f->term_count - 1].first >= index)
		f->term_count--;
	while (f->config_count > 0 && f->configs[f->config_count - 1] >= index)
		f->config_count--;
}

/* Arrays that double at each power of two need no room kept beside the count; after discards they may double
 * early, which does no harm. */
static void *grow(void *array, size_t count, size_t size)
{
	return (count & (count - 1)) == 0 ? xreallocarray(array, count == 0 ? 1 : count * 2, size) : array;
}

static uint64_t term_before(const struct wal_found *f)
{
	return f->term_count > 0 ? f->terms[f->term_count - 1].term : f->base.term;
}

const char *wal_found_entry(struct wal_found *f, struct raft_pos pos, uint64_t time_ms, enum entry_type type)
{
	if (pos.index <= f->base.index || pos.index > f->last.index + 1)
		return "an entry's index does not follow";
	discard_from(f, pos.index);
	if (pos.term < term_before(f))
		return "an entry's term is lower than the one before";
	if (f->term_count == 0 || pos.term > term_before(f)) {
		f->terms = grow(f->terms, f->term_count, sizeof(*f->terms));
		f->terms[f->term_count++] = (struct wal_term){ pos.term, pos.index };
	}
	if (type == ENTRY_CONFIG) {
		f->configs = grow(f->configs, f->config_count, sizeof(*f->configs));
		f->configs[f->config_count++] = pos.index;
	}
	f->last = pos;
	f->last_time_ms = time_ms;
	return NULL;
}
