#include <inttypes.h>
#include <stdlib.h>

#include "common/log.h"
#include "worker/replica/inside.h"

/*
 * A node that is no member any more (DESIGN 5): a committed configuration removed its incarnation, or another one took
 * its place. The members tell it so, it notes it durably, is silent in raft from then on, and goes on serving by passing
 * requests to the members that it knew.
 */

/* ---- on a member ---- */

void removal_tell(struct replica *r, uint64_t incarnation)
{
	struct peer_gone m = { r->config_sure.index };

	wire_put_u8(&r->frame, PEER_GONE);
	peer_gone_put(&r->frame, &m);
	send_frame(r, incarnation);
}

bool removal_is_gone(const struct replica *r, uint64_t incarnation)
{
	return r->raft != NULL && raft_config_is_gone(raft_config_committed(r->raft), incarnation);
}

void removal_tell_all(struct replica *r)
{
	for (size_t i = 0; i < r->config_sure.gone_count; i++)
		removal_tell(r, r->config_sure.gone[i]);
}

/* Who speaks is told by every answer; one that waits in silence, as a learner does, and lost the first word to a connection
 * that did not break, would never know. Those that know already are few, and a frame costs nothing. */
void removal_tick(struct replica *r)
{
	if (!instant_passed(r->tell_gone_at, r->now))
		return;
	r->tell_gone_at = instant_add(r->now, r->o.election);
	for (size_t i = 0; i < r->acquaintance_count; i++) {
		const struct acquaintance *a = &r->acquaintances[i];

		if (a->guest && removal_is_gone(r, a->incarnation))
			removal_tell(r, a->incarnation);
	}
}

/* ---- on the node that is out ---- */

void removal_note(struct replica *r, uint64_t index)
{
	r->removed = xasprintf(
	    "this node was removed from its cluster %016" PRIx64
	    ", or replaced by another %s: to take part again it must be stopped, its data directory "
	    "emptied, and started with --join; until then it passes requests on to the members that it knew",
	    r->identity.cluster, r->identity.id);
	log_errorx("%s revision=%" PRIu64, r->removed, index);
}

void removal_leave(struct replica *r, uint64_t index)
{
	struct identity next = r->identity;

	if (r->removed != NULL)
		return;
	removal_note(r, index);
	next.phase = IDENTITY_REMOVED;
	log_leave(r, &next);
	formation_say_hello(r);
	request_removed(r);
}

void removal_left(struct replica *r, struct log_job *j)
{
	r->identity.phase = j->identity.phase;
}

void on_gone(struct replica *r, uint64_t from, const struct peer_gone *m)
{
	const struct acquaintance *a = acquaintance_find(r, from);

	if (r->raft == NULL || a == NULL || a->cluster != r->identity.cluster)
		return;
	removal_leave(r, m->revision);
}
