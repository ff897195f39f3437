#include <assert.h>
#include <inttypes.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "common/log.h"
#include "common/mem.h"
#include "worker/store/environment.h"
#include "worker/store/files.h"
#include "worker/store/holes.h"
#include "worker/store/place.h"
#include "worker/store/store.h"

struct store {
	struct tables tables;
	char *data_dir;
	struct environment_size size;
	_Atomic(struct table *) in_force; /* NULL: not open */
	uint64_t next; /* the number of the next state */
};

static struct store *store_of(struct tables *ts)
{
	return (struct store *)ts;
}

static enum err store_make(struct tables *ts, struct table **out)
{
	struct store *s = store_of(ts);
	char *home = place_path(s->data_dir, s->next);
	enum err e = place_make(s->data_dir, s->next);

	*out = NULL;
	if (e == ERR_OK)
		e = environment_make(out, home);
	if (e == ERR_OK)
		s->next++;
	free(home);
	return e;
}

static uint64_t number_of(const struct table *t)
{
	const char *home = environment_home(t);

	return strtoull(strrchr(home, '.') + 1, NULL, 10);
}

static enum err store_adopt(struct tables *ts, struct table *t)
{
	struct store *s = store_of(ts);
	enum err e = environment_start(t, &s->size);

	if (e == ERR_OK && (e = place_link(s->data_dir, number_of(t))) == ERR_OK)
		s->in_force = t;
	return e;
}

/* The first one comes to be as any other does. */
static enum err make_first(struct store *s, struct table **out)
{
	enum err e = store_make(&s->tables, out);

	if (e == ERR_OK && (e = store_adopt(&s->tables, *out)) != ERR_OK) {
		environment_close(*out);
		*out = NULL;
	}
	return e;
}

static enum err open_one(struct store *s, uint64_t number, struct table **out)
{
	char *home = place_path(s->data_dir, number);
	enum err e = environment_open(out, home, &s->size);

	if (e == ERR_OK)
		s->in_force = *out;
	free(home);
	return e;
}

/* Without a link there was no state yet, or there is one that was about to be the first, or somebody has lost it. */
static enum err find(const struct store *s, uint64_t *number)
{
	enum err e = place_find(s->data_dir, number);

	if (e != ERR_OK || *number != PLACE_NONE)
		return e;
	if ((e = place_guess(s->data_dir, number)) != ERR_OK || *number == PLACE_NONE)
		return e;
	log_warnx("there was no link to the state, and there is now state.%" PRIu64, *number);
	return place_link(s->data_dir, *number);
}

static enum err store_open(struct tables *ts, struct table **out)
{
	struct store *s = store_of(ts);
	uint64_t number;
	enum err e;

	*out = NULL;
	assert(s->in_force == NULL);
	if ((e = find(s, &number)) != ERR_OK || (e = place_sweep(s->data_dir, number, &s->next)) != ERR_OK)
		return e;
	e = number == PLACE_NONE ? make_first(s, out) : open_one(s, number, out);
	if (e == ERR_OK)
		log_info("the state is open directory=%s cache=%" PRIu64 "MiB", environment_home(*out),
		    s->size.cache_bytes / (1024 * 1024));
	return e;
}

static void store_close(struct tables *ts, struct table *t)
{
	struct store *s = store_of(ts);
	struct table *closed = t;

	atomic_compare_exchange_strong(&s->in_force, &closed, NULL);
	environment_close(t);
}

static void store_drop(struct tables *ts, struct table *t)
{
	struct store *s = store_of(ts);
	bool stays = environment_home(t) == NULL || t == s->in_force;
	uint64_t number = stays ? PLACE_NONE : number_of(t);

	store_close(ts, t);
	/* What cannot be removed now is removed at the next start. */
	if (!stays && place_remove(s->data_dir, number) == ERR_OK)
		place_sync(s->data_dir);
}

static enum err store_scratch(struct tables *ts, struct table **out)
{
	return environment_scratch(out, store_of(ts)->data_dir);
}

static enum err store_set_aside(struct tables *ts, const char *suffix)
{
	struct store *s = store_of(ts);

	assert(s->in_force == NULL);
	return place_set_aside(s->data_dir, suffix);
}

static const struct tables_ops store_ops = {
	.open = store_open,
	.make = store_make,
	.adopt = store_adopt,
	.drop = store_drop,
	.close = store_close,
	.scratch = store_scratch,
	.set_aside = store_set_aside,
};

struct tables *store_new(const struct store_options *o)
{
	struct store *s = xcalloc(1, sizeof(*s));

	s->tables.ops = &store_ops;
	s->data_dir = xstrdup(o->data_dir);
	s->size =
	    (struct environment_size){ o->cache_bytes, o->log_file_bytes, o->progress, o->progress_arg };
	files_take_over();
	holes_take_over();
	files_relieve(o->disk);
	return &s->tables;
}

void store_hurry(void)
{
	files_hurry();
}

void store_free(struct tables *ts)
{
	struct store *s = store_of(ts);

	if (s == NULL)
		return;
	free(s->data_dir);
	free(s);
}
