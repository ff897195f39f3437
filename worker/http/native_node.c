#include <jansson.h>
#include <string.h>

#include "common/metric_text.h"
#include "worker/http/json_body.h"
#include "worker/http/meter.h"
#include "worker/http/native.h"
#include "worker/http/text.h"

enum err native_parse_status(const struct request *q, struct bytes rest, struct operation *op)
{
	(void)q;
	(void)rest;
	op->kind = REQUEST_STATUS;
	return ERR_OK;
}

enum err native_parse_probe(const struct request *q, struct bytes rest, struct operation *op)
{
	enum err e = native_parse_status(q, rest, op);

	op->kind = REQUEST_PROBE;
	return e;
}

enum err native_parse_local(const struct request *q, struct bytes rest, struct operation *op)
{
	(void)q;
	(void)rest;
	(void)op;
	return ERR_OK;
}

static json_t *text_json(struct bytes text)
{
	json_t *made = json_stringn(text.size > 0 ? (const char *)text.data : "", text.size);

	return made != NULL ? made : json_null();
}

static json_t *number_json(uint64_t number)
{
	return number != UINT64_MAX ? json_integer((json_int_t)number) : json_null();
}

/* Identities are 64 bits: more than a number of JavaScript holds. */
static json_t *hex_json(uint64_t high, const uint64_t *low)
{
	struct buf text = { 0 };
	json_t *made;

	text_put_hex64(&text, high);
	if (low != NULL)
		text_put_hex64(&text, *low);
	made = json_stringn((const char *)text.data, text.size);
	buf_free(&text);
	return made;
}

/* How many entries of the leader's log it is not known to have. */
static uint64_t lag_of(const struct status_member *m, const struct status_node *n)
{
	return m->match < n->last ? n->last - m->match : 0;
}

/* Why this node cannot say it. */
static const char *lag_why(const struct status_node *n)
{
	return n->leader != 0 ? "only the leader knows it; ask its /v1/status"
			      : "no leader is known, and only a leader would know it";
}

static json_t *member_json(const struct status_member *m, const struct status_node *n)
{
	bool leads = n->role == ROLE_LEADER;
	json_t *object = json_object();

	json_object_set_new(object, "id", text_json(m->id));
	json_object_set_new(object, "incarnation", hex_json(m->incarnation, NULL));
	json_object_set_new(object, "peer", text_json(m->peer));
	json_object_set_new(object, "http", text_json(m->http));
	json_object_set_new(object, "role", json_string(m->voter != 0 ? "voter" : "learner"));
	json_object_set_new(object, "leader", json_boolean(m->incarnation == n->leader));
	json_object_set_new(object, "connected", json_boolean(m->connected != 0));
	json_object_set_new(object, "match", number_json(leads ? m->match : UINT64_MAX));
	json_object_set_new(object, "lag", number_json(leads ? lag_of(m, n) : UINT64_MAX));
	if (!leads)
		json_object_set_new(object, "lag_why", json_string(lag_why(n)));
	json_object_set_new(object, "contact_ms", number_json(leads ? m->contact_ms : UINT64_MAX));
	json_object_set_new(object, "feature_level_most", number_json(m->level_most));
	json_object_set_new(object, "version", m->build.size > 0 ? text_json(m->build) : json_null());
	return object;
}

static json_t *members_json(const struct status_node *n)
{
	struct reader r = reader_of(n->members);
	json_t *array = json_array();
	struct status_member m;

	while (r.left > 0 && status_member_get(&r, &m))
		json_array_append_new(array, member_json(&m, n));
	return array;
}

static json_t *leader_json(const struct status_node *n)
{
	struct reader r = reader_of(n->members);
	struct status_member m;

	while (n->leader != 0 && r.left > 0 && status_member_get(&r, &m))
		if (m.incarnation == n->leader)
			return json_pack("{s:o, s:o, s:o}", "id", text_json(m.id), "peer", text_json(m.peer),
			    "http", text_json(m.http));
	return json_null();
}

/* For people too: indented, and with an end of line. Takes over the document. */
static void finish(json_t *document, const struct answer *a, struct response *out)
{
	char *text = json_dumps(document, JSON_INDENT(2));

	buf_append_text(&out->own, text);
	buf_append_text(&out->own, "\n");
	free(text);
	json_decref(document);
	native_finish_json(a, 200, out);
}

static void add_place(json_t *document, const struct status_node *n)
{
	json_object_set_new(document, "node", text_json(n->id));
	json_object_set_new(document, "peer", text_json(n->peer));
	json_object_set_new(document, "http", text_json(n->http));
	json_object_set_new(document, "incarnation", hex_json(n->incarnation, NULL));
	json_object_set_new(document, "cluster", n->cluster != 0 ? hex_json(n->cluster, NULL) : json_null());
	json_object_set_new(document, "starts", number_json(n->start));
	json_object_set_new(document, "role", json_string(node_role_name((enum node_role)n->role)));
	json_object_set_new(document, "term", number_json(n->term));
	json_object_set_new(document, "leader", leader_json(n));
	json_object_set_new(document, "leader_age_ms", number_json(n->leader_age_ms));
	json_object_set_new(document, "confirmed", json_boolean(n->confirmed != 0));
	json_object_set_new(document, "caught_up", json_boolean(n->caught_up != 0));
	json_object_set_new(document, "problem", n->foreign.size > 0 ? text_json(n->foreign) : json_null());
}

/* Cuts the first sentence off; false when there is none. */
static bool next_warning(struct bytes *left, struct bytes *sentence)
{
	const uint8_t *end = left->size == 0 ? NULL : memchr(left->data, '\n', left->size);
	size_t size;

	if (end == NULL)
		return false;
	size = (size_t)(end - left->data);
	*sentence = bytes_of(left->data, size);
	*left = bytes_of(end + 1, left->size - size - 1);
	return true;
}

static json_t *warnings_json(const struct status_node *n)
{
	struct bytes left = n->warnings, sentence;
	json_t *array = json_array();

	while (next_warning(&left, &sentence))
		json_array_append_new(array, text_json(sentence));
	return array;
}

static json_t *agreed_json(const struct status_node *n)
{
	if (n->agreed == 0)
		return json_null();
	return json_pack("{s:o, s:o}", "revision", number_json(n->agreed), "hash",
	    hex_json(n->agreed_high, &n->agreed_low));
}

void native_render_status(const struct answer *a, struct response *out)
{
	const struct status_node *n = &a->status;
	json_t *document = json_object();

	add_place(document, n);
	json_object_set_new(document, "warnings", warnings_json(n));
	json_object_set_new(document, "commit", number_json(n->commit));
	json_object_set_new(document, "applied", number_json(n->applied));
	json_object_set_new(
	    document, "lag", number_json(n->commit > n->applied ? n->commit - n->applied : 0));
	json_object_set_new(document, "hash", hex_json(n->hash_high, &n->hash_low));
	json_object_set_new(document, "agreed", agreed_json(n));
	json_object_set_new(document, "disputed", n->disputed != 0 ? number_json(n->disputed) : json_null());
	json_object_set_new(
	    document, "quarantined", n->distrusted.size > 0 ? text_json(n->distrusted) : json_null());
	json_object_set_new(document, "first", number_json(n->first));
	json_object_set_new(document, "last", number_json(n->last));
	json_object_set_new(document, "log_bytes", number_json(n->log_bytes));
	json_object_set_new(document, "requests", number_json(n->requests));
	json_object_set_new(document, "full", json_boolean(n->full != 0));
	json_object_set_new(document, "free_bytes", number_json(n->free_bytes));
	json_object_set_new(document, "free_mark", number_json(n->free_mark));
	json_object_set_new(document, "ballast_bytes", number_json(n->ballast));
	json_object_set_new(document, "ballast_whole", number_json(n->ballast_whole));
	json_object_set_new(document, "feature_level", number_json(n->level));
	json_object_set_new(document, "feature_level_most", number_json(n->level_most));
	json_object_set_new(document, "members", members_json(n));
	json_object_set_new(document, "uptime_ms", number_json(a->about->uptime_ms));
	json_object_set_new(document, "version", json_string(a->about->version));
	finish(document, a, out);
}

void native_render_members(const struct answer *a, struct response *out)
{
	json_t *document = json_object();

	json_object_set_new(document, "revision", number_json(a->revision));
	json_object_set_new(document, "members", members_json(&a->status));
	finish(document, a, out);
}

static enum err take_target(json_t *document, struct operation *op)
{
	json_t *id = json_object_get(document, "id");

	if (!json_is_object(document) || json_object_size(document) != (id != NULL ? 1 : 0))
		return operation_refuse(op, ERR_BAD_REQUEST, "the body is {\"id\":\"N\"}, {} or empty");
	if (id != NULL && (!json_is_string(id) || json_string_length(id) == 0))
		return operation_refuse(op, ERR_BAD_REQUEST, "id is the name of a member");
	if (id != NULL)
		buf_append(&op->txn, bytes_of(json_string_value(id), json_string_length(id)));
	return ERR_OK;
}

enum err native_parse_transfer(const struct request *q, struct bytes rest, struct operation *op)
{
	json_t *document;
	enum err e;

	(void)rest;
	op->kind = REQUEST_TRANSFER;
	if (q->body.size == 0)
		return ERR_OK;
	if ((document = json_body(q->body, 0, op)) == NULL)
		return ERR_BAD_REQUEST;
	e = take_target(document, op);
	json_decref(document);
	return e;
}

void native_render_transfer(const struct answer *a, struct response *out)
{
	json_t *document = json_object();

	json_object_set_new(document, "leader", leader_json(&a->status));
	json_object_set_new(document, "term", number_json(a->status.term));
	finish(document, a, out);
}

static void finish_text(const struct answer *a, int status, struct response *out)
{
	out->status = status;
	native_headers(a, out);
	response_header(out, "Content-Type", "text/plain; charset=utf-8");
	if (status == 503)
		response_header(out, "Retry-After", "1");
	response_own_body(out);
}

void native_render_livez(const struct answer *a, struct response *out)
{
	buf_append_text(&out->own, "live\n");
	finish_text(a, 200, out);
}

void native_render_metrics(const struct answer *a, struct response *out)
{
	out->status = 200;
	native_headers(a, out);
	response_header(out, "Content-Type", METRIC_TEXT_TYPE);
	meter_put_text(a->about->meter, &out->own);
	response_own_body(out);
}

struct check {
	const char *name, *good, *bad;
	bool (*holds)(const struct status_node *n);
	struct bytes (*says)(
	    const struct status_node *n); /* what is bad, where that is not always the same */
};

static bool has_place(const struct status_node *n)
{
	return n->foreign.size == 0;
}

static struct bytes say_place(const struct status_node *n)
{
	return n->foreign;
}

static bool serves_reads(const struct status_node *n)
{
	return n->served != 0;
}

/* Why reads are not served, if they are not. While they are, a change of leaders or a batch that is not applied yet counts
 * for nothing: it would take every node out of a load balancer. */
static bool knows_leader(const struct status_node *n)
{
	return n->leader != 0 || serves_reads(n);
}

static bool is_caught_up(const struct status_node *n)
{
	return n->caught_up != 0 || serves_reads(n);
}

static bool does_count(const struct status_node *n)
{
	return n->counts != 0;
}

static bool has_room(const struct status_node *n)
{
	return n->full == 0;
}

static bool is_trusted(const struct status_node *n)
{
	return n->distrusted.size == 0;
}

static bool is_agreed_upon(const struct status_node *n)
{
	return n->disputed == 0;
}

/* What explains others comes before them. */
static const struct check checks[] = {
	{ "place", "this node has its place in the cluster", "", has_place, say_place },
	{ "trust", "its state is trusted",
	    "this node is quarantined: its state is not trusted and waits to be replaced", is_trusted, NULL },
	{ "agreement", "no majority is missing for what the state is",
	    "the states of the voters differ, and no majority of them has the same: no writes are taken",
	    is_agreed_upon, NULL },
	{ "leader", "a leader is known, or was moments ago", "no leader is known", knows_leader, NULL },
	{ "member", "this node counts in its cluster",
	    "this node does not count in its cluster yet: it joins, or learns what it lacks", does_count,
	    NULL },
	{ "state", "what was committed is applied, or was moments ago",
	    "it has not yet applied what was committed", is_caught_up, NULL },
	{ "reads", "a linearizable read is served", "no read could be confirmed for two election timeouts",
	    serves_reads, NULL },
	{ "room", "there is room on the filesystem", "the filesystem is full: no writes are taken", has_room,
	    NULL },
};

/* None of them makes the node less ready. */
static void put_warnings(struct buf *out, const struct status_node *n)
{
	struct bytes left = n->warnings, sentence;

	while (next_warning(&left, &sentence))
		buf_printf(out, "warn cluster: %.*s\n", (int)sentence.size, (const char *)sentence.data);
}

static struct bytes say_bad(const struct check *c, const struct status_node *n)
{
	return c->says != NULL ? c->says(n) : bytes_text(c->bad);
}

/* The first that fails explains the others. NULL: none does. */
static const struct check *first_failure(const struct status_node *n)
{
	for (size_t i = 0; i < sizeof(checks) / sizeof(checks[0]); i++)
		if (!checks[i].holds(n))
			return &checks[i];
	return NULL;
}

static void put_checks(const struct status_node *n, struct buf *to)
{
	for (size_t i = 0; i < sizeof(checks) / sizeof(checks[0]); i++) {
		const struct check *c = &checks[i];
		bool holds = c->holds(n);
		struct bytes text = holds ? bytes_text(c->good) : say_bad(c, n);

		buf_printf(to, "%s %s: %.*s\n", holds ? "ok  " : "FAIL", c->name, (int)text.size,
		    (const char *)text.data);
	}
	put_warnings(to, n);
}

void native_render_readyz(const struct answer *a, struct response *out)
{
	const struct check *failed = first_failure(&a->status);
	struct bytes why = failed != NULL ? say_bad(failed, &a->status) : bytes_text("");

	if (a->note->verbose)
		put_checks(&a->status, &out->own);
	else if (failed != NULL)
		buf_printf(&out->own, "not ready: %.*s\n", (int)why.size, (const char *)why.data);
	if (failed == NULL)
		buf_append_text(&out->own, "ready\n");
	finish_text(a, failed == NULL ? 200 : 503, out);
}

/* As etcd does: the word is a string. */
static void put_health(bool healthy, struct bytes reason, struct buf *to)
{
	buf_printf(to, "{\"health\":\"%s\"", healthy ? "true" : "false");
	if (!healthy) {
		buf_append_text(to, ",\"reason\":");
		if (!text_put_json(to, reason))
			buf_append_text(to, "\"\"");
	}
	buf_append_text(to, "}");
}

void native_render_health(const struct answer *a, struct response *out)
{
	const struct check *failed = first_failure(&a->status);

	put_health(failed == NULL, failed != NULL ? say_bad(failed, &a->status) : bytes_text(""), &out->own);
	if (failed != NULL)
		response_header(out, "Retry-After", "1");
	native_finish_json(a, failed == NULL ? 200 : 503, out);
}

/* A node that gives no answer about itself in time, say, is not healthy; a request that is wrong says nothing about it. */
void native_health_error(const struct answer *a, struct response *out)
{
	struct bytes reason = bytes_text(err_text(a->error));

	if (err_http(a->error) < 500) {
		native_error(a, out);
		return;
	}
	if (a->text.size > 0)
		reason = a->text;
	else if (a->error == ERR_TIMEOUT)
		reason = bytes_text("this node said nothing about itself in time");
	put_health(false, reason, &out->own);
	response_header(out, "Retry-After", "1");
	native_finish_json(a, 503, out);
}

void native_render_leader(const struct answer *a, struct response *out)
{
	const struct status_node *n = &a->status;
	bool leads = n->role == ROLE_LEADER && n->confirmed != 0;

	buf_append_text(&out->own,
	    n->accepts != 0 ? "leader\n"
	    : leads ? "this leader takes no writes now: it hands over, or lacks room; see /readyz?verbose\n"
		    : "not the leader\n");
	finish_text(a, n->accepts != 0 ? 200 : 503, out);
}
