#include "worker/http/meaning.h"

#include <stdio.h>

#include "worker/http/text.h"

#define NAME_SHOWN_MAX 40 /* of what a client calls a parameter or a header */

/* --- headers --- */

static const struct {
	const char *name, *advice;
} headers[] = {
#define HEADER(NAME, name, advice) { name, advice },
#include "worker/http/header.def"
#undef HEADER
};

const char *header_name(size_t n)
{
	return n < HEADER_COUNT ? headers[n].name : NULL;
}

/* A body that is encoded as itself is not encoded. */
static bool says_nothing(size_t n, struct bytes value)
{
	return n == HEADER_NUMBER_CONTENT_ENCODING && text_is(value, "identity");
}

/* Names that begin so are ours: a later version may give one to a condition. */
static bool is_our_own(struct bytes name)
{
	static const char prefix[] = "holdfast-";

	return name.size >= sizeof(prefix) - 1 && text_is(bytes_of(name.data, sizeof(prefix) - 1), prefix);
}

static enum err check_header(struct operation *op, const struct header *h, unsigned takes)
{
	if (is_our_own(h->name))
		return operation_refuse(op, ERR_BAD_REQUEST,
		    "the header %.*s is not known to this version, so it cannot be honoured; leave it out",
		    (int)(h->name.size < NAME_SHOWN_MAX ? h->name.size : NAME_SHOWN_MAX),
		    (const char *)h->name.data);
	for (size_t n = 0; n < HEADER_COUNT; n++)
		if ((takes & 1u << n) == 0 && text_is(h->name, headers[n].name) && !says_nothing(n, h->value))
			return operation_refuse(op, ERR_BAD_REQUEST, "the header %s is not taken here: %s",
			    headers[n].name, headers[n].advice);
	return ERR_OK;
}

static enum err take_token(struct operation *op, const struct request *q)
{
	const struct bytes *token = request_header(q, headers[HEADER_NUMBER_IDEMPOTENCY_KEY].name);

	if (token == NULL)
		return ERR_OK;
	if (request_header_count(q, headers[HEADER_NUMBER_IDEMPOTENCY_KEY].name) > 1)
		return operation_refuse(
		    op, ERR_BAD_REQUEST, "a request has one Idempotency-Key; leave out the others");
	if (token->size == 0 || token->size > KV_TOKEN_BYTES_MAX)
		return operation_refuse(op, ERR_BAD_REQUEST,
		    "the Idempotency-Key has %zu bytes, and may have 1 to %d", token->size,
		    KV_TOKEN_BYTES_MAX);
	op->token = *token;
	return ERR_OK;
}

enum err meaning_take_headers(struct operation *op, const struct request *q, unsigned takes)
{
	enum err e = ERR_OK;

	for (size_t i = 0; i < q->header_count && e == ERR_OK; i++)
		e = check_header(op, &q->headers[i], takes);
	if (e == ERR_OK && (takes & HEADER_IDEMPOTENCY_KEY) != 0)
		e = take_token(op, q);
	return e;
}

/* --- parameters --- */

static enum err take_level(struct operation *op, struct bytes value)
{
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

static enum err take_min_revision(struct operation *op, struct bytes value)
{
	if (!text_number(value, &op->min_revision))
		return operation_refuse(op, ERR_BAD_REQUEST, "min_revision is a decimal number");
	return ERR_OK;
}

static enum err take_timeout(struct operation *op, struct bytes value)
{
	if (!text_span_ms(value, &op->time_ms))
		return operation_refuse(op, ERR_BAD_REQUEST, "timeout is a span as 500ms, 2s or 1m");
	return ERR_OK;
}

static enum err take_query_bytes(struct operation *op, struct bytes value, struct buf *to)
{
	if (!text_percent_decode(value, true, to))
		return operation_refuse(
		    op, ERR_BAD_REQUEST, "in the query a %% is not followed by two hexadecimal digits");
	if (to->size > op->limits->key_bytes)
		return operation_refuse(op, ERR_KEY_TOO_LONG,
		    "a key in the query has %zu bytes, the limit is %zu ([limits] key)", to->size,
		    op->limits->key_bytes);
	return ERR_OK;
}

static enum err take_prefix(struct operation *op, struct bytes value)
{
	return take_query_bytes(op, value, &op->key);
}

static enum err take_after(struct operation *op, struct bytes value)
{
	return take_query_bytes(op, value, &op->after);
}

static enum err take_limit(struct operation *op, struct bytes value)
{
	uint64_t limit;

	if (!text_number(value, &limit) || limit == 0)
		return operation_refuse(op, ERR_BAD_REQUEST, "limit is a decimal number from 1 on");
	op->parameters.limit = limit < UINT32_MAX ? (uint32_t)limit : UINT32_MAX;
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

static enum err take_keys(struct operation *op, struct bytes value)
{
	return take_switch(op, value, "keys", &op->note.keys_only);
}

static enum err take_verbose(struct operation *op, struct bytes value)
{
	return take_switch(op, value, "verbose", &op->note.verbose);
}

static enum err take_wait(struct operation *op, struct bytes value)
{
	if (!bytes_equal(value, bytes_text("voter")))
		return operation_refuse(op, ERR_BAD_REQUEST, "wait is voter");
	op->parameters.wait = true;
	return ERR_OK;
}

static const struct {
	const char *name;
	enum err (*take)(struct operation *op, struct bytes value);
} parameters[] = {
#define PARAMETER(NAME, name) { #name, take_##name },
#include "worker/http/parameter.def"
#undef PARAMETER
};

const char *parameter_name(size_t n)
{
	return n < PARAMETER_COUNT ? parameters[n].name : NULL;
}

/* A name as it was sent, where it can be shown. */
static void put_name(struct buf *to, struct bytes name)
{
	bool shown = name.size <= NAME_SHOWN_MAX;

	for (size_t i = 0; i < name.size; i++)
		shown = shown && name.data[i] > ' ' && name.data[i] < 0x7f && name.data[i] != '"';
	buf_append_text(to, shown ? "the parameter " : "a parameter");
	if (shown)
		buf_append(to, name);
}

static enum err refuse_parameter(struct operation *op, unsigned takes, struct bytes name)
{
	const char *between = "";

	buf_clear(&op->why);
	buf_append_text(&op->why, "the query has ");
	put_name(&op->why, name);
	buf_append_text(&op->why, ", which this route does not take; it takes ");
	for (size_t n = 0; n < PARAMETER_COUNT; n++)
		if ((takes & 1u << n) != 0) {
			buf_printf(&op->why, "%s%s", between, parameters[n].name);
			between = ", ";
		}
	if (takes == 0)
		buf_append_text(&op->why, "none");
	return ERR_BAD_REQUEST;
}

static enum err take_parameter(struct operation *op, unsigned takes, struct bytes name, struct bytes value)
{
	for (size_t n = 0; n < PARAMETER_COUNT; n++) {
		if ((takes & 1u << n) == 0 || !bytes_equal(name, bytes_text(parameters[n].name)))
			continue;
		if ((op->parameters.seen & 1u << n) != 0)
			return operation_refuse(
			    op, ERR_BAD_REQUEST, "the query has %s twice; say it once", parameters[n].name);
		op->parameters.seen |= 1u << n;
		return parameters[n].take(op, value);
	}
	return refuse_parameter(op, takes, name);
}

enum err meaning_take_query(struct operation *op, const struct request *q, unsigned takes)
{
	struct bytes query = q->query, name, value;
	enum err e = ERR_OK;

	while (e == ERR_OK && text_query_next(&query, &name, &value))
		e = take_parameter(op, takes, name, value);
	return e;
}
