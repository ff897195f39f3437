#include <inttypes.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/addr.h"
#include "common/wire.h"
#include "worker/ask.h"
#include "worker/others.h"
#include "worker/raft/config.h"

#define ADDRESSES_MAX 64
#define PAUSE_MS 500

struct other {
	char *address;
	json_t *said; /* of the last round; NULL: nothing */
	char *problem;
};

struct others {
	bool out; /* of the cluster: asking again changes nothing */
	const struct others_question *q;
	struct other list[ADDRESSES_MAX];
	size_t count;
};

/* --- whom to ask --- */

static void add(struct others *o, struct bytes address)
{
	struct bytes scheme = bytes_text("http://");

	if (bytes_begins(address, scheme))
		address = bytes_of(address.data + scheme.size, address.size - scheme.size);
	if (address.size == 0 || o->count == ADDRESSES_MAX || bytes_equal(address, bytes_text(o->q->http)))
		return;
	for (size_t i = 0; i < o->count; i++)
		if (bytes_equal(address, bytes_text(o->list[i].address)))
			return;
	o->list[o->count++] = (struct other){ .address = bytes_dup_text(address) };
}

static void add_known(struct others *o)
{
	struct raft_members all = raft_members_of(o->q->members);
	struct bytes more = bytes_text(o->q->more), address;
	struct raft_member m;

	while (raft_members_next(&all, &m))
		if ((m.roles & RAFT_GONE) == 0 && !bytes_equal(m.id, bytes_text(o->q->id)))
			add(o, m.http);
	while (addr_next(&more, &address))
		add(o, address);
}

static const char *text_in(const json_t *object, const char *name)
{
	const char *text = json_string_value(json_object_get(object, name));

	return text == NULL ? "" : text;
}

static bool is_text(const json_t *object, const char *name, const char *wanted)
{
	return strcmp(text_in(object, name), wanted) == 0;
}

static bool is_hex(const json_t *object, const char *name, uint64_t wanted)
{
	char hex[17];

	snprintf(hex, sizeof(hex), "%016" PRIx64, wanted);
	return is_text(object, name, hex);
}

/* --- a round --- */

static void ask_one(struct others *o, size_t i, struct asked *asked)
{
	struct other *x = &o->list[i];
	size_t n;
	json_t *m;

	ask(asked, x->address, "/v1/status?timeout=1s", NULL);
	json_decref(x->said);
	x->said = asked->status != 200
		      ? NULL
		      : json_loadb((const char *)asked->body.data, asked->body.size, 0, NULL);
	free(x->problem);
	x->problem = x->said != NULL ? NULL
		     : asked->problem != NULL
			 ? xstrdup(asked->problem)
			 : xasprintf("it answers %ld, not as a node of Holdfast does", asked->status);
	json_array_foreach(json_object_get(x->said, "members"), n, m) add(o, bytes_text(text_in(m, "http")));
}

static void ask_all(struct others *o)
{
	struct asked asked = { 0 };

	for (size_t i = 0; i < o->count; i++)
		ask_one(o, i, &asked);
	buf_free(&asked.body);
}

/* --- what comes of it --- */

static bool is_of_cluster(const struct others *o, const json_t *said)
{
	return said != NULL && (o->q->cluster == 0 || is_hex(said, "cluster", o->q->cluster));
}

static const json_t *find_leader(const struct others *o)
{
	for (size_t i = 0; i < o->count; i++)
		if (is_of_cluster(o, o->list[i].said) && is_text(o->list[i].said, "role", "leader") &&
		    json_is_true(json_object_get(o->list[i].said, "confirmed")))
			return o->list[i].said;
	return NULL;
}

/* It speaks for itself, belongs to the leader's cluster, and can be relied on. */
static bool is_there(const struct others *o, const json_t *leader, const char *incarnation)
{
	for (size_t i = 0; i < o->count; i++) {
		const json_t *said = o->list[i].said;

		if (said != NULL && is_text(said, "incarnation", incarnation) &&
		    is_text(said, "cluster", text_in(leader, "cluster")) &&
		    json_is_object(json_object_get(said, "leader")) &&
		    json_is_null(json_object_get(said, "quarantined")))
			return true;
	}
	return false;
}

static char *count_voters(struct others *o, const json_t *leader)
{
	const json_t *members = json_object_get(leader, "members"), *m;
	size_t n, voters = 0, there = 0;
	bool member = false;

	json_array_foreach(members, n, m)
	{
		bool me = is_text(m, "id", o->q->id);

		o->out = me && o->q->incarnation != 0 && !is_hex(m, "incarnation", o->q->incarnation);
		if (o->out)
			return xstrdup("another incarnation of it is a member in its place");
		member |= me;
		voters += is_text(m, "role", "voter");
		there += is_text(m, "role", "voter") && !me && is_there(o, leader, text_in(m, "incarnation"));
	}
	o->out = !member;
	if (o->out)
		return xasprintf("it is no member of the cluster %s any more", text_in(leader, "cluster"));
	if (there < voters / 2 + 1)
		return xasprintf("of %zu voters %zu are there without it, and it takes %zu", voters, there,
		    voters / 2 + 1);
	return NULL;
}

/* NULL: they can. */
static char *judge(struct others *o)
{
	const json_t *leader = find_leader(o);
	struct buf b = { 0 };
	char *text;

	if (leader != NULL)
		return count_voters(o, leader);
	if (o->count == 0)
		return xstrdup("it knows nobody to ask");
	buf_append_text(&b, "nobody leads");
	for (size_t i = 0; i < o->count; i++)
		buf_printf(&b, "%s %s: %s", i == 0 ? ";" : ",", o->list[i].address,
		    o->list[i].problem != NULL ? o->list[i].problem : text_in(o->list[i].said, "role"));
	text = xstrdup(buf_text(&b));
	buf_free(&b);
	return text;
}

static char *list_members(const struct others *o)
{
	const json_t *members = json_object_get(find_leader(o), "members"), *m;
	struct others found = { .q = o->q };
	struct buf b = { 0 };
	char *text;
	size_t n;

	json_array_foreach(members, n, m) if (!is_text(m, "id", o->q->id))
	    add(&found, bytes_text(text_in(m, "http")));
	for (size_t i = 0; i < found.count; i++) {
		buf_printf(&b, "%s%s", i > 0 ? ", " : "", found.list[i].address);
		free(found.list[i].address);
	}
	text = xstrdup(buf_text(&b));
	buf_free(&b);
	return text;
}

static void free_others(struct others *o)
{
	for (size_t i = 0; i < o->count; i++) {
		free(o->list[i].address);
		free(o->list[i].problem);
		json_decref(o->list[i].said);
	}
	free(o);
}

bool others_can_spare(const struct others_question *q, struct span patience, char **join, char **why)
{
	const struct timespec pause = { .tv_nsec = PAUSE_MS * 1000000L };
	struct instant until = instant_add(clock_now(), patience);
	struct others *o = xcalloc(1, sizeof(*o));

	ask_init();
	o->q = q;
	add_known(o);
	for (;;) {
		ask_all(o);
		*why = judge(o);
		if (*why == NULL || o->out || o->count == 0 || instant_passed(until, clock_now()))
			break;
		free(*why);
		nanosleep(&pause, NULL);
	}
	*join = *why == NULL ? list_members(o) : NULL;
	free_others(o);
	return *join != NULL;
}
