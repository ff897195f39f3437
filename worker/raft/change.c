#include <assert.h>
#include <stdlib.h>

#include "worker/raft/core.h"
#include "worker/raft/draft.h"

/*
 * Members come and go, §4: one change at a time (M2), each begun only once an entry of the leader's own term is
 * committed (M1). A new member is a learner first and becomes a voter by itself when it has caught up (§4.2.1); voters
 * change by joint configurations (§4.3), which the leader leaves by itself (M6).
 */

static bool settled(const struct raft *r)
{
	return config_now(r)->index <= r->log.commit && raft_log_term(&r->log, r->log.commit) == r->hard.term;
}

static bool is_joint(const struct raft *r)
{
	return config_now(r)->quorum.outgoing.count > 0;
}

/* New members have not been heard yet; those that stay keep what is known of them. */
void follow_config(struct raft *r)
{
	const struct raft_config *c = config_now(r);
	struct progress *next = xcalloc(c->count, sizeof(*next));
	size_t count = 0;

	for (size_t i = 0; i < c->count; i++) {
		const struct progress *known = progress_of(r, c->members[i]);

		if (c->members[i] == r->o.self)
			continue;
		next[count++] = known != NULL
				    ? *known
				    : (struct progress){ .id = c->members[i], .next = r->log.last.index + 1 };
	}
	free(r->peers);
	r->peers = next;
	r->peer_count = count;
}

/* A change that the next majority could not carry on is refused: the cluster would stand still. */
static bool can_go_on(const struct raft *r, const struct raft_draft *d, struct instant now)
{
	struct quorum next = { 0 };

	for (size_t i = 0; i < d->count; i++)
		if (d->members[i].roles & RAFT_VOTER)
			next.incoming.ids[next.incoming.count++] = d->members[i].incarnation;
	return next.incoming.count > 0 && quorum_is_heard(r, &next, now);
}

static enum err propose_draft(
    struct raft *r, const struct raft_draft *d, struct instant now, struct raft_pos *pos)
{
	struct blob *data = draft_blob(d);
	enum err e = raft_propose(r, ENTRY_CONFIG, data, now, pos);

	blob_unref(data);
	return e;
}

static enum err propose_voters(
    struct raft *r, const struct raft_draft *d, struct instant now, struct raft_pos *pos)
{
	return can_go_on(r, d, now) ? propose_draft(r, d, now, pos) : ERR_NO_QUORUM;
}

/* ---- what is asked for ---- */

static bool same_name(const struct raft_member *a, const struct raft_member *b)
{
	return bytes_equal(a->id, b->id);
}

/* Takes out the other incarnations of the name, of those with one of these roles. */
static void drop_rivals(struct raft_draft *d, const struct raft_member *m, unsigned roles)
{
	for (size_t i = d->count; i-- > 0;)
		if (d->members[i].incarnation != m->incarnation && same_name(&d->members[i], m) &&
		    d->members[i].roles & roles)
			draft_remove(d, d->members[i].incarnation);
}

static enum err already_there(const struct raft *r, struct raft_pos *pos)
{
	uint64_t index = config_now(r)->index;

	*pos = (struct raft_pos){ raft_log_term(&r->log, index), index };
	return ERR_OK;
}

static enum err add(struct raft *r, const struct raft_member *m, struct instant now, struct raft_pos *pos)
{
	struct raft_draft d;
	struct raft_member *known;
	enum err e;

	draft_of(&d, config_now(r));
	if ((known = draft_find(&d, m->incarnation)) != NULL) {
		if (known->roles == RAFT_GONE)
			return ERR_CONFLICT;
		if (!same_name(known, m))
			return ERR_CONFLICT;
		if (bytes_equal(known->peer, m->peer) && bytes_equal(known->http, m->http))
			return already_there(r, pos);
		known->peer = m->peer;
		known->http = m->http;
		known->start = m->start;
		return propose_draft(r, &d, now, pos);
	}
	if (m->level < d.level)
		return ERR_VERSION; /* it would not understand the log */
	drop_rivals(&d, m, RAFT_LEARNER); /* what is no voter has nothing to be kept for */
	if ((e = draft_learner(&d, m)) != ERR_OK)
		return e;
	return propose_draft(r, &d, now, pos);
}

static enum err remove_named(
    struct raft *r, const struct raft_member *m, struct instant now, struct raft_pos *pos)
{
	struct raft_draft d;
	bool voter = false, any = false;

	draft_of(&d, config_now(r));
	for (size_t i = 0; i < d.count; i++)
		if (d.members[i].roles != RAFT_GONE && same_name(&d.members[i], m)) {
			any = true;
			voter |= (d.members[i].roles & RAFT_VOTER) != 0;
		}
	if (!any)
		return ERR_NOT_FOUND;
	if (voter && draft_enter(&d) != ERR_OK)
		return ERR_CONFLICT;
	for (size_t i = d.count; i-- > 0;)
		if (same_name(&d.members[i], m))
			draft_remove(&d, d.members[i].incarnation);
	if (draft_voters(&d) == 0)
		return ERR_CONFLICT;
	return voter ? propose_voters(r, &d, now, pos) : propose_draft(r, &d, now, pos);
}

/* At level 0 a configuration has the addresses only. */
static bool same_attributes(unsigned level, const struct raft_member *a, const struct raft_member *b)
{
	return bytes_equal(a->peer, b->peer) && bytes_equal(a->http, b->http) &&
	       (level == 0 || (a->start == b->start && a->level == b->level));
}

static enum err describe(
    struct raft *r, const struct raft_member *m, struct instant now, struct raft_pos *pos)
{
	struct raft_member *known;
	struct raft_draft d;

	draft_of(&d, config_now(r));
	known = draft_find(&d, m->incarnation);
	if (known == NULL || known->roles == RAFT_GONE)
		return ERR_NOT_FOUND;
	if (!same_name(known, m))
		return ERR_CONFLICT;
	if (same_attributes(d.level, known, m))
		return already_there(r, pos);
	known->peer = m->peer;
	known->http = m->http;
	known->start = m->start;
	known->level = m->level;
	return propose_draft(r, &d, now, pos);
}

/* At level 0 a configuration cannot say what the members have announced: the caller knows. From level 1 on it can. */
static enum err raise_level(struct raft *r, unsigned level, struct instant now, struct raft_pos *pos)
{
	struct raft_draft d;

	draft_of(&d, config_now(r));
	if (level <= d.level)
		return already_there(r, pos);
	for (size_t i = 0; i < d.count; i++) {
		if (d.members[i].roles == RAFT_GONE)
			continue;
		if (d.level == 0)
			d.members[i].level = level;
		if (d.members[i].level < level)
			return ERR_VERSION;
	}
	d.level = level;
	return propose_draft(r, &d, now, pos);
}

enum err raft_change(struct raft *r, enum raft_change_kind kind, const struct raft_member *m,
    struct instant now, struct raft_pos *pos)
{
	if (r->role != RAFT_LEADER || r->transfer_to != 0)
		return ERR_NOT_LEADER;
	if (!settled(r) || is_joint(r))
		return ERR_CHANGING;
	switch (kind) {
	case RAFT_ADD: {
		struct raft_member learner = *m;

		learner.roles = RAFT_LEARNER | RAFT_WANTED;
		return add(r, &learner, now, pos);
	}
	case RAFT_REMOVE:
		return remove_named(r, m, now, pos);
	case RAFT_DESCRIBE:
		return describe(r, m, now, pos);
	case RAFT_RAISE:
		return raise_level(r, m->level, now, pos);
	}
	return ERR_INTERNAL;
}

/* ---- what follows by itself ---- */

/* The answer to these heartbeats says also whether its state is to be trusted. */
static void begin_round(struct raft *r, struct progress *p, struct instant now)
{
	p->goal = r->log.commit;
	p->goal_round = r->round + 1;
	p->goal_at = now;
	send_heartbeats(r);
}

/* §4.2.1: in a round it gets what was committed when the round began. One that took less than an election timeout shows
 * that it is no more than that behind; after a longer one another begins, in which there is less to get. */
static bool has_caught_up(struct raft *r, uint64_t id, struct instant now)
{
	struct progress *p = progress_of(r, id);

	if (p == NULL || !is_heard(r, p, now))
		return false;
	if (p->goal == 0)
		begin_round(r, p, now);
	if (p->match < p->goal || p->round < p->goal_round || p->frozen)
		return false;
	if (!instant_passed(instant_add(p->goal_at, r->o.election), now))
		return true;
	begin_round(r, p, now);
	return false;
}

static void promote(struct raft *r, struct instant now)
{
	const struct raft_config *c = config_now(r);
	struct raft_member m;
	struct raft_draft d;
	struct raft_pos pos;

	if (c->count == c->quorum.incoming.count)
		return; /* nobody learns; this is asked with every message */
	for (size_t i = 0; i < c->count; i++) {
		if (!raft_config_find(c, c->members[i], &m) || !(m.roles & RAFT_WANTED) ||
		    !has_caught_up(r, m.incarnation, now))
			continue;
		draft_of(&d, c);
		if (draft_enter(&d) != ERR_OK || draft_voter(&d, &m) != ERR_OK)
			return;
		/* It takes the place of the voter that has its name, in the same joint change. */
		drop_rivals(&d, &m, RAFT_VOTER | RAFT_LEARNER);
		if (propose_voters(r, &d, now, &pos) == ERR_OK)
			return; /* one at a time */
	}
}

static void leave_joint(struct raft *r, struct instant now)
{
	struct raft_draft d;
	struct raft_pos pos;
	enum err e;

	draft_of(&d, config_now(r));
	e = draft_leave(&d);
	assert(e == ERR_OK);
	/* Refused for want of room, it is tried again at the next input. */
	propose_draft(r, &d, now, &pos);
}

/* §4.2.2: a leader that was taken out leads until that is committed, and lets another one stand at once. */
static void step_aside(struct raft *r, struct instant now)
{
	const struct progress *p = furthest(r, false);

	send_heartbeats(r);
	if (p != NULL && p->match == r->log.last.index)
		send_now(r, RAFT_TIMEOUT_NOW, p->id);
	become_follower(r, r->hard.term, 0, now);
}

void drive_change(struct raft *r, struct instant now)
{
	if (r->role != RAFT_LEADER)
		return;
	if (r->transfer_to != 0 || !settled(r))
		return;
	if (is_joint(r))
		leave_joint(r, now);
	else if (!is_voter(r))
		step_aside(r, now);
	else
		promote(r, now);
}
