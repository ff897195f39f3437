#include <stdlib.h>
#include <string.h>

#include "common/disk.h"

enum err disk_open(struct disk *d, const char *path, enum disk_open how, struct disk_file **out)
{
	enum err e;

	*out = NULL;
	while ((e = d->ops->open(d, path, how, out)) == ERR_NO_SPACE && disk_relieve(d))
		;
	return e;
}

void disk_close(struct disk_file **f)
{
	if (*f != NULL)
		(*f)->disk->ops->close(*f);
	*f = NULL;
}

enum err disk_read(struct disk_file *f, uint64_t offset, void *to, size_t size, size_t *got)
{
	return f->disk->ops->read(f, offset, to, size, got);
}

enum err disk_write(struct disk_file *f, uint64_t offset, struct bytes from)
{
	enum err e;

	/* Nothing was promised of it yet, so it may be written twice. */
	while ((e = f->disk->ops->write(f, offset, from)) == ERR_NO_SPACE && disk_relieve(f->disk))
		;
	return e;
}

enum err disk_sync(struct disk_file *f)
{
	return f->disk->ops->sync(f);
}

enum err disk_size(struct disk_file *f, uint64_t *out)
{
	return f->disk->ops->size(f, out);
}

enum err disk_resize(struct disk_file *f, uint64_t size)
{
	return f->disk->ops->resize(f, size);
}

enum err disk_drop_cache(struct disk_file *f)
{
	return f->disk->ops->drop_cache(f);
}

enum err disk_rename(struct disk *d, const char *from, const char *to)
{
	return d->ops->rename(d, from, to);
}

enum err disk_unlink(struct disk *d, const char *path)
{
	return d->ops->unlink(d, path);
}

enum err disk_make_dir(struct disk *d, const char *path)
{
	return d->ops->make_dir(d, path);
}

enum err disk_sync_dir(struct disk *d, const char *path)
{
	return d->ops->sync_dir(d, path);
}

enum err disk_list(struct disk *d, const char *path, void (*visit)(void *arg, const char *name), void *arg)
{
	return d->ops->list(d, path, visit, arg);
}

struct sought {
	const char *name;
	bool there;
};

static void compare_name(void *arg, const char *name)
{
	struct sought *s = arg;

	s->there |= strcmp(name, s->name) == 0;
}

enum err disk_find(struct disk *d, const char *path, const char *name, bool *there)
{
	struct sought s = { .name = name };
	enum err e = disk_list(d, path, compare_name, &s);

	*there = s.there;
	return e;
}

enum err disk_space(struct disk *d, uint64_t *out)
{
	return d->ops->space(d, out);
}

bool disk_relieve(struct disk *d)
{
	return d->relief != NULL && d->relief->relieve(d->relief);
}

enum err disk_read_whole(struct disk *d, const char *path, size_t most, struct buf *out)
{
	struct disk_file *f;
	uint64_t size;
	size_t got;
	enum err e;

	if ((e = disk_open(d, path, DISK_READ, &f)) != ERR_OK)
		return e;
	if ((e = disk_size(f, &size)) != ERR_OK)
		goto out;
	if (size > most) {
		e = ERR_TOO_LARGE;
		goto out;
	}
	e = disk_read(f, 0, buf_reserve(out, (size_t)size), (size_t)size, &got);
	if (e == ERR_OK)
		out->size += got;
out:
	disk_close(&f);
	return e;
}

enum err disk_replace(struct disk *d, const char *dir, const char *path, struct bytes content)
{
	char *aside = xasprintf("%s.new", path);
	struct disk_file *f = NULL;
	enum err e;

	e = disk_unlink(d, aside); /* what a crash left */
	if (e != ERR_OK && e != ERR_NOT_FOUND)
		goto out;
	if ((e = disk_open(d, aside, DISK_CREATE, &f)) != ERR_OK)
		goto out;
	if ((e = disk_write(f, 0, content)) != ERR_OK)
		goto out;
	if ((e = disk_sync(f)) != ERR_OK)
		goto out;
	if ((e = disk_rename(d, aside, path)) != ERR_OK)
		goto out;
	e = disk_sync_dir(d, dir);
out:
	disk_close(&f);
	free(aside);
	return e;
}
