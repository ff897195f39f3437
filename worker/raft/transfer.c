#include "worker/raft/core.h"

/* Leadership is handed over, §3.10: for a stop without an election timeout of silence. */

struct progress *furthest(const struct raft *r, bool room)
{
	struct progress *best = NULL;

	for (size_t i = 0; i < r->peer_count; i++) {
		struct progress *p = &r->peers[i];

		if (p->down || p->frozen || !quorum_half_has(&config_now(r)->quorum.incoming, p->id))
			continue;
		if (room && (!p->answered || p->room != RAFT_ROOM_ENOUGH))
			continue;
		if (best == NULL || p->match > best->match)
			best = p;
	}
	return best;
}

void begin_transfer(struct raft *r, const struct progress *p, struct instant now)
{
	r->transfer_to = p->id;
	r->transfer_told = false;
	r->transfer_until = instant_add(now, r->o.election);
}

enum err raft_transfer(struct raft *r, uint64_t target, struct instant now)
{
	struct progress *p;

	if (r->role != RAFT_LEADER)
		return ERR_NOT_LEADER;
	if (r->transfer_to != 0)
		return ERR_BUSY;
	p = target == 0 ? furthest(r, true) : progress_of(r, target);
	if (p == NULL && target == 0)
		p = furthest(r, false);
	if (p == NULL || p->frozen || !quorum_half_has(&config_now(r)->quorum.incoming, p->id))
		return ERR_NOT_FOUND;
	if (target != 0 && p->room != RAFT_ROOM_ENOUGH && r->room == RAFT_ROOM_ENOUGH)
		return ERR_NOT_FOUND;
	begin_transfer(r, p, now);
	return ERR_OK;
}

void raft_set_unfit(struct raft *r, bool unfit, struct instant now)
{
	if (unfit && !r->unfit && r->role == RAFT_LEADER)
		raft_transfer(r, 0, now); /* refused: tick_transfer() ends it */
	r->unfit = unfit;
}

/* Told once its log is whole: a vote of another could not be won with less. */
void drive_transfer(struct raft *r)
{
	const struct progress *p = r->transfer_to != 0 ? progress_of(r, r->transfer_to) : NULL;

	if (p == NULL || r->transfer_told || p->match != r->log.last.index)
		return;
	r->transfer_told = true;
	send_now(r, RAFT_TIMEOUT_NOW, p->id);
}

static bool half_is_mine(const struct raft *r, const struct quorum_half *h)
{
	return h->count == 0 || (h->count == 1 && h->ids[0] == r->o.self);
}

bool is_alone(const struct raft *r)
{
	const struct quorum *q = &config_now(r)->quorum;

	return half_is_mine(r, &q->incoming) && half_is_mine(r, &q->outgoing);
}

/* One whose disk hangs goes on where there are no others; without a state there is nothing to go on with. */
static bool must_not_lead(const struct raft *r)
{
	return r->frozen || (r->unfit && !is_alone(r));
}

/* T2: a target that is dead or lags costs one election timeout, then this leader goes on; one that must not lead leaves
 * it to the others. False: it leads no more. */
bool tick_transfer(struct raft *r, struct instant now)
{
	if (r->transfer_to != 0 && instant_passed(r->transfer_until, now))
		r->transfer_to = 0;
	if (r->transfer_to != 0 || !must_not_lead(r))
		return true;
	become_follower(r, r->hard.term, 0, now);
	return false;
}
