#include <stdlib.h>
#include <string.h>

#include "common/log.h"
#include "worker/replica/inside.h"

/*
 * Where the members are. Each one says its addresses in its hello. The leader takes them over through the log once it
 * has dialed the peer address that was said and this incarnation answered there; so nobody can be sent to an address at
 * which the member is not. The configuration keeps the start counter with which a member said its addresses: what an
 * earlier life of it said, and arrives late, changes nothing.
 *
 * A member that knows no leader for a while may know nobody's address any more: it also dials [cluster] members, and what
 * the addresses of [cluster] join tell of others (replica_hint()).
 */

#define ASTRAY_ELECTIONS 4 /* longer than an election takes */
#define FOUND_ELECTIONS 20 /* until the leader has dialed whoever moved, and taken the addresses over */

struct said {
	const char *peer, *http;
	uint64_t start;
};

/* ---- on the leader ---- */

/* Of its own address the leader cannot judge: 127.0.0.1 leads every node to itself. */
static bool is_reached_at(const struct replica *r, const struct raft_config *c, const char *address)
{
	for (size_t i = 0; i < r->acquaintance_count; i++) {
		const struct acquaintance *a = &r->acquaintances[i];

		if (a->guest && a->dialed_me != NULL && strcmp(a->dialed_me, address) == 0 &&
		    raft_config_has(c, a->incarnation))
			return true;
	}
	return c->count == 1;
}

static bool said_itself(
    const struct replica *r, const struct raft_config *c, const struct raft_member *m, struct said *said)
{
	*said = (struct said){ r->o.peer, r->o.http, r->identity.start };
	return bytes_equal(m->peer, bytes_text(r->o.peer)) || is_reached_at(r, c, r->o.peer);
}

/* False where it was not reached at the address that it says. */
static bool said_by(
    const struct replica *r, const struct raft_config *c, const struct raft_member *m, struct said *said)
{
	const struct acquaintance *a;

	if (m->incarnation == r->identity.incarnation)
		return said_itself(r, c, m, said);
	a = acquaintance_find(r, m->incarnation);
	if (a == NULL || !a->reachable || a->dialed == NULL || strcmp(a->dialed, a->peer) != 0)
		return false;
	*said = (struct said){ a->peer, a->http, a->start };
	return true;
}

/* An HTTP address that an operator gave stays, as it may lead through a proxy that the member knows nothing of. At level 0 a
 * configuration does not say whose word it is, and the HTTP address only follows with the peer address. */
static bool keeps_http(unsigned level, const struct raft_member *m, const struct said *said)
{
	if (level == 0)
		return bytes_equal(m->peer, bytes_text(said->peer));
	return m->start == 0 && !bytes_equal(m->http, bytes_text(said->http));
}

/* What the configuration should say of the member; false: that is what it says. */
static bool has_news(const struct replica *r, const struct raft_config *c, struct raft_member *m)
{
	struct raft_member old = *m;
	struct said said;
	bool moved;

	if (!said_by(r, c, m, &said) || said.start < m->start)
		return false;
	if (!keeps_http(c->level, m, &said)) {
		m->http = bytes_text(said.http);
		m->start = said.start;
	}
	m->peer = bytes_text(said.peer);
	moved = !bytes_equal(m->peer, old.peer) || !bytes_equal(m->http, old.http);
	/* A restart alone is no news. But the first word of the member itself is, after an earlier version's. */
	return moved || (c->level > 0 && old.start == 0 && m->start != 0);
}

void addresses_follow(struct replica *r)
{
	const struct raft_config *config = raft_config_committed(r->raft);
	struct raft_pos pos;
	struct raft_member m;

	for (size_t i = 0; i < config->count; i++) {
		if (!raft_config_find(config, config->members[i], &m) || !has_news(r, config, &m))
			continue;
		if (raft_change(r->raft, RAFT_DESCRIBE, &m, r->now, &pos) == ERR_OK)
			log_info("member %.*s is at %.*s, %.*s, as it says", (int)m.id.size,
			    (const char *)m.id.data, (int)m.peer.size, (const char *)m.peer.data,
			    (int)m.http.size, (const char *)m.http.data);
		return; /* one change at a time: what is refused now is looked at again */
	}
}

/* ---- a member that has lost the others ---- */

void addresses_fini(struct replica *r)
{
	for (size_t i = 0; i < r->astray.hint_count; i++)
		free(r->astray.hints[i]);
}

static void set_astray(struct replica *r, bool on)
{
	r->astray.on = on;
	if (on)
		log_info("no leader is known: this node also dials the addresses of [cluster] members, and "
			 "asks those of join where the other members are");
	formation_set_peers(r);
}

void addresses_tick(struct replica *r)
{
	struct span lost = span_times(r->o.election, ASTRAY_ELECTIONS);
	struct span found = span_times(r->o.election, FOUND_ELECTIONS);
	bool leader = raft_view(r->raft).leader != 0;

	if (leader != r->astray.leader || r->astray.leader_at.ns == 0) {
		r->astray.leader = leader;
		r->astray.leader_at = r->now;
	}
	if (!r->astray.on && !leader && instant_passed(instant_add(r->astray.leader_at, lost), r->now))
		set_astray(r, true);
	else if (r->astray.on && leader && instant_passed(instant_add(r->astray.leader_at, found), r->now))
		set_astray(r, false);
}

/* The oldest are forgotten. */
static void add_hint(struct replica *r, struct bytes address)
{
	struct astray *a = &r->astray;

	for (size_t i = 0; i < a->hint_count; i++)
		if (bytes_equal(bytes_text(a->hints[i]), address))
			return;
	if (address.size == 0 || bytes_equal(address, bytes_text(r->o.peer)))
		return;
	if (a->hint_count == HINTS_MAX) {
		free(a->hints[0]);
		memmove(&a->hints[0], &a->hints[1], (HINTS_MAX - 1) * sizeof(a->hints[0]));
		a->hint_count--;
	}
	a->hints[a->hint_count++] = bytes_dup_text(address);
}

void replica_hint(struct replica *r, const struct bytes *peers, size_t count, struct instant now)
{
	r->now = now;
	for (size_t i = 0; i < count; i++)
		add_hint(r, peers[i]);
	if (r->astray.on)
		formation_set_peers(r);
}
