#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>

#include "tests/common/mem_table.h"
#include "tests/common/mem_tables.h"
#include "tests/sim/sim_disk.h"
#include "tests/sim/sim_tables.h"
#include "tests/sim/universe.h"
#include "worker/kv/hash.h"
#include "worker/kv/inside.h"

/* Of one life: what is behind it may outlive it. */
struct sim_table {
	struct table table;
	struct table *inside;
	struct sim_tables *of;
};

static struct sim_table *table_of(struct table *t)
{
	return (struct sim_table *)t;
}

static bool dead(struct table *t)
{
	return sim_disk_dead(table_of(t)->of->node->disk);
}

/* ---- a table ---- */

static enum err sim_get(struct table *t, enum kv_table table, struct bytes key, struct buf *record)
{
	return dead(t) ? ERR_IO : table_get(table_of(t)->inside, table, key, record);
}

static enum err sim_put(struct table *t, enum kv_table table, struct bytes key, struct bytes record)
{
	return dead(t) ? ERR_IO : table_put(table_of(t)->inside, table, key, record);
}

static enum err sim_remove(struct table *t, enum kv_table table, struct bytes key)
{
	return dead(t) ? ERR_IO : table_remove(table_of(t)->inside, table, key);
}

static enum err sim_scan(struct table *t, enum kv_table table, struct bytes from,
    bool (*visit)(void *arg, struct bytes key, struct bytes record), void *arg)
{
	return dead(t) ? ERR_IO : table_scan(table_of(t)->inside, table, from, visit, arg);
}

/* What was committed is read back as the next start would read it. */
static void tell_laws(
    struct sim_table *t, void (*law)(struct universe *u, struct node *n, const struct kv_meta *meta))
{
	struct node *n = t->of->node;
	struct kv *kv;
	enum err e = kv_open(&kv, t->inside);

	if (e != ERR_OK)
		universe_fail(
		    n->universe, "n%d: what was committed cannot be read: %s", n->number + 1, err_text(e));
	law(n->universe, n, kv_meta(kv));
	kv_close(kv);
}

static enum err sim_commit(struct table *t)
{
	struct sim_table *s = table_of(t);

	if (dead(t))
		return ERR_IO;
	table_commit(s->inside);
	if (s->inside == sim_tables_look(s->of))
		tell_laws(s, laws_on_commit);
	return ERR_OK;
}

static enum err sim_flush(struct table *t)
{
	return dead(t) ? ERR_IO : table_flush(table_of(t)->inside);
}

static enum err sim_checkpoint(struct table *t)
{
	return dead(t) ? ERR_IO : table_checkpoint(table_of(t)->inside);
}

static const struct table_ops table_ops = { sim_get, sim_put, sim_remove, sim_scan, sim_commit, sim_flush,
	sim_checkpoint };

/* ---- the tables ---- */

static struct sim_tables *tables_of(struct tables *ts)
{
	return (struct sim_tables *)ts;
}

static enum err give(struct tables *ts, struct table *inside, struct table **out)
{
	struct sim_table *t = xmalloc(sizeof(*t));

	*t = (struct sim_table){ { &table_ops }, inside, tables_of(ts) };
	*out = &t->table;
	return ERR_OK;
}

static enum err obtain(
    struct tables *ts, enum err (*how)(struct tables *, struct table **), struct table **out)
{
	struct sim_tables *s = tables_of(ts);
	struct table *inside;
	enum err e = sim_disk_dead(s->node->disk) ? ERR_IO : how(s->inside, &inside);

	*out = NULL;
	return e == ERR_OK ? give(ts, inside, out) : e;
}

static enum err open_state(struct tables *ts, struct table **out)
{
	return obtain(ts, tables_open, out);
}

static enum err make(struct tables *ts, struct table **out)
{
	return obtain(ts, tables_make, out);
}

static enum err scratch(struct tables *ts, struct table **out)
{
	return obtain(ts, tables_scratch, out);
}

static enum err adopt(struct tables *ts, struct table *t)
{
	struct sim_tables *s = tables_of(ts);
	enum err e;

	if (sim_disk_changes(s->node->disk, &e)) {
		tables_adopt(s->inside, table_of(t)->inside);
		tell_laws(table_of(t), laws_on_adopt);
	}
	return e;
}

static void drop(struct tables *ts, struct table *t)
{
	struct sim_tables *s = tables_of(ts);

	if (sim_disk_dead(s->node->disk))
		tables_close(s->inside, table_of(t)->inside);
	else
		tables_drop(s->inside, table_of(t)->inside);
	free(t);
}

static void close_table(struct tables *ts, struct table *t)
{
	tables_close(tables_of(ts)->inside, table_of(t)->inside);
	free(t);
}

static enum err set_aside(struct tables *ts, const char *suffix)
{
	struct sim_tables *s = tables_of(ts);
	enum err e, done = ERR_OK;

	if (sim_disk_changes(s->node->disk, &e))
		done = tables_set_aside(s->inside, suffix);
	return e == ERR_OK ? done : e;
}

static const struct tables_ops tables_ops = { open_state, make, adopt, drop, close_table, scratch,
	set_aside };

void sim_tables_init(struct sim_tables *s, struct node *n)
{
	*s = (struct sim_tables){ { &tables_ops }, mem_tables_new(), n };
}

void sim_tables_fini(struct sim_tables *s)
{
	mem_tables_free(s->inside);
}

struct table *sim_tables_look(const struct sim_tables *s)
{
	return mem_tables_in_force(s->inside);
}

static bool take_key(void *arg, struct bytes key, struct bytes record)
{
	(void)record;
	buf_append(arg, key);
	return false;
}

/* For a control. */
static void lose_a_record(struct table *t)
{
	struct buf key = { 0 };

	table_scan(t, TABLE_KEYS, (struct bytes){ NULL, 0 }, take_key, &key);
	if (key.size > 0)
		table_remove(t, TABLE_KEYS, buf_bytes(&key));
	table_commit(t);
	buf_free(&key);
}

void sim_tables_crash(struct sim_tables *s, bool power)
{
	struct universe *u = s->node->universe;
	size_t most = mem_table_volatile(sim_tables_look(s)), lose = 0;

	if (power)
		lose = (size_t)random_below(&s->node->dice, most + 1);
	u->deeds.commits_lost += lose;
	mem_tables_crash(s->inside, lose);
	if (u->sabotage == SABOTAGE_TABLE && power)
		lose_a_record(sim_tables_look(s));
}

struct found {
	struct buf key, record;
};

/* Nobody writes to such a key a second time, so it does not come right again by itself. */
static bool take_record(void *arg, struct bytes key, struct bytes record)
{
	struct found *f = arg;

	if (!op_is_unique(key))
		return true;
	buf_append(&f->key, key);
	buf_append(&f->record, record);
	return false;
}

bool sim_tables_rot(struct sim_tables *s)
{
	struct table *t = sim_tables_look(s);
	struct found f = { 0 };
	bool found;
	struct kv *kv;
	enum err e;

	table_scan(t, TABLE_KEYS, (struct bytes){ NULL, 0 }, take_record, &f);
	found = f.key.size > 0;
	if (found && kv_open(&kv, t) == ERR_OK) {
		table_remove(t, TABLE_KEYS, buf_bytes(&f.key));
		hash_subtract(&kv->meta.hash, TABLE_KEYS, buf_bytes(&f.key), buf_bytes(&f.record));
		kv->unwritten = true;
		e = kv_commit(kv);
		assert(e == ERR_OK);
		table_flush(t);
		kv_close(kv);
	}
	buf_free(&f.key);
	buf_free(&f.record);
	return found;
}
