#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "common/log.h"
#include "common/member.h"
#include "worker/replica/inside.h"

/*
 * Members come and go (DESIGN 5). A change is asked for on any node (REQUEST_CHANGE) and passed to the leader. That one
 * dials a newcomer first and reads from its hello who it is, so that a node that cannot be reached, or that belongs
 * elsewhere, changes nothing. The asker answers when the configuration that it knows to be committed is as was wanted: a
 * change that a fall of the leader took back is asked for again, and one that was carried out is not done twice.
 */

#define DIAL_MS 2000

/* ---- on the node that was asked ---- */

static bool is_named(const struct raft_member *m, const struct member_change *c)
{
	return bytes_equal(m->id, c->id);
}

/* `said`: in a later configuration it may be what the newcomer says of itself, which the leader has taken over by then. */
static bool is_address(struct bytes is, struct bytes wanted, const char *said)
{
	return bytes_equal(is, wanted) || (said != NULL && bytes_equal(is, bytes_text(said)));
}

static bool is_there(const struct replica *r, const struct raft_config *config, const struct member_change *c,
    const struct pending *p)
{
	const struct acquaintance *a = config->index > p->index ? acquaintance_find(r, p->newcomer) : NULL;
	struct raft_member m;

	return p->newcomer != 0 && raft_config_has(config, p->newcomer) &&
	       raft_config_find(config, p->newcomer, &m) &&
	       is_address(m.peer, c->peer, a != NULL ? a->peer : NULL) &&
	       (c->http.size == 0 || is_address(m.http, c->http, a != NULL ? a->http : NULL)) &&
	       (!c->wait || (m.roles & RAFT_LEARNER) == 0);
}

static bool is_away(const struct raft_config *config, const struct member_change *c)
{
	struct raft_member m;

	for (size_t i = 0; i < config->count; i++)
		if (raft_config_find(config, config->members[i], &m) && is_named(&m, c))
			return false;
	return true;
}

static struct member_change change_of(const struct blob *data)
{
	struct reader r = reader_of(blob_bytes(data));
	struct member_change c = { 0 };

	member_change_get(&r, &c);
	return c;
}

static bool is_done(const struct replica *r, const struct pending *p)
{
	const struct raft_config *config = raft_config_committed(r->raft);
	struct member_change c = change_of(p->data);

	if (config->index < p->index)
		return false; /* this node is behind */
	if (c.kind == MEMBER_REMOVE)
		return is_away(config, &c);
	return is_there(r, config, &c, p);
}

static void ask_leader(struct replica *r, struct pending *p, const struct raft_view *v)
{
	int64_t left_ms = span_to_ms(instant_between(r->now, p->deadline));
	struct peer_change m = { v->term, p->number, (uint32_t)(left_ms > 0 ? left_ms : 0),
		blob_bytes(p->data) };

	wire_put_u8(&r->frame, PEER_CHANGE);
	peer_change_put(&r->frame, &m);
	p->term = v->term;
	pending_move(&r->pendings, p, send_frame(r, v->leader) ? STAGE_CHANGING : STAGE_ROUTE);
}

static enum err take_ask(
    struct replica *r, uint64_t from, uint64_t number, struct bytes what, struct instant until);

void membership_route(struct replica *r, struct pending *p, const struct raft_view *v)
{
	enum err e;

	if (v->leader == 0) {
		pending_move(&r->pendings, p, STAGE_ROUTE);
	} else if (p->newcomer != 0 && is_done(r, p)) {
		answer_status(r, p);
	} else if (v->role != RAFT_LEADER) {
		ask_leader(r, p, v);
	} else if ((e = take_ask(r, r->identity.incarnation, p->number, blob_bytes(p->data), p->deadline)) !=
		   ERR_OK) {
		answer_error(r, p, e, APPLIED_NO, "too many changes of members are asked for");
	} else {
		p->term = v->term;
		pending_move(&r->pendings, p, STAGE_CHANGING);
	}
}

/* What the leader of an earlier term was told may have been lost with it; asked for again, it is done at most once. */
static void look_at_changing(struct replica *r)
{
	struct pending *p, *next;
	uint64_t term = raft_view(r->raft).term;

	for (p = pending_first(&r->pendings, STAGE_CHANGING); p != NULL; p = next) {
		next = TAILQ_NEXT(p, in_stage);
		if (p->accepted && is_done(r, p))
			answer_status(r, p);
		else if (p->term < term) {
			p->told_before = true;
			pending_move(&r->pendings, p, STAGE_ROUTE);
		}
	}
}

void membership_removed(struct replica *r)
{
	struct pending *p, *next;

	for (p = pending_first(&r->pendings, STAGE_CHANGING); p != NULL; p = next) {
		struct member_change c = change_of(p->data);

		next = TAILQ_NEXT(p, in_stage);
		if (c.kind == MEMBER_REMOVE && bytes_equal(c.id, bytes_text(r->identity.id)))
			answer_status(r, p);
	}
}

static void take_answer(struct replica *r, const struct peer_changed *m)
{
	struct pending *p = pending_find(&r->pendings, m->number);
	enum err e = m->error < ERR_COUNT ? (enum err)m->error : ERR_BUSY;
	char *text;

	if (p == NULL || p->stage != STAGE_CHANGING || p->term != m->term)
		return;
	if (e == ERR_OK) {
		p->newcomer = m->incarnation;
		p->index = m->index;
		p->accepted = true;
	} else if (e == ERR_NOT_LEADER) {
		pending_move(&r->pendings, p, STAGE_ROUTE);
	} else if (e == ERR_NOT_FOUND && p->told_before) {
		answer_status(r, p); /* an earlier leader had carried it out */
	} else {
		text = bytes_dup_text(m->text);
		answer_error(r, p, e, p->told_before ? APPLIED_UNKNOWN : APPLIED_NO, text);
		free(text);
	}
}

void on_changed(struct replica *r, uint64_t from, const struct peer_changed *m)
{
	(void)from;
	if (r->raft != NULL)
		take_answer(r, m);
}

/* ---- on the leader ---- */

static enum err take_ask(
    struct replica *r, uint64_t from, uint64_t number, struct bytes what, struct instant until)
{
	/* The answer must reach the asker before its patience ends. */
	struct span patience = { instant_between(r->now, until).ns / 10 * 9 };
	struct change_ask *a;

	if (r->ask_count == CHANGE_ASKS_MAX)
		return ERR_BUSY;
	a = &r->asks[r->ask_count++];
	*a = (struct change_ask){ .from = from,
		.number = number,
		.term = raft_view(r->raft).term,
		.what = blob_new(what),
		.until = instant_add(r->now, patience) };
	a->dial_until = instant_least(a->until, instant_add(r->now, span_ms(DIAL_MS)));
	formation_set_peers(r);
	return ERR_OK;
}

static void answer(struct replica *r, const struct change_ask *a, const struct peer_changed *what)
{
	struct peer_changed m = *what;

	m.term = a->term;
	m.number = a->number;

	if (a->from == r->identity.incarnation) {
		take_answer(r, &m);
		return;
	}
	wire_put_u8(&r->frame, PEER_CHANGED);
	peer_changed_put(&r->frame, &m);
	send_frame(r, a->from);
}

_Static_assert(RAFT_MEMBERS_MAX == 32 && CHANGE_ASKS_MAX == 16, "the sentences below");

static const char *reason(enum err e, enum member_kind kind)
{
	switch ((int)e) {
	case ERR_NOT_FOUND:
		return "the cluster has no member of this id";
	case ERR_CONFLICT:
		return kind == MEMBER_REMOVE
			   ? "the last voter cannot be removed"
			   : "the node at that address is a member already, under another id";
	case ERR_TOO_LARGE:
		return "the cluster has 32 members, the limit; remove one first";
	case ERR_BUSY:
		return "16 changes of members wait for the leader, the limit; repeat it later";
	case ERR_UNREACHABLE:
		return "the node to be added does not answer at its peer address";
	}
	return "";
}

void on_change(struct replica *r, uint64_t from, const struct peer_change *m)
{
	struct change_ask refused = { .from = from, .number = m->number, .term = m->term };
	struct reader reader = reader_of(m->what);
	struct member_change c;
	struct raft_view v;
	enum err e;

	if (!member_change_get(&reader, &c) || r->raft == NULL)
		return;
	v = raft_view(r->raft);
	e = v.role == RAFT_LEADER && v.term == m->term
		? take_ask(r, from, m->number, m->what, instant_add(r->now, span_ms(m->time_ms)))
		: ERR_NOT_LEADER;
	if (e != ERR_OK)
		answer(r, &refused,
		    &(struct peer_changed){
			.error = (uint16_t)e, .text = bytes_text(reason(e, (enum member_kind)c.kind)) });
}

void membership_refused(struct replica *r, struct bytes address, const char *why)
{
	for (size_t i = 0; i < r->ask_count; i++) {
		struct member_change c = change_of(r->asks[i].what);

		if (bytes_equal(c.peer, address))
			r->asks[i].refused = why;
	}
}

/* The end of a sentence that begins with the node at the address that the leader dialed. NULL: it may be added. */
static const char *objection(
    const struct change_ask *a, const struct member_change *c, const struct acquaintance *there)
{
	if (a->refused != NULL && there == NULL)
		return a->refused;
	if (there != NULL && c->id.size > 0 && !bytes_equal(bytes_text(there->id), c->id))
		return "has another id";
	return NULL;
}

static void warn_of_replacement(const struct replica *r, const struct raft_member *m)
{
	const struct raft_config *config = raft_config(r->raft);
	struct raft_member old;

	for (size_t i = 0; i < config->count; i++)
		if (raft_config_find(config, config->members[i], &old) && bytes_equal(old.id, m->id) &&
		    old.incarnation != m->incarnation)
			log_warnx("node %.*s is REPLACED: incarnation %016" PRIx64 " at %.*s by %016" PRIx64
				  " at %.*s; when the new one has caught up, the old one is removed and "
				  "cannot come back",
			    (int)m->id.size, (const char *)m->id.data, old.incarnation, (int)old.peer.size,
			    (const char *)old.peer.data, m->incarnation, (int)m->peer.size,
			    (const char *)m->peer.data);
}

static enum err add(
    struct replica *r, const struct member_change *c, const struct acquaintance *a, struct raft_pos *pos)
{
	struct raft_member m = { .incarnation = a->incarnation,
		.id = bytes_text(a->id),
		.peer = c->peer,
		.http = c->http.size > 0 ? c->http : bytes_text(a->http),
		.start = c->http.size == 0 || bytes_equal(c->http, bytes_text(a->http)) ? a->start : 0,
		.level = a->level };
	enum err e = raft_change(r->raft, RAFT_ADD, &m, r->now, pos);

	if (e == ERR_OK)
		warn_of_replacement(r, &m);
	return e;
}

/* Why it is not done, as a whole sentence; NULL: nothing is against it. The caller frees it. */
static char *find_objection(const struct replica *r, const struct change_ask *a,
    const struct member_change *c, const struct acquaintance *there, enum err *e)
{
	const char *why = objection(a, c, there);
	char *text;

	*e = ERR_CONFLICT;
	if (why != NULL)
		return xasprintf("the node at that address %s", why);
	if (there != NULL &&
	    (there->removed || raft_config_is_gone(raft_config(r->raft), there->incarnation)))
		return xasprintf(
		    "the node %s at that address was removed from this cluster: stop it, empty its "
		    "data directory, and start it with --join, or add it then",
		    there->id);
	if (there != NULL && there->level < level_now(r))
		return xasprintf(
		    "the node %s at that address runs %s, which does not know feature level %u of "
		    "this cluster: upgrade it first",
		    there->id, there->build, level_now(r));
	if (there == NULL || (text = replace_objection(r, c, there)) == NULL)
		return NULL;
	*e = ERR_ID_IN_USE;
	return text;
}

static enum err carry_out(struct replica *r, const struct change_ask *a, const struct member_change *c,
    const struct acquaintance *there, struct raft_pos *pos, char **why)
{
	struct raft_member named = { .id = c->id };
	enum err e;

	if (c->kind == MEMBER_REMOVE)
		return raft_change(r->raft, RAFT_REMOVE, &named, r->now, pos);
	if ((*why = find_objection(r, a, c, there, &e)) != NULL)
		return e;
	return there != NULL ? add(r, c, there, pos) : ERR_UNREACHABLE;
}

/* Asked for again, when the newcomer leads by now: it is there. */
static bool is_myself(const struct replica *r, const struct member_change *c)
{
	return c->kind == MEMBER_ADD && bytes_equal(c->peer, bytes_text(r->o.peer)) &&
	       (c->id.size == 0 || bytes_equal(c->id, bytes_text(r->identity.id)));
}

/* Who is to be added, as far as it is known. */
static const struct acquaintance *newcomer_of(
    const struct replica *r, const struct member_change *c, struct acquaintance *myself)
{
	if (c->kind != MEMBER_ADD)
		return NULL;
	if (!is_myself(r, c))
		return acquaintance_at(r, c->peer);
	*myself = (struct acquaintance){ .incarnation = r->identity.incarnation,
		.start = r->identity.start,
		.level = r->o.level_most,
		.id = r->identity.id,
		.http = (char *)r->o.http,
		.build = (char *)r->o.build };
	return myself;
}

/* False: not yet. */
static bool work_on(struct replica *r, const struct change_ask *a)
{
	struct member_change c = change_of(a->what);
	struct acquaintance myself;
	const struct acquaintance *there = newcomer_of(r, &c, &myself);
	struct raft_view v = raft_view(r->raft);
	struct raft_pos pos = { 0 };
	struct peer_changed m = { .incarnation = there != NULL ? there->incarnation : 0 };
	char *why = NULL;
	enum err e;

	e = v.role == RAFT_LEADER && v.term == a->term ? carry_out(r, a, &c, there, &pos, &why)
						       : ERR_NOT_LEADER;
	if ((e == ERR_CHANGING && !instant_passed(a->until, r->now)) ||
	    (e == ERR_UNREACHABLE && !instant_passed(a->dial_until, r->now)))
		return false;
	m.error = (uint16_t)e;
	m.index = pos.index;
	m.text = bytes_text(why != NULL ? why : reason(e, (enum member_kind)c.kind));
	answer(r, a, &m);
	free(why);
	return true;
}

static void work_on_asks(struct replica *r)
{
	size_t kept = 0, before = r->ask_count;

	for (size_t i = 0; i < r->ask_count; i++)
		if (work_on(r, &r->asks[i]))
			blob_unref(r->asks[i].what);
		else
			r->asks[kept++] = r->asks[i];
	r->ask_count = kept;
	if (kept < before)
		formation_set_peers(r);
}

/* A member without a cluster was just added, or its answer was lost: it is told until it says that it belongs here. */
static void adopt(struct replica *r)
{
	const struct raft_config *config = raft_config_committed(r->raft);
	struct peer_adopt m = { r->identity.cluster, blob_bytes(r->identity.founding) };

	for (size_t i = 0; i < config->count; i++) {
		const struct acquaintance *a = acquaintance_find(r, config->members[i]);

		if (a == NULL || !a->reachable || a->cluster != 0)
			continue;
		wire_put_u8(&r->frame, PEER_ADOPT);
		peer_adopt_put(&r->frame, &m);
		send_frame(r, a->incarnation);
	}
}

/* ---- on every node ---- */

static void tell_difference(const struct raft_config *was, const struct raft_config *is)
{
	struct raft_member m, old;

	for (size_t i = 0; i < is->count; i++) {
		bool known = raft_config_find(was, is->members[i], &old) && old.roles != RAFT_GONE;

		if (!raft_config_find(is, is->members[i], &m) || (known && old.roles == m.roles))
			continue;
		log_info("member %.*s at %.*s is a %s incarnation=%016" PRIx64 " revision=%" PRIu64,
		    (int)m.id.size, (const char *)m.id.data, (int)m.peer.size, (const char *)m.peer.data,
		    m.roles & RAFT_LEARNER ? "learner" : "voter", m.incarnation, is->index);
	}
	for (size_t i = 0; i < was->count; i++)
		if (!raft_config_has(is, was->members[i]) && raft_config_find(was, was->members[i], &old))
			log_info("member %.*s at %.*s was removed incarnation=%016" PRIx64
				 " revision=%" PRIu64,
			    (int)old.id.size, (const char *)old.id.data, (int)old.peer.size,
			    (const char *)old.peer.data, old.incarnation, is->index);
}

/* A committed configuration that no change will leave by itself any more. */
static void take_over(struct replica *r, const struct raft_config *c)
{
	if (r->config_sure.data != NULL)
		tell_difference(&r->config_sure, c);
	raft_config_free(&r->config_sure);
	r->config_sure = *c;
	blob_ref(r->config_sure.data);
	formation_set_peers(r);
	if (raft_config_is_gone(c, r->identity.incarnation))
		removal_leave(r, c->index);
	removal_tell_all(r);
}

void membership_turn(struct replica *r)
{
	const struct raft_config *now = raft_config(r->raft), *sure = raft_config_committed(r->raft);

	if (now->index != r->config_seen) {
		r->config_seen = now->index;
		formation_set_peers(r);
	}
	if (sure->index != r->config_sure.index && sure->quorum.outgoing.count == 0)
		take_over(r, sure);
	work_on_asks(r);
	look_at_changing(r);
}

void membership_tick(struct replica *r)
{
	if (!instant_passed(r->adopt_at, r->now))
		return;
	r->adopt_at = instant_add(r->now, r->o.heartbeat);
	addresses_tick(r);
	if (raft_view(r->raft).role != RAFT_LEADER)
		return;
	adopt(r);
	removal_tick(r);
	addresses_follow(r);
	level_tick(r);
}

void membership_fini(struct replica *r)
{
	for (size_t i = 0; i < r->ask_count; i++)
		blob_unref(r->asks[i].what);
	raft_config_free(&r->config_sure);
}
