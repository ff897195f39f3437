#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/sim/universe.h"

uint32_t history_begin(struct universe *u, const struct op *from)
{
	struct history *h = &u->history;
	struct op *o;

	if (h->count == h->room) {
		h->room = h->room == 0 ? 1024 : h->room * 2;
		h->ops = xreallocarray(h->ops, h->room, sizeof(*h->ops));
	}
	o = &h->ops[h->count];
	*o = *from;
	o->begun = u->now;
	o->told_before = h->told;
	if (!o->on_register)
		o->key = o->kind == OP_PUT ? (uint32_t)h->count : o->key;
	return (uint32_t)h->count++;
}

void history_fini(struct history *h)
{
	free(h->ops);
	free(h->by_revision);
}

/* ---- keys and values ---- */

void op_key(const struct op *o, struct buf *out)
{
	buf_clear(out);
	buf_printf(out, o->on_register ? "r/%02" PRIu32 : "u/%08" PRIu32, o->key);
}

bool op_is_unique(struct bytes key)
{
	return key.size > 0 && key.data[0] == 'u';
}

void op_value(const struct op *o, uint32_t number, struct buf *out)
{
	buf_clear(out);
	buf_printf(out, "%08" PRIu32, number);
	while (out->size < o->value_size) {
		size_t more = o->value_size - out->size;

		memset(buf_extend(out, more > 64 ? 64 : more), 'a' + (int)((number + out->size / 64) % 26),
		    more > 64 ? 64 : more);
	}
}

static const char *describe(const struct universe *u, uint32_t number)
{
	static char text[160];
	static const char *const kinds[] = { "put", "delete", "read" };
	const struct op *o = &u->history.ops[number];

	snprintf(text, sizeof(text), "operation %" PRIu32 " (%s of %s%" PRIu32 "%s by client %d)", number,
	    kinds[o->kind], o->on_register ? "register " : "key ", o->key, o->token ? ", with a token" : "",
	    o->client);
	return text;
}

/* Which operation wrote this value of this key; it must be whole. */
static uint32_t writer_of(struct universe *u, const struct kv_record *record)
{
	struct history *h = &u->history;
	struct buf expected = { 0 };
	char digits[9] = { 0 };
	const struct op *o;
	uint32_t number;

	if (record->value.size < 8)
		universe_fail(u, "a value that nobody wrote, of %zu bytes", record->value.size);
	memcpy(digits, record->value.data, 8);
	number = (uint32_t)strtoul(digits, NULL, 10);
	if (number >= h->count || h->ops[number].kind != OP_PUT)
		universe_fail(u, "a value that nobody wrote: %s", digits);
	o = &h->ops[number];
	op_key(o, &expected);
	if (!bytes_equal(record->key, buf_bytes(&expected)))
		universe_fail(u, "%s shows at key %.*s", describe(u, number), (int)record->key.size,
		    (const char *)record->key.data);
	op_value(o, number, &expected);
	if (!bytes_equal(record->value, buf_bytes(&expected)))
		universe_fail(u, "%s: its value is mangled", describe(u, number));
	buf_free(&expected);
	return number;
}

/* ---- revisions ---- */

static void tell(struct history *h, uint64_t revision)
{
	if (revision > h->told)
		h->told = revision;
}

/* Exactly once (T3, D10): one revision for one operation, one operation for one revision. */
static void took_effect(struct universe *u, uint32_t number, uint64_t revision)
{
	struct history *h = &u->history;
	struct op *o = &h->ops[number];

	if (o->revision != 0 && o->revision != revision)
		universe_fail(u, "%s took effect twice, at %" PRIu64 " and at %" PRIu64, describe(u, number),
		    o->revision, revision);
	if (o->outcome == OP_REFUSED || o->outcome == OP_CONDITION)
		universe_fail(u, "%s took effect at %" PRIu64 ", but was answered as certainly not applied",
		    describe(u, number), revision);
	if (revision <= o->told_before)
		universe_fail(u,
		    "%s took effect at %" PRIu64 ", before %" PRIu64 ", which was known when it began",
		    describe(u, number), revision, o->told_before);
	if (revision >= h->revision_room) {
		size_t room = h->revision_room == 0 ? 4096 : h->revision_room;

		while (room <= revision)
			room *= 2;
		h->by_revision = xreallocarray(h->by_revision, room, sizeof(*h->by_revision));
		memset(h->by_revision + h->revision_room, 0,
		    (room - h->revision_room) * sizeof(*h->by_revision));
		h->revision_room = room;
	}
	if (h->by_revision[revision] != 0 && h->by_revision[revision] != number + 1)
		universe_fail(u, "two operations at revision %" PRIu64 ": %" PRIu32 " and %" PRIu32, revision,
		    h->by_revision[revision] - 1, number);
	h->by_revision[revision] = number + 1;
	o->revision = revision;
}

void history_on_written(struct universe *u, uint32_t number, const struct kv_result *r)
{
	struct op *o = &u->history.ops[number];

	o->ended = u->now;
	if (r->error == ERR_CONDITION) {
		if (!o->conditional)
			universe_fail(u, "%s had no condition that could fail", describe(u, number));
		if (o->revision != 0)
			universe_fail(u, "%s took effect at %" PRIu64 " and its condition failed",
			    describe(u, number), o->revision);
		if (r->present == o->expected)
			universe_fail(u, "%s: its condition %" PRIu64 " holds and failed",
			    describe(u, number), o->expected);
		o->outcome = OP_CONDITION;
		o->modify = r->present;
		u->deeds.conditions++;
		return;
	}
	if (r->revision == 0)
		universe_fail(u, "%s is told no revision", describe(u, number));
	took_effect(u, number, r->revision);
	o->outcome = OP_DONE;
	tell(&u->history, r->revision);
}

static struct kv_record read_record(
    struct universe *u, uint32_t number, const struct kv_result *r, bool *found)
{
	struct reader steps = reader_of(r->steps), records;
	struct kv_step_result step;
	struct kv_record record = { 0 };

	*found = false;
	if (!kv_step_result_get(&steps, &step) || !reader_done(&steps) || step.kind != STEP_GET ||
	    step.count > 1)
		universe_fail(u, "%s: its result is malformed", describe(u, number));
	if (step.count == 0)
		return record;
	records = reader_of(step.records);
	if (!kv_record_get(&records, &record) || !reader_done(&records))
		universe_fail(u, "%s: its record is malformed", describe(u, number));
	*found = true;
	return record;
}

/* A record as of some revision: who wrote it, and once only. */
static void check_record(struct universe *u, const struct kv_record *record, uint64_t as_of)
{
	uint32_t writer = writer_of(u, record);

	if (record->modify > as_of || record->create > record->modify)
		universe_fail(u, "%s shows revision %" PRIu64 " (created %" PRIu64 ") at %" PRIu64,
		    describe(u, writer), record->modify, record->create, as_of);
	if (!u->history.ops[writer].on_register && (record->version != 1 || record->create != record->modify))
		universe_fail(u, "%s was applied %" PRIu64 " times", describe(u, writer), record->version);
	took_effect(u, writer, record->modify);
}

void history_on_read(struct universe *u, struct node *n, uint32_t number, const struct kv_result *r)
{
	struct op *o = &u->history.ops[number];
	struct kv_record record;
	bool found;

	record = read_record(u, number, r, &found);
	o->ended = u->now;
	o->outcome = OP_DONE;
	o->revision = r->revision;
	o->modify = found ? record.modify : 0;
	if (found)
		check_record(u, &record, r->revision);
	if (o->level == LEVEL_LINEARIZABLE && r->revision < o->told_before)
		universe_fail(u,
		    "%s is linearizable and saw %" PRIu64 ", but %" PRIu64 " was known when it began",
		    describe(u, number), r->revision, o->told_before);
	/* What a quarantined node is asked is answered by the state of another, perhaps after it is trusted again. */
	if (o->level == LEVEL_STALE && o->begun.ns > n->distrusted.ns) {
		if (r->revision < n->told_revision)
			universe_fail(u, "n%d goes back in time, from %" PRIu64 " to %" PRIu64, n->number + 1,
			    n->told_revision, r->revision);
		n->told_revision = r->revision;
	}
	tell(&u->history, r->revision);
}

/* ---- in the end ---- */

struct census {
	struct universe *u;
	struct node *node;
	uint64_t as_of;
	bool *seen; /* by operation: its value is there */
	struct buf after;
};

static void check_page(struct census *c, const struct kv_step_result *step)
{
	struct reader records = reader_of(step->records);
	struct kv_record record;

	for (uint64_t i = 0; i < step->count; i++) {
		if (!kv_record_get(&records, &record))
			universe_fail(c->u, "n%d: a page of its state is malformed", c->node->number + 1);
		check_record(c->u, &record, c->as_of);
		c->seen[writer_of(c->u, &record)] = true;
		buf_clear(&c->after);
		buf_append(&c->after, record.key);
	}
}

static bool read_page(struct census *c, struct kv *kv)
{
	struct buf steps = { 0 }, txn = { 0 }, result = { 0 };
	struct kv_step_result step = { 0 };
	struct kv_result r;
	struct reader reader;
	bool sound;

	kv_range_step(&steps, (struct bytes){ NULL, 0 }, buf_bytes(&c->after), KV_PAGE_KEYS_MAX, false);
	kv_txn_put(&txn, &(struct kv_txn){ .steps = buf_bytes(&steps) });
	sound = kv_read(kv, buf_bytes(&txn), &result) == ERR_OK;
	reader = reader_of(buf_bytes(&result));
	sound = sound && kv_result_get(&reader, &r) && r.error == ERR_OK;
	if (sound) {
		reader = reader_of(r.steps);
		sound = kv_step_result_get(&reader, &step);
	}
	if (!sound)
		universe_fail(c->u, "n%d: its state cannot be read", c->node->number + 1);
	check_page(c, &step);
	buf_free(&steps);
	buf_free(&txn);
	buf_free(&result);
	return step.more;
}

/* Every acknowledged write is there, unless a later one took its place. */
static void check_unique(struct census *c)
{
	for (uint32_t i = 0; i < c->u->history.count; i++) {
		const struct op *o = &c->u->history.ops[i];

		if (o->kind != OP_PUT || o->on_register)
			continue;
		if (o->outcome == OP_DONE && !c->seen[i])
			universe_fail(c->u, "%s was acknowledged at %" PRIu64 " and is not there",
			    describe(c->u, i), o->revision);
	}
}

void history_check_state(struct universe *u, struct node *n)
{
	struct census c = { .u = u, .node = n, .seen = xcalloc(u->history.count + 1, sizeof(bool)) };
	struct kv *kv;

	if (kv_open(&kv, sim_tables_look(&n->tables)) != ERR_OK)
		universe_fail(u, "n%d: its state cannot be opened", n->number + 1);
	c.as_of = kv_meta(kv)->applied_index;
	while (read_page(&c, kv))
		;
	check_unique(&c);
	for (uint32_t i = 0; i < u->history.count; i++)
		if (u->history.ops[i].on_register && c.seen[i])
			u->history.ops[i].in_the_end = true;
	kv_close(kv);
	buf_free(&c.after);
	free(c.seen);
}

/* The effects on the registers, by (key, revision). */
struct effect {
	uint32_t key, op;
	uint64_t revision;
};

struct effects {
	struct effect *list;
	size_t count;
	bool *lost_delete; /* by key: a delete of unknown outcome */
};

static int by_key_and_revision(const void *a, const void *b)
{
	const struct effect *x = a, *y = b;

	if (x->key != y->key)
		return x->key < y->key ? -1 : 1;
	return (x->revision > y->revision) - (x->revision < y->revision);
}

static void gather_effects(const struct history *h, struct effects *e)
{
	e->list = xcalloc(h->count + 1, sizeof(*e->list));
	e->lost_delete = xcalloc(256, sizeof(bool));
	for (uint32_t i = 0; i < h->count; i++) {
		const struct op *o = &h->ops[i];

		if (!o->on_register || o->kind == OP_READ)
			continue;
		if (o->revision != 0)
			e->list[e->count++] = (struct effect){ o->key, i, o->revision };
		else if (o->kind == OP_DELETE && o->outcome != OP_REFUSED && o->outcome != OP_CONDITION)
			e->lost_delete[o->key] = true;
	}
	qsort(e->list, e->count, sizeof(*e->list), by_key_and_revision);
}

/* The last known effect on a key up to a revision, or NULL. */
static const struct effect *last_effect(const struct effects *e, uint32_t key, uint64_t as_of)
{
	size_t low = 0, high = e->count;

	while (low < high) {
		size_t middle = (low + high) / 2;
		const struct effect *f = &e->list[middle];

		if (f->key < key || (f->key == key && f->revision <= as_of))
			low = middle + 1;
		else
			high = middle;
	}
	return low > 0 && e->list[low - 1].key == key ? &e->list[low - 1] : NULL;
}

/* Could somebody see the key with this revision (0: absent) in the state as of `as_of`? */
static void check_seen(
    struct universe *u, const struct effects *e, uint32_t number, uint64_t modify, uint64_t as_of)
{
	const struct op *o = &u->history.ops[number];
	const struct effect *last = last_effect(e, o->key, as_of);
	bool put;

	if (last == NULL || last->revision < modify)
		return; /* what it saw is the effect of a write that was never heard of again */
	put = u->history.ops[last->op].kind == OP_PUT;
	if (modify == 0 ? !put || e->lost_delete[o->key] : put && last->revision == modify)
		return;
	universe_fail(u,
	    "%s found revision %" PRIu64 " in the state as of %" PRIu64 ", where operation %" PRIu32
	    " had made it %" PRIu64,
	    describe(u, number), modify, as_of, last->op, last->revision);
}

static void check_end(struct universe *u, const struct effects *e)
{
	for (size_t i = 0; i < e->count; i++) {
		const struct op *o = &u->history.ops[e->list[i].op];
		bool last = i + 1 == e->count || e->list[i + 1].key != e->list[i].key;

		if (o->in_the_end && !last)
			universe_fail(u, "%s is there in the end, although %" PRIu64 " came after it",
			    describe(u, e->list[i].op), e->list[i + 1].revision);
		if (last && o->kind == OP_PUT && !o->in_the_end && !e->lost_delete[o->key])
			universe_fail(u, "%s at %" PRIu64 " is the last and is not there in the end",
			    describe(u, e->list[i].op), o->revision);
	}
}

void history_check_reads(struct universe *u)
{
	struct effects e = { 0 };

	gather_effects(&u->history, &e);
	for (uint32_t i = 0; i < u->history.count; i++) {
		const struct op *o = &u->history.ops[i];

		if (!o->on_register)
			continue;
		if (o->kind == OP_READ && o->outcome == OP_DONE)
			check_seen(u, &e, i, o->modify, o->revision);
		else if (o->conditional && o->outcome == OP_DONE)
			check_seen(u, &e, i, o->expected, o->revision - 1);
	}
	check_end(u, &e);
	free(e.list);
	free(e.lost_delete);
}
