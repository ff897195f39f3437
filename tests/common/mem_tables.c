#include <assert.h>
#include <stdlib.h>
#include <sys/queue.h>

#include "tests/common/mem_table.h"
#include "tests/common/mem_tables.h"

/* One that is not in force: being filled, replaced and not dropped yet, or a scratch table. */
struct beside {
	struct table *table;
	LIST_ENTRY(beside) link;
};

struct mem_tables {
	struct tables tables;
	struct table *in_force; /* NULL: there is none */
	LIST_HEAD(, beside) beside;
	bool open; /* that one */
	size_t adopted;
	enum err error;
};

static struct mem_tables *mem_of(struct tables *ts)
{
	return (struct mem_tables *)ts;
}

static struct beside *find(struct mem_tables *m, const struct table *t)
{
	struct beside *b;

	LIST_FOREACH (b, &m->beside, link)
		if (b->table == t)
			return b;
	return NULL;
}

static void put_beside(struct mem_tables *m, struct table *t)
{
	struct beside *b = xcalloc(1, sizeof(*b));

	b->table = t;
	LIST_INSERT_HEAD(&m->beside, b, link);
}

static struct table *take_from_beside(struct beside *b)
{
	struct table *t = b->table;

	LIST_REMOVE(b, link);
	free(b);
	return t;
}

static void forget_beside(struct mem_tables *m)
{
	while (!LIST_EMPTY(&m->beside))
		mem_table_free(take_from_beside(LIST_FIRST(&m->beside)));
}

static enum err mem_open(struct tables *ts, struct table **out)
{
	forget_beside(mem_of(ts));
	*out = mem_tables_in_force(ts);
	assert(!mem_of(ts)->open); /* whoever had it open has closed it */
	mem_of(ts)->open = true;
	return ERR_OK;
}

static enum err mem_make(struct tables *ts, struct table **out)
{
	*out = NULL;
	if (mem_of(ts)->error != ERR_OK)
		return mem_of(ts)->error;
	*out = mem_table_new();
	put_beside(mem_of(ts), *out);
	return ERR_OK;
}

static enum err mem_adopt(struct tables *ts, struct table *t)
{
	struct mem_tables *m = mem_of(ts);
	struct table *before = m->in_force;

	table_flush(t);
	m->in_force = take_from_beside(find(m, t));
	if (before != NULL)
		put_beside(m, before);
	m->adopted++;
	m->open = true;
	return ERR_OK;
}

static void mem_close(struct tables *ts, struct table *t)
{
	struct mem_tables *m = mem_of(ts);

	m->open = m->open && t != m->in_force;
	mem_table_take_back(t);
}

static void mem_drop(struct tables *ts, struct table *t)
{
	struct mem_tables *m = mem_of(ts);

	if (t == m->in_force)
		mem_close(ts, t);
	else
		mem_table_free(take_from_beside(find(m, t)));
}

static enum err mem_set_aside(struct tables *ts, const char *suffix)
{
	struct mem_tables *m = mem_of(ts);

	assert(suffix[0] != '\0');
	if (m->in_force == NULL)
		return ERR_NOT_FOUND;
	mem_table_free(m->in_force);
	m->in_force = NULL;
	m->open = false;
	return ERR_OK;
}

static const struct tables_ops mem_ops = {
	.open = mem_open,
	.make = mem_make,
	.adopt = mem_adopt,
	.drop = mem_drop,
	.close = mem_close,
	.scratch = mem_make,
	.set_aside = mem_set_aside,
};

struct tables *mem_tables_new(void)
{
	struct mem_tables *m = xcalloc(1, sizeof(*m));

	m->tables.ops = &mem_ops;
	LIST_INIT(&m->beside);
	return &m->tables;
}

void mem_tables_free(struct tables *ts)
{
	struct mem_tables *m = mem_of(ts);

	if (m == NULL)
		return;
	forget_beside(m);
	mem_table_free(m->in_force);
	free(m);
}

struct table *mem_tables_in_force(struct tables *ts)
{
	struct mem_tables *m = mem_of(ts);

	if (m->in_force == NULL)
		m->in_force = mem_table_new();
	return m->in_force;
}

size_t mem_tables_beside(const struct tables *ts)
{
	const struct mem_tables *m = (const struct mem_tables *)ts;
	const struct beside *b;
	size_t count = 0;

	LIST_FOREACH (b, &m->beside, link)
		count++;
	return count;
}

void mem_tables_set_error(struct tables *ts, enum err e)
{
	mem_of(ts)->error = e;
}

size_t mem_tables_adopted(const struct tables *ts)
{
	return ((const struct mem_tables *)ts)->adopted;
}

void mem_tables_crash(struct tables *ts, size_t lose)
{
	forget_beside(mem_of(ts));
	mem_table_crash(mem_tables_in_force(ts), lose);
	mem_of(ts)->open = false; /* whoever had it open is dead */
}
