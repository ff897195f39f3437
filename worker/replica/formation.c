#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "common/log.h"
#include "common/random.h"
#include "worker/replica/inside.h"

/*
 * How a node without a cluster gets one (DESIGN 5): alone, at its first write; or with the others of a static list,
 * whose first member asks all of them and decides only when every one says that it is unformed. Nothing is derived
 * from the list, and nobody votes before.
 */

#define LISTEN_MS 1000
#define ASK_MS 200

static struct bytes trim(struct bytes b)
{
	while (b.size > 0 && strchr(" \t", b.data[0]) != NULL)
		b = bytes_of(b.data + 1, b.size - 1);
	while (b.size > 0 && strchr(" \t", b.data[b.size - 1]) != NULL)
		b.size--;
	return b;
}

static bool add_listed(struct replica *r, struct bytes item)
{
	const uint8_t *equals = memchr(item.data, '=', item.size);
	struct bytes id, peer;

	if (equals == NULL)
		return false;
	id = trim(bytes_of(item.data, (size_t)(equals - item.data)));
	peer = trim(bytes_of(equals + 1, item.size - (size_t)(equals - item.data) - 1));
	if (id.size == 0 || peer.size == 0 || r->listed_count == RAFT_MEMBERS_MAX)
		return false;
	r->listed = xreallocarray(r->listed, r->listed_count + 1, sizeof(*r->listed));
	r->listed[r->listed_count++] = (struct listed){ bytes_dup_text(id), bytes_dup_text(peer) };
	return true;
}

static bool is_me(const struct replica *r, const struct listed *l)
{
	return strcmp(l->id, r->identity.id) == 0;
}

static enum err parse_list(struct replica *r)
{
	struct bytes left = trim(bytes_text(r->o.members));
	size_t mine = 0;

	while (left.size > 0) {
		const uint8_t *comma = memchr(left.data, ',', left.size);
		size_t size = comma == NULL ? left.size : (size_t)(comma - left.data);

		if (!add_listed(r, bytes_of(left.data, size))) {
			log_errorx("[cluster] members is not a list of id=host:port, ...: %s", r->o.members);
			return ERR_BAD_REQUEST;
		}
		left = comma == NULL ? (struct bytes){ NULL, 0 } : bytes_of(comma + 1, left.size - size - 1);
	}
	for (size_t i = 0; i < r->listed_count; i++)
		mine += is_me(r, &r->listed[i]);
	if (r->listed_count > 0 && mine != 1) {
		log_errorx("[cluster] members must name this node once id=%s", r->identity.id);
		return ERR_BAD_REQUEST;
	}
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

static void acquaintance_free(struct acquaintance *a)
{
	free(a->id);
	free(a->peer);
	free(a->http);
	free(a->build);
	free(a->dialed);
	*a = (struct acquaintance){ 0 };
}

void formation_fini(struct replica *r)
{
	for (size_t i = 0; i < r->acquaintance_count; i++)
		acquaintance_free(&r->acquaintances[i]);
	free(r->acquaintances);
	for (size_t i = 0; i < r->listed_count; i++) {
		free(r->listed[i].id);
		free(r->listed[i].peer);
	}
	free(r->listed);
	free(r->foreign);
}

struct acquaintance *acquaintance_find(struct replica *r, uint64_t incarnation)
{
	for (size_t i = 0; i < r->acquaintance_count; i++)
		if (r->acquaintances[i].incarnation == incarnation)
			return &r->acquaintances[i];
	return NULL;
}

/* An address answers with one incarnation at a time: whoever was there before is not any more. */
static void forget_dialed(struct replica *r, struct bytes dialed)
{
	for (size_t i = 0; i < r->acquaintance_count; i++) {
		struct acquaintance *a = &r->acquaintances[i];

		if (a->dialed != NULL && bytes_equal(bytes_text(a->dialed), dialed)) {
			free(a->dialed);
			a->dialed = NULL;
			a->reachable = false;
		}
	}
}

/* Strangers that came by are forgotten for new ones, so that the list cannot grow without bound. */
static struct acquaintance *new_acquaintance(struct replica *r)
{
	if (r->acquaintance_count == RAFT_MEMBERS_MAX * 2) {
		for (size_t i = 0; i < r->acquaintance_count; i++)
			if (r->acquaintances[i].dialed == NULL) {
				acquaintance_free(&r->acquaintances[i]);
				return &r->acquaintances[i];
			}
		acquaintance_free(&r->acquaintances[0]);
		return &r->acquaintances[0];
	}
	r->acquaintances =
	    xreallocarray(r->acquaintances, r->acquaintance_count + 1, sizeof(*r->acquaintances));
	r->acquaintances[r->acquaintance_count] = (struct acquaintance){ 0 };
	return &r->acquaintances[r->acquaintance_count++];
}

static void set_text(char **to, struct bytes text)
{
	free(*to);
	*to = bytes_dup_text(text);
}

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

void formation_hello(struct replica *r, const struct peer_hello *hello, const struct bytes *dialed)
{
	struct acquaintance *a;

	if (dialed != NULL)
		forget_dialed(r, *dialed);
	if ((a = acquaintance_find(r, hello->incarnation)) == NULL)
		a = new_acquaintance(r);
	a->incarnation = hello->incarnation;
	a->cluster = hello->cluster;
	a->start = hello->start;
	set_text(&a->id, hello->id);
	set_text(&a->peer, hello->peer);
	set_text(&a->http, hello->http);
	set_text(&a->build, hello->build);
	if (dialed != NULL) {
		set_text(&a->dialed, *dialed);
		a->reachable = true;
	}
	if (r->identity.phase != IDENTITY_UNFORMED || r->forming)
		return;
	r->form_again = r->now;
	/* A formed node dials only its own members: it takes this one for one of them. */
	if (dialed == NULL && hello->cluster != 0 && r->listed_count == 0)
		set_foreign(r, hello->cluster, "a member calls it a member");
}

void formation_say_hello(struct replica *r)
{
	struct raft_view v = { 0 };
	struct peer_hello hello = {
		.version_least = PEER_VERSION,
		.version_most = PEER_VERSION,
		.cluster = r->identity.phase == IDENTITY_FORMED ? r->identity.cluster : 0,
		.incarnation = r->identity.incarnation,
		.start = r->identity.start,
		.boot = r->identity.boot,
		.id = bytes_text(r->identity.id),
		.peer = bytes_text(r->o.peer),
		.http = bytes_text(r->o.http),
		.build = bytes_text(r->o.build),
	};

	if (r->raft != NULL)
		v = raft_view(r->raft);
	hello.last_term = v.last.term;
	hello.last_index = v.last.index;
	transport_set_hello(r->env.transport, &hello);
}

void formation_set_peers(struct replica *r)
{
	struct bytes addresses[RAFT_MEMBERS_MAX];
	const struct raft_config *c;
	struct raft_member m;
	size_t count = 0;

	if (r->raft == NULL) {
		for (size_t i = 0; i < r->listed_count; i++)
			if (!is_me(r, &r->listed[i]))
				addresses[count++] = bytes_text(r->listed[i].peer);
	} else {
		c = raft_config(r->raft);
		for (size_t i = 0; i < c->count; i++)
			if (c->members[i] != r->identity.incarnation &&
			    raft_config_find(c, c->members[i], &m))
				addresses[count++] = m.peer;
	}
	transport_set_peers(r->env.transport, addresses, count);
}

static void put_member(
    struct buf *b, uint64_t incarnation, const char *id, const char *peer, const char *http)
{
	struct raft_member m = { incarnation, RAFT_VOTER, bytes_text(id), bytes_text(peer),
		bytes_text(http) };

	raft_member_put(b, &m);
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

static uint64_t new_cluster_id(void)
{
	uint64_t v;

	do
		v = random_secret();
	while (v == 0);
	return v;
}

static struct acquaintance *at_address(struct replica *r, const char *address)
{
	for (size_t i = 0; i < r->acquaintance_count; i++) {
		struct acquaintance *a = &r->acquaintances[i];

		if (a->reachable && a->dialed != NULL && strcmp(a->dialed, address) == 0)
			return a;
	}
	return NULL;
}

/* Once: it is asked several times a second. */
static void complain(struct replica *r, const struct listed *l, const struct acquaintance *a)
{
	if (r->misnamed == a->incarnation)
		return;
	r->misnamed = a->incarnation;
	log_warnx("the node at %s calls itself %s, not %s as [cluster] members says", l->peer, a->id, l->id);
}

static void form_with_all(struct replica *r)
{
	struct buf founding = { 0 };

	for (size_t i = 0; i < r->listed_count; i++) {
		const struct listed *l = &r->listed[i];
		struct acquaintance *a = is_me(r, l) ? NULL : at_address(r, l->peer);

		if (is_me(r, l)) {
			put_member(&founding, r->identity.incarnation, l->id, l->peer, r->o.http);
			continue;
		}
		if (a == NULL || a->cluster != 0)
			goto out; /* not yet, or never */
		if (strcmp(a->id, l->id) != 0) {
			complain(r, l, a);
			goto out;
		}
		put_member(&founding, a->incarnation, l->id, l->peer, a->http);
	}
	form(r, new_cluster_id(), buf_bytes(&founding));
out:
	buf_free(&founding);
}

static bool ask_a_formed_one(struct replica *r)
{
	for (size_t i = 0; i < r->listed_count; i++) {
		struct acquaintance *a = at_address(r, r->listed[i].peer);

		if (a == NULL || a->cluster == 0)
			continue;
		wire_put_u8(&r->frame, PEER_FORM_ASK);
		send_frame(r, a->incarnation);
		return true;
	}
	return false;
}

static void form_alone(struct replica *r)
{
	struct buf founding = { 0 };

	put_member(&founding, r->identity.incarnation, r->identity.id, r->o.peer, r->o.http);
	form(r, new_cluster_id(), buf_bytes(&founding));
	buf_free(&founding);
}

void formation_tick(struct replica *r)
{
	struct instant listened = instant_add(r->opened, span_ms(LISTEN_MS));

	if (r->identity.phase != IDENTITY_UNFORMED || r->forming || r->foreign != NULL ||
	    !instant_passed(r->form_again, r->now))
		return;
	r->form_again = instant_add(r->now, span_ms(ASK_MS));
	if (r->listed_count > 0) {
		if (!ask_a_formed_one(r) && is_me(r, &r->listed[0]))
			form_with_all(r);
	} else if (r->form_wanted && instant_passed(listened, r->now)) {
		form_alone(r);
	}
}

void on_form_ask(struct replica *r, uint64_t from)
{
	struct peer_form m;

	if (r->identity.phase != IDENTITY_FORMED)
		return;
	m = (struct peer_form){ r->identity.cluster, blob_bytes(r->identity.founding) };
	wire_put_u8(&r->frame, PEER_FORM);
	peer_form_put(&r->frame, &m);
	send_frame(r, from);
}

void on_form(struct replica *r, uint64_t from, const struct peer_form *m)
{
	struct blob *founding;
	struct raft_config c;

	(void)from;
	if (r->identity.phase != IDENTITY_UNFORMED || r->forming || r->listed_count == 0 || m->cluster == 0)
		return;
	founding = blob_new(m->founding);
	if (raft_config_get(&c, 1, founding)) {
		if (raft_config_has(&c, r->identity.incarnation))
			form(r, m->cluster, m->founding);
		else
			set_foreign(r, m->cluster, "the other listed nodes are members");
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
	if ((e = start_raft(r, &j->found)) != ERR_OK) {
		fail_by(r, e, "the new log");
		return;
	}
	log_info("formed the cluster %016" PRIx64 " members=%zu", r->identity.cluster,
	    raft_config(r->raft)->count);
}
