#include "worker/http/dialect.h"

enum err dialect_parse(const struct match *m, const struct request *q, struct operation *op)
{
	operation_clear(op);
	op->note.write = q->method != METHOD_GET && q->method != METHOD_HEAD;
	if (m->route == NULL && m->methods != 0)
		return operation_refuse(
		    op, ERR_METHOD, "this path takes the methods %s", route_allow(m->methods));
	if (m->route == NULL)
		return operation_refuse(op, ERR_NOT_FOUND, "there is no such path");
	op->note.write = (m->route->flags & ROUTE_WRITE) != 0;
	return m->route->parse(q, m->rest, op);
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
	if (a.error == ERR_OK)
		m->route->render(&a, out);
	else
		m->dialect->error(&a, out);
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
	m->dialect->error(&a, out);
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
