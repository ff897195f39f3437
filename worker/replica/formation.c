#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "common/log.h"
#include "common/member.h"
#include "common/random.h"
#include "worker/replica/inside.h"

/*
 * How a node without a cluster gets one (DESIGN 5): alone, at its first write, unless it was told to join one; or with the
 * others of a static list. Of these the one with the lowest id asks all, and decides only when every one says that it is
 * unformed and has the same list. Nothing is derived from the list, and nobody votes before.
 */

/* A node that is down is dialed once a second, or a little less often. */
#define LISTEN_MS 1500
#define ASK_MS 200
/* Whoever was asked dials the asker once a second. */
#define ANSWER_MS 5000

static bool is_me(const struct replica *r, const struct listed *l)
{
	return strcmp(l->id, r->identity.id) == 0;
}

static enum err parse_list(struct replica *r)
{
	size_t mine = 0;

	if (!list_parse(&r->list, bytes_text(r->o.members))) {
		log_errorx("[cluster] members is not a list of id=host:port, ...: %s", r->o.members);
		return ERR_BAD_REQUEST;
	}
	for (size_t i = 0; i < r->list.count; i++)
		mine += is_me(r, &r->list.nodes[i]);
	if (r->list.count > 0 && mine != 1) {
		log_errorx("[cluster] members must name this node once id=%s", r->identity.id);
		return ERR_BAD_REQUEST;
	}
	r->list_text = list_text(&r->list);
	return ERR_OK;
}

enum err formation_init(struct replica *r)
{
	enum err e = parse_list(r);

	if (e != ERR_OK)
		return e;
	r->form_again = r->identity.phase == IDENTITY_UNFORMED ? r->opened : INSTANT_NEVER;
	return ERR_OK;
}

void formation_fini(struct replica *r)
{
	list_free(&r->list);
	free(r->list_text);
	free(r->difference);
	free(r->unanswered);
	free(r->foreign);
	addresses_fini(r);
}

/* ---- lists that differ ---- */

/* Nothing is known of the list of a node that says none. */
static bool is_other_list(const struct replica *r, const char *list)
{
	return r->list.count > 0 && list[0] != '\0' && strcmp(list, r->list_text) != 0;
}

static bool hinders(const struct replica *r, const struct acquaintance *a)
{
	return a->cluster == 0 && (a->reachable || a->guest) && is_other_list(r, a->list);
}

/* Of every node without a cluster that is connected: which it lists otherwise, and where. */
static char *describe_difference(const struct replica *r)
{
	struct buf text = { 0 };
	char *made = NULL;

	for (size_t i = 0; i < r->acquaintance_count; i++) {
		const struct acquaintance *a = &r->acquaintances[i];

		if (!hinders(r, a))
			continue;
		buf_printf(&text, "%s%s at %s ",
		    text.size > 0 ? "; " : "no cluster is formed while the lists [cluster] members differ: ",
		    a->id, a->peer);
		list_put_difference(&text, &r->list, a->list);
	}
	if (text.size > 0) {
		buf_printf(&text, "; correct the list, and start again each node whose list was wrong");
		made = xstrdup(buf_text(&text));
	}
	buf_free(&text);
	return made;
}

void formation_compare(struct replica *r)
{
	char *now = r->identity.phase == IDENTITY_UNFORMED && !r->forming ? describe_difference(r) : NULL;

	if (now != NULL && (r->difference == NULL || strcmp(now, r->difference) != 0))
		log_warnx("%s", now);
	free(r->difference);
	r->difference = now;
}

/* ---- a cluster that this node must not take for its own ---- */

static void set_foreign(struct replica *r, uint64_t cluster, const char *why)
{
	if (r->foreign != NULL || r->o.new_cluster)
		return;
	r->foreign =
	    xasprintf("this node has no data, and %s of the cluster %016" PRIx64
		      "; it serves no keys until it has joined again or is started with --new-cluster",
		why, cluster);
	log_warnx("%s", r->foreign);
}

/* Only an operator may bring it into a cluster that another list formed. */
static void keep_apart(
    struct replica *r, uint64_t cluster, const char *who, const char *where, const char *list)
{
	struct buf text = { 0 };

	if (r->foreign != NULL || r->o.new_cluster)
		return;
	buf_printf(&text,
	    "this node does not join the cluster %016" PRIx64
	    ", which was formed by another list than its [cluster] members: %s at %s ",
	    cluster, who, where);
	list_put_difference(&text, &r->list, list);
	buf_printf(&text, "; add this node by POST /v1/members or start it with --join, or correct its list");
	r->foreign = xstrdup(buf_text(&text));
	buf_free(&text);
	log_warnx("%s", r->foreign);
}

/* A cluster remembers who founded it, and its nodes say so. */
static void look_at_founders(struct replica *r, const struct peer_hello *hello, const struct bytes *dialed)
{
	struct acquaintance *a = acquaintance_find(r, hello->incarnation);

	if (r->identity.phase == IDENTITY_UNFORMED && !r->forming && !r->o.joins && dialed != NULL &&
	    a->cluster != 0 && is_other_list(r, a->list))
		keep_apart(r, a->cluster, a->id, a->dialed, a->list);
}

/* Its volume is lost, and its command line is the old one; or it is being added in its own place this moment. */
static void claim(struct replica *r, const struct peer_hello *hello)
{
	struct peer_claim m = { r->identity.cluster };
	const struct raft_config *c;
	struct raft_member known;

	if (r->raft == NULL)
		return;
	c = raft_config(r->raft);
	for (size_t i = 0; i < c->count; i++)
		if (raft_config_find(c, c->members[i], &known) && bytes_equal(known.id, hello->id) &&
		    known.incarnation != hello->incarnation) {
			wire_put_u8(&r->frame, PEER_CLAIM);
			peer_claim_put(&r->frame, &m);
			send_frame(r, hello->incarnation);
			return;
		}
}

void formation_hello(struct replica *r, const struct peer_hello *hello, const struct bytes *dialed)
{
	acquaintance_learn(r, hello, dialed);
	if (dialed == NULL)
		formation_set_peers(r);
	if (removal_is_gone(r, hello->incarnation))
		removal_tell(r, hello->incarnation);
	else if (dialed != NULL && hello->cluster == 0)
		claim(r, hello);
	look_at_founders(r, hello, dialed);
	formation_compare(r);
	if (r->identity.phase != IDENTITY_UNFORMED || r->forming)
		return;
	r->form_again = r->now;
}

/* Who founded its cluster; of a node without one, who is to. */
static char *list_said(const struct replica *r)
{
	struct raft_config founders;
	char *text;

	if (r->identity.phase < IDENTITY_FORMED || !raft_config_get(&founders, 1, r->identity.founding))
		return xstrdup(r->list_text);
	text = list_text_of(&founders);
	raft_config_free(&founders);
	return text;
}

void formation_say_hello(struct replica *r)
{
	char *list = list_said(r);
	struct raft_view v = { 0 };
	struct peer_hello hello = {
		.version_least = PEER_VERSION_LEAST,
		.version_most = PEER_VERSION_MOST,
		.cluster = r->identity.phase >= IDENTITY_FORMED ? r->identity.cluster : 0,
		.incarnation = r->identity.incarnation,
		.start = r->identity.start,
		.boot = r->identity.boot,
		.id = bytes_text(r->identity.id),
		.peer = bytes_text(r->o.peer),
		.http = bytes_text(r->o.http),
		.build = bytes_text(r->o.build),
		.list = bytes_text(list),
		.visits = r->visit.cluster,
		.removed = r->removed != NULL,
		.level = (uint16_t)r->o.level_most,
	};

	if (r->raft != NULL)
		v = raft_view(r->raft);
	hello.last_term = v.last.term;
	hello.last_index = v.last.index;
	transport_set_hello(r->env.transport, &hello);
	free(list);
}

struct addresses {
	struct bytes list[RAFT_MEMBERS_MAX * 7 + CHANGE_ASKS_MAX + HINTS_MAX];
	size_t count;
};

static void add_listed_addresses(const struct replica *r, struct addresses *a)
{
	for (size_t i = 0; i < r->list.count; i++)
		if (!is_me(r, &r->list.nodes[i]))
			a->list[a->count++] = bytes_text(r->list.nodes[i].peer);
}

/* This node's own former address, too: whoever took it over may be a member that is to be found nowhere else. */
static void add_members(const struct replica *r, const struct raft_config *c, struct addresses *a)
{
	struct raft_member m;

	for (size_t i = 0; i < c->count; i++)
		if (raft_config_find(c, c->members[i], &m) && !bytes_equal(m.peer, bytes_text(r->o.peer)))
			a->list[a->count++] = m.peer;
}

/* A connection to a member stays, wherever that was found. */
static void add_reached(const struct replica *r, struct addresses *a)
{
	for (size_t i = 0; i < r->acquaintance_count; i++) {
		const struct acquaintance *known = &r->acquaintances[i];

		if (known->reachable && known->dialed != NULL &&
		    raft_config_has(raft_config(r->raft), known->incarnation))
			a->list[a->count++] = bytes_text(known->dialed);
	}
}

static void add_newcomers(const struct replica *r, struct addresses *a)
{
	struct member_change c;

	for (size_t i = 0; i < r->ask_count; i++) {
		struct reader reader = reader_of(blob_bytes(r->asks[i].what));

		if (member_change_get(&reader, &c) && c.kind == MEMBER_ADD)
			a->list[a->count++] = c.peer;
	}
}

/* Whoever of this cluster comes by is answered: one that is out and has to be told, a leader that this node's log,
 * which may be long behind, does not know yet, and one that passes requests on. */
static void add_guests(const struct replica *r, struct addresses *a)
{
	for (size_t i = 0; i < r->acquaintance_count; i++)
		if (r->acquaintances[i].guest && (r->acquaintances[i].cluster == r->identity.cluster ||
						     r->acquaintances[i].visits == r->identity.cluster))
			a->list[a->count++] = bytes_text(r->acquaintances[i].peer);
}

static void add_hints(const struct replica *r, struct addresses *a)
{
	for (size_t i = 0; i < r->astray.hint_count; i++)
		a->list[a->count++] = bytes_text(r->astray.hints[i]);
}

static void add_visited(const struct replica *r, struct addresses *a)
{
	for (size_t i = 0; i < r->visit.peer_count; i++)
		a->list[a->count++] = bytes_text(r->visit.peers[i]);
}

void formation_set_peers(struct replica *r)
{
	struct addresses a = { .count = 0 };

	if (r->raft == NULL) {
		add_listed_addresses(r, &a);
		add_visited(r, &a);
	} else {
		add_members(r, raft_config(r->raft), &a);
		/* Until a change is committed its answers go to a leader that it may be taking out. */
		if (raft_config_committed(r->raft) != raft_config(r->raft))
			add_members(r, raft_config_committed(r->raft), &a);
		add_newcomers(r, &a);
		add_guests(r, &a);
		add_reached(r, &a);
		if (r->astray.on) {
			add_listed_addresses(r, &a);
			add_hints(r, &a);
		}
	}
	transport_set_peers(r->env.transport, a.list, a.count);
}

/* The one decision: from here on this node is of this cluster. Everything else follows on the log lane. */
static void form(struct replica *r, uint64_t cluster, struct bytes founding)
{
	struct identity next = r->identity;

	assert(!r->forming && cluster != 0);
	r->forming = true;
	r->form_again = INSTANT_NEVER;
	next.phase = IDENTITY_FORMING;
	next.cluster = cluster;
	next.founding = blob_new(founding);
	log_form(r, &next);
	blob_unref(next.founding);
}

static struct raft_member founder_me(const struct replica *r, const char *peer)
{
	return (struct raft_member){ r->identity.incarnation, RAFT_VOTER, bytes_text(r->identity.id),
		bytes_text(peer), bytes_text(r->o.http), r->identity.start, r->o.level_most };
}

static struct raft_member founder_other(const struct acquaintance *a, const char *peer)
{
	return (struct raft_member){ a->incarnation, RAFT_VOTER, bytes_text(a->id), bytes_text(peer),
		bytes_text(a->http), a->start, a->level };
}

/* A new cluster begins at the feature level that all its founders know. */
static void found(struct replica *r, const struct raft_member *founders, size_t count)
{
	struct buf founding = { 0 };
	unsigned level = r->o.level_most;

	for (size_t i = 0; i < count; i++)
		level = founders[i].level < level ? founders[i].level : level;
	raft_config_begin(&founding, level);
	for (size_t i = 0; i < count; i++)
		raft_config_put(&founding, level, &founders[i]);
	form(r, identity_new_cluster(), buf_bytes(&founding));
	buf_free(&founding);
}

/* Once: it is asked several times a second. */
static void complain(struct replica *r, const struct listed *l, const struct acquaintance *a)
{
	if (r->misnamed == a->incarnation)
		return;
	r->misnamed = a->incarnation;
	log_warnx("the node at %s calls itself %s, not %s as [cluster] members says", l->peer, a->id, l->id);
}

/* Who says no list may be of a version that lets the first of its list found the cluster: then the lowest does so only
 * where it is the first as well. */
static bool is_founder(const struct replica *r)
{
	bool lists = true;

	for (size_t i = 0; i < r->list.count; i++) {
		const struct listed *l = &r->list.nodes[i];
		const struct acquaintance *a = acquaintance_at(r, bytes_text(l->peer));

		lists = lists && (is_me(r, l) || (a != NULL && a->list[0] != '\0'));
	}
	return is_me(r, &r->list.nodes[0]) && (lists || strcmp(r->list.first, r->identity.id) == 0);
}

static void form_with_all(struct replica *r)
{
	struct raft_member founders[RAFT_MEMBERS_MAX];

	for (size_t i = 0; i < r->list.count; i++) {
		const struct listed *l = &r->list.nodes[i];
		struct acquaintance *a = is_me(r, l) ? NULL : acquaintance_at(r, bytes_text(l->peer));

		if (is_me(r, l)) {
			founders[i] = founder_me(r, l->peer);
			continue;
		}
		if (a == NULL || a->cluster != 0)
			return; /* not yet, or never */
		if (strcmp(a->id, l->id) != 0) {
			complain(r, l, a);
			return;
		}
		founders[i] = founder_other(a, l->peer);
	}
	found(r, founders, r->list.count);
}

/* Of the cluster that was asked; it dials the address that this node advertises, and somebody else may be there. */
static void note_silence(struct replica *r, const struct acquaintance *a)
{
	if (r->unanswered_since.ns == 0)
		r->unanswered_since = r->now;
	if (r->unanswered != NULL || instant_between(r->unanswered_since, r->now).ns < span_ms(ANSWER_MS).ns)
		return;
	r->unanswered = xasprintf(
	    "%s at %s belongs to the cluster %016" PRIx64
	    " already, and does not answer this node at the peer address %s that it advertises: does another "
	    "node have that address, of which this one is a copy?",
	    a->id, a->peer, a->cluster, r->o.peer);
	log_warnx("%s", r->unanswered);
}

static bool ask_a_formed_one(struct replica *r)
{
	for (size_t i = 0; i < r->list.count; i++) {
		struct acquaintance *a = acquaintance_at(r, bytes_text(r->list.nodes[i].peer));

		if (a == NULL || a->cluster == 0)
			continue;
		wire_put_u8(&r->frame, PEER_FORM_ASK);
		send_frame(r, a->incarnation);
		note_silence(r, a);
		return true;
	}
	return false;
}

static void form_alone(struct replica *r)
{
	struct raft_member me = founder_me(r, r->o.peer);

	found(r, &me, 1);
}

void formation_tick(struct replica *r)
{
	struct span listen = span_ms(LISTEN_MS);

	if (r->identity.phase != IDENTITY_UNFORMED || r->forming || r->foreign != NULL ||
	    !instant_passed(r->form_again, r->now))
		return;
	r->form_again = instant_add(r->now, span_ms(ASK_MS));
	if (r->list.count > 0) {
		if (!ask_a_formed_one(r) && !r->o.joins && r->difference == NULL && is_founder(r))
			form_with_all(r);
	} else if (r->claimed != 0 && !r->o.new_cluster) {
		if (instant_passed(instant_add(r->claimed_at, listen), r->now))
			set_foreign(r, r->claimed, "its id is that of a member");
	} else if (r->form_wanted && instant_passed(instant_add(r->opened, listen), r->now)) {
		form_alone(r);
	}
}

/* False where another list than this node's made it one of the founders; an operator who adds it names no founders. */
static bool is_founded_for_me(
    struct replica *r, const struct raft_config *founders, uint64_t cluster, uint64_t from)
{
	const struct acquaintance *a = acquaintance_find(r, from);
	char *list = list_text_of(founders);
	bool mine = !raft_config_has(founders, r->identity.incarnation) || !is_other_list(r, list);

	if (!mine)
		keep_apart(r, cluster, a != NULL ? a->id : "a node", a != NULL ? a->peer : "unknown", list);
	free(list);
	return mine;
}

void on_adopt(struct replica *r, uint64_t from, const struct peer_adopt *m)
{
	struct blob *founding;
	struct raft_config c;

	if (r->identity.phase != IDENTITY_UNFORMED || r->forming || m->cluster == 0)
		return;
	founding = blob_new(m->founding);
	if (raft_config_get(&c, 1, founding)) {
		if (is_founded_for_me(r, &c, m->cluster, from)) {
			log_info("this node was added to the cluster %016" PRIx64 " by=%016" PRIx64,
			    m->cluster, from);
			form(r, m->cluster, m->founding);
		}
		raft_config_free(&c);
	}
	blob_unref(founding);
}

void on_claim(struct replica *r, uint64_t from, const struct peer_claim *m)
{
	(void)from;
	if (r->identity.phase != IDENTITY_UNFORMED || r->forming || r->claimed != 0 || m->cluster == 0)
		return;
	r->claimed = m->cluster;
	r->claimed_at = r->form_again = r->now;
}

void on_form_ask(struct replica *r, uint64_t from)
{
	struct acquaintance *a = acquaintance_find(r, from);
	struct peer_form m;

	if (r->identity.phase != IDENTITY_FORMED)
		return;
	/* Whoever has the list and the name of a member, and another address, is answered when it asks again. */
	if (a != NULL && a->visits != r->identity.cluster) {
		a->visits = r->identity.cluster;
		formation_set_peers(r);
	}
	m = (struct peer_form){ r->identity.cluster, blob_bytes(r->identity.founding) };
	wire_put_u8(&r->frame, PEER_FORM);
	peer_form_put(&r->frame, &m);
	send_frame(r, from);
}

void on_form(struct replica *r, uint64_t from, const struct peer_form *m)
{
	struct blob *founding;
	struct raft_config c;

	if (r->identity.phase != IDENTITY_UNFORMED || r->forming || r->list.count == 0 || m->cluster == 0)
		return;
	founding = blob_new(m->founding);
	if (raft_config_get(&c, 1, founding)) {
		if (!raft_config_has(&c, r->identity.incarnation))
			set_foreign(r, m->cluster, "the other listed nodes are members");
		else if (is_founded_for_me(r, &c, m->cluster, from))
			form(r, m->cluster, m->founding);
		raft_config_free(&c);
	}
	blob_unref(founding);
}

void formation_done(struct replica *r, struct log_job *j)
{
	enum err e;

	r->forming = false;
	identity_free(&r->identity);
	r->identity = j->identity;
	j->identity = (struct identity){ 0 };
	r->wal = j->wal;
	j->wal = NULL;
	visit_fini(r);
	if ((e = start_raft(r, &j->found)) != ERR_OK) {
		fail_by(r, e, "the new log");
		return;
	}
	free(r->foreign);
	free(r->unanswered);
	r->foreign = r->unanswered = NULL;
	formation_compare(r);
	if (raft_config_has(raft_config(r->raft), r->identity.incarnation))
		log_info("formed the cluster %016" PRIx64 " members=%zu", r->identity.cluster,
		    raft_config(r->raft)->count);
}
