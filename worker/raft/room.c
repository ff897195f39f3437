#include "worker/raft/core.h"

/*
 * Nodes whose disk is full (DESIGN 4). The leader knows by their answers which of the others are. Writes need a majority
 * with room, so that what is accepted can be kept; everything else needs a majority as always, so a cluster whose disks
 * are all full still elects a leader and confirms reads. A member without room is sent no more than what is already in
 * the leader's log and could not be committed without it.
 */

struct room_question {
	const struct raft *r;
	struct instant now;
};

static enum quorum_vote has_room(void *arg, uint64_t id)
{
	const struct room_question *q = arg;
	const struct progress *p = progress_of(q->r, id);

	if (id == q->r->o.self)
		return q->r->room == RAFT_ROOM_ENOUGH ? VOTE_YES : VOTE_NO;
	return p != NULL && p->room == RAFT_ROOM_ENOUGH && is_heard(q->r, p, q->now) ? VOTE_YES : VOTE_NO;
}

static void count_room(struct raft *r, struct instant now)
{
	struct room_question q = { r, now };

	r->roomy = quorum_decide(&config_now(r)->quorum, has_room, &q) == QUORUM_WON;
}

void note_room(struct raft *r, struct progress *p, uint8_t room, struct instant now)
{
	p->room = room < RAFT_ROOM_NONE ? (enum raft_room)room : RAFT_ROOM_NONE;
	p->answered = true;
	count_room(r, now);
}

/* To try means that for an election timeout no write is proposed: after one that came to nothing, those who write are
 * told why for as long. */
static void yield(struct raft *r, struct instant now)
{
	struct progress *p;

	if (r->room == RAFT_ROOM_ENOUGH || r->transfer_to != 0 || !instant_passed(r->yield_at, now) ||
	    (p = furthest(r, true)) == NULL)
		return;
	r->yield_at = instant_add(now, span_times(r->o.election, 2));
	begin_transfer(r, p, now);
}

void tick_room(struct raft *r, struct instant now)
{
	count_room(r, now);
	yield(r, now);
}

void raft_set_room(struct raft *r, enum raft_room room, struct instant now)
{
	bool shorter = r->room == RAFT_ROOM_ENOUGH && room != RAFT_ROOM_ENOUGH;

	r->room = room;
	if (r->role == RAFT_LEADER)
		tick_room(r, now);
	else if (shorter && !is_alone(r))
		reset_election(r, now);
	check(r);
}

/* Where too few are heard at all it is not for want of room that nothing can be committed. */
bool takes_writes(const struct raft *r, struct instant now)
{
	return r->room == RAFT_ROOM_ENOUGH && (r->roomy || !quorum_is_heard(r, &config_now(r)->quorum, now));
}

uint64_t send_limit(const struct raft *r, const struct progress *p)
{
	uint64_t limit = p->next - 1;

	if (p->room == RAFT_ROOM_ENOUGH)
		return r->log.last.index;
	if (r->roomy || r->log.commit == r->log.last.index || !quorum_has(&config_now(r)->quorum, p->id))
		return limit;
	if (p->room == RAFT_ROOM_SHORT)
		return r->log.last.index;
	while (limit < r->log.last.index && limit + 1 >= r->log.first &&
	       raft_log_at(&r->log, limit + 1)->type != ENTRY_WRITE)
		limit++;
	return limit;
}

size_t count_acceptable(const struct raft *r, const struct entries *list, size_t held)
{
	if (r->room != RAFT_ROOM_NONE)
		return list->count;
	while (held < list->count && list->data[held].type != ENTRY_WRITE)
		held++;
	return held;
}

struct span reluctance(const struct raft *r)
{
	return r->room == RAFT_ROOM_ENOUGH || is_alone(r) ? span_ms(0) : span_times(r->o.election, 2);
}

bool raft_accepts(const struct raft *r, struct instant now)
{
	return raft_confirmed(r, now) && r->transfer_to == 0 && !r->unfit && takes_writes(r, now);
}
