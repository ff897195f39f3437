#include <inttypes.h>

#include "common/log.h"
#include "worker/replica/inside.h"

/*
 * Leadership is handed over because somebody asked for it (REQUEST_TRANSFER, whose data is the id of the member that is
 * to lead, or empty). The leader is told once, here or by a frame; the request is answered when this node follows a
 * leader of a later term, so that whoever asked finds the new one through this node at once.
 */

static bool is_asked_for(const struct pending *p, const struct raft_member *leader)
{
	return bytes_equal(leader->id, blob_bytes(p->data));
}

static bool leader_find(const struct replica *r, uint64_t leader, struct raft_member *out)
{
	return leader != 0 && raft_config_find(raft_config(r->raft), leader, out);
}

static const char *reason(enum err e)
{
	switch ((int)e) {
	case ERR_NOT_FOUND:
		return "the cluster has no member of this id";
	case ERR_CONFLICT:
		return "there is no such other voter that could lead";
	case ERR_BUSY:
		return "leadership is being handed over already";
	}
	return "";
}

/* On the leader. */
static enum err hand_over(struct replica *r, struct bytes id)
{
	const struct raft_config *c = raft_config(r->raft);
	uint64_t target = 0;
	struct raft_member m;
	enum err e;

	for (size_t i = 0; i < c->count && id.size > 0 && target == 0; i++)
		if (raft_config_find(c, c->members[i], &m) && bytes_equal(m.id, id))
			target = c->members[i];
	if (id.size > 0 && target == 0)
		return ERR_NOT_FOUND;
	e = raft_transfer(r->raft, target, r->now);
	if (e == ERR_OK)
		log_info("hands leadership over as asked to=%.*s", id.size > 0 ? (int)id.size : 7,
		    id.size > 0 ? (const char *)id.data : "anybody");
	return e == ERR_NOT_FOUND ? ERR_CONFLICT : e;
}

static void ask_leader(struct replica *r, struct pending *p, const struct raft_view *v)
{
	struct peer_hand_over m = { v->term, p->number, blob_bytes(p->data) };

	wire_put_u8(&r->frame, PEER_HAND_OVER);
	peer_hand_over_put(&r->frame, &m);
	p->term = v->term;
	pending_move(&r->pendings, p, send_frame(r, v->leader) ? STAGE_HANDED : STAGE_ROUTE);
}

/* Unformed, but about to be a member of a cluster with others, whom the others may know already. */
static bool is_expected(const struct replica *r)
{
	return r->foreign == NULL && (r->o.joins || r->list.count > 1);
}

void handover_route(struct replica *r, struct pending *p, const struct raft_view *v)
{
	struct raft_member leader;
	enum err e;

	if (r->raft == NULL && is_expected(r)) {
		pending_move(&r->pendings, p, STAGE_ROUTE);
	} else if (r->raft == NULL) {
		answer_error(
		    r, p, ERR_CONFLICT, APPLIED_NO, "this node has not formed or joined a cluster yet");
	} else if (!leader_find(r, v->leader, &leader)) {
		pending_move(&r->pendings, p, STAGE_ROUTE);
	} else if (is_asked_for(p, &leader)) {
		answer_status(r, p);
	} else if (v->role != RAFT_LEADER) {
		ask_leader(r, p, v);
	} else if ((e = hand_over(r, blob_bytes(p->data))) != ERR_OK) {
		answer_error(r, p, e, APPLIED_NO, reason(e));
	} else {
		p->term = v->term;
		pending_move(&r->pendings, p, STAGE_HANDED);
	}
}

void handover_leader_changed(struct replica *r)
{
	struct raft_view v = raft_view(r->raft);
	struct pending *p, *next;
	struct raft_member leader;

	if (!leader_find(r, v.leader, &leader))
		return;
	for (p = pending_first(&r->pendings, STAGE_HANDED); p != NULL; p = next) {
		next = TAILQ_NEXT(p, in_stage);
		if (v.term <= p->term)
			continue;
		if (blob_bytes(p->data).size == 0 || is_asked_for(p, &leader))
			answer_status(r, p);
		else
			answer_error(r, p, ERR_LOST, APPLIED_NO, "another node was elected instead");
	}
}

void on_hand_over(struct replica *r, uint64_t from, const struct peer_hand_over *m)
{
	struct raft_view v;
	enum err e;

	if (r->raft == NULL)
		return;
	v = raft_view(r->raft);
	e = v.role == RAFT_LEADER && v.term == m->term ? hand_over(r, m->id) : ERR_NOT_LEADER;
	if (e != ERR_OK)
		send_refuse(r, from, m->term, m->number, e);
}

void handover_refused(struct replica *r, struct pending *p, enum err e)
{
	if (e == ERR_NOT_LEADER)
		pending_move(&r->pendings, p, STAGE_ROUTE);
	else
		answer_error(r, p, e, APPLIED_NO, reason(e));
}
