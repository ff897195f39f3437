#include <assert.h>

#include "worker/raft/core.h"

/*
 * Linearizable reads without the log, §6.4: the leader notes its commit index, makes sure by one round of heartbeats
 * that it still leads, and lets the read see that index. A read joins the next round, never one under way (R4).
 */

static void add_read(struct raft *r, struct read_wait wait)
{
	if (r->read_count == r->read_room) {
		r->read_room = r->read_room == 0 ? 16 : r->read_room * 2;
		r->reads = xreallocarray(r->reads, r->read_room, sizeof(*r->reads));
	}
	r->reads[r->read_count++] = wait;
}

/* §6.4 step 1: until an entry of its own term is committed a leader does not know what is (R1). */
static bool knows_commit(const struct raft *r)
{
	return raft_log_term(&r->log, r->log.commit) == r->hard.term;
}

static void take_read(struct raft *r, uint64_t from, uint64_t start, uint64_t number)
{
	add_read(r, (struct read_wait){ from, start, number, knows_commit(r) ? r->log.commit : 0, 0 });
}

enum err raft_read(struct raft *r, uint64_t number)
{
	struct raft_message *m;

	if (r->role == RAFT_LEADER) {
		take_read(r, r->o.self, r->o.start, number);
		return ERR_OK;
	}
	if (r->leader == 0)
		return ERR_NO_LEADER;
	m = send_now(r, RAFT_READ, r->leader);
	m->read.start = r->o.start;
	m->read.number = number;
	return ERR_OK;
}

void on_read(struct raft *r, const struct raft_message *m)
{
	if (r->role == RAFT_LEADER && m->term == r->hard.term)
		take_read(r, m->from, m->read.start, m->read.number);
}

static void finish_read(struct raft *r, uint64_t number, uint64_t index)
{
	if (r->read_done_count == r->read_done_room) {
		r->read_done_room = r->read_done_room == 0 ? 16 : r->read_done_room * 2;
		r->reads_done = xreallocarray(r->reads_done, r->read_done_room, sizeof(*r->reads_done));
	}
	r->reads_done[r->read_done_count++] = (struct raft_read_done){ number, index };
}

/* D11: an answer to an earlier life of this node carries its start counter. That it comes from a former term does
 * no harm: the round that it stands for was confirmed when the question had long been asked. */
void on_read_answer(struct raft *r, const struct raft_message *m)
{
	if (m->read_answer.start == r->o.start)
		finish_read(r, m->read_answer.number, m->read_answer.index);
}

/* The leader has committed in its term: what waited for that has arrived now. */
void give_reads_index(struct raft *r)
{
	if (!knows_commit(r))
		return;
	for (size_t i = 0; i < r->read_count; i++)
		if (r->reads[i].index == 0)
			r->reads[i].index = r->log.commit;
}

void start_read_round(struct raft *r)
{
	bool any = false;

	if (r->round - r->round_confirmed >= READ_ROUNDS_OUT)
		return;
	for (size_t i = 0; i < r->read_count; i++)
		if (r->reads[i].round == 0 && r->reads[i].index != 0)
			any = true;
	if (!any)
		return;
	/* The next round's number is assigned before its heartbeats are made: they are what it waits for. */
	for (size_t i = 0; i < r->read_count; i++)
		if (r->reads[i].round == 0 && r->reads[i].index != 0)
			r->reads[i].round = r->round + 1;
	send_heartbeats(r);
	confirm_reads(r);
}

static uint64_t round_of(void *arg, uint64_t id)
{
	const struct raft *r = arg;
	const struct progress *p = progress_of(r, id);

	if (id == r->o.self)
		return r->round;
	return p == NULL ? 0 : p->round;
}

/* The answer to a round speaks for all earlier ones too. */
void confirm_reads(struct raft *r)
{
	size_t kept = 0;

	r->round_confirmed = quorum_reached(&config_now(r)->quorum, round_of, r);
	assert(r->round_confirmed <= r->round);
	for (size_t i = 0; i < r->read_count; i++) {
		struct read_wait *w = &r->reads[i];
		struct raft_message *m;

		if (w->round == 0 || w->round > r->round_confirmed) {
			r->reads[kept++] = *w;
		} else if (w->from == r->o.self) {
			finish_read(r, w->number, w->index);
		} else {
			m = send_now(r, RAFT_READ_ANSWER, w->from);
			m->read_answer = (struct raft_read_answer){ w->start, w->number, w->index };
		}
	}
	r->read_count = kept;
}

void note_round(struct raft *r, struct progress *p, uint64_t round)
{
	p->round = round;
	if (r->round - round < ROUNDS_KEPT)
		p->confirmed = r->rounds_sent[round % ROUNDS_KEPT];
}

struct confirmed_question {
	const struct raft *r;
	struct instant now;
};

static enum quorum_vote is_confirmed(void *arg, uint64_t id)
{
	const struct confirmed_question *q = arg;
	const struct progress *p = progress_of(q->r, id);

	if (id == q->r->o.self)
		return VOTE_YES;
	return p != NULL && p->confirmed.ns != 0 &&
		       !instant_passed(instant_add(p->confirmed, q->r->o.election), q->now)
		   ? VOTE_YES
		   : VOTE_NO;
}

/* From when the round left, not from when its answer came: what waited here while this process was stopped says nothing
 * of the time since (R5). */
bool raft_confirmed(const struct raft *r, struct instant now)
{
	struct confirmed_question q = { r, now };

	return r->role == RAFT_LEADER &&
	       quorum_decide(&config_now(r)->quorum, is_confirmed, &q) == QUORUM_WON;
}

void drop_reads(struct raft *r)
{
	r->read_count = 0;
}
