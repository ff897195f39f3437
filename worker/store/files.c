#define _GNU_SOURCE
#include <db.h>
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/log.h"
#include "common/mem.h"
#include "worker/store/files.h"
#include "worker/store/mark.h"
#include "worker/store/place.h"

/* So much a thread that has time has on its way to the disk at once. */
#define STEP_BYTES (256U * 1024)
#define PAGE_BYTES 4096U

static int create(const char *path, int flags, mode_t mode)
{
	int fd = open(path, flags, mode);
	char *copy;
	enum err e;

	if (fd == -1)
		return -1;
	copy = xstrdup(path);
	e = place_sync(dirname(copy));
	free(copy);
	if (e == ERR_OK)
		return fd;
	close(fd);
	errno = EIO;
	return -1;
}

static int open_file(const char *path, int flags, ...)
{
	va_list arguments;
	mode_t mode;
	int fd;

	va_start(arguments, flags);
	mode = va_arg(arguments, mode_t);
	va_end(arguments);
	if ((flags & O_EXCL) != 0)
		return create(path, flags, mode);
	fd = open(path, flags & ~O_CREAT, mode);
	return fd == -1 && errno == ENOENT && (flags & O_CREAT) != 0 ? create(path, flags, mode) : fd;
}

static struct disk *relieved;
static __thread struct mark *mark_in_force;
static __thread ino_t pages_inode;
static __thread bool *noted_full;

void files_write_for(struct mark *m, ino_t pages, bool *full)
{
	mark_in_force = m;
	pages_inode = pages;
	noted_full = full;
}

static bool relieve(void)
{
	if (mark_in_force != NULL)
		return relieved != NULL && disk_relieve(relieved);
	if (noted_full != NULL)
		*noted_full = true;
	return false;
}

/* After a write that failed. What the relief does has errors of its own. */
static bool may_go_on(void)
{
	int error = errno;
	bool may = error == EINTR || (error == ENOSPC && relieve());

	errno = error;
	return may;
}

/* What a thread that has time has written and not brought to the disk. */
static __thread struct {
	bool on;
	int fd;
	size_t bytes;
	off_t first, end;
} behind;

void files_take_time(int fd)
{
	if (behind.on ? behind.fd == fd : fd == -1)
		return;
	behind.on = fd != -1;
	behind.fd = fd;
	behind.bytes = 0;
}

/* In two calls: a write that is asked to wait is one that the kernel hurries. A failure is left to the sync at the end,
 * by another descriptor, which is told of it too. */
static void write_behind(off_t offset, size_t size)
{
	if (behind.bytes == 0 || offset < behind.first)
		behind.first = offset;
	if (behind.bytes == 0 || offset + (off_t)size > behind.end)
		behind.end = offset + (off_t)size;
	behind.bytes += size;
	if (behind.bytes < STEP_BYTES)
		return;
	sync_file_range(behind.fd, behind.first, behind.end - behind.first, SYNC_FILE_RANGE_WRITE);
	sync_file_range(behind.fd, behind.first, behind.end - behind.first, SYNC_FILE_RANGE_WAIT_BEFORE);
	behind.bytes = 0;
}

void files_write_out(int fd)
{
	sync_file_range(fd, 0, 0, SYNC_FILE_RANGE_WRITE);
}

/* Where the function is not the system's, Berkeley DB seeks and writes, pages as well. */
static bool is_of_pages(int fd, size_t size)
{
	struct stat st;

	return size % PAGE_BYTES == 0 && (mark_in_force != NULL || behind.on) && fstat(fd, &st) == 0 &&
	       st.st_ino == pages_inode;
}

/* All of it, or -1: Berkeley DB takes a part of it for an error when the function is not the system's. */
static ssize_t write_all(int fd, const void *from, size_t size)
{
	bool pages = is_of_pages(fd, size);

	if (pages && mark_in_force != NULL && mark_page(mark_in_force, from) != ERR_OK) {
		errno = EIO;
		return -1;
	}
	for (size_t done = 0; done < size;) {
		ssize_t n = write(fd, (const char *)from + done, size - done);

		if (n == -1 && !may_go_on())
			return -1;
		done += n > 0 ? (size_t)n : 0;
	}
	if (pages && behind.on)
		write_behind(lseek(fd, 0, SEEK_CUR) - (off_t)size, size);
	return (ssize_t)size;
}

void files_take_over(void)
{
	db_env_set_func_open(open_file);
	db_env_set_func_write(write_all);
}

void files_relieve(struct disk *d)
{
	relieved = d;
}
