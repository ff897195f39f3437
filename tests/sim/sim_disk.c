#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "tests/sim/dice.h"
#include "tests/sim/names.h"
#include "tests/sim/sim_disk.h"

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
	uint64_t error; /* calls until one fails; 0: none */
	bool dead, failed, lies;
	struct inode *flipped; /* or NULL; and where */
	uint64_t flipped_at;
	uint8_t flipped_bit;
	uint64_t free; /* UINT64_MAX: no end to it */
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

static void apply_change(struct names *names, const struct change *c)
{
	if (c->removed != NULL)
		names_remove(names, c->removed);
	if (c->added != NULL)
		names_add(names, c->added, c->inode);
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

/* ---- calls ---- */

/* What a changing call may still do. FAILED has no effect either, but the disk lives. */
enum strength { WHOLE, HALF, FAILED, NOTHING };

static enum strength strength(struct sim_disk *d)
{
	if (d->dead)
		return NOTHING;
	if (d->error > 0 && --d->error == 0) {
		d->failed = true;
		return FAILED;
	}
	if (d->fuse == 0 || --d->fuse > 0)
		return WHOLE;
	d->dead = true;
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

bool sim_disk_changes(struct disk *disk, enum err *e)
{
	struct sim_disk *d = disk_of(disk);
	enum strength s = strength(d);

	*e = outcome(s);
	return takes_effect(d, s);
}

static enum err sim_open(struct disk *disk, const char *path, enum disk_open how, struct disk_file **out)
{
	struct sim_disk *d = disk_of(disk);
	struct name *name = names_find(&d->now, path);
	struct inode *inode = NULL;
	enum strength s = WHOLE;
	struct sim_file *f;

	if (d->dead)
		return ERR_IO;
	if (how == DISK_CREATE) {
		if (name != NULL)
			return ERR_EXISTS;
		if (!names_have_parent(&d->now, path))
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

/* False: there is no room for it. */
static bool take_room(struct sim_disk *d, const struct inode *i, uint64_t size)
{
	uint64_t more = size > i->content.size ? size - i->content.size : 0;

	if (d->free == UINT64_MAX)
		return true;
	if (more > d->free)
		return false;
	d->free -= more;
	return true;
}

static void give_room(struct sim_disk *d, uint64_t bytes)
{
	if (d->free != UINT64_MAX)
		d->free += bytes;
}

static enum err sim_write(struct disk_file *f, uint64_t offset, struct bytes from)
{
	struct sim_disk *d = disk_of(f->disk);
	enum strength s;

	if (!d->dead && !take_room(d, inode_of(f), offset + from.size))
		return ERR_NO_SPACE;
	s = strength(d);

	if (s == HALF)
		from.size = inode_torn_size(&d->dice, offset, from.size);
	if (s == WHOLE || s == HALF)
		inode_write(inode_of(f), offset, from);
	return outcome(s);
}

static enum err sim_sync(struct disk_file *f)
{
	struct sim_disk *d = disk_of(f->disk);
	enum strength s = strength(d);

	if (s == FAILED)
		inode_fail_sync(inode_of(f));
	else if (takes_effect(d, s) && !d->lies)
		inode_sync(inode_of(f));
	return outcome(s);
}

static enum err sim_size(struct disk_file *f, uint64_t *out)
{
	*out = inode_of(f)->content.size;
	return disk_of(f->disk)->dead ? ERR_IO : ERR_OK;
}

static enum err sim_resize(struct disk_file *f, uint64_t size)
{
	struct sim_disk *d = disk_of(f->disk);
	struct inode *i = inode_of(f);

	if (d->dead)
		return ERR_IO;
	if (!take_room(d, i, size))
		return ERR_NO_SPACE;
	give_room(d, size < i->content.size ? i->content.size - size : 0);
	inode_resize(i, size);
	return ERR_OK;
}

static enum err sim_space(struct disk *disk, uint64_t *out)
{
	struct sim_disk *d = disk_of(disk);

	*out = d->free == UINT64_MAX ? UINT64_MAX / 2 : d->free;
	return d->dead ? ERR_IO : ERR_OK;
}

static enum err sim_drop_cache(struct disk_file *f)
{
	inode_drop_clean(inode_of(f));
	return disk_of(f->disk)->dead ? ERR_IO : ERR_OK;
}

static enum err sim_rename(struct disk *disk, const char *from, const char *to)
{
	struct sim_disk *d = disk_of(disk);
	struct name *name = names_find(&d->now, from);
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
	const struct name *name;
	enum strength s;

	if (d->dead)
		return ERR_IO;
	if ((name = names_find(&d->now, path)) == NULL)
		return ERR_NOT_FOUND;
	if (takes_effect(d, s = strength(d))) {
		give_room(d, name->inode == NULL ? 0 : name->inode->content.size);
		change_names(d, path, NULL, NULL);
	}
	return outcome(s);
}

static enum err sim_make_dir(struct disk *disk, const char *path)
{
	struct sim_disk *d = disk_of(disk);
	enum strength s;

	if (d->dead)
		return ERR_IO;
	if (names_find(&d->now, path) != NULL)
		return ERR_OK;
	if (!names_have_parent(&d->now, path))
		return ERR_NOT_FOUND;
	if (takes_effect(d, s = strength(d)))
		change_names(d, NULL, path, NULL);
	return outcome(s);
}

static bool change_in(const struct change *c, const char *dir)
{
	return path_lies_in(c->added != NULL ? c->added : c->removed, dir);
}

static enum err sim_sync_dir(struct disk *disk, const char *path)
{
	struct sim_disk *d = disk_of(disk);
	size_t left = 0;
	enum strength s;

	if (d->dead)
		return ERR_IO;
	if (!names_have_dir(&d->now, path))
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
	if (!names_have_dir(&d->now, path))
		return ERR_NOT_FOUND;
	/* The visitor may unlink. */
	for (size_t n = 0; n < d->now.count; n++)
		if (path_lies_in(d->now.list[n].path, path))
			names_add(&copy, d->now.list[n].path, NULL);
	for (size_t n = 0; n < copy.count; n++)
		visit(arg, copy.list[n].path + (path[0] == '\0' ? 0 : strlen(path) + 1));
	names_fini(&copy);
	return ERR_OK;
}

static const struct disk_ops sim_ops = {
	.open = sim_open,
	.close = sim_close,
	.read = sim_read,
	.write = sim_write,
	.sync = sim_sync,
	.size = sim_size,
	.resize = sim_resize,
	.drop_cache = sim_drop_cache,
	.rename = sim_rename,
	.unlink = sim_unlink,
	.make_dir = sim_make_dir,
	.sync_dir = sim_sync_dir,
	.list = sim_list,
	.space = sim_space,
};

/* ---- power ---- */

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

static void lose_power(struct sim_disk *d)
{
	lose_changes(d, (enum loss)random_below(&d->dice, LOSSES));
	names_remove_orphans(&d->durable);
	names_fini(&d->now);
	for (size_t n = 0; n < d->durable.count; n++) {
		const struct name *name = &d->durable.list[n];

		names_add(&d->now, name->path, name->inode);
		if (name->inode != NULL && name->inode->count > 0)
			inode_lose_power(name->inode, &d->dice, (enum loss)random_below(&d->dice, LOSSES),
			    &d->counts.writes);
	}
}

void sim_disk_revive(struct disk *disk, bool power_lost)
{
	struct sim_disk *d = disk_of(disk);

	if (power_lost)
		lose_power(d);
	d->dead = d->failed = false;
	d->fuse = d->error = 0;
}

/* ---- life ---- */

struct disk *sim_disk_new(uint64_t seed)
{
	struct sim_disk *d = xcalloc(1, sizeof(*d));

	d->disk.ops = &sim_ops;
	d->dice.state = seed;
	d->free = UINT64_MAX;
	return &d->disk;
}

void sim_disk_free(struct disk *disk)
{
	struct sim_disk *d = disk_of(disk);

	if (d == NULL)
		return;
	for (size_t n = 0; n < d->change_count; n++)
		forget_change(&d->changes[n]);
	names_fini(&d->now);
	names_fini(&d->durable);
	free(d->changes);
	inode_unref(d->flipped);
	free(d);
}

void sim_disk_set_fuse(struct disk *d, uint64_t calls)
{
	disk_of(d)->fuse = calls;
}

void sim_disk_set_error(struct disk *d, uint64_t calls)
{
	disk_of(d)->error = calls;
}

bool sim_disk_failed(const struct disk *d)
{
	return ((const struct sim_disk *)d)->failed;
}

static void flip(struct sim_disk *d)
{
	d->flipped->content.data[d->flipped_at] ^= d->flipped_bit;
}

bool sim_disk_flip(struct disk *disk)
{
	struct sim_disk *d = disk_of(disk);
	uint64_t first = random_next(&d->dice);

	sim_disk_unflip(disk);
	for (size_t n = 0; n < d->now.count; n++) {
		struct inode *i = d->now.list[(first + n) % d->now.count].inode;
		uint64_t most = i == NULL ? 0 : inode_proved(i);

		if (most == 0)
			continue;
		d->flipped = inode_ref(i);
		d->flipped_at = random_below(&d->dice, most);
		d->flipped_bit = (uint8_t)(1u << random_below(&d->dice, 8));
		flip(d);
		return true;
	}
	return false;
}

bool sim_disk_unflip(struct disk *disk)
{
	struct sim_disk *d = disk_of(disk);

	if (d->flipped == NULL)
		return false;
	flip(d);
	sim_disk_unflip_never(disk);
	return true;
}

void sim_disk_unflip_never(struct disk *disk)
{
	inode_unref(disk_of(disk)->flipped);
	disk_of(disk)->flipped = NULL;
}

void sim_disk_die(struct disk *d)
{
	disk_of(d)->dead = true;
}

void sim_disk_set_free(struct disk *d, uint64_t bytes)
{
	disk_of(d)->free = bytes;
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
		if (d->now.list[n].inode != NULL)
			bytes += inode_volatile(d->now.list[n].inode);
	return bytes;
}

const struct sim_disk_counts *sim_disk_counts(const struct disk *d)
{
	return &((const struct sim_disk *)d)->counts;
}
