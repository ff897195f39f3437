#include <inttypes.h>

#include "worker/http/plain.h"
#include "worker/http/text.h"

/*
 * The dialect of m2 (API 2): /set, /get and /del by query or form, /raft/join, /raft/leave and /raft/status. No route asks
 * for the method, and any node serves any request.
 */

/* --- keys --- */

static enum err parse_set(const struct request *q, struct bytes rest, struct operation *op)
{
	(void)rest;
	plain_form(q, "key", &op->key);
	plain_form(q, "val", &op->after);
	if (op->key.size == 0 || op->after.size == 0)
		return operation_refuse(op, ERR_BAD_REQUEST, "error key or val is empty");
	return plain_parse_put(op, buf_bytes(&op->after));
}

static enum err take_key(const struct request *q, struct operation *op)
{
	plain_form(q, "key", &op->key);
	if (op->key.size == 0)
		return operation_refuse(op, ERR_BAD_REQUEST, "error key is empty");
	return ERR_OK;
}

static enum err parse_get(const struct request *q, struct bytes rest, struct operation *op)
{
	enum err e = take_key(q, op);

	(void)rest;
	return e != ERR_OK ? e : plain_parse_get(op, true);
}

static enum err parse_delete(const struct request *q, struct bytes rest, struct operation *op)
{
	enum err e = take_key(q, op);

	(void)rest;
	return e != ERR_OK ? e : plain_parse_delete(op, true);
}

static void render_ok(const struct answer *a, struct response *out)
{
	(void)a;
	plain_text(out, 200, "ok");
}

static void render_get(const struct answer *a, struct response *out)
{
	struct bytes value;

	if (plain_found(a, plain_error, out, &value))
		plain_render_value(value, out);
	else if (out->status == 0)
		plain_text(out, 404, "Key not found\n");
}

/* --- members --- */

/* What its answers begin with when something is wrong; without an end of line, as theirs. */
static void member_error(const struct answer *a, const char *not_leader, struct response *out)
{
	plain_error_headers(a, out);
	if (a->error == ERR_NOT_LEADER || a->error == ERR_NO_LEADER) {
		buf_clear(&out->own);
		buf_append_text(&out->own, not_leader);
	}
	plain_text(out, err_http(a->error), "");
}

static void join_error(const struct answer *a, struct response *out)
{
	buf_append_text(&out->own, "error:add voter");
	if (a->error != ERR_BAD_REQUEST || a->text.size > 0) {
		buf_append_text(&out->own, ": ");
		plain_put_reason(a, &out->own);
	}
	member_error(a, "error:not leader", out);
}

static void leave_error(const struct answer *a, struct response *out)
{
	buf_append_text(&out->own, "error:remove node ");
	buf_append(&out->own, blob_bytes(a->note->list));
	buf_append_text(&out->own, ": ");
	plain_put_reason(a, &out->own);
	member_error(a, "error:not the leader", out);
}

static enum err parse_join(const struct request *q, struct bytes rest, struct operation *op)
{
	(void)rest;
	plain_form(q, "nodeid", &op->key);
	plain_form(q, "addr", &op->after);
	if (op->key.size == 0 || op->after.size == 0)
		return ERR_BAD_REQUEST;
	return operation_add_member(
	    op, buf_bytes(&op->key), buf_bytes(&op->after), (struct bytes){ 0 }, ADD_PLAINLY);
}

static enum err parse_leave(const struct request *q, struct bytes rest, struct operation *op)
{
	(void)rest;
	plain_form(q, "nodeid", &op->key);
	op->note.list = blob_new(buf_bytes(&op->key));
	if (op->key.size == 0)
		return operation_refuse(op, ERR_NOT_FOUND, "the cluster has no member of this id");
	return operation_remove_member(op, buf_bytes(&op->key));
}

static void render_removed(const struct answer *a, struct response *out)
{
	(void)a;
	plain_text(out, 200, "removed successfully");
}

/* --- the status --- */

static enum err parse_status(const struct request *q, struct bytes rest, struct operation *op)
{
	(void)q;
	(void)rest;
	op->kind = REQUEST_STATUS;
	return ERR_OK;
}

static const char *state_of(const struct status_node *n)
{
	if (n->foreign.size > 0)
		return "Shutdown";
	switch ((enum node_role)n->role) {
	case ROLE_LEADER:
		return "Leader";
	case ROLE_CANDIDATE:
		return "Candidate";
	case ROLE_UNFORMED:
	case ROLE_FOLLOWER:
	case ROLE_LEARNER:
		break;
	}
	return "Follower";
}

/* As Go prints it: 35ms, 1.5s, 2m0.25s, 1h0m0s. */
static void put_duration(struct buf *to, uint64_t ms)
{
	uint64_t part = ms % 1000;

	if (ms == 0 || ms >= 1000) {
		if (ms >= 3600000)
			buf_printf(to, "%" PRIu64 "h", ms / 3600000);
		if (ms >= 60000)
			buf_printf(to, "%" PRIu64 "m", ms / 60000 % 60);
		buf_printf(to, "%" PRIu64, ms / 1000 % 60);
		if (part > 0)
			buf_printf(to, ".%03" PRIu64, part);
		while (part > 0 && to->data[to->size - 1] == '0')
			to->size--;
		buf_append_text(to, "s");
	} else
		buf_printf(to, "%" PRIu64 "ms", ms);
}

static void put_contact(struct buf *to, const struct status_node *n)
{
	if (n->role == ROLE_LEADER)
		buf_append_text(to, "0");
	else if (n->role == ROLE_UNFORMED || n->leader_age_ms == UINT64_MAX)
		buf_append_text(to, "never");
	else
		put_duration(to, n->leader_age_ms);
}

/* Returns how many voters there are besides this node. */
static uint64_t put_members(struct buf *to, const struct status_node *n)
{
	struct reader r = reader_of(n->members);
	struct status_member m;
	uint64_t peers = 0;

	buf_append_text(to, "[");
	while (r.left > 0 && status_member_get(&r, &m)) {
		buf_printf(
		    to, "%s{Suffrage:%s ID:", to->size > 1 ? " " : "", m.voter != 0 ? "Voter" : "Nonvoter");
		buf_append(to, m.id);
		buf_append_text(to, " Address:");
		buf_append(to, m.peer);
		buf_append_text(to, "}");
		peers += m.voter != 0 && m.incarnation != n->incarnation;
	}
	buf_append_text(to, "]");
	return peers;
}

static void set_text(json_t *document, const char *name, struct bytes text)
{
	json_t *made = json_stringn((const char *)text.data, text.size);

	/* Bytes that are no text are not shown. */
	json_object_set_new(document, name, made != NULL ? made : json_string(""));
}

static void set_number(json_t *document, const char *name, uint64_t number)
{
	struct buf text = { 0 };

	text_put_number(&text, number);
	set_text(document, name, buf_bytes(&text));
	buf_free(&text);
}

static void set_log(json_t *document, const struct status_node *n)
{
	set_number(document, "applied_index", n->applied);
	set_number(document, "commit_index", n->commit);
	set_number(document, "fsm_pending", n->commit > n->applied ? n->commit - n->applied : 0);
	set_number(document, "last_log_index", n->last);
	set_number(document, "last_log_term", n->last_term);
	set_number(document, "last_snapshot_index", n->first > 0 ? n->first - 1 : 0);
	set_number(document, "last_snapshot_term", n->base_term);
	set_number(document, "term", n->term);
}

static void set_cluster(json_t *document, const struct status_node *n)
{
	struct buf members = { 0 }, contact = { 0 };

	put_contact(&contact, n);
	set_text(document, "last_contact", buf_bytes(&contact));
	set_number(document, "num_peers", put_members(&members, n));
	set_text(document, "latest_configuration", buf_bytes(&members));
	set_number(document, "latest_configuration_index", n->config);
	set_text(document, "state", bytes_text(state_of(n)));
	buf_free(&members);
	buf_free(&contact);
}

/* The versions of hashicorp/raft that m2 speaks: its users' tools find what they know. */
static void set_versions(json_t *document)
{
	set_text(document, "protocol_version", bytes_text("3"));
	set_text(document, "protocol_version_max", bytes_text("3"));
	set_text(document, "protocol_version_min", bytes_text("0"));
	set_text(document, "snapshot_version_max", bytes_text("1"));
	set_text(document, "snapshot_version_min", bytes_text("0"));
}

static void render_status(const struct answer *a, struct response *out)
{
	json_t *document = json_object();
	char *text;

	set_log(document, &a->status);
	set_cluster(document, &a->status);
	set_versions(document);
	text = json_dumps(document, JSON_INDENT(4) | JSON_SORT_KEYS);
	out->status = 200;
	response_header(out, "Content-Type", PLAIN_JSON);
	buf_append_text(&out->own, text);
	response_own_body(out);
	free(text);
	json_decref(document);
}

static const struct route routes[] = {
	{ METHOD_ANY, "/set", "Put a value: key=K&val=V in the query or as a form.", ROUTE_WRITE | ROUTE_BODY,
	    0, 0, parse_set, render_ok, NULL, DIALECT_M2 },
	{ METHOD_ANY, "/get", "Get the value of a key: key=K.", ROUTE_BODY, 0, 0, parse_get, render_get, NULL,
	    DIALECT_M2 },
	{ METHOD_ANY, "/del", "Delete a key: key=K.", ROUTE_WRITE | ROUTE_BODY, 0, 0, parse_delete, render_ok,
	    NULL, DIALECT_M2 },
	{ METHOD_ANY, "/raft/join", "Add a member: nodeid=N&addr=HOST:PORT.", ROUTE_WRITE | ROUTE_BODY, 0, 0,
	    parse_join, render_ok, join_error, DIALECT_M2 },
	{ METHOD_ANY, "/raft/leave", "Remove a member: nodeid=N.", ROUTE_WRITE | ROUTE_BODY, 0, 0,
	    parse_leave, render_removed, leave_error, DIALECT_M2 },
	{ METHOD_ANY, "/raft/status", "Show the state of this node's Raft.", ROUTE_BODY, 0, 0, parse_status,
	    render_status, NULL, DIALECT_M2 },
	{ .pattern = NULL },
};

const struct dialect m2 = {
	.name = "m2", .routes = routes, .error = plain_error, .open = true, .follows = true
};
