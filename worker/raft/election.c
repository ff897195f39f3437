#include <assert.h>
#include <string.h>

#include "worker/raft/core.h"

/* Elections: §3.4, §3.6.1, §6.2, §9.6. The become_* functions here are the only writers of the role. */

#define LOST_LEAST_MS 5
#define LOST_SPREAD_MS 45

static struct span random_span(struct raft *r, struct span below)
{
	return (struct span){ (int64_t)random_below(&r->random, (uint64_t)below.ns) };
}

/* §3.4: randomised, so that one node usually stands alone. */
void reset_election(struct raft *r, struct instant now)
{
	struct instant least = instant_add(instant_add(now, r->o.election), reluctance(r));

	r->election_at = instant_add(least, random_span(r, r->o.election));
}

static void clear_votes(struct raft *r)
{
	memset(r->votes, 0, sizeof(r->votes));
}

static void set_term(struct raft *r, uint64_t term, uint64_t vote)
{
	assert(term > r->hard.term || (term == r->hard.term && (r->hard.vote == 0 || r->hard.vote == vote)));
	if (term == r->hard.term && vote == r->hard.vote)
		return;
	r->hard = (struct raft_hard){ term, vote };
	r->hard_dirty = true;
}

void become_follower(struct raft *r, uint64_t term, uint64_t leader, struct instant now)
{
	if (r->role == RAFT_LEADER)
		stop_leading(r);
	if (r->role != RAFT_FOLLOWER || term != r->hard.term)
		reset_election(r, now);
	r->role = RAFT_FOLLOWER;
	if (term > r->hard.term)
		set_term(r, term, 0);
	r->leader = leader;
	check(r);
}

static void become_leader(struct raft *r, struct instant now)
{
	assert(r->role == RAFT_CANDIDATE);
	r->role = RAFT_LEADER;
	r->leader = r->o.self;
	start_leading(r, now);
	check(r);
}

enum quorum_vote vote_of(void *arg, uint64_t id)
{
	const struct raft *r = arg;
	const struct raft_config *c = config_now(r);

	for (size_t i = 0; i < c->count; i++)
		if (c->members[i] == id)
			return r->votes[i];
	return VOTE_NONE;
}

static void note_vote(struct raft *r, uint64_t id, bool granted)
{
	const struct raft_config *c = config_now(r);

	for (size_t i = 0; i < c->count; i++)
		if (c->members[i] == id && r->votes[i] == VOTE_NONE)
			r->votes[i] = granted ? VOTE_YES : VOTE_NO;
}

static enum quorum_verdict decide(struct raft *r)
{
	return quorum_decide(&config_now(r)->quorum, vote_of, r);
}

/* A pre-vote changes nothing anywhere, so it is repeated soon: whoever refused because the leader's silence was
 * too young will think differently in a moment. */
static void become_pre_candidate(struct raft *r, struct instant now)
{
	const struct raft_config *c = config_now(r);

	r->role = RAFT_PRE_CANDIDATE;
	r->leader = 0;
	clear_votes(r);
	note_vote(r, r->o.self, true);
	r->election_at = instant_add(
	    instant_add(now, (struct span){ r->o.heartbeat.ns / 2 }), random_span(r, r->o.heartbeat));
	for (size_t i = 0; i < c->count; i++) {
		struct raft_message *m;

		if (c->members[i] == r->o.self || !quorum_has(&c->quorum, c->members[i]))
			continue;
		m = send_now(r, RAFT_PREVOTE, c->members[i]);
		m->term = r->hard.term + 1;
		m->prevote.last_term = r->log.last.term;
		m->prevote.last_index = r->log.last.index;
	}
	check(r);
}

/* D2: the request names this log and this term, so it leaves only when both are durable, and our own vote counts
 * only then. */
static void become_candidate(struct raft *r, bool transfer, struct instant now)
{
	const struct raft_config *c = config_now(r);

	r->role = RAFT_CANDIDATE;
	r->leader = 0;
	set_term(r, r->hard.term + 1, r->o.self);
	clear_votes(r);
	r->vote_ticket = r->ticket_given + 1;
	r->stood = now;
	reset_election(r, now);
	for (size_t i = 0; i < c->count; i++) {
		struct raft_message *m;

		if (c->members[i] == r->o.self || !quorum_has(&c->quorum, c->members[i]))
			continue;
		m = promise(r, RAFT_VOTE, c->members[i]);
		m->vote.last_term = r->log.last.term;
		m->vote.last_index = r->log.last.index;
		m->vote.transfer = transfer;
	}
	check(r);
}

static void count_votes(struct raft *r, struct instant now)
{
	switch (decide(r)) {
	case QUORUM_WON:
		if (r->role == RAFT_PRE_CANDIDATE)
			become_candidate(r, false, now);
		else
			become_leader(r, now);
		break;
	case QUORUM_LOST:
		become_follower(r, r->hard.term, 0, now);
		break;
	case QUORUM_PENDING:
		break;
	}
}

/* §4.2.2: one that its last configuration leaves out is needed until that is committed, for nobody else may have it; its own
 * vote does not count then. */
static bool may_be_needed(const struct raft *r)
{
	return is_voter(r) || quorum_has(&raft_config_committed(r)->quorum, r->o.self);
}

void stand(struct raft *r, struct instant now)
{
	if (!may_be_needed(r) || r->unfit || r->frozen) { /* E12 */
		r->leader = 0;
		reset_election(r, now);
		return;
	}
	become_pre_candidate(r, now);
	count_votes(r, now);
}

bool leader_is_heard(const struct raft *r, struct instant now)
{
	if (r->role == RAFT_LEADER)
		return true;
	if (r->leader == 0 || r->heard.ns == 0)
		return false;
	return !instant_passed(instant_add(r->heard, r->o.election), now);
}

/* §5.4.1 (§3.6.1 in the thesis): term before length (E11). */
static bool log_is_enough(const struct raft *r, uint64_t term, uint64_t index)
{
	return raft_pos_compare((struct raft_pos){ term, index }, r->log.last) >= 0;
}

/* Grants without changing anything (E2). While a leader is heard there is no answer at all: the one who asks is
 * cut off or impatient (§4.2.3). */
void on_prevote(struct raft *r, const struct raft_message *m, struct instant now)
{
	struct raft_message *answer;
	bool grant;

	if (leader_is_heard(r, now))
		return;
	grant = m->term > r->hard.term && log_is_enough(r, m->prevote.last_term, m->prevote.last_index);
	answer = send_now(r, RAFT_PREVOTE_ANSWER, m->from);
	answer->prevote_answer.granted = grant;
	if (grant)
		answer->term = m->term;
}

void on_prevote_answer(struct raft *r, const struct raft_message *m, struct instant now)
{
	bool granted = m->prevote_answer.granted;

	if (r->role != RAFT_PRE_CANDIDATE || m->term != r->hard.term + (granted ? 1 : 0))
		return;
	note_vote(r, m->from, granted);
	count_votes(r, now);
}

/* Called with m->term == r->hard.term at most; a higher one was taken over before. Whatever this node believes its
 * own role to be, it answers (E12). */
void on_vote(struct raft *r, const struct raft_message *m, struct instant now)
{
	bool free_to = r->hard.vote == m->from || (r->hard.vote == 0 && r->leader == 0);

	if (m->term == r->hard.term && free_to && log_is_enough(r, m->vote.last_term, m->vote.last_index)) {
		become_follower(r, r->hard.term, r->leader, now); /* a pre-candidate gives way */
		set_term(r, r->hard.term, m->from);
		reset_election(r, now);
		promise(r, RAFT_VOTE_ANSWER, m->from)->vote_answer.granted = true;
	} else {
		send_now(r, RAFT_VOTE_ANSWER, m->from)->vote_answer.granted = false;
	}
}

void on_vote_answer(struct raft *r, const struct raft_message *m, struct instant now)
{
	if (r->role != RAFT_CANDIDATE || m->term != r->hard.term)
		return;
	note_vote(r, m->from, m->vote_answer.granted);
	count_votes(r, now);
}

/* §3.10: no pre-vote, for the leader itself wants this election. */
void on_timeout_now(struct raft *r, const struct raft_message *m, struct instant now)
{
	if (r->role != RAFT_FOLLOWER || m->term != r->hard.term || m->from != r->leader || !is_voter(r) ||
	    r->unfit || r->frozen)
		return;
	become_candidate(r, true, now);
}

/* E9: only if this is still the candidacy that the vote was for. */
void count_own_vote(struct raft *r, struct instant now)
{
	if (r->role != RAFT_CANDIDATE || r->ticket_durable < r->vote_ticket)
		return;
	note_vote(r, r->o.self, true);
	count_votes(r, now);
}

/* A new connection may follow within milliseconds; if none does, the leader's process is gone. */
void raft_lost(struct raft *r, uint64_t peer, struct instant now)
{
	struct span wait = span_ms(LOST_LEAST_MS + (int64_t)random_below(&r->random, LOST_SPREAD_MS + 1));

	if (r->role != RAFT_FOLLOWER || peer != r->leader || r->lost)
		return;
	r->lost = true;
	if (r->room != RAFT_ROOM_ENOUGH) /* those with room go first */
		return;
	r->election_at = instant_least(r->election_at, instant_add(now, wait));
}
