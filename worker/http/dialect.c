#include "worker/http/dialect.h"

bool match_is_write(const struct match *m, enum method method)
{
	if (m->route != NULL)
		return (m->route->flags & ROUTE_WRITE) != 0;
	return m->writes || (method != METHOD_GET && method != METHOD_HEAD);
}

/* What the configuration makes of where the dialect wants it answered. */
static void settle_place(const struct match *m, struct operation *op)
{
	bool local = (m->route->flags & ROUTE_LOCAL) != 0;
	bool stale = op->kind == REQUEST_READ && op->level == LEVEL_STALE;

	if (!m->dialect->follows)
		return;
	switch (op->on_follower) {
	case FOLLOWER_AS_DOCUMENTED:
		break;
	case FOLLOWER_FORWARD:
		op->leader_only = false;
		break;
	case FOLLOWER_REDIRECT:
		op->leader_only = !local && op->kind != REQUEST_STATUS && !stale;
		break;
	}
}

static void keep_target(struct operation *op, const struct request *q)
{
	struct buf target = { 0 };

	buf_append(&target, q->path);
	if (q->query.size > 0) {
		buf_append_text(&target, "?");
		buf_append(&target, q->query);
	}
	op->note.target = blob_new(buf_bytes(&target));
	buf_free(&target);
}

const char *dialect_name(size_t n)
{
	static const char *const names[] = {
#define DIALECT(NAME, name) name,
#include "common/dialect.def"
#undef DIALECT
	};

	return n < DIALECT_COUNT ? names[n] : NULL;
}

enum err dialect_refuse_silent(struct operation *op, unsigned dialects)
{
	const char *between = "";

	op->note.explain = true;
	buf_clear(&op->why);
	buf_append_text(&op->why, "[http] dialects switches off the dialect that has this request: ");
	for (size_t n = 0; n < DIALECT_COUNT; n++)
		if ((dialects & 1u << n) != 0) {
			buf_printf(&op->why, "%s%s", between, dialect_name(n));
			between = " or ";
		}
	return ERR_NOT_FOUND;
}

/* What else the request says must be something that the route honours. */
static enum err take_meaning(const struct match *m, const struct request *q, struct operation *op)
{
	const struct route *r = m->route;
	enum err e = meaning_take_headers(op, q, r->headers);

	if (e == ERR_OK && !m->dialect->open && q->body.size > 0 && (r->flags & ROUTE_BODY) == 0)
		e = operation_refuse(op, ERR_BAD_REQUEST,
		    "a request to this route has no body; parameters go into the query, behind a '?'");
	op->note.explain = e != ERR_OK;
	if (e == ERR_OK && !m->dialect->open)
		e = meaning_take_query(op, q, r->parameters);
	return e;
}

enum err dialect_parse(const struct match *m, const struct request *q, struct operation *op)
{
	enum err e;

	operation_clear(op);
	op->note.write = match_is_write(m, q->method);
	if (m->route == NULL && m->silent != 0)
		return dialect_refuse_silent(op, m->silent);
	if (m->route == NULL && m->methods != 0)
		return operation_refuse(
		    op, ERR_METHOD, "this path takes the methods %s", route_allow(m->methods));
	if (m->route == NULL)
		return operation_refuse(op, ERR_NOT_FOUND, "there is no such path; GET / lists them");
	if ((e = take_meaning(m, q, op)) != ERR_OK || (e = m->route->parse(q, m->rest, op)) != ERR_OK)
		return e;
	/* Its JSON may be smaller. */
	if (op->txn.size > KV_TXN_BYTES_MAX)
		return operation_refuse(op, ERR_TOO_LARGE, "the operation has %zu bytes, the limit is %d",
		    op->txn.size, KV_TXN_BYTES_MAX);
	settle_place(m, op);
	if (op->leader_only)
		keep_target(op, q);
	return ERR_OK;
}

static void render_error(const struct match *m, const struct answer *a, struct response *out)
{
	if (m->route != NULL && m->route->error != NULL && !a->note->explain)
		m->route->error(a, out);
	else
		m->dialect->error(a, out);
}

/* False where it cannot be said, or where to is not known. */
static bool redirect(const struct answer *a, struct bytes leader, struct response *out)
{
	struct buf location = { 0 };
	bool good;

	if (a->error != ERR_NOT_LEADER || leader.size == 0 || a->note->target == NULL)
		return false;
	buf_append(&location, leader);
	buf_append(&location, blob_bytes(a->note->target));
	good = response_header_bytes(out, "Location", buf_bytes(&location));
	buf_free(&location);
	if (good && a->note->write)
		response_header(out, "Holdfast-Applied", "no");
	out->status = 307;
	return good;
}

#define MIB (1024 * 1024)
#define DELETE_BOUNDS                                                                                        \
	"the limit is %d keys and %d MiB; delete the first N keys with limit=N, and repeat that while the "  \
	"answer says more"

/* Which limit it met, what was over that, and what to do about it. */
static void put_excess(struct buf *why, const struct kv_result *r)
{
	switch ((enum kv_bound)r->failed_guard) {
	case BOUND_RESULT:
		buf_printf(why, "the result has more than %d bytes, the limit; ask for less at a time",
		    KV_RESULT_BYTES_MAX);
		break;
	case BOUND_VISITS:
		buf_printf(why,
		    "the operation passes by more than %d keys, the limit; ask for less at a time",
		    KV_TXN_VISITS_MAX);
		break;
	case BOUND_DELETE_KEYS:
		buf_printf(why, "the prefix has more than %d keys, " DELETE_BOUNDS, KV_DELETE_KEYS_MAX,
		    KV_DELETE_KEYS_MAX, KV_DELETE_BYTES_MAX / MIB);
		break;
	case BOUND_DELETE_BYTES:
		buf_printf(why, "the prefix has more than %d MiB in the first %llu keys, " DELETE_BOUNDS,
		    KV_DELETE_BYTES_MAX / MIB, (unsigned long long)r->present, KV_DELETE_KEYS_MAX,
		    KV_DELETE_BYTES_MAX / MIB);
		break;
	case BOUND_UNSAID:
		break;
	}
}

/* A result says more than OK: a condition that does not hold is found when the entry is applied, and is an answer
 * like any other, but to the client it is an error. */
static void take_result(struct answer *a, struct bytes encoded)
{
	struct reader r = reader_of(encoded);

	if (!kv_result_get(&r, &a->result) || !reader_done(&r)) {
		a->error = ERR_INTERNAL;
		a->applied = APPLIED_UNKNOWN;
	} else if (a->result.error != ERR_OK) {
		a->error = a->result.error < ERR_COUNT ? (enum err)a->result.error : ERR_INTERNAL;
		a->applied = APPLIED_NO;
	}
}

static void take_status(struct answer *a, struct bytes encoded)
{
	struct reader r = reader_of(encoded);

	if (!status_node_get(&r, &a->status) || !reader_done(&r))
		a->error = ERR_INTERNAL;
}

void dialect_render(const struct match *m, enum request_kind kind, const struct note *note,
    const struct ipc_answer *from, const struct about *about, struct response *out)
{
	struct buf why = { 0 };
	struct answer a = {
		.error = from->error < ERR_COUNT ? (enum err)from->error : ERR_INTERNAL,
		.applied = from->applied == APPLIED_NO ? APPLIED_NO : APPLIED_UNKNOWN,
		.text = from->text,
		.revision = from->revision,
		.age_ms = from->age_ms,
		.note = note,
		.about = about,
	};

	response_clear(out);
	if (a.error == ERR_OK && kind != REQUEST_READ && kind != REQUEST_WRITE)
		take_status(&a, from->result);
	else if (a.error == ERR_OK)
		take_result(&a, from->result);
	if (a.error == ERR_TOO_LARGE && a.text.size == 0) {
		put_excess(&why, &a.result);
		a.text = buf_bytes(&why);
	}
	out->stream = a.error == ERR_OK && from->more != 0;
	if (a.error == ERR_OK)
		m->route->render(&a, out);
	else if (!redirect(&a, from->result, out))
		render_error(m, &a, out);
	buf_free(&why);
}

void dialect_refuse(const struct match *m, const struct note *note, enum err e, enum applied applied,
    struct bytes text, uint64_t revision, struct response *out)
{
	struct answer a = {
		.error = e,
		.applied = applied,
		.text = text,
		.revision = revision,
		.age_ms = UINT64_MAX,
		.note = note,
	};

	response_clear(out);
	render_error(m, &a, out);
	if (e == ERR_METHOD)
		response_header(out, "Allow", route_allow(m->methods));
}

void dialect_render_local(const struct match *m, const struct note *note, uint64_t revision,
    const struct about *about, struct response *out)
{
	struct answer a = {
		.error = ERR_OK,
		.revision = revision,
		.age_ms = UINT64_MAX,
		.note = note,
		.about = about,
	};

	response_clear(out);
	m->route->render(&a, out);
}
