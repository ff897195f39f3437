#include "worker/http/operation.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>

#include "common/addr.h"
#include "common/member.h"
#include "worker/http/text.h"

#define ID_BYTES_MAX 255
#define ADDRESS_BYTES_MAX 300

void note_fini(struct note *n)
{
	blob_unref(n->list);
	blob_unref(n->target);
	*n = (struct note){ 0 };
}

void operation_clear(struct operation *op)
{
	struct operation kept = { .limits = op->limits,
		.on_follower = op->on_follower,
		.txn = op->txn,
		.key = op->key,
		.after = op->after,
		.why = op->why };

	note_fini(&op->note);
	*op = kept;
	buf_clear(&op->txn);
	buf_clear(&op->key);
	buf_clear(&op->after);
	buf_clear(&op->why);
}

void operation_free(struct operation *op)
{
	operation_clear(op);
	buf_free(&op->txn);
	buf_free(&op->key);
	buf_free(&op->after);
	buf_free(&op->why);
}

enum err operation_refuse(struct operation *op, enum err e, const char *format, ...)
{
	char text[512];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	buf_clear(&op->why);
	buf_append_text(&op->why, text);
	return e;
}

enum err operation_check_key(struct operation *op, struct bytes key, bool in_path)
{
	if (key.size == 0)
		return operation_refuse(op, ERR_BAD_REQUEST, "the key is empty");
	if (key.size > op->limits->key_bytes)
		return operation_refuse(op, in_path ? ERR_KEY_TOO_LONG : ERR_TOO_LARGE,
		    "the key has %zu bytes, the limit is %zu", key.size, op->limits->key_bytes);
	return ERR_OK;
}

enum err operation_check_value(struct operation *op, size_t size)
{
	if (size > op->limits->value_bytes)
		return operation_refuse(op, ERR_TOO_LARGE, "the value has %zu bytes, the limit is %zu", size,
		    op->limits->value_bytes);
	return ERR_OK;
}

enum err operation_take_token(struct operation *op, const struct request *q)
{
	const struct bytes *token = request_header(q, "idempotency-key");

	if (token == NULL)
		return ERR_OK;
	if (token->size == 0 || token->size > KV_TOKEN_BYTES_MAX ||
	    request_header_count(q, "idempotency-key") > 1)
		return operation_refuse(
		    op, ERR_BAD_REQUEST, "an Idempotency-Key has 1 to %d bytes", KV_TOKEN_BYTES_MAX);
	op->token = *token;
	return ERR_OK;
}

/* A field of type bytes whose content is written behind its length; `section` is where the length stands. */
static void begin_section(struct operation *op)
{
	op->section = op->txn.size;
	wire_put_u32(&op->txn, 0);
}

static void end_section(struct operation *op)
{
	wire_store_u32(op->txn.data + op->section, (uint32_t)(op->txn.size - op->section - 4));
}

void operation_begin_guards(struct operation *op)
{
	assert(op->txn.size == 0);
	begin_section(op);
}

void operation_begin_steps(struct operation *op)
{
	if (op->txn.size == 0)
		operation_begin_guards(op);
	end_section(op);
	begin_section(op);
}

void operation_end(struct operation *op)
{
	end_section(op);
	begin_section(op); /* `otherwise` */
	end_section(op);
}

static enum err check_id(struct operation *op, struct bytes id)
{
	if (id.size > ID_BYTES_MAX)
		return operation_refuse(
		    op, ERR_TOO_LARGE, "the id has %zu bytes, the limit is %d", id.size, ID_BYTES_MAX);
	return ERR_OK;
}

static bool has_scheme(struct bytes http)
{
	struct bytes scheme = bytes_text("http://");

	return http.size > scheme.size && bytes_equal(bytes_of(http.data, scheme.size), scheme);
}

enum err operation_add_member(
    struct operation *op, struct bytes id, struct bytes peer, struct bytes http, bool wait)
{
	struct bytes bare = has_scheme(http) ? bytes_of(http.data + 7, http.size - 7) : http;
	char whole[ADDRESS_BYTES_MAX + 8];
	struct member_change c = { MEMBER_ADD, wait, id, peer, { NULL, 0 } };
	struct addr addr;
	enum err e;

	if ((e = check_id(op, id)) != ERR_OK)
		return e;
	if (!addr_parse(peer, &addr) || addr.host[0] == '\0')
		return operation_refuse(op, ERR_BAD_REQUEST, "the peer address is HOST:PORT");
	if (bare.size > 0 &&
	    (bare.size > ADDRESS_BYTES_MAX || !addr_parse(bare, &addr) || addr.host[0] == '\0'))
		return operation_refuse(op, ERR_BAD_REQUEST, "the HTTP address is HOST:PORT");
	if (bare.size > 0) {
		snprintf(whole, sizeof(whole), "http://%.*s", (int)bare.size, (const char *)bare.data);
		c.http = bytes_text(whole);
	}
	op->kind = REQUEST_CHANGE;
	member_change_put(&op->txn, &c);
	return ERR_OK;
}

enum err operation_remove_member(struct operation *op, struct bytes id)
{
	struct member_change c = { .kind = MEMBER_REMOVE, .id = id };
	enum err e;

	if ((e = check_id(op, id)) != ERR_OK)
		return e;
	if (id.size == 0)
		return operation_refuse(op, ERR_BAD_REQUEST, "the id of a member is missing");
	op->kind = REQUEST_CHANGE;
	member_change_put(&op->txn, &c);
	return ERR_OK;
}

static enum err take_level(struct operation *op, struct parameters *p, struct bytes value)
{
	(void)p;
	if (bytes_equal(value, bytes_text("linearizable")))
		op->level = LEVEL_LINEARIZABLE;
	else if (bytes_equal(value, bytes_text("leader")) || bytes_equal(value, bytes_text("default")))
		op->level = LEVEL_LEADER;
	else if (bytes_equal(value, bytes_text("stale")))
		op->level = LEVEL_STALE;
	else
		return operation_refuse(op, ERR_BAD_REQUEST, "level is linearizable, leader or stale");
	op->note.stale = op->level == LEVEL_STALE;
	return ERR_OK;
}

static enum err take_min_revision(struct operation *op, struct parameters *p, struct bytes value)
{
	(void)p;
	if (!text_number(value, &op->min_revision))
		return operation_refuse(op, ERR_BAD_REQUEST, "min_revision is a decimal number");
	return ERR_OK;
}

static enum err take_timeout(struct operation *op, struct parameters *p, struct bytes value)
{
	(void)p;
	if (!text_span_ms(value, &op->time_ms))
		return operation_refuse(op, ERR_BAD_REQUEST, "timeout is a span as 500ms, 2s or 1m");
	return ERR_OK;
}

static enum err take_bytes(struct operation *op, struct bytes value, struct buf *to)
{
	if (!text_percent_decode(value, true, to))
		return operation_refuse(
		    op, ERR_BAD_REQUEST, "in the query a %% is not followed by two hexadecimal digits");
	if (to->size > op->limits->key_bytes)
		return operation_refuse(op, ERR_KEY_TOO_LONG,
		    "a key in the query has %zu bytes, the limit is %zu", to->size, op->limits->key_bytes);
	return ERR_OK;
}

static enum err take_prefix(struct operation *op, struct parameters *p, struct bytes value)
{
	(void)p;
	return take_bytes(op, value, &op->key);
}

static enum err take_after(struct operation *op, struct parameters *p, struct bytes value)
{
	(void)p;
	return take_bytes(op, value, &op->after);
}

static enum err take_limit(struct operation *op, struct parameters *p, struct bytes value)
{
	uint64_t limit;

	if (!text_number(value, &limit) || limit == 0)
		return operation_refuse(op, ERR_BAD_REQUEST, "limit is a decimal number from 1 on");
	p->limit = limit < KV_PAGE_KEYS_MAX ? (uint32_t)limit : KV_PAGE_KEYS_MAX;
	return ERR_OK;
}

static enum err take_switch(struct operation *op, struct bytes value, const char *name, bool *on)
{
	uint64_t number = 1;

	if (value.size > 0 && (!text_number(value, &number) || number > 1))
		return operation_refuse(op, ERR_BAD_REQUEST, "%s is 1 or 0", name);
	*on = number == 1;
	return ERR_OK;
}

static enum err take_keys(struct operation *op, struct parameters *p, struct bytes value)
{
	(void)p;
	return take_switch(op, value, "keys", &op->note.keys_only);
}

static enum err take_verbose(struct operation *op, struct parameters *p, struct bytes value)
{
	(void)p;
	return take_switch(op, value, "verbose", &op->note.verbose);
}

static enum err take_wait(struct operation *op, struct parameters *p, struct bytes value)
{
	if (!bytes_equal(value, bytes_text("voter")))
		return operation_refuse(op, ERR_BAD_REQUEST, "wait is voter");
	p->wait = true;
	return ERR_OK;
}

static const struct {
	const char *name;
	enum parameter bit;
	enum err (*take)(struct operation *op, struct parameters *p, struct bytes value);
} parameters[] = {
	{ "level", PARAMETER_LEVEL, take_level },
	{ "min_revision", PARAMETER_MIN_REVISION, take_min_revision },
	{ "timeout", PARAMETER_TIMEOUT, take_timeout },
	{ "prefix", PARAMETER_PREFIX, take_prefix },
	{ "after", PARAMETER_AFTER, take_after },
	{ "limit", PARAMETER_LIMIT, take_limit },
	{ "keys", PARAMETER_KEYS, take_keys },
	{ "verbose", PARAMETER_VERBOSE, take_verbose },
	{ "wait", PARAMETER_WAIT, take_wait },
};
#define PARAMETER_COUNT (sizeof(parameters) / sizeof(parameters[0]))

static enum err refuse_query(struct operation *op, unsigned takes)
{
	operation_refuse(
	    op, ERR_BAD_REQUEST, "the query has a parameter that this route does not take; it takes:");
	for (size_t i = 0; i < PARAMETER_COUNT; i++)
		if ((takes & parameters[i].bit) != 0)
			buf_printf(&op->why, " %s", parameters[i].name);
	return ERR_BAD_REQUEST;
}

static enum err take_parameter(
    struct operation *op, struct parameters *p, unsigned takes, struct bytes name, struct bytes value)
{
	for (size_t i = 0; i < PARAMETER_COUNT; i++) {
		if (!bytes_equal(name, bytes_text(parameters[i].name)) || (takes & parameters[i].bit) == 0)
			continue;
		if ((p->seen & parameters[i].bit) != 0)
			return operation_refuse(
			    op, ERR_BAD_REQUEST, "the query has %s twice", parameters[i].name);
		p->seen |= parameters[i].bit;
		return parameters[i].take(op, p, value);
	}
	return refuse_query(op, takes);
}

enum err operation_take_query(
    struct operation *op, const struct request *q, unsigned takes, struct parameters *p)
{
	struct bytes query = q->query, name, value;
	enum err e = ERR_OK;

	*p = (struct parameters){ .limit = KV_PAGE_KEYS_MAX };
	while (e == ERR_OK && text_query_next(&query, &name, &value))
		e = take_parameter(op, p, takes, name, value);
	return e;
}
