#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
/* cmocka wants these before it. */
#include <cmocka.h>

#include "tests/unit/wal_model.h"

/* What a number of items make; the entry with index i, above the base's, is items[entries[i - 1]]. */
struct state {
	struct raft_hard hard;
	struct raft_pos base; /* of the last reset */
	uint64_t base_time_ms;
	size_t *entries;
	size_t count, room;
};

static void state_apply(struct state *s, const struct model *m, size_t item)
{
	const struct model_item *i = &m->items[item];

	if (i->is_hard || i->is_reset)
		s->hard = i->hard;
	if (i->is_hard)
		return;
	if (s->room < i->pos.index) {
		s->room = (size_t)i->pos.index * 2;
		s->entries = xreallocarray(s->entries, s->room, sizeof(*s->entries));
	}
	s->count = (size_t)i->pos.index;
	if (i->is_reset) {
		s->base = i->pos;
		s->base_time_ms = i->time_ms;
	} else {
		s->entries[s->count - 1] = item;
	}
}

static const struct model_item *state_entry(const struct state *s, const struct model *m, uint64_t index)
{
	return &m->items[s->entries[index - 1]];
}

static struct raft_pos state_pos(const struct state *s, const struct model *m, uint64_t index)
{
	return index == s->base.index ? s->base : state_entry(s, m, index)->pos;
}

static uint64_t state_time(const struct state *s, const struct model *m, uint64_t index)
{
	return index == s->base.index ? s->base_time_ms : state_entry(s, m, index)->time_ms;
}

static struct blob *make_data(const struct model_item *i)
{
	struct blob *b = blob_alloc(i->size);
	struct random r = { i->salt };

	for (size_t at = 0; at < i->size; at += 8) {
		uint64_t word = random_next(&r);

		memcpy(b->data + at, &word, i->size - at < 8 ? i->size - at : 8);
	}
	return b;
}

static struct entry make_entry(const struct model_item *i)
{
	return (struct entry){ i->pos, i->time_ms, i->type, make_data(i) };
}

static bool entry_is(const struct entry *e, const struct model_item *i)
{
	struct blob *data = make_data(i);
	bool same = raft_pos_equal(e->pos, i->pos) && e->time_ms == i->time_ms && e->type == i->type &&
		    bytes_equal(blob_bytes(e->data), blob_bytes(data));

	blob_unref(data);
	return same;
}

static void add_item(struct model *m, struct model_item item)
{
	item.salt = ++m->salt;
	m->items = xreallocarray(m->items, m->count + 1, sizeof(item));
	m->items[m->count++] = item;
	if (item.is_hard || item.is_reset)
		m->hard = item.hard;
	if (!item.is_hard) {
		m->last = item.pos;
		m->time_ms = item.time_ms;
	}
}

void model_init(struct model *m)
{
	*m = (struct model){ .disk = fake_disk_new() };
	m->o = (struct wal_options){
		.disk = fake_disk_of(m->disk),
		.cluster = MODEL_CLUSTER,
		.incarnation = MODEL_INCARNATION,
		.segment_bytes = WAL_SEGMENT_LEAST,
	};
}

void model_fini(struct model *m)
{
	model_close(m);
	fake_disk_free(m->disk);
	free(m->items);
}

enum err model_create(struct model *m)
{
	struct entry first;
	enum err e;

	add_item(m, (struct model_item){ .is_hard = true, .hard = { 1, 0 } });
	add_item(m, (struct model_item){ .pos = { 1, 1 }, .time_ms = 7, .type = ENTRY_CONFIG, .size = 100 });
	first = make_entry(&m->items[1]);
	if ((e = wal_create(&m->o, &first)) == ERR_OK)
		m->durable = m->count;
	blob_unref(first.data);
	return e;
}

enum err model_hard(struct model *m, struct raft_hard hard)
{
	add_item(m, (struct model_item){ .is_hard = true, .hard = hard });
	return wal_append(m->wal, &hard, NULL, 0);
}

enum err model_append(struct model *m, uint64_t index, uint64_t term, size_t count, size_t size)
{
	struct raft_hard hard = { term, m->salt % 5 };
	bool with_hard = term > m->hard.term;
	struct entries entries = { 0 };
	enum err e;

	if (with_hard)
		add_item(m, (struct model_item){ .is_hard = true, .hard = hard });
	for (size_t i = 0; i < count; i++) {
		static const enum entry_type types[] = { ENTRY_WRITE, ENTRY_WRITE, ENTRY_NOOP, ENTRY_CONFIG };
		struct entry entry;

		add_item(m, (struct model_item){ .pos = { term, index + i },
				.time_ms = m->time_ms + m->salt % 3,
				.type = types[m->salt % 4],
				.size = size + m->salt % 9 });
		entry = make_entry(&m->items[m->count - 1]);
		entries_add(&entries, &entry);
		blob_unref(entry.data);
	}
	e = wal_append(m->wal, with_hard ? &hard : NULL, entries.data, entries.count);
	entries_free(&entries);
	return e;
}

enum err model_sync(struct model *m)
{
	enum err e = wal_sync(m->wal);

	if (e == ERR_OK)
		m->durable = m->count;
	return e;
}

enum err model_settle(struct model *m)
{
	enum err e = wal_settle(m->wal);

	if (e == ERR_OK)
		m->durable = m->count;
	return e;
}

enum err model_fill(struct model *m, unsigned steps)
{
	bool more = true;
	enum err e = ERR_OK;

	while (steps-- > 0 && more && e == ERR_OK)
		e = wal_fill(m->wal, &more);
	return e;
}

enum err model_cut(struct model *m, uint64_t index, uint64_t keep_bytes)
{
	struct raft_pos before = wal_base(m->wal), after;
	enum err e;

	m->cut_items = m->count;
	m->cut_least = before.index;
	m->cut_most = index > before.index ? index : before.index;
	if ((e = wal_cut(m->wal, index, keep_bytes)) != ERR_OK)
		return e;
	after = wal_base(m->wal);
	assert_in_range(after.index, m->cut_least, m->cut_most);
	m->cut_least = m->cut_most = after.index;
	return ERR_OK;
}

enum err model_reset(struct model *m, struct raft_pos base, struct raft_hard hard)
{
	uint64_t time_ms = m->time_ms + m->salt % 3;
	enum err e;

	add_item(m, (struct model_item){ .is_reset = true, .hard = hard, .pos = base, .time_ms = time_ms });
	if ((e = wal_reset(m->wal, base, time_ms, hard)) == ERR_OK)
		m->durable = m->count;
	return e;
}

enum err model_sweep(struct model *m, unsigned steps)
{
	bool more = true;
	enum err e = ERR_OK;

	while (steps-- > 0 && more && e == ERR_OK)
		e = wal_sweep(m->wal, &more);
	return e;
}

void model_close(struct model *m)
{
	wal_close(m->wal);
	m->wal = NULL;
}

static bool entries_match(
    const struct model *m, const struct state *s, uint64_t base, const struct entries *got)
{
	if (base + got->count != s->count)
		return false;
	for (size_t i = 0; i < got->count; i++)
		if (!entry_is(&got->data[i], state_entry(s, m, base + i + 1)))
			return false;
	return true;
}

/* May a log of the first `n` items, which make `s`, begin there? */
static bool base_matches(const struct model *m, const struct state *s, size_t n, struct raft_pos base)
{
	for (size_t i = m->cut_items; i < n; i++)
		if (m->items[i].is_reset)
			return raft_pos_equal(base, s->base);
	if (base.index < s->base.index || base.index > s->count)
		return false;
	return base.index >= m->cut_least && base.index <= m->cut_most &&
	       raft_pos_equal(base, state_pos(s, m, base.index));
}

static void check_found(const struct model *m, const struct state *s, const struct wal_found *f)
{
	uint64_t term = 0;
	size_t terms = 0, configs = 0;

	assert_int_equal(f->last_time_ms, state_time(s, m, s->count));
	for (uint64_t i = f->base.index + 1; i <= s->count; i++) {
		const struct model_item *item = state_entry(s, m, i);

		if (item->pos.term != term) {
			assert_in_range(terms, 0, f->term_count - 1);
			assert_int_equal(f->terms[terms].first, i);
			assert_int_equal(f->terms[terms].term, item->pos.term);
			term = item->pos.term;
			terms++;
		}
		if (item->type == ENTRY_CONFIG) {
			assert_in_range(configs, 0, f->config_count - 1);
			assert_int_equal(f->configs[configs], i);
			configs++;
		}
	}
	assert_int_equal(terms, f->term_count);
	assert_int_equal(configs, f->config_count);
}

static void read_all(struct model *m, struct raft_pos last, struct entries *out)
{
	uint64_t base = wal_base(m->wal).index;

	while (base + out->count < last.index) {
		size_t before = out->count;

		assert_int_equal(wal_read(m->wal, base + before + 1, 1000, out), ERR_OK);
		assert_true(out->count > before);
	}
}

/* Finds the number of items that make what was found. */
static bool settle_on(struct model *m, const struct wal_found *f, const struct entries *got)
{
	struct state s = { 0 };
	bool found = false;

	for (size_t n = 0; n <= m->count && !found; n++) {
		if (n > 0)
			state_apply(&s, m, n - 1);
		if (n < m->durable || s.hard.term != f->hard.term || s.hard.vote != f->hard.vote ||
		    !raft_pos_equal(state_pos(&s, m, s.count), f->last) || !base_matches(m, &s, n, f->base) ||
		    !entries_match(m, &s, f->base.index, got))
			continue;
		check_found(m, &s, f);
		m->count = m->durable = m->cut_items = n;
		m->cut_least = m->cut_most = f->base.index;
		m->hard = s.hard;
		m->last = f->last;
		m->time_ms = f->last_time_ms;
		found = true;
	}
	free(s.entries);
	return found;
}

enum err model_open(struct model *m)
{
	struct entries got = { 0 };
	struct wal_found f;
	enum err e = wal_open(&m->wal, &m->o, &f);

	if (e != ERR_OK)
		return e;
	read_all(m, f.last, &got);
	if (!settle_on(m, &f, &got))
		fail_msg("found base=%" PRIu64 ".%" PRIu64 " last=%" PRIu64 ".%" PRIu64 " hard=%" PRIu64
			 "/%" PRIu64 ", nothing of %zu durable of %zu items",
		    f.base.term, f.base.index, f.last.term, f.last.index, f.hard.term, f.hard.vote,
		    m->durable, m->count);
	entries_free(&got);
	wal_found_free(&f);
	return ERR_OK;
}

void model_must_open(struct model *m)
{
	assert_int_equal(model_open(m), ERR_OK);
}

void model_check_reads(struct model *m)
{
	struct entries got = { 0 };
	struct state s = { 0 };
	struct raft_pos base = wal_base(m->wal);

	for (size_t n = 0; n < m->count; n++)
		state_apply(&s, m, n);
	assert_true(base_matches(m, &s, m->count, base));
	read_all(m, m->last, &got);
	assert_true(entries_match(m, &s, base.index, &got));
	entries_free(&got);
	for (uint64_t i = base.index + 1; i <= s.count; i += 1 + s.count / 10) {
		assert_int_equal(wal_read(m->wal, i, 1, &got), ERR_OK);
		assert_int_equal(got.count, 1);
		assert_true(entry_is(&got.data[0], state_entry(&s, m, i)));
		entries_free(&got);
	}
	free(s.entries);
}

const char *model_path(uint64_t number)
{
	static char path[32];

	snprintf(path, sizeof(path), "log/%016" PRIx64 ".log", number);
	return path;
}

struct newest {
	uint64_t number;
	size_t count;
};

static void visit(void *arg, const char *name)
{
	struct newest *n = arg;
	uint64_t number;

	if (strstr(name, ".log") == NULL)
		return;
	number = strtoull(name, NULL, 16);
	n->number = number > n->number ? number : n->number;
	n->count++;
}

uint64_t model_newest(struct model *m, size_t *count)
{
	struct newest n = { 0 };

	assert_int_equal(disk_list(m->o.disk, "log", visit, &n), ERR_OK);
	if (count != NULL)
		*count = n.count;
	return n.number;
}
