#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

#include "common/addr.h"
#include "common/buf.h"
#include "common/lane.h"
#include "common/log.h"
#include "common/random.h"
#include "worker/ask.h"
#include "worker/join.h"
#include "worker/raft/quorum.h"

#define PAUSE_LEAST_MS 100
#define PAUSE_MOST_MS 5000
#define COMPARE_PAUSE_MOST_MS 60000

/* Somebody to ask. */
struct seed {
	char *address; /* HOST:PORT */
	char *told; /* the last reason that was logged; NULL: none was */
	bool compared; /* it has said to which cluster it belongs */
};

struct join {
	struct job job; /* there is one: the lane's while `asking` */
	struct lane *lane;
	struct loop *loop;
	struct loop_timer *timer;
	struct random random;
	struct join_wish wish;
	struct seed *seeds;
	size_t count, next;
	char *id, *body;
	int64_t pause_ms;
	bool asking, ending;
	bool astray; /* join_set_astray() */
	bool looks; /* what is asked is GET /v1/status, else POST /v1/members */
	/* What the lane leaves. */
	struct asked asked;
};

/* --- on the lane --- */

static void on_turn(void *arg, struct jobs *jobs)
{
	struct join *j = arg;
	const char *address = j->seeds[j->next].address;

	(void)jobs; /* the one that there is */
	if (j->looks)
		ask(&j->asked, address, "/v1/status", NULL);
	else
		ask(&j->asked, address, "/v1/members", j->body);
}

/* --- what came back --- */

static json_t *document_of(const struct asked *a)
{
	return json_loadb((const char *)a->body.data, a->body.size, 0, NULL);
}

static uint64_t hex_in(const json_t *object, const char *name)
{
	const char *text = json_string_value(json_object_get(object, name));

	return text == NULL ? 0 : strtoull(text, NULL, 16);
}

/* The caller frees it. */
static char *reason(const struct join *j)
{
	json_t *document = document_of(&j->asked);
	const char *sentence = json_string_value(json_object_get(document, "error"));
	char *text;

	if (j->asked.problem != NULL)
		text = xstrdup(j->asked.problem);
	else if (sentence != NULL)
		text = xstrdup(sentence);
	else
		text = xasprintf("it answers %ld, not as a node of Holdfast does", j->asked.status);
	json_decref(document);
	return text;
}

/* Is it this node that was added, and not another one of its name at the address that it gave? */
static bool names_me(const struct join *j)
{
	json_t *document = document_of(&j->asked), *member;
	bool found = false;
	size_t i;

	json_array_foreach(json_object_get(document, "members"), i, member)
	{
		found = found || hex_in(member, "incarnation") == j->wish.incarnation;
	}
	json_decref(document);
	return found;
}

static bool has_code(const struct join *j, const char *code)
{
	json_t *document = document_of(&j->asked);
	const char *said = json_string_value(json_object_get(document, "code"));
	bool equal = said != NULL && strcmp(said, code) == 0;

	json_decref(document);
	return equal;
}

/* What the answer of a member means: NULL, and this node is being added; else why it is not. The caller frees it. */
static char *judge(const struct join *j, bool *in_use)
{
	*in_use = false;
	if (j->asked.status != 200) {
		*in_use = has_code(j, "id_in_use");
		return reason(j);
	}
	if (names_me(j))
		return NULL;
	*in_use = true;
	return xasprintf(
	    "another node that is called %s answers at the peer address that this one gave: give it an "
	    "id and addresses of its own",
	    j->id);
}

/* The caller frees it, as libc gave it. */
static char *request_body(const struct conf *c)
{
	json_t *document = json_pack(
	    "{s:s, s:s, s:s}", "id", c->node_id, "peer", c->peer_advertise, "http", c->http_advertise);
	char *text;

	if (document != NULL && c->cluster_replace)
		json_object_set_new(document, "replace", json_true());
	text = document == NULL ? NULL : json_dumps(document, JSON_COMPACT);
	json_decref(document);
	if (text == NULL)
		fatalx(EX_CONFIG, "[node] id of a node that joins must be UTF-8");
	return text;
}

static void free_all(struct join *j)
{
	lane_free(j->lane);
	loop_timer_free(j->timer);
	for (size_t i = 0; i < j->count; i++) {
		free(j->seeds[i].address);
		free(j->seeds[i].told);
	}
	free(j->seeds);
	free(j->id);
	free(j->body);
	buf_free(&j->asked.body);
	free(j);
}

static void on_time(void *arg)
{
	struct join *j = arg;

	if (j->ending) {
		free_all(j);
		return;
	}
	if (j->count == 0) {
		j->wish.hooks->alone(j->wish.arg);
		return;
	}
	j->asking = true;
	lane_submit(j->lane, &j->job);
}

static void ask_in(struct join *j, int64_t ms)
{
	loop_timer_set(j->timer, instant_add(loop_now(j->loop), span_ms(ms)));
}

/* Half of a pause is chance, so that nodes started together do not ask together. */
static void rest(struct join *j, int64_t most_ms)
{
	ask_in(j, j->pause_ms / 2 + (int64_t)random_below(&j->random, (uint64_t)j->pause_ms / 2 + 1));
	j->pause_ms = j->pause_ms * 2 < most_ms ? j->pause_ms * 2 : most_ms;
}

/* --- to be added --- */

static void tell(struct seed *s, const char *why)
{
	const char *said = why != NULL ? why : "";

	if (s->told != NULL && strcmp(s->told, said) == 0)
		return;
	if (why == NULL)
		log_info("the cluster of %s adds this node", s->address);
	else
		log_warnx(
		    "%s does not add this node to its cluster, and is asked again: %s", s->address, why);
	free(s->told);
	s->told = xstrdup(said);
}

/* A round without pauses, then a pause. */
static void go_on(struct join *j, bool added)
{
	j->looks = false;
	j->next = (j->next + 1) % j->count;
	if (added)
		j->pause_ms = PAUSE_MOST_MS; /* the leader's word should come before */
	if (added || j->next == 0)
		rest(j, PAUSE_MOST_MS);
	else
		ask_in(j, 0);
}

static void on_word(struct join *j)
{
	bool in_use;
	char *why = judge(j, &in_use);

	tell(&j->seeds[j->next], why);
	if (in_use) {
		j->looks = true; /* who its members are */
		ask_in(j, 0);
	} else {
		go_on(j, why == NULL);
	}
	free(why);
}

static void pass_on_refusal(struct join *j)
{
	json_t *document = document_of(&j->asked), *member;
	struct replica_refusal refusal = { .cluster = hex_in(document, "cluster"),
		.why = j->seeds[j->next].told };
	struct bytes peers[RAFT_MEMBERS_MAX];
	size_t i;

	json_array_foreach(json_object_get(document, "members"), i, member)
	{
		const char *peer = json_string_value(json_object_get(member, "peer"));

		if (peer != NULL && refusal.count < RAFT_MEMBERS_MAX)
			peers[refusal.count++] = bytes_text(peer);
	}
	refusal.peers = peers;
	if (refusal.cluster != 0)
		j->wish.hooks->refused(j->wish.arg, &refusal);
	json_decref(document);
	go_on(j, false);
}

/* --- to found a cluster where there is none, and to compare clusters --- */

static uint64_t cluster_said(const struct join *j)
{
	json_t *document = document_of(&j->asked);
	uint64_t cluster = j->asked.status == 200 ? hex_in(document, "cluster") : 0;

	json_decref(document);
	return cluster;
}

static void on_place_to_found(struct join *j)
{
	if (cluster_said(j) != 0) {
		log_info("%s belongs to a cluster: this node founds none, and joins that",
		    j->seeds[j->next].address);
		j->wish.purpose = JOIN_ADD;
		j->looks = false;
		ask_in(j, 0);
	} else if (++j->next < j->count) {
		ask_in(j, 0);
	} else {
		j->wish.hooks->alone(j->wish.arg);
	}
}

static bool find_uncompared(struct join *j)
{
	for (size_t i = 0; i < j->count; i++) {
		j->next = (j->next + 1) % j->count;
		if (!j->seeds[j->next].compared)
			return true;
	}
	return false;
}

/* What the one that was asked says of itself comes first: what it knows of the others may be as old as what this node does. */
static void pass_on_peers(struct join *j)
{
	json_t *document = document_of(&j->asked), *member;
	struct bytes peers[RAFT_MEMBERS_MAX + 1];
	const char *peer = json_string_value(json_object_get(document, "peer"));
	size_t count = 0, i;

	if (peer != NULL)
		peers[count++] = bytes_text(peer);
	json_array_foreach(json_object_get(document, "members"), i, member)
	{
		peer = json_string_value(json_object_get(member, "peer"));
		if (peer != NULL && count < sizeof(peers) / sizeof(peers[0]))
			peers[count++] = bytes_text(peer);
	}
	j->wish.hooks->told(j->wish.arg, peers, count);
	json_decref(document);
}

static void forget_compared(struct join *j)
{
	for (size_t i = 0; i < j->count; i++)
		j->seeds[i].compared = false;
}

static void on_place_to_compare(struct join *j)
{
	struct seed *s = &j->seeds[j->next];
	uint64_t cluster = cluster_said(j);

	s->compared = cluster != 0;
	if (cluster != 0 && cluster != j->wish.cluster)
		j->wish.hooks->elsewhere(j->wish.arg, s->address, cluster);
	else if (cluster != 0)
		pass_on_peers(j);
	if (j->astray && !find_uncompared(j)) {
		forget_compared(j);
		find_uncompared(j);
		rest(j, PAUSE_MOST_MS);
	} else if (j->astray || find_uncompared(j)) {
		rest(j, j->astray ? PAUSE_MOST_MS : COMPARE_PAUSE_MOST_MS);
	}
}

static void on_done(void *arg, struct job *job)
{
	struct join *j = arg;

	(void)job;
	j->asking = false;
	if (j->ending) {
		ask_in(j, 0); /* a lane is not freed from within */
		return;
	}
	switch (j->wish.purpose) {
	case JOIN_ADD:
		if (j->looks)
			pass_on_refusal(j);
		else
			on_word(j);
		break;
	case JOIN_FOUND:
		on_place_to_found(j);
		break;
	case JOIN_COMPARE:
		on_place_to_compare(j);
		break;
	}
}

/* --- the start and the end --- */

static void take_seeds(struct join *j, const struct conf *c)
{
	struct bytes list = bytes_text(j->wish.addresses), address;

	while (addr_next(&list, &address)) {
		if (bytes_equal(address, bytes_text(c->http_advertise)) ||
		    bytes_equal(address, bytes_text(c->http_listen)))
			continue;
		j->seeds = xreallocarray(j->seeds, j->count + 1, sizeof(*j->seeds));
		j->seeds[j->count++] = (struct seed){ .address = bytes_dup_text(address) };
	}
}

static void check_seeds(const struct join *j)
{
	if (j->count == 0 && j->wish.purpose == JOIN_ADD)
		fatalx(EX_CONFIG,
		    "[cluster] join names this node alone; name members of the cluster, or start its "
		    "first node with --bootstrap, once");
}

struct join *join_start(struct loop *l, const struct conf *c, const struct join_wish *wish)
{
	struct join *j = xcalloc(1, sizeof(*j));

	ask_init();
	j->loop = l;
	j->wish = *wish;
	j->random.state = wish->seed;
	j->pause_ms = PAUSE_LEAST_MS;
	j->looks = wish->purpose != JOIN_ADD;
	j->id = xstrdup(c->node_id);
	j->body = request_body(c);
	take_seeds(j, c);
	check_seeds(j);
	j->wish.addresses = NULL;
	j->timer = loop_timer_new(l, on_time, j);
	j->lane = lane_thread_new(l, "join", (struct lane_work){ on_turn, on_done, j });
	lane_thread_waits_outside(j->lane);
	if (wish->purpose != JOIN_COMPARE)
		log_info("joins a cluster, asking %s", wish->addresses);
	if (j->count > 0 || wish->purpose == JOIN_FOUND)
		ask_in(j, 0);
	return j;
}

void join_set_astray(struct join *j, bool astray)
{
	if (j->astray == astray || j->wish.purpose != JOIN_COMPARE || j->count == 0)
		return;
	j->astray = astray;
	if (!astray)
		return;
	forget_compared(j);
	j->pause_ms = PAUSE_LEAST_MS;
	if (!j->asking)
		ask_in(j, 0);
}

void join_end(struct join *j)
{
	if (j == NULL)
		return;
	j->ending = true;
	if (!j->asking)
		ask_in(j, 0);
}
