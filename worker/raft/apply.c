#include <assert.h>

#include "worker/raft/core.h"

/* From the log into the state: what is handed out to be applied, and what may leave memory then. */

#define READY_ENTRIES 4096
#define READY_BYTES (4 * 1024 * 1024)

static uint64_t least(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

static void hand_out(struct raft *r, const struct entry *e)
{
	entries_add(&r->to_apply, e);
	raft_log_set_applied(&r->log, e->pos.index);
}

/* What was read is what is wanted, unless an image came in between. */
static void hand_out_fetched(struct raft *r, uint64_t to)
{
	for (size_t i = 0; i < r->fetched.count; i++) {
		const struct entry *e = &r->fetched.data[i];

		if (e->pos.index == r->log.applied + 1 && e->pos.index <= to &&
		    raft_log_matches(&r->log, e->pos))
			hand_out(r, e);
	}
	entries_free(&r->fetched);
}

/* A node that was frozen has let go of what it will have to apply. It is read again once what was handed out before is
 * applied, so that no more of it is in memory than a message holds. */
static void fetch_own(struct raft *r)
{
	if (r->fetching || r->state_at < r->log.applied)
		return;
	r->fetching = true;
	ask_fetch(r, r->o.self, r->log.applied + 1);
}

void take_fetched(struct raft *r, const struct entries *entries)
{
	r->fetching = false;
	for (size_t i = 0; i < entries->count; i++)
		entries_add(&r->fetched, &entries->data[i]);
}

/* Only what can be read again: durable, and, as long as it is to be trusted, in the state. */
static void drop_applied(struct raft *r)
{
	uint64_t index = r->frozen ? r->log.commit : least(r->state_at, r->log.applied);

	raft_log_trim(&r->log, least(index, r->log.durable), r->o.cache_bytes);
}

/*
 * Committed and durable on this node, so that the state never runs ahead of this node's own log (D7). Nor of its term:
 * who has committed it leads in this term or an earlier one, and so every leader of this term or a later one has it.
 */
void gather_committed(struct raft *r, struct raft_ready *rd)
{
	uint64_t to = least(r->log.commit, r->log.durable);
	size_t bytes = 0;

	if (r->frozen)
		drop_applied(r);
	if (r->frozen || r->ticket_durable < r->apply_ticket)
		return;
	hand_out_fetched(r, to);
	while (r->log.applied < to && r->log.applied + 1 >= r->log.first &&
	       r->to_apply.count < READY_ENTRIES && bytes < READY_BYTES) {
		const struct entry *e = raft_log_at(&r->log, r->log.applied + 1);

		hand_out(r, e);
		bytes += entry_bytes(e);
	}
	if (r->log.applied < to && r->log.applied + 1 < r->log.first)
		fetch_own(r);
	rd->committed = r->to_apply.data;
	rd->committed_count = r->to_apply.count;
}

void raft_applied(struct raft *r, uint64_t index)
{
	r->state_at = index;
	drop_applied(r);
	forget_configs(r, least(index, r->log.applied));
}
