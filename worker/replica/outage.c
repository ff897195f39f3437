#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "common/log.h"
#include "worker/replica/inside.h"

/* Nodes that start together, and an election, take less. */
#define PATIENCE span_ms(3000)
#define LOOK_AGAIN span_ms(10000)
#define TELL_AGAIN span_ms(300000)
/* Every node without a leader asks all others for their votes, each election timeout or a little later. */
#define SILENCE span_ms(2000)

void outage_init(struct replica *r)
{
	r->outage.since = r->outage.look_at = INSTANT_NEVER;
}

void outage_fini(struct replica *r)
{
	free(r->outage.told);
}

/* ---- no leader ---- */

static bool has_no_leader(const struct replica *r)
{
	struct raft_view v;

	if (r->raft == NULL || r->removed != NULL)
		return false;
	v = raft_view(r->raft);
	return v.leader == 0 && v.role != RAFT_LEADER;
}

static bool answers(const struct replica *r, uint64_t incarnation)
{
	const struct acquaintance *a = acquaintance_find(r, incarnation);
	struct span silence = { SILENCE.ns + 2 * r->o.election.ns };

	return incarnation == r->identity.incarnation ||
	       (a != NULL && instant_between(a->heard, r->now).ns < silence.ns);
}

static void put_name(struct buf *to, struct bytes id)
{
	buf_append_text(to, to->size > 0 ? ", " : "");
	buf_append(to, id);
}

/* no leader: 1 of 3 voters answers; missing n2, n3 */
static char *describe_missing(const struct replica *r)
{
	const struct raft_config *c = raft_config(r->raft);
	size_t voters = 0, there = 0;
	struct buf missing = { 0 };
	struct raft_member m;
	char *text;

	for (size_t i = 0; i < c->count; i++) {
		if (!raft_config_find(c, c->members[i], &m) || (m.roles & RAFT_VOTER) == 0)
			continue;
		voters++;
		if (answers(r, m.incarnation))
			there++;
		else
			put_name(&missing, m.id);
	}
	text = xasprintf("no leader: %zu of %zu voters answer%s%s%s", there, voters, there == 1 ? "s" : "",
	    missing.size > 0 ? "; missing " : "", buf_text(&missing));
	buf_free(&missing);
	return text;
}

/* ---- no cluster ---- */

/* Where another reason keeps it from a cluster, that is said elsewhere. */
static bool waits_for_list(const struct replica *r)
{
	return r->identity.phase == IDENTITY_UNFORMED && r->list.count > 1 && !r->o.joins &&
	       r->foreign == NULL && r->difference == NULL;
}

static char *describe_unformed(const struct replica *r)
{
	struct buf missing = { 0 };
	size_t count = 0;
	char *text;

	for (size_t i = 0; i < r->list.count; i++) {
		const struct listed *l = &r->list.nodes[i];

		if (strcmp(l->id, r->identity.id) == 0 || acquaintance_at(r, bytes_text(l->peer)) != NULL)
			continue;
		put_name(&missing, bytes_text(l->id));
		count++;
	}
	if (count == 0)
		text = xasprintf("the cluster is not formed, although all nodes of [cluster] members answer");
	else
		text = xasprintf("the cluster is not formed: %s %s not answer", buf_text(&missing),
		    count == 1 ? "does" : "do");
	buf_free(&missing);
	return text;
}

/* ---- both ---- */

static bool is_out(const struct replica *r)
{
	return has_no_leader(r) || waits_for_list(r);
}

static void begin(struct replica *r)
{
	struct span patience = { PATIENCE.ns + 2 * r->o.election.ns };

	r->outage.since = r->now;
	r->outage.look_at = instant_add(r->now, patience);
}

static void end(struct replica *r)
{
	free(r->outage.told);
	r->outage.told = NULL;
	outage_init(r);
}

/* Takes the text. */
static void tell(struct replica *r, char *text)
{
	struct outage *o = &r->outage;

	if (o->told != NULL && strcmp(o->told, text) == 0 &&
	    instant_between(o->told_at, r->now).ns < TELL_AGAIN.ns) {
		free(text);
		return;
	}
	log_warnx("%s", text);
	free(o->told);
	o->told = text;
	o->told_at = r->now;
}

void outage_heard(struct replica *r, uint64_t incarnation)
{
	struct acquaintance *a;

	if (r->outage.since.ns != INSTANT_NEVER.ns && (a = acquaintance_find(r, incarnation)) != NULL)
		a->heard = r->now;
}

void outage_tick(struct replica *r)
{
	struct outage *o = &r->outage;

	if (!is_out(r)) {
		if (o->since.ns != INSTANT_NEVER.ns)
			end(r);
		return;
	}
	if (o->since.ns == INSTANT_NEVER.ns)
		begin(r);
	if (!instant_passed(o->look_at, r->now))
		return;
	o->look_at = instant_add(r->now, LOOK_AGAIN);
	tell(r, has_no_leader(r) ? describe_missing(r) : describe_unformed(r));
}

struct instant outage_deadline(const struct replica *r)
{
	return r->outage.look_at;
}
