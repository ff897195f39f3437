#include "worker/replica/inside.h"

/*
 * Requests for the leader alone. Where they belong is decided once, before anything is done for them, so what is sent
 * elsewhere is certainly not applied; what goes on here goes on as any other. A node that was removed, or has no cluster,
 * sends nobody away.
 */

/* So long a node without a leader waits before it says that it does not lead. */
#define LEADERLESS_MS 1000

void elsewhere_begin(struct replica *r, struct pending *p)
{
	p->leader_only = true;
	p->patience = p->deadline;
	pending_set_deadline(
	    &r->pendings, p, instant_least(p->deadline, instant_add(r->now, span_ms(LEADERLESS_MS))));
}

/* False where a client cannot be sent there: no address is known, or it is the one that the client came to. */
static bool find_leader(const struct replica *r, const struct raft_view *v, struct bytes *http)
{
	struct raft_member leader;

	if (!raft_config_find(raft_config(r->raft), v->leader, &leader))
		return false;
	*http = leader.http;
	return http->size > 0 && !bytes_equal(*http, bytes_text(r->o.http));
}

static void answer_elsewhere(struct replica *r, struct pending *p, struct bytes http)
{
	struct ipc_answer a = { .id = p->id,
		.error = ERR_NOT_LEADER,
		.applied = APPLIED_NO,
		.revision = r->meta.applied_index,
		.result = http };

	answer_by(r, p, &a);
}

bool elsewhere_may_go_on(struct replica *r, struct pending *p, const struct raft_view *v)
{
	struct bytes http;

	if (r->raft != NULL && r->removed == NULL && v->role != RAFT_LEADER) {
		if (v->leader == 0) {
			pending_move(&r->pendings, p, STAGE_ROUTE);
			return false;
		}
		if (find_leader(r, v, &http)) {
			answer_elsewhere(r, p, http);
			return false;
		}
	}
	p->leader_only = false;
	pending_set_deadline(&r->pendings, p, p->patience);
	return true;
}
