#include <stdio.h>
#include <stdlib.h>

#include "worker/replica/inside.h"

/*
 * Which way a request goes: into the log, to the leader, to this node's own state, or nowhere yet. What becomes of it on
 * that way, and after all of them, is in request.c.
 */

/* At least 1: the requester waits. */
static uint32_t time_left_ms(const struct replica *r, const struct pending *p)
{
	int64_t ms = span_to_ms(instant_between(r->now, p->deadline));

	return ms < 1 ? 1 : (uint32_t)ms;
}

static bool send_forward(struct replica *r, const struct pending *p, const struct raft_view *v)
{
	struct peer_forward m = { v->term, p->number, blob_bytes(p->data), time_left_ms(r, p) };

	wire_put_u8(&r->frame, PEER_FORWARD);
	peer_forward_put(&r->frame, &m);
	return send_frame(r, v->leader);
}

static void forward(struct replica *r, struct pending *p, const struct raft_view *v)
{
	if (!send_forward(r, p, v)) {
		pending_move(&r->pendings, p, STAGE_ROUTE);
		return;
	}
	p->term = v->term;
	p->asked = r->now;
	pending_move(&r->pendings, p, STAGE_WRITTEN);
}

bool route_is_vain(const struct replica *r, struct span left)
{
	return raft_backlog(r->raft, r->now).ns > left.ns;
}

/* This node is full, or so many are that a leader takes no writes. */
static void refuse_full(struct replica *r, struct pending *p)
{
	bool here = r->space.room != RAFT_ROOM_ENOUGH;
	unsigned long long free = r->space.seen.free, mark = r->space.marks.full;
	char text[320];

	if (here)
		snprintf(text, sizeof(text),
		    "this node has no room on its disk: free_bytes is %llu, free_mark is %llu, and it takes "
		    "writes again from %llu on; make room on the filesystem of its data directory",
		    free, mark, (unsigned long long)r->space.marks.again);
	else
		snprintf(text, sizeof(text),
		    "too many nodes have no room on their disks, as free_bytes and free_mark in /v1/status "
		    "of "
		    "each say (here %llu and %llu); make room on the filesystems of their data directories",
		    free, mark);
	answer_error(r, p, ERR_FULL, APPLIED_NO, text);
}

static void refuse_more_writes(struct replica *r, struct pending *p)
{
	char text[192];

	snprintf(text, sizeof(text),
	    "the writes that wait for a majority of the nodes would have more than %zu bytes, the limit, "
	    "with the %zu of this one; repeat it later",
	    r->o.uncommitted_bytes_max, p->data->size);
	answer_error(r, p, ERR_BUSY, APPLIED_NO, text);
}

bool route_propose(struct replica *r, struct pending *p)
{
	struct span left = instant_between(r->now, p->deadline);
	struct raft_pos pos;

	if (left.ns < 0 || route_is_vain(r, left)) {
		answer_error(r, p, ERR_BUSY, APPLIED_NO, REFUSED_LATE);
		return true;
	}
	switch (raft_propose(r->raft, ENTRY_WRITE, p->data, r->now, &pos)) {
	case ERR_OK:
		p->term = pos.term;
		p->asked = r->now;
		pending_move(&r->pendings, p, STAGE_WRITTEN);
		return true;
	case ERR_NOT_LEADER: /* it is handing over */
		pending_move(&r->pendings, p, STAGE_ROUTE);
		return true;
	case ERR_FULL:
		refuse_full(r, p);
		return true;
	default:
		return false;
	}
}

void route_refuse_level(struct replica *r, struct pending *p)
{
	char *text = level_refusal(r, p->needs);

	answer_error(r, p, ERR_VERSION, APPLIED_NO, text);
	free(text);
}

static void route_write(struct replica *r, struct pending *p, const struct raft_view *v)
{
	if (p->needs > level_now(r)) {
		route_refuse_level(r, p);
		return;
	}
	/* What others accept is not sent here while there is no room for it, so nobody would learn what became of it. */
	if (v->role != RAFT_LEADER && r->space.room != RAFT_ROOM_ENOUGH) {
		refuse_full(r, p);
		return;
	}
	if (v->role != RAFT_LEADER && v->leader != 0) {
		forward(r, p, v);
		return;
	}
	if (v->role != RAFT_LEADER) {
		pending_move(&r->pendings, p, STAGE_ROUTE);
		return;
	}
	if (slow_holds(r)) {
		r->slow.held++;
		pending_move(&r->pendings, p, STAGE_HELD);
	} else if (!route_propose(r, p)) {
		refuse_more_writes(r, p);
	}
}

void route_ask(struct replica *r, struct pending *p, uint64_t whom, enum read_level level)
{
	enum stage stage = p->kind == REQUEST_READ ? STAGE_ASKED : STAGE_PASSED;
	struct peer_ask m = { .number = p->number,
		.time_ms = time_left_ms(r, p),
		.operation = blob_bytes(p->data),
		.kind = (uint8_t)p->kind,
		.level = (uint8_t)level,
		.min_revision = p->min_revision,
		.relayed = relay_is_due(r, p) };
	struct reader command = reader_of(m.operation);
	struct kv_command c;

	if (p->kind == REQUEST_READ && !reads_may_ask(r, p))
		return;
	if (p->kind == REQUEST_WRITE && kv_command_get(&command, &c)) {
		m.operation = c.txn;
		m.token = c.token;
	}
	wire_put_u8(&r->frame, PEER_ASK);
	peer_ask_put(&r->frame, &m);
	p->asked = r->now;
	pending_move(&r->pendings, p, send_frame(r, whom) ? stage : STAGE_ROUTE);
}

/* Until an entry of its own term is committed a leader does not know what is (§6.4): the end of its log at least is
 * not too little (R1). */
static uint64_t known_commit(const struct replica *r, const struct raft_view *v)
{
	return raft_term_at(r->raft, v->commit) == v->term ? v->commit : v->last.index;
}

/* A read of level "leader". */
static void route_to_leader(struct replica *r, struct pending *p, const struct raft_view *v)
{
	if (v->role == RAFT_LEADER && raft_confirmed(r->raft, r->now)) {
		p->index = known_commit(r, v);
		p->known = r->now;
		p->term = v->term;
		pending_move(&r->pendings, p, STAGE_APPLIED);
	} else if (p->remote != 0 && v->role != RAFT_LEADER) {
		answer_error(r, p, ERR_NOT_LEADER, APPLIED_NO, "");
	} else if (v->role != RAFT_LEADER && v->leader != 0) {
		route_ask(r, p, v->leader, LEVEL_LEADER);
	} else {
		pending_move(&r->pendings, p, STAGE_ROUTE);
	}
}

/* An unformed node answers reads from emptiness; its first write forms a cluster. One that stands in a list with
 * others cannot know whether they have formed theirs already: it promises nothing about the present; nor does one that is to
 * join a cluster, which forms none. */
static void route_unformed(struct replica *r, struct pending *p)
{
	if (r->foreign != NULL) {
		answer_error(r, p, ERR_FOREIGN, APPLIED_NO, r->foreign);
	} else if (r->o.joins && (p->kind != REQUEST_READ || p->level != LEVEL_STALE)) {
		pending_move(&r->pendings, p, STAGE_ROUTE);
	} else if (p->kind == REQUEST_WRITE && r->space.room != RAFT_ROOM_ENOUGH) {
		refuse_full(r, p);
	} else if (p->kind == REQUEST_WRITE || p->kind == REQUEST_CHANGE) {
		r->form_wanted = true;
		pending_move(&r->pendings, p, STAGE_ROUTE);
	} else if (r->list.count > 1 && p->level != LEVEL_STALE) {
		pending_move(&r->pendings, p, STAGE_ROUTE);
	} else {
		pending_move(&r->pendings, p, STAGE_APPLIED);
	}
}

/* Whose states are right is not known: what is only said to be what a node holds is still true (decisions/0014). */
static bool is_disputed(const struct replica *r, const struct pending *p)
{
	return r->agreement.disputed != 0 &&
	       (p->kind == REQUEST_WRITE || (p->kind == REQUEST_READ && p->level != LEVEL_STALE));
}

static void route(struct replica *r, struct pending *p, const struct raft_view *v)
{
	if (p->leader_only && !elsewhere_may_go_on(r, p, v))
		return;
	if (is_disputed(r, p)) {
		answer_error(r, p, ERR_DISPUTED, APPLIED_NO, "");
		return;
	}
	if (relay_is_due(r, p))
		relay_route(r, p, v);
	else if (p->kind == REQUEST_TRANSFER)
		handover_route(r, p, v);
	else if (r->raft == NULL)
		route_unformed(r, p);
	else if (p->kind == REQUEST_CHANGE)
		membership_route(r, p, v);
	else if (p->kind == REQUEST_WRITE)
		route_write(r, p, v);
	else if (p->level == LEVEL_STALE) {
		p->known = r->now;
		pending_move(&r->pendings, p, STAGE_APPLIED);
	} else if (p->level == LEVEL_LEADER)
		route_to_leader(r, p, v);
	else
		pending_move(&r->pendings, p, STAGE_INDEX);
}

/* One question for all the reads that came since the last one (R4: none joins a question that is out). */
static void ask_index(struct replica *r)
{
	uint64_t number = r->pendings.next_number;
	struct pending *p;

	if (pending_first(&r->pendings, STAGE_INDEX) == NULL || raft_read(r->raft, number) != ERR_OK)
		return;
	r->pendings.next_number++;
	while ((p = pending_first(&r->pendings, STAGE_INDEX)) != NULL) {
		p->batch = number;
		p->asked = r->now;
		pending_move(&r->pendings, p, STAGE_INDEXING);
	}
}

/* What was on its way to the leader when their connection broke may be lost: the same attempts are sent once more, in
 * the same order, and the leader drops those that it has seen. */
void route_reconnected(struct replica *r, uint64_t peer)
{
	struct raft_view v = raft_view(r->raft);
	struct pending *p;

	if (peer != v.leader)
		return;
	TAILQ_FOREACH (p, &r->pendings.stages[STAGE_WRITTEN], in_stage)
		if (p->term == v.term && !send_forward(r, p, &v))
			return;
}

void route_new(struct replica *r)
{
	struct raft_view v = { 0 };
	struct pending *p;

	if (r->raft != NULL)
		v = raft_view(r->raft);
	while ((p = pending_first(&r->pendings, STAGE_NEW)) != NULL)
		route(r, p, &v);
	if (r->raft != NULL && r->removed == NULL)
		ask_index(r);
}
