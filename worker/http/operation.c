#include "worker/http/operation.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>

#include "common/addr.h"
#include "common/member.h"

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
		.spoken = op->spoken,
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
		    "the key has %zu bytes, the limit is %zu ([limits] key)", key.size,
		    op->limits->key_bytes);
	return ERR_OK;
}

enum err operation_check_value(struct operation *op, size_t size)
{
	if (size > op->limits->value_bytes)
		return operation_refuse(op, ERR_TOO_LARGE,
		    "the value has %zu bytes, the limit is %zu ([limits] value)", size,
		    op->limits->value_bytes);
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
    struct operation *op, struct bytes id, struct bytes peer, struct bytes http, unsigned how)
{
	struct bytes bare = has_scheme(http) ? bytes_of(http.data + 7, http.size - 7) : http;
	char whole[ADDRESS_BYTES_MAX + 8];
	struct member_change c = { .kind = MEMBER_ADD,
		.wait = (how & ADD_WAIT) != 0,
		.id = id,
		.peer = peer,
		.replace = (how & ADD_REPLACE) != 0 };
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
