#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "tests/sim/dice.h"
#include "tests/sim/sim_disk.h"

#define SECTOR 512

/* A write that no sync covers yet: enough to take it back and to do it again. */
struct write {
	uint64_t offset;
	struct blob *bytes;
	struct blob *before; /* what lay there, as far as the file reached */
	uint64_t size_before;
};

struct inode {
	unsigned refs;
	struct buf content;
	struct write *writes;
	size_t count, room;
};

struct name {
	char *path;
	struct inode *inode; /* NULL: a directory */
};

struct names {
	struct name *list;
	size_t count, room;
};

/* A change of names that no sync of its directory covers yet. */
struct change {
	char *removed; /* or NULL */
	char *added; /* or NULL */
	struct inode *inode;
};

struct sim_disk {
	struct disk disk;
	struct random dice;
	struct names now, durable;
	struct change *changes;
	size_t change_count, change_room;
	uint64_t fuse; /* calls until it dies; 0: none */
	bool dead, lies;
	struct sim_disk_counts counts;
};

struct sim_file {
	struct disk_file file;
	struct inode *inode;
};

static struct sim_disk *disk_of(struct disk *d)
{
	return (struct sim_disk *)d;
}

static struct inode *inode_of(struct disk_file *f)
{
	return ((struct sim_file *)f)->inode;
}

static struct inode *inode_ref(struct inode *i)
{
	if (i != NULL)
		i->refs++;
	return i;
}

static void forget_writes(struct inode *i)
{
	for (size_t n = 0; n < i->count; n++) {
		blob_unref(i->writes[n].bytes);
		blob_unref(i->writes[n].before);
	}
	i->count = 0;
}

static void inode_unref(struct inode *i)
{
	if (i == NULL || --i->refs > 0)
		return;
	forget_writes(i);
	free(i->writes);
	buf_free(&i->content);
	free(i);
}

/* ---- names ---- */

static struct name *find_name(const struct names *names, const char *path)
{
	for (size_t n = 0; n < names->count; n++)
		if (strcmp(names->list[n].path, path) == 0)
			return &names->list[n];
	return NULL;
}

static void remove_name(struct names *names, const char *path)
{
	struct name *name = find_name(names, path);

	if (name == NULL)
		return;
	free(name->path);
	inode_unref(name->inode);
	*name = names->list[--names->count];
}

static void add_name(struct names *names, const char *path, struct inode *inode)
{
	remove_name(names, path);
	if (names->count == names->room) {
		names->room = names->room == 0 ? 16 : names->room * 2;
		names->list = xreallocarray(names->list, names->room, sizeof(*names->list));
	}
	names->list[names->count++] = (struct name){ xstrdup(path), inode_ref(inode) };
}

static void clear_names(struct names *names)
{
	while (names->count > 0)
		remove_name(names, names->list[0].path);
}

static void apply_change(struct names *names, const struct change *c)
{
	if (c->removed != NULL)
		remove_name(names, c->removed);
	if (c->added != NULL)
		add_name(names, c->added, c->inode);
}

static void forget_change(struct change *c)
{
	free(c->removed);
	free(c->added);
	inode_unref(c->inode);
}

static void change_names(struct sim_disk *d, const char *removed, const char *added, struct inode *inode)
{
	struct change c = { removed == NULL ? NULL : xstrdup(removed), added == NULL ? NULL : xstrdup(added),
		inode_ref(inode) };

	apply_change(&d->now, &c);
	if (d->change_count == d->change_room) {
		d->change_room = d->change_room == 0 ? 16 : d->change_room * 2;
		d->changes = xreallocarray(d->changes, d->change_room, sizeof(*d->changes));
	}
	d->changes[d->change_count++] = c;
}

/* "log/x" lies in "log", "x" in "". */
static bool lies_in(const char *path, const char *dir)
{
	const char *slash = strrchr(path, '/');
	size_t size = slash == NULL ? 0 : (size_t)(slash - path);

	return strlen(dir) == size && strncmp(path, dir, size) == 0;
}

static bool dir_exists(const struct names *names, const char *dir)
{
	const struct name *name = find_name(names, dir);

	return dir[0] == '\0' || (name != NULL && name->inode == NULL);
}

static bool parent_exists(const struct names *names, const char *path)
{
	for (size_t n = 0; n < names->count; n++)
		if (names->list[n].inode == NULL && lies_in(path, names->list[n].path))
			return true;
	return lies_in(path, "");
}

/* ---- calls ---- */

/* What a changing call may still do. */
enum strength { WHOLE, HALF, NOTHING };

static enum strength strength(struct sim_disk *d)
{
	if (d->dead)
		return NOTHING;
	if (d->fuse == 0 || --d->fuse > 0)
		return WHOLE;
	d->dead = true;
	d->counts.fuses_burnt++;
	return HALF;
}

/* A call that cannot have half an effect has it or not. */
static bool takes_effect(struct sim_disk *d, enum strength s)
{
	return s == WHOLE || (s == HALF && dice_chance(&d->dice, 500000));
}

static enum err outcome(enum strength s)
{
	return s == WHOLE ? ERR_OK : ERR_IO;
}

static enum err sim_open(struct disk *disk, const char *path, enum disk_open how, struct disk_file **out)
{
	struct sim_disk *d = disk_of(disk);
	struct name *name = find_name(&d->now, path);
	struct inode *inode = NULL;
	enum strength s = WHOLE;
	struct sim_file *f;

	if (d->dead)
		return ERR_IO;
	if (how == DISK_CREATE) {
		if (name != NULL)
			return ERR_EXISTS;
		if (!parent_exists(&d->now, path))
			return ERR_NOT_FOUND;
		if (takes_effect(d, s = strength(d)))
			change_names(d, NULL, path, inode = xcalloc(1, sizeof(*inode)));
		if (s != WHOLE)
			return ERR_IO;
	} else {
		if (name == NULL || name->inode == NULL)
			return ERR_NOT_FOUND;
		inode = name->inode;
	}
	f = xmalloc(sizeof(*f));
	f->file.disk = disk;
	f->inode = inode_ref(inode);
	*out = &f->file;
	return ERR_OK;
}

static void sim_close(struct disk_file *f)
{
	inode_unref(inode_of(f));
	free(f);
}

static enum err sim_read(struct disk_file *f, uint64_t offset, void *to, size_t size, size_t *got)
{
	const struct buf *content = &inode_of(f)->content;

	*got = 0;
	if (disk_of(f->disk)->dead)
		return ERR_IO;
	if (offset < content->size) {
		*got = content->size - (size_t)offset < size ? content->size - (size_t)offset : size;
		memcpy(to, content->data + offset, *got);
	}
	return ERR_OK;
}

static void put(struct inode *i, uint64_t offset, struct bytes from)
{
	size_t end = (size_t)offset + from.size;

	if (end > i->content.size)
		buf_extend(&i->content, end - i->content.size);
	memcpy(i->content.data + offset, from.data, from.size);
}

static void write_pending(struct inode *i, uint64_t offset, struct bytes from)
{
	size_t size = i->content.size, over = 0;

	if (from.size == 0)
		return;
	if (offset < size)
		over = size - (size_t)offset < from.size ? size - (size_t)offset : from.size;
	if (i->count == i->room) {
		i->room = i->room == 0 ? 8 : i->room * 2;
		i->writes = xreallocarray(i->writes, i->room, sizeof(*i->writes));
	}
	i->writes[i->count++] = (struct write){ offset, blob_new(from),
		blob_new(bytes_of(over > 0 ? i->content.data + offset : NULL, over)), size };
	put(i, offset, from);
}

/* How much of a write reached anything: a number of bytes, mostly up to the border of a sector. */
static size_t torn_size(struct sim_disk *d, uint64_t offset, size_t size)
{
	size_t kept = (size_t)random_below(&d->dice, size + 1);
	size_t past = (size_t)((offset + kept) % SECTOR);

	if (dice_chance(&d->dice, 250000))
		return kept;
	return past < kept ? kept - past : 0;
}

static enum err sim_write(struct disk_file *f, uint64_t offset, struct bytes from)
{
	struct sim_disk *d = disk_of(f->disk);
	enum strength s = strength(d);

	if (s == HALF)
		from.size = torn_size(d, offset, from.size);
	if (s != NOTHING)
		write_pending(inode_of(f), offset, from);
	d->counts.writes++;
	return outcome(s);
}

static enum err sim_sync(struct disk_file *f)
{
	struct sim_disk *d = disk_of(f->disk);
	enum strength s = strength(d);

	if (takes_effect(d, s) && !d->lies)
		forget_writes(inode_of(f));
	d->counts.syncs++;
	return outcome(s);
}

static enum err sim_size(struct disk_file *f, uint64_t *out)
{
	*out = inode_of(f)->content.size;
	return disk_of(f->disk)->dead ? ERR_IO : ERR_OK;
}

static enum err sim_drop_cache(struct disk_file *f)
{
	return disk_of(f->disk)->dead ? ERR_IO : ERR_OK;
}

static enum err sim_rename(struct disk *disk, const char *from, const char *to)
{
	struct sim_disk *d = disk_of(disk);
	struct name *name = find_name(&d->now, from);
	enum strength s;

	if (d->dead)
		return ERR_IO;
	if (name == NULL)
		return ERR_NOT_FOUND;
	assert(name->inode != NULL); /* nobody renames a directory */
	if (takes_effect(d, s = strength(d)))
		change_names(d, from, to, name->inode);
	return outcome(s);
}

static enum err sim_unlink(struct disk *disk, const char *path)
{
	struct sim_disk *d = disk_of(disk);
	enum strength s;

	if (d->dead)
		return ERR_IO;
	if (find_name(&d->now, path) == NULL)
		return ERR_NOT_FOUND;
	if (takes_effect(d, s = strength(d)))
		change_names(d, path, NULL, NULL);
	return outcome(s);
}

static enum err sim_make_dir(struct disk *disk, const char *path)
{
	struct sim_disk *d = disk_of(disk);
	enum strength s;

	if (d->dead)
		return ERR_IO;
	if (find_name(&d->now, path) != NULL)
		return ERR_OK;
	if (!parent_exists(&d->now, path))
		return ERR_NOT_FOUND;
	if (takes_effect(d, s = strength(d)))
		change_names(d, NULL, path, NULL);
	return outcome(s);
}

static bool change_in(const struct change *c, const char *dir)
{
	return lies_in(c->added != NULL ? c->added : c->removed, dir);
}

static enum err sim_sync_dir(struct disk *disk, const char *path)
{
	struct sim_disk *d = disk_of(disk);
	size_t left = 0;
	enum strength s;

	if (d->dead)
		return ERR_IO;
	if (!dir_exists(&d->now, path))
		return ERR_NOT_FOUND;
	if (takes_effect(d, s = strength(d)) && !d->lies) {
		for (size_t n = 0; n < d->change_count; n++) {
			if (!change_in(&d->changes[n], path)) {
				d->changes[left++] = d->changes[n];
				continue;
			}
			apply_change(&d->durable, &d->changes[n]);
			forget_change(&d->changes[n]);
		}
		d->change_count = left;
	}
	return outcome(s);
}

static enum err sim_list(
    struct disk *disk, const char *path, void (*visit)(void *arg, const char *name), void *arg)
{
	struct sim_disk *d = disk_of(disk);
	struct names copy = { 0 };

	if (d->dead)
		return ERR_IO;
	if (!dir_exists(&d->now, path))
		return ERR_NOT_FOUND;
	/* The visitor may unlink. */
	for (size_t n = 0; n < d->now.count; n++)
		if (lies_in(d->now.list[n].path, path))
			add_name(&copy, d->now.list[n].path, NULL);
	for (size_t n = 0; n < copy.count; n++)
		visit(arg, copy.list[n].path + (path[0] == '\0' ? 0 : strlen(path) + 1));
	clear_names(&copy);
	free(copy.list);
	return ERR_OK;
}

static const struct disk_ops sim_ops = {
	.open = sim_open,
	.close = sim_close,
	.read = sim_read,
	.write = sim_write,
	.sync = sim_sync,
	.size = sim_size,
	.drop_cache = sim_drop_cache,
	.rename = sim_rename,
	.unlink = sim_unlink,
	.make_dir = sim_make_dir,
	.sync_dir = sim_sync_dir,
	.list = sim_list,
};

/* ---- power ---- */

/* How a loss of power treats what was not synced. */
enum loss { LOSE_ALL, LOSE_NOTHING, KEEP_BEGINNING, KEEP_SOME, KEEP_SECTORS, LOSSES };

static void keep_sectors(struct sim_disk *d, struct inode *i, const struct write *w)
{
	size_t at = 0;

	while (at < w->bytes->size) {
		size_t step = SECTOR - (size_t)((w->offset + at) % SECTOR);

		if (step > w->bytes->size - at)
			step = w->bytes->size - at;
		if (dice_chance(&d->dice, 500000))
			put(i, w->offset + at, bytes_of(w->bytes->data + at, step));
		at += step;
	}
	d->counts.writes_torn++;
}

static void keep_whole(struct inode *i, const struct write *w)
{
	put(i, w->offset, blob_bytes(w->bytes));
}

static void lose_writes(struct sim_disk *d, struct inode *i, enum loss loss)
{
	size_t beginning = (size_t)random_below(&d->dice, i->count + 1);

	for (size_t n = i->count; n-- > 0;) {
		const struct write *w = &i->writes[n];

		memcpy(i->content.data + w->offset, w->before->data, w->before->size);
		i->content.size = (size_t)w->size_before;
	}
	for (size_t n = 0; n < i->count; n++) {
		const struct write *w = &i->writes[n];

		if (loss == LOSE_NOTHING || (loss == KEEP_BEGINNING && n < beginning) ||
		    (loss == KEEP_SOME && dice_chance(&d->dice, 500000))) {
			keep_whole(i, w);
		} else if (loss == KEEP_BEGINNING && n == beginning) {
			put(i, w->offset, bytes_of(w->bytes->data, torn_size(d, w->offset, w->bytes->size)));
			d->counts.writes_torn++;
		} else if (loss == KEEP_SECTORS) {
			keep_sectors(d, i, w);
		} else {
			d->counts.writes_lost++;
		}
	}
	forget_writes(i);
}

static void lose_changes(struct sim_disk *d, enum loss loss)
{
	size_t beginning = (size_t)random_below(&d->dice, d->change_count + 1);

	for (size_t n = 0; n < d->change_count; n++) {
		if (loss == LOSE_NOTHING || (loss == KEEP_BEGINNING && n < beginning) ||
		    (loss >= KEEP_SOME && dice_chance(&d->dice, 500000)))
			apply_change(&d->durable, &d->changes[n]);
		else
			d->counts.names_lost++;
		forget_change(&d->changes[n]);
	}
	d->change_count = 0;
}

/* What lies in a directory that is gone is gone. */
static void lose_orphans(struct names *names)
{
	for (size_t n = 0; n < names->count;) {
		if (parent_exists(names, names->list[n].path)) {
			n++;
			continue;
		}
		remove_name(names, names->list[n].path);
		n = 0;
	}
}

static void lose_power(struct sim_disk *d)
{
	lose_changes(d, (enum loss)random_below(&d->dice, LOSSES));
	lose_orphans(&d->durable);
	clear_names(&d->now);
	for (size_t n = 0; n < d->durable.count; n++) {
		const struct name *name = &d->durable.list[n];

		add_name(&d->now, name->path, name->inode);
		if (name->inode != NULL && name->inode->count > 0)
			lose_writes(d, name->inode, (enum loss)random_below(&d->dice, LOSSES));
	}
}

void sim_disk_revive(struct disk *disk, bool power_lost)
{
	struct sim_disk *d = disk_of(disk);

	if (power_lost)
		lose_power(d);
	d->dead = false;
	d->fuse = 0;
}

/* ---- life ---- */

struct disk *sim_disk_new(uint64_t seed)
{
	struct sim_disk *d = xcalloc(1, sizeof(*d));

	d->disk.ops = &sim_ops;
	d->dice.state = seed;
	return &d->disk;
}

void sim_disk_free(struct disk *disk)
{
	struct sim_disk *d = disk_of(disk);

	if (d == NULL)
		return;
	for (size_t n = 0; n < d->change_count; n++)
		forget_change(&d->changes[n]);
	clear_names(&d->now);
	clear_names(&d->durable);
	free(d->now.list);
	free(d->durable.list);
	free(d->changes);
	free(d);
}

void sim_disk_set_fuse(struct disk *d, uint64_t calls)
{
	disk_of(d)->fuse = calls;
}

void sim_disk_die(struct disk *d)
{
	disk_of(d)->dead = true;
}

bool sim_disk_dead(const struct disk *d)
{
	return ((const struct sim_disk *)d)->dead;
}

void sim_disk_lie(struct disk *d)
{
	disk_of(d)->lies = true;
}

uint64_t sim_disk_volatile(const struct disk *disk)
{
	const struct sim_disk *d = (const struct sim_disk *)disk;
	uint64_t bytes = 0;

	for (size_t n = 0; n < d->now.count; n++)
		for (size_t w = 0; d->now.list[n].inode != NULL && w < d->now.list[n].inode->count; w++)
			bytes += d->now.list[n].inode->writes[w].bytes->size;
	return bytes;
}

const struct sim_disk_counts *sim_disk_counts(const struct disk *d)
{
	return &((const struct sim_disk *)d)->counts;
}
