#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "common/disk.h"
#include "common/log.h"

/* The real disk: files below one directory, held open by descriptor so that a rename of it does no harm. */
struct posix_disk {
	struct disk disk;
	int root;
};

struct posix_file {
	struct disk_file file;
	int fd;
	char path[];
};

static struct posix_disk *posix_of(struct disk *d)
{
	return (struct posix_disk *)d;
}

static struct posix_file *file_of(struct disk_file *f)
{
	return (struct posix_file *)f;
}

static enum err fail(const char *what, const char *path)
{
	enum err e = err_from_errno(errno);

	if (e != ERR_NOT_FOUND && e != ERR_EXISTS && e != ERR_NO_SPACE)
		log_error("cannot %s %s", what, path[0] ? path : "the data directory");
	return e;
}

static enum err posix_open(struct disk *d, const char *path, enum disk_open how, struct disk_file **out)
{
	static const int flags[] = {
		[DISK_READ] = O_RDONLY,
		[DISK_WRITE] = O_RDWR,
		[DISK_CREATE] = O_RDWR | O_CREAT | O_EXCL,
	};
	struct posix_file *f;
	int fd = openat(posix_of(d)->root, path, flags[how] | O_CLOEXEC, 0600);

	if (fd == -1)
		return fail("open", path);
	f = xmalloc(sizeof(*f) + strlen(path) + 1);
	f->file.disk = d;
	f->fd = fd;
	strcpy(f->path, path);
	*out = &f->file;
	return ERR_OK;
}

static void posix_close(struct disk_file *f)
{
	close(file_of(f)->fd);
	free(f);
}

static enum err posix_read(struct disk_file *f, uint64_t offset, void *to, size_t size, size_t *got)
{
	*got = 0;
	while (*got < size) {
		ssize_t n = pread(file_of(f)->fd, (uint8_t *)to + *got, size - *got, (off_t)(offset + *got));

		if (n == -1 && errno == EINTR)
			continue;
		if (n == -1)
			return fail("read", file_of(f)->path);
		if (n == 0)
			break;
		*got += (size_t)n;
	}
	return ERR_OK;
}

static enum err posix_write(struct disk_file *f, uint64_t offset, struct bytes from)
{
	while (from.size > 0) {
		ssize_t n = pwrite(file_of(f)->fd, from.data, from.size, (off_t)offset);

		if (n == -1 && errno == EINTR)
			continue;
		if (n == -1)
			return fail("write", file_of(f)->path);
		offset += (uint64_t)n;
		from = bytes_of(from.data + n, from.size - (size_t)n);
	}
	return ERR_OK;
}

static enum err posix_sync(struct disk_file *f)
{
	return fdatasync(file_of(f)->fd) == -1 ? fail("sync", file_of(f)->path) : ERR_OK;
}

static enum err posix_size(struct disk_file *f, uint64_t *out)
{
	struct stat st;

	if (fstat(file_of(f)->fd, &st) == -1)
		return fail("stat", file_of(f)->path);
	*out = (uint64_t)st.st_size;
	return ERR_OK;
}

static enum err posix_resize(struct disk_file *f, uint64_t size)
{
	struct stat st;

	if (fstat(file_of(f)->fd, &st) == -1)
		return fail("stat", file_of(f)->path);
	if (size > 0)
		while ((errno = posix_fallocate(file_of(f)->fd, 0, (off_t)size)) == EINTR)
			;
	if (size > 0 && errno != 0) {
		enum err e = fail("allocate", file_of(f)->path);

		if (ftruncate(file_of(f)->fd, st.st_size) == -1)
			return fail("truncate", file_of(f)->path);
		return e;
	}
	if ((uint64_t)st.st_size > size && ftruncate(file_of(f)->fd, (off_t)size) == -1)
		return fail("truncate", file_of(f)->path);
	return ERR_OK;
}

static enum err posix_drop_cache(struct disk_file *f)
{
	errno = posix_fadvise(file_of(f)->fd, 0, 0, POSIX_FADV_DONTNEED);
	return errno != 0 ? fail("drop the cache of", file_of(f)->path) : ERR_OK;
}

static enum err posix_rename(struct disk *d, const char *from, const char *to)
{
	int root = posix_of(d)->root;

	return renameat(root, from, root, to) == -1 ? fail("rename", from) : ERR_OK;
}

static enum err posix_unlink(struct disk *d, const char *path)
{
	return unlinkat(posix_of(d)->root, path, 0) == -1 ? fail("unlink", path) : ERR_OK;
}

static enum err posix_make_dir(struct disk *d, const char *path)
{
	if (mkdirat(posix_of(d)->root, path, 0700) == -1 && errno != EEXIST)
		return fail("make the directory", path);
	return ERR_OK;
}

static int open_dir(struct disk *d, const char *path)
{
	return openat(posix_of(d)->root, path[0] ? path : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

static enum err posix_sync_dir(struct disk *d, const char *path)
{
	enum err e = ERR_OK;
	int fd = open_dir(d, path);

	if (fd == -1)
		return fail("open", path);
	if (fsync(fd) == -1)
		e = fail("sync", path);
	close(fd);
	return e;
}

static enum err posix_list(
    struct disk *d, const char *path, void (*visit)(void *arg, const char *name), void *arg)
{
	struct dirent *entry;
	int fd = open_dir(d, path);
	DIR *dir;

	if (fd == -1)
		return fail("open", path);
	if ((dir = fdopendir(fd)) == NULL) {
		close(fd);
		return fail("list", path);
	}
	while ((errno = 0, entry = readdir(dir)) != NULL)
		if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
			visit(arg, entry->d_name);
	enum err e = errno != 0 ? fail("list", path) : ERR_OK;
	closedir(dir);
	return e;
}

static enum err posix_space(struct disk *d, uint64_t *out)
{
	struct statvfs v;

	if (fstatvfs(posix_of(d)->root, &v) == -1)
		return fail("look for space in", "");
	*out = (uint64_t)v.f_bavail * v.f_frsize;
	return ERR_OK;
}

static const struct disk_ops posix_ops = {
	.open = posix_open,
	.close = posix_close,
	.read = posix_read,
	.write = posix_write,
	.sync = posix_sync,
	.size = posix_size,
	.resize = posix_resize,
	.drop_cache = posix_drop_cache,
	.rename = posix_rename,
	.unlink = posix_unlink,
	.make_dir = posix_make_dir,
	.sync_dir = posix_sync_dir,
	.list = posix_list,
	.space = posix_space,
};

struct disk *disk_posix_new(const char *root)
{
	struct posix_disk *d = xcalloc(1, sizeof(*d));

	d->disk.ops = &posix_ops;
	d->root = open(root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (d->root == -1) {
		log_error("cannot open the data directory %s", root);
		free(d);
		return NULL;
	}
	return &d->disk;
}

void disk_posix_free(struct disk *d)
{
	if (d == NULL)
		return;
	close(posix_of(d)->root);
	free(posix_of(d));
}
