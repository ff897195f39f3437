#include "worker/kv/view.h"

void view_fini(struct view *v)
{
	buf_free(&v->record);
	buf_free(&v->from);
}

enum err view_get(struct view *v, enum kv_table table, struct bytes key, struct bytes *record)
{
	struct kv_change change;
	enum err e;

	if (v->changes != NULL && changes_find(v->changes, table, key, &change)) {
		*record = change.new_record;
		return record->size == 0 ? ERR_NOT_FOUND : ERR_OK;
	}
	buf_clear(&v->record);
	e = table_get(v->table, table, key, &v->record);
	*record = buf_bytes(&v->record);
	return e;
}

/* Two sorted sequences become one: the table's records come to on_record(), and before each of them those changes
 * whose keys lie below it. */
struct scan {
	const struct kv_changes *changes;
	enum kv_table table;
	struct bytes prefix;
	size_t place; /* of the next change in the order */
	bool stopped;
	bool (*visit)(void *arg, struct bytes key, struct bytes record);
	void *arg;
};

static bool next_change(const struct scan *s, struct kv_change *out)
{
	return s->changes != NULL && changes_peek(s->changes, s->place, s->table, out) &&
	       bytes_begins(out->key, s->prefix);
}

static void visit_change(struct scan *s, const struct kv_change *change)
{
	if (change->new_record.size > 0 && !s->visit(s->arg, change->key, change->new_record))
		s->stopped = true;
	s->place++;
}

/* The visit may have put a change of this key into the order. */
static void visit_record(struct scan *s, struct bytes key, struct bytes record)
{
	struct kv_change change;

	if (!s->visit(s->arg, key, record))
		s->stopped = true;
	if (next_change(s, &change) && bytes_equal(change.key, key))
		s->place++;
}

static bool on_record(void *arg, struct bytes key, struct bytes record)
{
	struct scan *s = arg;
	struct kv_change change;

	if (!bytes_begins(key, s->prefix))
		return false;
	while (!s->stopped && next_change(s, &change)) {
		int order = bytes_compare(change.key, key);

		if (order > 0)
			break;
		visit_change(s, &change);
		if (order == 0)
			return !s->stopped;
	}
	if (!s->stopped)
		visit_record(s, key, record);
	return !s->stopped;
}

enum err view_scan(struct view *v, enum kv_table table, struct bytes prefix, struct bytes after,
    bool (*visit)(void *arg, struct bytes key, struct bytes record), void *arg)
{
	struct scan s = { v->changes, table, prefix, 0, false, visit, arg };
	struct kv_change change;
	enum err e;

	buf_clear(&v->from);
	if (after.size == 0 || bytes_compare(after, prefix) < 0) {
		buf_append(&v->from, prefix);
	} else {
		/* The least key behind `after` is `after` with a zero byte. */
		buf_append(&v->from, after);
		buf_extend(&v->from, 1);
	}
	if (v->changes != NULL)
		s.place = changes_seek(v->changes, table, buf_bytes(&v->from));
	if ((e = table_scan(v->table, table, buf_bytes(&v->from), on_record, &s)) != ERR_OK)
		return e;
	while (!s.stopped && next_change(&s, &change))
		visit_change(&s, &change);
	return ERR_OK;
}
