#include <stdlib.h>
#include <string.h>

#include "common/log.h"
#include "worker/replica/inside.h"

/*
 * A node that a cluster does not add, because its id is that of a member which may be alive, serves all the same: it passes
 * whole requests on to the members, as one that was removed does. It tells them in its hello, so that they dial it and
 * can answer.
 */

void visit_fini(struct replica *r)
{
	for (size_t i = 0; i < r->visit.peer_count; i++)
		free(r->visit.peers[i]);
	free(r->visit.why);
	r->visit = (struct visit){ 0 };
}

void replica_visit(struct replica *r, const struct replica_refusal *refusal, struct instant now)
{
	r->now = now;
	if (r->identity.phase != IDENTITY_UNFORMED || r->forming)
		return;
	visit_fini(r);
	r->visit.cluster = refusal->cluster;
	r->visit.why = xasprintf(
	    "this node is not added to the cluster, and passes requests on to its members: %s", refusal->why);
	for (size_t i = 0; i < refusal->count && i < RAFT_MEMBERS_MAX; i++)
		r->visit.peers[r->visit.peer_count++] = bytes_dup_text(refusal->peers[i]);
	formation_say_hello(r);
	formation_set_peers(r);
}

void replica_may_found(struct replica *r, struct instant now)
{
	r->now = now;
	r->o.joins = false;
}
