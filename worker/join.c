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

#define PAUSE_LEAST_MS 100
#define PAUSE_MOST_MS 5000

/* Somebody to ask. */
struct seed {
	char *address; /* HOST:PORT */
	char *told; /* the last reason that was logged; NULL: none was */
};

struct join {
	struct job job; /* there is one: the lane's while `asking` */
	struct lane *lane;
	struct loop *loop;
	struct loop_timer *timer;
	struct random random;
	struct seed *seeds;
	size_t count, next;
	char *body;
	int64_t pause_ms;
	bool asking, ending;
	/* What the lane leaves. */
	struct asked asked;
};

/* --- on the lane --- */

static void on_turn(void *arg, struct jobs *jobs)
{
	struct join *j = arg;

	(void)jobs; /* the one that there is */
	ask(&j->asked, j->seeds[j->next].address, "/v1/members", j->body);
}

/* --- on the loop --- */

static void free_all(struct join *j)
{
	lane_free(j->lane);
	loop_timer_free(j->timer);
	for (size_t i = 0; i < j->count; i++) {
		free(j->seeds[i].address);
		free(j->seeds[i].told);
	}
	free(j->seeds);
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
	j->asking = true;
	lane_submit(j->lane, &j->job);
}

static void ask_in(struct join *j, int64_t ms)
{
	loop_timer_set(j->timer, instant_add(loop_now(j->loop), span_ms(ms)));
}

/* The sentence that came back, else what is known; the caller frees it. */
static char *reason(const struct join *j)
{
	json_t *document = json_loadb((const char *)j->asked.body.data, j->asked.body.size, 0, NULL);
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

static bool was_accepted(const struct join *j)
{
	return j->asked.status == 200;
}

static void tell(struct join *j, struct seed *s)
{
	bool accepted = was_accepted(j);
	char *why = accepted ? xstrdup("") : reason(j);

	if (s->told != NULL && strcmp(s->told, why) == 0) {
		free(why);
		return;
	}
	if (accepted)
		log_info("the cluster of %s adds this node", s->address);
	else
		log_warnx(
		    "%s does not add this node to its cluster, and is asked again: %s", s->address, why);
	free(s->told);
	s->told = why;
}

/* A round without pauses, then a pause; half of it is chance, so that nodes started together do not ask together. */
static void on_done(void *arg, struct job *job)
{
	struct join *j = arg;

	(void)job;
	j->asking = false;
	if (j->ending) {
		ask_in(j, 0); /* a lane is not freed from within */
		return;
	}
	tell(j, &j->seeds[j->next]);
	j->next = (j->next + 1) % j->count;
	if (was_accepted(j)) {
		j->pause_ms = PAUSE_MOST_MS; /* the leader's word should come before */
	} else if (j->next != 0) {
		ask_in(j, 0);
		return;
	}
	ask_in(j, j->pause_ms / 2 + (int64_t)random_below(&j->random, (uint64_t)j->pause_ms / 2 + 1));
	j->pause_ms = j->pause_ms * 2 < PAUSE_MOST_MS ? j->pause_ms * 2 : PAUSE_MOST_MS;
}

static void take_seeds(struct join *j, const struct conf *c, const char *addresses)
{
	struct bytes list = bytes_text(addresses), address;

	while (addr_next(&list, &address)) {
		if (bytes_equal(address, bytes_text(c->http_advertise)) ||
		    bytes_equal(address, bytes_text(c->http_listen)))
			continue;
		j->seeds = xreallocarray(j->seeds, j->count + 1, sizeof(*j->seeds));
		j->seeds[j->count++] = (struct seed){ bytes_dup_text(address), NULL };
	}
	if (j->count == 0)
		fatalx(EX_CONFIG, "[cluster] join names this node alone; name a member of the cluster");
}

/* The caller frees it, as libc gave it. */
static char *request_body(const struct conf *c)
{
	json_t *document = json_pack(
	    "{s:s, s:s, s:s}", "id", c->node_id, "peer", c->peer_advertise, "http", c->http_advertise);
	char *text = document == NULL ? NULL : json_dumps(document, JSON_COMPACT);

	json_decref(document);
	if (text == NULL)
		fatalx(EX_CONFIG, "[node] id of a node that joins must be UTF-8");
	return text;
}

struct join *join_start(struct loop *l, const struct conf *c, const char *addresses, uint64_t seed)
{
	struct join *j = xcalloc(1, sizeof(*j));

	ask_init();
	j->loop = l;
	j->random.state = seed;
	j->pause_ms = PAUSE_LEAST_MS;
	j->body = request_body(c);
	take_seeds(j, c, addresses);
	j->timer = loop_timer_new(l, on_time, j);
	j->lane = lane_thread_new(l, "join", (struct lane_work){ on_turn, on_done, j });
	log_info("joins a cluster, asking %s", addresses);
	ask_in(j, 0);
	return j;
}

void join_end(struct join *j)
{
	if (j == NULL)
		return;
	j->ending = true;
	if (!j->asking)
		ask_in(j, 0);
}
