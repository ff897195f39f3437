#include <assert.h>
#include <search.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include "tests/common/mem_table.h"

/* What orders records: tsearch's comparison sees it as the head of a node, or alone as a question. */
struct place {
	enum kv_table table;
	struct bytes key;
	struct node *above; /* of a question: the least node at or above it, found on the way down */
};

struct node {
	struct place place;
	TAILQ_ENTRY(node) link;
	struct bytes record;
	uint8_t data[]; /* key and record */
};
TAILQ_HEAD(nodes, node);

/* Takes back one change: `now` (if any) goes, `before` (if any) comes back. Owns `before`. */
struct undo {
	struct node *before, *now;
	uint64_t unit;
};

struct mem_table {
	struct table table;
	void *tree;
	struct nodes order; /* the same nodes, in key order */
	size_t count;
	struct undo *undos; /* oldest first */
	size_t undo_count, undo_room;
	uint64_t unit; /* that is open: commits so far */
	uint64_t durable; /* units below this one are */
	enum err commit_fails; /* with this; ERR_OK: it does not */
	bool puts_fail;
};

static int compare(const void *a, const void *b)
{
	struct place *question = (struct place *)(uintptr_t)a;
	const struct place *there = b;
	int order = (int)question->table - (int)there->table;

	if (order == 0)
		order = bytes_compare(question->key, there->key);
	if (order <= 0)
		question->above = (struct node *)(uintptr_t)b;
	return order;
}

static struct node *find_at_or_above(struct mem_table *t, enum kv_table table, struct bytes key)
{
	struct place question = { table, key, NULL };

	tfind(&question, &t->tree, compare);
	return question.above;
}

static struct node *find(struct mem_table *t, enum kv_table table, struct bytes key)
{
	struct node *n = find_at_or_above(t, table, key);

	return n != NULL && n->place.table == table && bytes_equal(n->place.key, key) ? n : NULL;
}

static struct node *make_node(enum kv_table table, struct bytes key, struct bytes record)
{
	struct node *n = xmalloc(sizeof(*n) + key.size + record.size);

	if (key.size > 0)
		memcpy(n->data, key.data, key.size);
	if (record.size > 0)
		memcpy(n->data + key.size, record.data, record.size);
	n->place = (struct place){ table, bytes_of(n->data, key.size), NULL };
	n->record = bytes_of(n->data + key.size, record.size);
	return n;
}

static void link_node(struct mem_table *t, struct node *n)
{
	struct node *above = find_at_or_above(t, n->place.table, n->place.key);

	if (above == NULL)
		TAILQ_INSERT_TAIL(&t->order, n, link);
	else
		TAILQ_INSERT_BEFORE(above, n, link);
	assert(tsearch(n, &t->tree, compare) != NULL);
	t->count++;
}

static void unlink_node(struct mem_table *t, struct node *n)
{
	assert(tdelete(n, &t->tree, compare) != NULL);
	TAILQ_REMOVE(&t->order, n, link);
	t->count--;
}

static void note_undo(struct mem_table *t, struct node *before, struct node *now)
{
	if (t->undo_count == t->undo_room) {
		t->undo_room = t->undo_room == 0 ? 64 : t->undo_room * 2;
		t->undos = xreallocarray(t->undos, t->undo_room, sizeof(*t->undos));
	}
	t->undos[t->undo_count++] = (struct undo){ before, now, t->unit };
}

static enum err mem_get(struct table *table, enum kv_table number, struct bytes key, struct buf *record)
{
	struct node *n = find((struct mem_table *)table, number, key);

	if (n == NULL)
		return ERR_NOT_FOUND;
	buf_append(record, n->record);
	return ERR_OK;
}

static enum err mem_put(struct table *table, enum kv_table number, struct bytes key, struct bytes record)
{
	struct mem_table *t = (struct mem_table *)table;
	struct node *before, *now;

	if (t->puts_fail)
		return ERR_IO;
	before = find(t, number, key);
	now = make_node(number, key, record);
	if (before != NULL)
		unlink_node(t, before);
	link_node(t, now);
	note_undo(t, before, now);
	return ERR_OK;
}

static enum err mem_remove(struct table *table, enum kv_table number, struct bytes key)
{
	struct mem_table *t = (struct mem_table *)table;
	struct node *before = find(t, number, key);

	assert(before != NULL);
	unlink_node(t, before);
	note_undo(t, before, NULL);
	return ERR_OK;
}

static enum err mem_scan(struct table *table, enum kv_table number, struct bytes from,
    bool (*visit)(void *arg, struct bytes key, struct bytes record), void *arg)
{
	struct node *n = find_at_or_above((struct mem_table *)table, number, from);

	while (n != NULL && n->place.table == number && visit(arg, n->place.key, n->record))
		n = TAILQ_NEXT(n, link);
	return ERR_OK;
}

static void take_back(struct mem_table *t, const struct undo *u)
{
	if (u->now != NULL) {
		unlink_node(t, u->now);
		free(u->now);
	}
	if (u->before != NULL)
		link_node(t, u->before);
}

static void take_back_open(struct mem_table *t)
{
	while (t->undo_count > 0 && t->undos[t->undo_count - 1].unit >= t->unit)
		take_back(t, &t->undos[--t->undo_count]);
}

static enum err mem_commit(struct table *table)
{
	struct mem_table *t = (struct mem_table *)table;

	enum err e = t->commit_fails;

	if (e != ERR_OK) {
		t->commit_fails = ERR_OK;
		take_back_open(t);
		return e;
	}
	t->unit++;
	return ERR_OK;
}

/* Makes all units below the open one durable: nothing takes them back any more. */
static enum err mem_flush(struct table *table)
{
	struct mem_table *t = (struct mem_table *)table;
	size_t done = 0;

	while (done < t->undo_count && t->undos[done].unit < t->unit)
		free(t->undos[done++].before);
	t->undo_count -= done;
	if (t->undo_count > 0)
		memmove(t->undos, t->undos + done, t->undo_count * sizeof(*t->undos));
	t->durable = t->unit;
	return ERR_OK;
}

static const struct table_ops mem_ops = {
	.get = mem_get,
	.put = mem_put,
	.remove = mem_remove,
	.scan = mem_scan,
	.commit = mem_commit,
	.flush = mem_flush,
	.checkpoint = mem_flush,
};

struct table *mem_table_new(void)
{
	struct mem_table *t = xcalloc(1, sizeof(*t));

	t->table.ops = &mem_ops;
	TAILQ_INIT(&t->order);
	return &t->table;
}

void mem_table_take_back(struct table *table)
{
	take_back_open((struct mem_table *)table);
}

void mem_table_fail_puts(struct table *table)
{
	((struct mem_table *)table)->puts_fail = true;
}

void mem_table_fail_commit(struct table *table)
{
	((struct mem_table *)table)->commit_fails = ERR_IO;
}

void mem_table_find_damage(struct table *table)
{
	((struct mem_table *)table)->commit_fails = ERR_DAMAGED;
}

void mem_table_crash(struct table *table, size_t lose)
{
	struct mem_table *t = (struct mem_table *)table;

	assert(lose <= mem_table_volatile(table));
	t->unit -= lose;
	take_back_open(t);
	mem_flush(table);
}

size_t mem_table_volatile(const struct table *table)
{
	const struct mem_table *t = (const struct mem_table *)table;

	return (size_t)(t->unit - t->durable);
}

size_t mem_table_count(const struct table *table)
{
	return ((const struct mem_table *)table)->count;
}

void mem_table_free(struct table *table)
{
	struct mem_table *t = (struct mem_table *)table;
	struct node *n;

	if (t == NULL)
		return;
	for (size_t i = 0; i < t->undo_count; i++)
		free(t->undos[i].before);
	free(t->undos);
	while ((n = TAILQ_FIRST(&t->order)) != NULL) {
		unlink_node(t, n);
		free(n);
	}
	free(t);
}
