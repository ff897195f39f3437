#include "worker/replica/inside.h"

/* What this node says of itself. */

enum node_role status_role(const struct replica *r, const struct raft_view *v)
{
	if (r->raft == NULL)
		return ROLE_UNFORMED;
	if (!quorum_has(&raft_config(r->raft)->quorum, r->identity.incarnation))
		return ROLE_LEARNER;
	switch (v->role) {
	case RAFT_FOLLOWER:
		return ROLE_FOLLOWER;
	case RAFT_PRE_CANDIDATE:
	case RAFT_CANDIDATE:
		return ROLE_CANDIDATE;
	case RAFT_LEADER:
		return ROLE_LEADER;
	}
	return ROLE_FOLLOWER;
}

static uint64_t age_ms(struct instant heard, struct instant now)
{
	return heard.ns == 0 ? UINT64_MAX : (uint64_t)span_to_ms(instant_between(heard, now));
}

uint64_t status_leader_age_ms(const struct replica *r)
{
	struct raft_view v;

	if (r->raft == NULL)
		return 0;
	v = raft_view(r->raft);
	return v.role == RAFT_LEADER ? 0 : age_ms(v.heard, r->now);
}

static void put_member(struct replica *r, struct buf *out, uint64_t incarnation, const struct raft_view *v)
{
	struct acquaintance *known = acquaintance_find(r, incarnation);
	struct status_member s = { .incarnation = incarnation, .contact_ms = UINT64_MAX };
	struct raft_peer_view peer;
	struct raft_member m;

	if (!raft_config_find(raft_config(r->raft), incarnation, &m))
		return;
	s.id = m.id;
	s.peer = m.peer;
	s.http = m.http;
	s.voter = (m.roles & RAFT_LEARNER) == 0;
	s.level_most = (uint16_t)level_announced(r, &m);
	s.connected = known != NULL && known->reachable;
	if (known != NULL)
		s.build = bytes_text(known->build);
	if (raft_peer_view(r->raft, incarnation, &peer)) {
		s.match = peer.match;
		s.contact_ms = age_ms(peer.heard, r->now);
	}
	if (incarnation == r->identity.incarnation) {
		s.connected = 1;
		s.build = bytes_text(r->o.build);
		s.contact_ms = 0;
		s.match = v->role == RAFT_LEADER ? v->durable : 0;
	}
	status_member_put(out, &s);
}

/* What is wrong with this node's place in a cluster; empty: nothing. */
static const char *problem(const struct replica *r)
{
	const char *all[] = { r->removed, r->visit.why, r->foreign, r->difference, r->unanswered };

	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
		if (all[i] != NULL)
			return all[i];
	return "";
}

/* Before its first write, which forms its cluster: what that will be. */
static bool is_alone(const struct replica *r)
{
	return r->raft == NULL && r->foreign == NULL && r->removed == NULL && !r->o.joins &&
	       r->list.count <= 1;
}

static void put_myself(struct replica *r, struct buf *out)
{
	struct status_member s = {
		.incarnation = r->identity.incarnation,
		.id = bytes_text(r->identity.id),
		.peer = bytes_text(r->o.peer),
		.http = bytes_text(r->o.http),
		.voter = 1,
		.connected = 1,
		.build = bytes_text(r->o.build),
	};

	status_member_put(out, &s);
}

/* By what is committed: a configuration that is not may be taken back, and a joint one needs both majorities. */
static bool counts(const struct replica *r)
{
	const struct raft_config *c = raft_config_committed(r->raft);
	struct raft_member m;

	if (c->quorum.outgoing.count > 0 || !raft_config_find(c, r->identity.incarnation, &m))
		return false;
	return (m.roles & RAFT_VOTER) != 0 || (m.roles & RAFT_WANTED) == 0;
}

/* What raft knows. */
static void put_place(struct replica *r, struct status_node *s, struct buf *members)
{
	const struct raft_config *c = raft_config(r->raft);
	struct raft_view v = raft_view(r->raft);

	for (size_t i = 0; i < c->count; i++)
		put_member(r, members, c->members[i], &v);
	s->config = c->index;
	s->base_term = v.first > 1 ? raft_term_at(r->raft, v.first - 1) : 0;
	s->role = (uint8_t)status_role(r, &v);
	s->term = v.term;
	s->leader = v.leader;
	s->commit = v.commit;
	s->first = v.first;
	s->last = v.last.index;
	s->last_term = v.last.term;
	s->confirmed = raft_confirmed(r->raft, r->now);
	s->served = health_is_good(r);
	s->counts = counts(r);
	s->accepts = raft_accepts(r->raft, r->now) && r->agreement.disputed == 0 && r->distrusted == NULL;
	s->caught_up = v.leader != 0 && r->meta.applied_index >= v.commit;
}

static void put_alone(struct replica *r, struct status_node *s, struct buf *members)
{
	put_myself(r, members);
	s->role = ROLE_LEADER;
	s->leader = r->identity.incarnation;
	s->confirmed = s->served = s->counts = s->caught_up = 1;
	s->accepts = r->space.room == RAFT_ROOM_ENOUGH;
}

void status_put(struct replica *r, struct buf *out)
{
	struct status_node s = { .role = ROLE_UNFORMED };
	struct buf members = { 0 }, warnings = { 0 };

	if (r->raft != NULL)
		put_place(r, &s, &members);
	else if (is_alone(r))
		put_alone(r, &s, &members);
	s.id = bytes_text(r->identity.id);
	s.peer = bytes_text(r->o.peer);
	s.http = bytes_text(r->o.http);
	s.incarnation = r->identity.incarnation;
	s.cluster = r->identity.cluster;
	s.start = r->identity.start;
	s.applied = r->meta.applied_index;
	s.hash_high = r->meta.hash.high;
	s.hash_low = r->meta.hash.low;
	s.leader_age_ms = status_leader_age_ms(r);
	s.log_bytes = log_bytes(r);
	s.requests = r->pendings.count;
	s.full = r->space.room != RAFT_ROOM_ENOUGH;
	s.free_bytes = r->space.seen.free;
	s.free_mark = r->space.marks.full;
	s.ballast = r->space.seen.held;
	s.ballast_whole = r->space.marks.ballast;
	s.foreign = bytes_text(problem(r));
	s.agreed = points_last(&r->agreement.right).index;
	s.agreed_high = points_last(&r->agreement.right).hash.high;
	s.agreed_low = points_last(&r->agreement.right).hash.low;
	s.disputed = r->agreement.disputed;
	if (r->distrusted != NULL)
		s.distrusted = bytes_text(r->distrusted);
	s.level = (uint16_t)r->meta.level;
	s.level_most = (uint16_t)r->o.level_most;
	s.members = buf_bytes(&members);
	strangers_put_warnings(r, &warnings);
	s.warnings = buf_bytes(&warnings);
	status_node_put(out, &s);
	buf_free(&members);
	buf_free(&warnings);
}
