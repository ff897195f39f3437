#include "worker/replica/inside.h"

/*
 * A node that cannot use its own state serves by passing requests on: one that is no member to any member that it knows, one
 * whose state is not trusted to the leader. They are marked, so that no two such nodes pass one to each other.
 */

bool relay_is_outside(const struct replica *r)
{
	return r->raft == NULL || r->removed != NULL;
}

bool relay_is_due(const struct replica *r, const struct pending *p)
{
	if (r->removed != NULL)
		return p->kind != REQUEST_READ || p->level != LEVEL_STALE;
	if (r->raft == NULL)
		return r->visit.why != NULL;
	return r->distrusted != NULL && (p->kind == REQUEST_READ || p->kind == REQUEST_WRITE);
}

/* At the addresses that it knew; one after the other, as some may be gone too. 0: it reaches none. */
static uint64_t find_member(struct replica *r)
{
	uint64_t cluster = r->raft != NULL ? r->identity.cluster : r->visit.cluster;

	for (size_t i = 0; i < r->acquaintance_count; i++) {
		const struct acquaintance *a = &r->acquaintances[r->passed++ % r->acquaintance_count];

		if (a->reachable && a->cluster == cluster && !a->removed)
			return a->incarnation;
	}
	return 0;
}

void relay_route(struct replica *r, struct pending *p, const struct raft_view *v)
{
	uint64_t whom = relay_is_outside(r) ? find_member(r) : v->role == RAFT_LEADER ? 0 : v->leader;

	if (whom != 0)
		route_ask(r, p, whom, LEVEL_LINEARIZABLE);
	else
		pending_move(&r->pendings, p, STAGE_ROUTE);
}
