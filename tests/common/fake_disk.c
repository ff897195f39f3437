#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "tests/common/fake_disk.h"

#define SECTOR 512

enum sector {
	CLEAN,
	DIRTY, /* seen, will be on the device after a sync */
	LOST, /* seen, looks clean, is not on the device */
};

struct inode {
	struct inode *next;
	struct buf seen, held;
	struct buf sectors; /* a byte of enum sector for each of `seen` */
};

struct name {
	char *path;
	struct inode *inode; /* NULL: a directory */
};

struct names {
	struct name *data;
	size_t count;
};

/* A change of names that its directory's sync has not made durable. */
struct change {
	char *path, *from; /* from: NULL if this is no rename */
	struct inode *inode;
	bool removes;
};

struct fake_disk {
	struct disk disk;
	struct inode *inodes;
	struct names seen, held;
	struct change *changes;
	size_t change_count;
	uint64_t calls, die_at;
	size_t die_bytes;
	bool dead, sync_fails;
	uint64_t free;
};

struct fake_file {
	struct disk_file file;
	struct inode *inode;
};

static struct fake_disk *of(struct disk *d)
{
	return (struct fake_disk *)d;
}

static struct inode *inode_of(struct disk_file *f)
{
	return ((struct fake_file *)f)->inode;
}

/* --- names --- */

static struct name *find(struct names *n, const char *path)
{
	for (size_t i = 0; i < n->count; i++)
		if (strcmp(n->data[i].path, path) == 0)
			return &n->data[i];
	return NULL;
}

static void drop(struct names *n, const char *path)
{
	struct name *found = find(n, path);

	if (found == NULL)
		return;
	free(found->path);
	*found = n->data[--n->count];
}

static void put(struct names *n, const char *path, struct inode *inode)
{
	char *copy = xstrdup(path);

	drop(n, path);
	n->data = xreallocarray(n->data, n->count + 1, sizeof(*n->data));
	n->data[n->count++] = (struct name){ copy, inode };
}

static void names_clear(struct names *n)
{
	while (n->count > 0)
		drop(n, n->data[0].path);
	free(n->data);
	*n = (struct names){ 0 };
}

static void apply(struct names *n, const struct change *c)
{
	if (c->from != NULL)
		drop(n, c->from);
	if (c->removes)
		drop(n, c->path);
	else
		put(n, c->path, c->inode);
}

static void change(struct fake_disk *f, const char *path, const char *from, struct inode *inode, bool removes)
{
	struct change c = { xstrdup(path), from != NULL ? xstrdup(from) : NULL, inode, removes };

	f->changes = xreallocarray(f->changes, f->change_count + 1, sizeof(c));
	f->changes[f->change_count++] = c;
	apply(&f->seen, &c);
}

static void forget_change(struct fake_disk *f, size_t at)
{
	free(f->changes[at].path);
	free(f->changes[at].from);
	f->change_count--;
	memmove(&f->changes[at], &f->changes[at + 1], (f->change_count - at) * sizeof(*f->changes));
}

/* Is the path right inside of the directory? */
static bool lies_in(const char *path, const char *dir)
{
	size_t size = strlen(dir);

	if (size > 0 && (strncmp(path, dir, size) != 0 || path[size] != '/'))
		return false;
	return strchr(path + (size > 0 ? size + 1 : 0), '/') == NULL;
}

/* --- dying --- */

/* Counts a call that changes something. False: it must fail; then *bytes says how much of it still happens. */
static bool alive(struct fake_disk *f, size_t *bytes)
{
	*bytes = 0;
	if (f->dead)
		return false;
	if (f->calls++ < f->die_at)
		return true;
	f->dead = true;
	*bytes = f->die_bytes;
	return false;
}

/* A call that happens or not, as a whole. */
static bool happens(struct fake_disk *f)
{
	size_t bytes;

	return alive(f, &bytes) || bytes > 0;
}

static enum err outcome(const struct fake_disk *f)
{
	return f->dead ? ERR_IO : ERR_OK;
}

/* --- the operations --- */

static enum err fake_open(struct disk *d, const char *path, enum disk_open how, struct disk_file **out)
{
	struct fake_disk *f = of(d);
	struct name *n = find(&f->seen, path);
	struct fake_file *file;

	if (f->dead)
		return ERR_IO;
	if (how != DISK_CREATE && n == NULL)
		return ERR_NOT_FOUND;
	if (how == DISK_CREATE) {
		struct inode *inode;

		if (n != NULL)
			return ERR_EXISTS;
		if (!happens(f))
			return ERR_IO;
		inode = xcalloc(1, sizeof(*inode));
		inode->next = f->inodes;
		f->inodes = inode;
		change(f, path, NULL, inode, false);
		if (f->dead)
			return ERR_IO;
		n = find(&f->seen, path);
	}
	file = xcalloc(1, sizeof(*file));
	file->file.disk = d;
	file->inode = n->inode;
	*out = &file->file;
	return ERR_OK;
}

static void fake_close(struct disk_file *f)
{
	free(f);
}

static enum err fake_read(struct disk_file *f, uint64_t offset, void *to, size_t size, size_t *got)
{
	struct inode *n = inode_of(f);

	*got = 0;
	if (of(f->disk)->dead)
		return ERR_IO;
	if (offset >= n->seen.size)
		return ERR_OK;
	*got = n->seen.size - offset < size ? n->seen.size - (size_t)offset : size;
	memcpy(to, n->seen.data + offset, *got);
	return ERR_OK;
}

static void grow(struct inode *n, uint64_t size)
{
	uint64_t sectors = (size + SECTOR - 1) / SECTOR;

	if (n->seen.size < size)
		buf_extend(&n->seen, (size_t)(size - n->seen.size));
	while (n->sectors.size < sectors)
		*buf_extend(&n->sectors, 1) = DIRTY;
}

/* False: there is no room for it. */
static bool take_room(struct fake_disk *d, const struct inode *n, uint64_t size)
{
	uint64_t more = size > n->seen.size ? size - n->seen.size : 0;

	if (more > d->free)
		return false;
	d->free -= more;
	return true;
}

static enum err fake_write(struct disk_file *f, uint64_t offset, struct bytes from)
{
	struct fake_disk *d = of(f->disk);
	struct inode *n = inode_of(f);
	size_t bytes;

	if (!d->dead && !take_room(d, n, offset + from.size))
		return ERR_NO_SPACE;
	if (!alive(d, &bytes))
		from.size = bytes < from.size ? bytes : from.size;
	if (from.size == 0)
		return outcome(d);
	grow(n, offset + from.size);
	memcpy(n->seen.data + offset, from.data, from.size);
	for (uint64_t i = offset / SECTOR; i <= (offset + from.size - 1) / SECTOR; i++)
		n->sectors.data[i] = DIRTY;
	return outcome(d);
}

/* The device takes the sector, and grows up to its end. */
static void hold(struct inode *n, size_t sector)
{
	size_t from = sector * SECTOR, to = from + SECTOR < n->seen.size ? from + SECTOR : n->seen.size;

	if (n->held.size < to)
		buf_extend(&n->held, to - n->held.size);
	memcpy(n->held.data + from, n->seen.data + from, to - from);
	n->sectors.data[sector] = CLEAN;
}

static enum err fake_sync(struct disk_file *f)
{
	struct fake_disk *d = of(f->disk);
	struct inode *n = inode_of(f);

	if (!happens(d))
		return ERR_IO;
	for (size_t i = 0; i < n->sectors.size; i++) {
		if (n->sectors.data[i] != DIRTY)
			continue;
		if (d->sync_fails)
			n->sectors.data[i] = LOST;
		else
			hold(n, i);
	}
	if (d->sync_fails) {
		d->sync_fails = false;
		return ERR_IO;
	}
	return outcome(d);
}

static enum err fake_size(struct disk_file *f, uint64_t *out)
{
	*out = inode_of(f)->seen.size;
	return outcome(of(f->disk));
}

static enum err fake_resize(struct disk_file *f, uint64_t size)
{
	struct fake_disk *d = of(f->disk);
	struct inode *n = inode_of(f);

	if (d->dead)
		return ERR_IO;
	if (!take_room(d, n, size))
		return ERR_NO_SPACE;
	grow(n, size);
	d->free += n->seen.size - size;
	n->seen.size = (size_t)size;
	n->sectors.size = (size_t)((size + SECTOR - 1) / SECTOR);
	return ERR_OK;
}

static enum err fake_space(struct disk *d, uint64_t *out)
{
	*out = of(d)->free;
	return outcome(of(d));
}

static enum err fake_drop_cache(struct disk_file *f)
{
	struct inode *n = inode_of(f);

	for (size_t i = 0; i < n->sectors.size; i++) {
		size_t from = i * SECTOR, to = from + SECTOR < n->seen.size ? from + SECTOR : n->seen.size;
		size_t there = n->held.size < from ? from : n->held.size < to ? n->held.size : to;

		if (n->sectors.data[i] != LOST)
			continue;
		memset(n->seen.data + from, 0, to - from);
		if (there > from)
			memcpy(n->seen.data + from, n->held.data + from, there - from);
		n->sectors.data[i] = CLEAN;
	}
	return outcome(of(f->disk));
}

static enum err fake_rename(struct disk *d, const char *from, const char *to)
{
	struct fake_disk *f = of(d);
	struct name *n = find(&f->seen, from);

	if (!happens(f))
		return ERR_IO;
	if (n == NULL)
		return ERR_NOT_FOUND;
	change(f, to, from, n->inode, false);
	return outcome(f);
}

static enum err fake_unlink(struct disk *d, const char *path)
{
	struct fake_disk *f = of(d);

	if (f->dead)
		return ERR_IO;
	if (find(&f->seen, path) == NULL)
		return ERR_NOT_FOUND;
	if (!happens(f))
		return ERR_IO;
	f->free += find(&f->seen, path)->inode->seen.size;
	change(f, path, NULL, NULL, true);
	return outcome(f);
}

static enum err fake_make_dir(struct disk *d, const char *path)
{
	struct fake_disk *f = of(d);

	if (!happens(f))
		return ERR_IO;
	if (find(&f->seen, path) == NULL)
		change(f, path, NULL, NULL, false);
	return outcome(f);
}

static enum err fake_sync_dir(struct disk *d, const char *path)
{
	struct fake_disk *f = of(d);

	if (!happens(f))
		return ERR_IO;
	for (size_t i = 0; i < f->change_count;) {
		if (lies_in(f->changes[i].path, path)) {
			apply(&f->held, &f->changes[i]);
			forget_change(f, i);
		} else {
			i++;
		}
	}
	return outcome(f);
}

static enum err fake_list(
    struct disk *d, const char *path, void (*visit)(void *arg, const char *name), void *arg)
{
	struct fake_disk *f = of(d);

	if (f->dead)
		return ERR_IO;
	if (path[0] != '\0' && find(&f->seen, path) == NULL)
		return ERR_NOT_FOUND;
	for (size_t i = 0; i < f->seen.count; i++)
		if (lies_in(f->seen.data[i].path, path))
			visit(arg, f->seen.data[i].path + (path[0] ? strlen(path) + 1 : 0));
	return ERR_OK;
}

static const struct disk_ops fake_ops = {
	.open = fake_open,
	.close = fake_close,
	.read = fake_read,
	.write = fake_write,
	.sync = fake_sync,
	.size = fake_size,
	.resize = fake_resize,
	.drop_cache = fake_drop_cache,
	.rename = fake_rename,
	.unlink = fake_unlink,
	.make_dir = fake_make_dir,
	.sync_dir = fake_sync_dir,
	.list = fake_list,
	.space = fake_space,
};

/* --- for the test --- */

struct fake_disk *fake_disk_new(void)
{
	struct fake_disk *f = xcalloc(1, sizeof(*f));

	f->disk.ops = &fake_ops;
	f->die_at = UINT64_MAX;
	f->free = UINT64_MAX / 2;
	return f;
}

void fake_disk_free(struct fake_disk *f)
{
	while (f->inodes != NULL) {
		struct inode *n = f->inodes;

		f->inodes = n->next;
		buf_free(&n->seen);
		buf_free(&n->held);
		buf_free(&n->sectors);
		free(n);
	}
	while (f->change_count > 0)
		forget_change(f, 0);
	free(f->changes);
	names_clear(&f->seen);
	names_clear(&f->held);
	free(f);
}

void fake_disk_set_free(struct fake_disk *f, uint64_t bytes)
{
	f->free = bytes;
}

uint64_t fake_disk_free_bytes(const struct fake_disk *f)
{
	return f->free;
}

struct disk *fake_disk_of(struct fake_disk *f)
{
	return &f->disk;
}

uint64_t fake_disk_calls(const struct fake_disk *f)
{
	return f->calls;
}

void fake_disk_die_at(struct fake_disk *f, uint64_t call, size_t bytes)
{
	f->die_at = call;
	f->die_bytes = bytes;
}

bool fake_disk_dead(const struct fake_disk *f)
{
	return f->dead;
}

void fake_disk_fail_sync(struct fake_disk *f)
{
	f->sync_fails = true;
}

void fake_disk_after_kill(struct fake_disk *f)
{
	f->dead = false;
	f->die_at = UINT64_MAX;
	f->sync_fails = false;
}

static bool survives(struct random *r, unsigned permille)
{
	return permille == 1000 || (permille > 0 && random_below(r, 1000) < permille);
}

static void lose_bytes(struct inode *n, struct random *r, unsigned permille)
{
	for (size_t i = 0; i < n->sectors.size; i++)
		if (n->sectors.data[i] == DIRTY && survives(r, permille))
			hold(n, i);
	if (n->held.size < n->seen.size && survives(r, permille))
		buf_extend(&n->held, n->seen.size - n->held.size);
	buf_clear(&n->seen);
	buf_append(&n->seen, buf_bytes(&n->held));
	n->sectors.size = (n->seen.size + SECTOR - 1) / SECTOR;
	if (n->sectors.size > 0)
		memset(n->sectors.data, CLEAN, n->sectors.size);
}

static bool has_parent(struct names *n, const char *path)
{
	const char *slash = strrchr(path, '/');
	char *parent;
	bool has;

	if (slash == NULL)
		return true;
	parent = bytes_dup_text(bytes_of(path, (size_t)(slash - path)));
	has = find(n, parent) != NULL;
	free(parent);
	return has;
}

void fake_disk_after_power_cut(struct fake_disk *f, struct random *r, unsigned permille)
{
	size_t kept = permille == 1000 ? f->change_count
		      : permille == 0  ? 0
				       : (size_t)random_below(r, f->change_count + 1);

	for (struct inode *n = f->inodes; n != NULL; n = n->next)
		lose_bytes(n, r, permille);
	for (; kept > 0; kept--) {
		apply(&f->held, &f->changes[0]);
		forget_change(f, 0);
	}
	while (f->change_count > 0)
		forget_change(f, 0);
	names_clear(&f->seen);
	for (size_t i = 0; i < f->held.count; i++)
		if (has_parent(&f->held, f->held.data[i].path))
			put(&f->seen, f->held.data[i].path, f->held.data[i].inode);
	names_clear(&f->held);
	for (size_t i = 0; i < f->seen.count; i++)
		put(&f->held, f->seen.data[i].path, f->seen.data[i].inode);
	fake_disk_after_kill(f);
}

struct bytes fake_disk_file(struct fake_disk *f, const char *path)
{
	struct name *n = find(&f->seen, path);

	return n == NULL ? bytes_of(NULL, 0) : buf_bytes(&n->inode->seen);
}

void fake_disk_flip(struct fake_disk *f, const char *path, uint64_t offset, uint8_t mask)
{
	struct inode *n = find(&f->seen, path)->inode;

	assert(offset < n->seen.size);
	n->seen.data[offset] ^= mask;
	if (offset < n->held.size)
		n->held.data[offset] ^= mask;
}

void fake_disk_rot(struct fake_disk *f, const char *path, uint64_t offset, uint8_t mask)
{
	struct inode *n = find(&f->seen, path)->inode;

	assert(offset < n->held.size && n->sectors.data[offset / SECTOR] == CLEAN);
	n->held.data[offset] ^= mask;
	n->sectors.data[offset / SECTOR] = LOST;
}

void fake_disk_put(struct fake_disk *f, const char *path, struct bytes content)
{
	struct inode *n = xcalloc(1, sizeof(*n));

	n->next = f->inodes;
	f->inodes = n;
	grow(n, content.size);
	if (content.size > 0)
		memcpy(n->seen.data, content.data, content.size);
	for (size_t i = 0; i < n->sectors.size; i++)
		hold(n, i);
	put(&f->seen, path, n);
	put(&f->held, path, n);
}
