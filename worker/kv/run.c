#include <assert.h>
#include <string.h>

#include "worker/kv/inside.h"
#include "worker/kv/record.h"

/* One txn on its way, with the budgets that it shares with what is nested in it. */
struct run {
	struct kv *kv;
	const struct kv_limits *limits;
	struct view *view;
	struct kv_changes *changes;
	uint64_t revision;
	struct buf *out;
	size_t out_start;
	unsigned visits, deleted;
	enum kv_bound bound; /* the limit that was met */
	uint64_t too_many; /* the deletion that met it, counted from 1; 0: none did */
	size_t deleted_bytes;
};

static enum err do_txn(struct run *r, struct bytes encoded);

static enum err meet_bound(struct run *r, enum kv_bound bound)
{
	r->bound = bound;
	return ERR_TOO_LARGE;
}

static enum err find_record(struct run *r, struct bytes key, struct record *out)
{
	struct bytes found;
	enum err e = view_get(r->view, TABLE_KEYS, key, &found);

	if (e == ERR_OK)
		e = record_get(found, out);
	return e;
}

static bool holds(const struct kv_guard *g, bool exists, uint64_t modify)
{
	switch ((enum kv_guard_kind)g->kind) {
	case GUARD_MODIFY:
		return modify == g->modify;
	case GUARD_ABSENT:
		return !exists;
	case GUARD_EXISTS:
		return exists;
	}
	assert(!"a checked guard");
}

/* Notes in *head the first that does not hold: *failed. */
static enum err check_guards(struct run *r, struct bytes guards, struct kv_result *head, bool *failed)
{
	struct reader reader = reader_of(guards);

	*failed = false;
	for (uint32_t i = 0; reader.left > 0; i++) {
		struct kv_guard g;
		struct record record = { 0 };
		enum err e;

		kv_guard_get(&reader, &g);
		e = find_record(r, g.key, &record);
		if (e != ERR_OK && e != ERR_NOT_FOUND)
			return e;
		if (!holds(&g, e == ERR_OK, record.modify)) {
			*failed = true;
			head->failed_guard = i;
			head->present = record.modify;
			return ERR_OK;
		}
	}
	return ERR_OK;
}

static enum err do_put(struct run *r, const struct kv_step *s, struct kv_step_result *said)
{
	struct record record = { .create = r->revision };
	struct bytes old;
	enum err e;

	if ((e = changes_begin(r->changes, r->kv->table, TABLE_KEYS, s->key, &old)) != ERR_OK ||
	    (old.size > 0 && (e = record_get(old, &record)) != ERR_OK))
		return e;
	said->count = old.size == 0;
	record.modify = r->revision;
	record.version++;
	record.content_type = s->content_type;
	record.value = s->value;
	record_put(&r->changes->bytes, &record);
	changes_end(r->changes);
	return ERR_OK;
}

static enum err do_delete(struct run *r, const struct kv_step *s, struct kv_step_result *said)
{
	struct bytes old;
	enum err e = changes_begin(r->changes, r->kv->table, TABLE_KEYS, s->key, &old);

	if (e == ERR_OK) {
		said->count = old.size > 0;
		changes_end(r->changes);
	}
	return e;
}

struct deletion {
	struct run *run;
	struct kv_step_result *said;
	uint64_t limit; /* 0: none */
	enum err e;
};

static bool on_delete(void *arg, struct bytes key, struct bytes record)
{
	struct deletion *d = arg;
	struct run *r = d->run;

	if (d->limit > 0 && d->said->count == d->limit) {
		d->said->more = 1;
		return false;
	}
	r->deleted_bytes += key.size + record.size;
	if (++r->deleted > r->limits->delete_keys)
		d->e = meet_bound(r, BOUND_DELETE_KEYS);
	else if (r->deleted_bytes > r->limits->delete_bytes)
		d->e = meet_bound(r, BOUND_DELETE_BYTES);
	else if (++r->visits > r->limits->txn_visits)
		d->e = meet_bound(r, BOUND_VISITS);
	if (d->e != ERR_OK) {
		r->too_many = r->deleted;
		return false;
	}
	changes_begin_known(r->changes, TABLE_KEYS, key, record);
	changes_end(r->changes);
	d->said->count++;
	return true;
}

static enum err do_delete_prefix(struct run *r, const struct kv_step *s, struct kv_step_result *said)
{
	struct deletion d = { r, said, s->limit, ERR_OK };
	enum err e = view_scan(r->view, TABLE_KEYS, s->key, (struct bytes){ NULL, 0 }, on_delete, &d);

	return e == ERR_OK ? d.e : e;
}

static struct kv_record told(struct bytes key, const struct record *record, bool keys_only)
{
	return (struct kv_record){
		.key = key,
		.create = record->create,
		.modify = record->modify,
		.version = record->version,
		.content_type = record->content_type,
		.value = keys_only ? (struct bytes){ NULL, 0 } : record->value,
	};
}

static enum err do_get(struct run *r, const struct kv_step *s, struct kv_step_result *said)
{
	struct record record;
	enum err e = find_record(r, s->key, &record);

	if (e == ERR_NOT_FOUND)
		return ERR_OK;
	if (e != ERR_OK)
		return e;
	struct kv_record record_told = told(s->key, &record, false);
	kv_record_put(r->out, &record_told);
	said->count = 1;
	return ERR_OK;
}

struct page {
	struct run *run;
	struct kv_step_result *said;
	uint64_t limit;
	bool keys_only;
	size_t start; /* of the page in run->out */
	enum err e;
};

/* A record is appended to see how long the page gets, and taken back when that is too long. */
static bool on_page(void *arg, struct bytes key, struct bytes bytes)
{
	struct page *p = arg;
	struct buf *out = p->run->out;
	size_t before = out->size;
	struct record record;

	if ((p->e = record_get(bytes, &record)) != ERR_OK)
		return false;
	if (++p->run->visits > p->run->limits->txn_visits) {
		p->e = meet_bound(p->run, BOUND_VISITS);
		return false;
	}
	if (p->said->count < p->limit) {
		struct kv_record record_told = told(key, &record, p->keys_only);

		kv_record_put(out, &record_told);
		if (p->said->count == 0 || out->size - p->start <= p->run->limits->page_bytes) {
			p->said->count++;
			return true;
		}
		out->size = before;
	}
	p->said->more = 1;
	return false;
}

static enum err do_range(struct run *r, const struct kv_step *s, struct kv_step_result *said)
{
	bool own = s->limit > 0 && s->limit < r->limits->page_keys;
	struct page p = { r, said, own ? s->limit : r->limits->page_keys, s->keys_only != 0, r->out->size,
		ERR_OK };
	enum err e = view_scan(r->view, TABLE_KEYS, s->key, s->after, on_page, &p);

	return e == ERR_OK ? p.e : e;
}

static enum err do_kind(struct run *r, const struct kv_step *s, struct kv_step_result *said)
{
	switch ((enum kv_step_kind)s->kind) {
	case STEP_PUT:
		return do_put(r, s, said);
	case STEP_DELETE:
		return do_delete(r, s, said);
	case STEP_DELETE_PREFIX:
		return do_delete_prefix(r, s, said);
	case STEP_GET:
		return do_get(r, s, said);
	case STEP_RANGE:
		return do_range(r, s, said);
	case STEP_TXN:
		return do_txn(r, s->value);
	}
	assert(!"a checked step");
}

/* What was appended behind an encoded message becomes its last field, which was put as empty bytes. */
static void close_last_field(struct buf *out, size_t content_at)
{
	wire_store_u32(out->data + content_at - 4, (uint32_t)(out->size - content_at));
}

/* The head is written twice: to take its room, and again when the records behind it are counted. */
static enum err do_step(struct run *r, const struct kv_step *s)
{
	struct kv_step_result said = { .kind = s->kind };
	struct buf *head = &r->kv->scratch;
	size_t at = r->out->size, content_at;
	enum err e;

	kv_step_result_put(r->out, &said);
	content_at = r->out->size;
	if ((e = do_kind(r, s, &said)) != ERR_OK)
		return e;
	buf_clear(head);
	kv_step_result_put(head, &said);
	memcpy(r->out->data + at, head->data, head->size);
	close_last_field(r->out, content_at);
	if (r->out->size - r->out_start > r->limits->result_bytes)
		return meet_bound(r, BOUND_RESULT);
	return ERR_OK;
}

static enum err do_txn(struct run *r, struct bytes encoded)
{
	struct reader reader = reader_of(encoded);
	struct kv_result head = { .revision = r->revision };
	struct kv_txn txn;
	size_t content_at;
	bool failed;
	enum err e;

	kv_txn_get(&reader, &txn);
	if ((e = check_guards(r, txn.guards, &head, &failed)) != ERR_OK)
		return e;
	if (failed && txn.otherwise.size == 0)
		head.error = ERR_CONDITION;
	head.otherwise = failed && txn.otherwise.size > 0;
	kv_result_put(r->out, &head);
	content_at = r->out->size;
	reader = reader_of(!failed ? txn.steps : txn.otherwise);
	while (e == ERR_OK && reader.left > 0) {
		struct kv_step step;

		kv_step_get(&reader, &step);
		e = do_step(r, &step);
	}
	close_last_field(r->out, content_at);
	return e;
}

enum err run_txn(struct kv *kv, uint64_t revision, struct bytes txn, struct kv_changes *changes,
    struct buf *result, struct kv_result *refused)
{
	enum err e;

	struct run r = {
		.kv = kv,
		.limits = kv->limits,
		.view = &kv->view,
		.changes = changes,
		.revision = revision,
		.out = result,
		.out_start = result->size,
	};

	kv->view.changes = changes;
	e = do_txn(&r, txn);
	*refused = (struct kv_result){
		.error = ERR_TOO_LARGE,
		.revision = revision,
		.failed_guard = r.bound,
		.present = r.too_many,
	};
	return e;
}
