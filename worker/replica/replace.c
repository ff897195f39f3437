#include <stdlib.h>

#include "worker/replica/inside.h"

/*
 * Who may take the place of whom (DESIGN 5): a node that is added under the id of a member replaces it, but never while that
 * one may be alive. A machine that was cloned, or configured with the wrong name, must not evict a member; one whose disk
 * was wiped answers where its former self did.
 */

static bool is_connected(const struct replica *r, uint64_t incarnation)
{
	const struct acquaintance *a = acquaintance_find(r, incarnation);

	return a != NULL && (a->reachable || a->guest);
}

/* Nobody has listened to it before this node led. */
static struct span silence_of(const struct replica *r, uint64_t incarnation)
{
	struct raft_peer_view v;
	struct instant since = r->led_since;

	if (!raft_peer_view(r->raft, incarnation, &v))
		return span_ms(0);
	if (v.heard.ns > since.ns)
		since = v.heard;
	return instant_between(since, r->now);
}

static bool is_lost(const struct replica *r, const struct raft_member *old)
{
	return r->o.replace_after.ns > 0 && silence_of(r, old->incarnation).ns >= r->o.replace_after.ns;
}

/* The newcomer has answered at the address that was dialed for this change. */
static bool is_wiped(const struct replica *r, const struct member_change *c, const struct raft_member *old)
{
	return bytes_equal(old->peer, c->peer) && !is_connected(r, old->incarnation);
}

static char *describe(const struct replica *r, const struct member_change *c, const struct raft_member *old)
{
	return xasprintf("the id %.*s is in use by the member at %.*s, which %s, so the node at %.*s is not "
			 "added: give it an id of its own and an empty data directory; where that member is "
			 "lost for good, say "
			 "\"replace\":true, or start the new node with --replace",
	    (int)old->id.size, (const char *)old->id.data, (int)old->peer.size, (const char *)old->peer.data,
	    is_connected(r, old->incarnation) || old->incarnation == r->identity.incarnation
		? "is alive"
		: "may come back",
	    (int)c->peer.size, (const char *)c->peer.data);
}

char *replace_objection(
    const struct replica *r, const struct member_change *c, const struct acquaintance *newcomer)
{
	const struct raft_config *config = raft_config(r->raft);
	struct raft_member old;

	if (raft_config_has(config, newcomer->incarnation) || c->replace != 0)
		return NULL;
	for (size_t i = 0; i < config->count; i++)
		if (raft_config_find(config, config->members[i], &old) &&
		    bytes_equal(old.id, bytes_text(newcomer->id)) && !is_wiped(r, c, &old) &&
		    !is_lost(r, &old))
			return describe(r, c, &old);
	return NULL;
}
