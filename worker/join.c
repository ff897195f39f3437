#include <curl/curl.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

#include "common/addr.h"
#include "common/buf.h"
#include "common/lane.h"
#include "common/log.h"
#include "common/random.h"
#include "worker/join.h"

#define CONNECT_MS 2000
/* Longer than the other side waits by default before it says no, shorter than a lane may be at one turn. */
#define ANSWER_MS 8000
#define ANSWER_BYTES_MAX 65536
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
	CURLcode outcome;
	long status;
	struct buf answer;
};

/* --- on the lane --- */

static size_t take_answer(char *data, size_t size, size_t count, void *arg)
{
	struct buf *answer = arg;

	if (size * count > ANSWER_BYTES_MAX - answer->size)
		return 0;
	buf_append(answer, bytes_of(data, size * count));
	return size * count;
}

/* Every option is one that this library knows, or the code is wrong. */
#define SET(handle, option, value) must(curl_easy_setopt(handle, option, value))

static void must(CURLcode e)
{
	if (e != CURLE_OK)
		fatalx(EX_SOFTWARE, "libcurl: %s", curl_easy_strerror(e));
}

static void ask(struct join *j, const char *url)
{
	struct curl_slist *headers = curl_slist_append(NULL, "Content-Type: application/json");
	CURL *handle = curl_easy_init();

	if (handle == NULL || headers == NULL)
		fatalx(EX_OSERR, "libcurl cannot start");
	SET(handle, CURLOPT_URL, url);
	SET(handle, CURLOPT_PROTOCOLS_STR, "http");
	SET(handle, CURLOPT_PROXY, ""); /* whatever the environment says */
	SET(handle, CURLOPT_NOSIGNAL, 1L);
	SET(handle, CURLOPT_CONNECTTIMEOUT_MS, (long)CONNECT_MS);
	SET(handle, CURLOPT_TIMEOUT_MS, (long)ANSWER_MS);
	SET(handle, CURLOPT_HTTPHEADER, headers);
	SET(handle, CURLOPT_POSTFIELDS, j->body);
	SET(handle, CURLOPT_WRITEFUNCTION, take_answer);
	SET(handle, CURLOPT_WRITEDATA, &j->answer);
	j->outcome = curl_easy_perform(handle);
	j->status = 0;
	curl_easy_getinfo(handle, CURLINFO_RESPONSE_CODE, &j->status);
	curl_easy_cleanup(handle);
	curl_slist_free_all(headers);
}

static void on_turn(void *arg, struct jobs *jobs)
{
	struct join *j = arg;
	char *url = xasprintf("http://%s/v1/members", j->seeds[j->next].address);

	(void)jobs; /* the one that there is */
	buf_clear(&j->answer);
	ask(j, url);
	free(url);
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
	buf_free(&j->answer);
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
	json_t *document = json_loadb((const char *)j->answer.data, j->answer.size, 0, NULL);
	const char *sentence = json_string_value(json_object_get(document, "error"));
	char *text;

	if (j->outcome != CURLE_OK)
		text = xstrdup(curl_easy_strerror(j->outcome));
	else if (sentence != NULL)
		text = xstrdup(sentence);
	else
		text = xasprintf("it answers %ld, not as a node of Holdfast does", j->status);
	json_decref(document);
	return text;
}

static bool was_accepted(const struct join *j)
{
	return j->outcome == CURLE_OK && j->status == 200;
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

static void take_seeds(struct join *j, const struct conf *c)
{
	struct bytes list = bytes_text(c->cluster_join), address;

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

struct join *join_start(struct loop *l, const struct conf *c, uint64_t seed)
{
	struct join *j = xcalloc(1, sizeof(*j));

	must(curl_global_init(CURL_GLOBAL_NOTHING));
	j->loop = l;
	j->random.state = seed;
	j->pause_ms = PAUSE_LEAST_MS;
	j->body = request_body(c);
	take_seeds(j, c);
	j->timer = loop_timer_new(l, on_time, j);
	j->lane = lane_thread_new(l, "join", (struct lane_work){ on_turn, on_done, j });
	log_info("joins a cluster, asking %s", c->cluster_join);
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
