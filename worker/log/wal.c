#include <assert.h>
#include <stdlib.h>

#include "worker/log/wal_private.h"

struct wal *wal_new(const struct wal_options *o)
{
	struct wal *w = xcalloc(1, sizeof(*w));

	assert(o->segment_bytes >= WAL_SEGMENT_LEAST);
	w->o = *o;
	w->o.segment_bytes = wal_round_up(o->segment_bytes, WAL_BLOCK);
	atomic_init(&w->filling, false);
	atomic_init(&w->gone, NULL);
	atomic_init(&w->disk_bytes, 0);
	return w;
}

static void free_gone(struct wal_gone *g)
{
	while (g != NULL) {
		struct wal_gone *next = g->next;

		disk_close(&g->file);
		free(g);
		g = next;
	}
}

void wal_close(struct wal *w)
{
	if (w == NULL)
		return;
	/* The files stay; the next start removes them. */
	free_gone(atomic_load(&w->gone));
	free_gone(w->sweeping);
	for (size_t i = 0; i < w->segment_count; i++)
		disk_close(&w->segments[i].file);
	disk_close(&w->next);
	buf_free(&w->out);
	buf_free(&w->in);
	free(w->segments);
	free(w->points);
	free(w);
}

uint64_t wal_disk_bytes(const struct wal *w)
{
	return atomic_load(&w->disk_bytes);
}

struct raft_pos wal_base(const struct wal *w)
{
	return w->base;
}

struct names {
	char **names;
	size_t count;
};

static void add_name(void *arg, const char *name)
{
	struct names *n = arg;

	n->names = xreallocarray(n->names, n->count + 1, sizeof(*n->names));
	n->names[n->count++] = xasprintf(WAL_DIR "/%s", name);
}

static enum err remove_all(struct disk *d)
{
	struct names n = { 0 };
	enum err e = disk_list(d, WAL_DIR, add_name, &n);

	for (size_t i = 0; i < n.count; i++) {
		if (e == ERR_OK)
			e = disk_unlink(d, n.names[i]);
		free(n.names[i]);
	}
	free(n.names);
	return e;
}

static enum err make_dir(struct disk *d)
{
	enum err e;

	if ((e = disk_make_dir(d, WAL_DIR)) != ERR_OK)
		return e;
	if ((e = disk_sync_dir(d, "")) != ERR_OK)
		return e;
	if ((e = remove_all(d)) != ERR_OK)
		return e;
	/* An old segment that came back by a crash would be taken for a part of the new log. */
	return disk_sync_dir(d, WAL_DIR);
}

enum err wal_create(const struct wal_options *o, const struct entry *first)
{
	struct wal *w = wal_new(o);
	struct wal_head head = { .number = 1, .cluster = o->cluster, .incarnation = o->incarnation };
	const char *name;
	enum err e;

	if ((e = make_dir(o->disk)) != ERR_OK)
		goto out;
	if ((e = wal_segment_begin(w, &head, false, &name)) != ERR_OK)
		goto out;
	if ((e = wal_write_batch(w, &(struct raft_hard){ first->pos.term, 0 }, first, 1)) != ERR_OK)
		goto out;
	if ((e = wal_sync(w)) != ERR_OK)
		goto out;
	if ((e = wal_write_mark(w)) != ERR_OK)
		goto out;
	e = wal_segment_publish(w, name);
out:
	wal_close(w);
	return e;
}

enum err wal_create_at(
    const struct wal_options *o, struct raft_pos base, uint64_t time_ms, struct raft_hard hard)
{
	struct wal *w = wal_new(o);
	struct wal_head head = {
		.number = 1,
		.cluster = o->cluster,
		.incarnation = o->incarnation,
		.base = base,
		.base_time_ms = time_ms,
		.hard = hard,
	};
	const char *name;
	enum err e;

	assert(base.term <= hard.term);
	if ((e = make_dir(o->disk)) != ERR_OK)
		goto out;
	if ((e = wal_segment_begin(w, &head, false, &name)) != ERR_OK)
		goto out;
	if ((e = disk_sync(wal_last_segment(w)->file)) != ERR_OK)
		goto out;
	e = wal_segment_publish(w, name);
out:
	wal_close(w);
	return e;
}
