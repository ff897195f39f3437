#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

/*
 * Preloaded into a node's processes: records every call that changes files below the data directory, or makes them
 * durable, in one order over all processes of all nodes that share the record. The environment names
 *
 *	POWER_RECORD	the record: a file, there and empty before the first start; it lies outside of the data
 *	POWER_DATA	the data directory, without symbolic links in its path
 *	POWER_NODE	a number that stands in each record of this node
 *	POWER_KILL	with it, the process dies in its place of the record's call number so and so, from 1: of a
 *			write half is done, of one page and of anything else nothing
 *
 * A call that changes something is done and recorded under one lock, so the order of the records is the order in
 * which it happened, and a process that dies never leaves half a record. A sync waits without the lock: it covers what
 * stood in the record when it began, and is recorded when it is done. So what a client was told before a record was
 * written rests on syncs that stand before that record.
 *
 * Only what a node uses is looked at (strace shows it: open, write and their kin; no mapped files, no O_SYNC, no
 * hard links). Whoever reads the record compares what it makes with the directory in the end, so nothing else can
 * slip by. tests/power/model.py is the reader; the structs below are its format.
 */

#define RECORD_BYTES_MAX (16ULL << 30) /* of a sparse file */

enum kind { CREATE = 1, MKDIR, SYMLINK, RENAME, UNLINK, WRITE, RESIZE, SYNC };

struct header {
	uint64_t end; /* of the last whole record */
	uint64_t calls; /* so far */
	uint32_t ready;
	pthread_mutex_t lock;
};

#define HEADER_BYTES 4096
#define PAGE_BYTES 4096

/* Behind it: path, other path or content, zeros up to a multiple of 8. Paths are relative to the data directory. */
struct record {
	uint32_t bytes; /* with all that is behind it */
	uint16_t kind, node;
	uint64_t time_ns; /* CLOCK_BOOTTIME, when the record was written */
	uint64_t inode; /* CREATE, MKDIR, WRITE, RESIZE, SYNC */
	uint64_t offset; /* WRITE; RESIZE: the new size; SYNC: the end of the record when it began */
	uint32_t path_bytes, more_bytes;
};

struct place {
	char path[PATH_MAX];
};

static struct header *shared;
static struct place data;
static uint16_t node;
static uint64_t kill_at;

static void die(const char *why)
{
	fprintf(stderr, "record: %s: %s\n", why, strerror(errno));
	abort();
}

static void make_lock(void)
{
	pthread_mutexattr_t a;

	pthread_mutexattr_init(&a);
	pthread_mutexattr_setpshared(&a, PTHREAD_PROCESS_SHARED);
	pthread_mutexattr_setrobust(&a, PTHREAD_MUTEX_ROBUST);
	pthread_mutex_init(&shared->lock, &a);
	shared->end = HEADER_BYTES;
	shared->ready = 1;
}

__attribute__((constructor)) static void start(void)
{
	const char *name = getenv("POWER_RECORD"), *top = getenv("POWER_DATA"), *text;
	int fd;

	if (name == NULL || top == NULL)
		return;
	snprintf(data.path, sizeof(data.path), "%s", top);
	node = (uint16_t)((text = getenv("POWER_NODE")) != NULL ? atoi(text) : 0);
	kill_at = (text = getenv("POWER_KILL")) != NULL ? strtoull(text, NULL, 10) : 0;
	if ((fd = open(name, O_RDWR | O_CLOEXEC)) == -1 || flock(fd, LOCK_EX) == -1 ||
	    ftruncate(fd, (off_t)RECORD_BYTES_MAX) == -1)
		die(name);
	shared = mmap(NULL, RECORD_BYTES_MAX, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, fd, 0);
	if (shared == MAP_FAILED)
		die(name);
	if (!shared->ready)
		make_lock();
	flock(fd, LOCK_UN); /* the mapping keeps the file open */
	close(fd);
}

/* --- which files --- */

/* NULL, or what of the path is below the data directory: "" for the directory itself. */
static const char *below(const char *path)
{
	size_t size = strlen(data.path);

	if (strncmp(path, data.path, size) != 0 || (path[size] != '/' && path[size] != '\0'))
		return NULL;
	return path + size + (path[size] == '/');
}

static bool path_of(int fd, struct place *out)
{
	char link[32];
	ssize_t size;

	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	size = readlink(link, out->path, sizeof(out->path) - 1);
	out->path[size > 0 ? size : 0] = '\0';
	return size > 0;
}

/* Below the data directory, and then what it is. Neither sockets nor pipes are. */
static bool is_ours(int fd, struct stat *st)
{
	struct place p;

	if (shared == NULL || fstat(fd, st) == -1 || (!S_ISREG(st->st_mode) && !S_ISDIR(st->st_mode)))
		return false;
	return path_of(fd, &p) && below(p.path) != NULL;
}

/* The path that a call names, with the links on its way followed, but not one at its end; NULL if it is not ours. */
static const char *find(int dir, const char *path, struct place *out)
{
	struct place from = { "." }, parent;
	const char *name = strrchr(path, '/');
	char whole[2 * PATH_MAX];
	int size;

	if (shared == NULL || (dir != AT_FDCWD && !path_of(dir, &from)))
		return NULL;
	if (path[0] == '/')
		snprintf(whole, sizeof(whole), "%.*s/", (int)(name - path), path);
	else
		snprintf(
		    whole, sizeof(whole), "%s/%.*s", from.path, name == NULL ? 0 : (int)(name - path), path);
	if (realpath(whole, parent.path) == NULL)
		return NULL;
	size = snprintf(out->path, sizeof(out->path), "%s/%s", parent.path, name == NULL ? path : name + 1);
	return size < (int)sizeof(out->path) ? below(out->path) : NULL;
}

/* --- the record --- */

static void lock(void)
{
	int error = pthread_mutex_lock(&shared->lock);

	if (error == EOWNERDEAD)
		pthread_mutex_consistent(&shared->lock);
	else if (error != 0)
		die("the lock");
}

static void unlock(void)
{
	pthread_mutex_unlock(&shared->lock);
}

static bool is_last_call(void)
{
	return shared->calls == kill_at;
}

static void end_if_last_call(void)
{
	if (is_last_call())
		kill(getpid(), SIGKILL);
}

/* A call begins that may be this process's last. */
static void begin_write(void)
{
	lock();
	shared->calls++;
}

static void begin(void)
{
	begin_write();
	end_if_last_call();
}

static void add(struct record r, const char *path, const void *more, size_t more_bytes)
{
	struct timespec now;
	uint8_t *at = (uint8_t *)shared + shared->end;
	int saved = errno;

	clock_gettime(CLOCK_BOOTTIME, &now);
	r.time_ns = (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
	r.node = node;
	r.path_bytes = (uint32_t)strlen(path);
	r.more_bytes = (uint32_t)more_bytes;
	r.bytes = (uint32_t)((sizeof(r) + r.path_bytes + more_bytes + 7) & ~(size_t)7);
	if (shared->end + r.bytes > RECORD_BYTES_MAX)
		die("the record is full");
	memcpy(at, &r, sizeof(r));
	memcpy(at + sizeof(r), path, r.path_bytes);
	memcpy(at + sizeof(r) + r.path_bytes, more, more_bytes);
	shared->end += r.bytes;
	errno = saved;
}

/* A name that a call has made or removed. */
static int add_name(int result, enum kind kind, const char *path, const char *other)
{
	if (result == 0)
		add((struct record){ .kind = (uint16_t)kind }, path, other, strlen(other));
	return result;
}

/* --- the calls: files --- */

static int do_open(int dir, const char *path, int flags, mode_t mode)
{
	struct place p;
	const char *ours = (flags & (O_CREAT | O_TRUNC)) != 0 ? find(dir, path, &p) : NULL;
	struct stat st;
	bool there;
	int fd;

	if (ours == NULL)
		return (int)syscall(SYS_openat, dir, path, flags, mode);
	begin();
	there = fstatat(dir, path, &st, AT_SYMLINK_NOFOLLOW) == 0;
	fd = (int)syscall(SYS_openat, dir, path, flags, mode);
	if (fd != -1 && fstat(fd, &st) == -1)
		die(path);
	if (fd != -1 && !there)
		add((struct record){ .kind = CREATE, .inode = st.st_ino }, ours, NULL, 0);
	else if (fd != -1 && (flags & O_TRUNC) != 0)
		add((struct record){ .kind = RESIZE, .inode = st.st_ino }, "", NULL, 0);
	unlock();
	return fd;
}

static mode_t mode_in(int flags, va_list arguments)
{
	return (flags & (O_CREAT | O_TMPFILE)) != 0 ? va_arg(arguments, mode_t) : 0;
}

int open(const char *path, int flags, ...)
{
	va_list arguments;
	mode_t mode;

	va_start(arguments, flags);
	mode = mode_in(flags, arguments);
	va_end(arguments);
	return do_open(AT_FDCWD, path, flags, mode);
}

int openat(int dir, const char *path, int flags, ...)
{
	va_list arguments;
	mode_t mode;

	va_start(arguments, flags);
	mode = mode_in(flags, arguments);
	va_end(arguments);
	return do_open(dir, path, flags, mode);
}

/* What the kernel has done of a write when it kills: it copies page by page. */
static size_t half_of(size_t size, off_t offset)
{
	return size == PAGE_BYTES && offset % PAGE_BYTES == 0 ? 0 : size / 2;
}

static ssize_t do_write(
    int fd, const struct stat *st, const void *from, size_t size, off_t offset, bool moves)
{
	ssize_t n;

	begin_write();
	if (moves && (offset = lseek(fd, 0, SEEK_CUR)) == -1)
		die("a file without an offset");
	if (is_last_call())
		size = half_of(size, offset);
	n = moves ? syscall(SYS_write, fd, from, size) : syscall(SYS_pwrite64, fd, from, size, offset);
	end_if_last_call();
	if (n > 0)
		add((struct record){ .kind = WRITE, .inode = st->st_ino, .offset = (uint64_t)offset }, "",
		    from, (size_t)n);
	unlock();
	return n;
}

ssize_t write(int fd, const void *from, size_t size)
{
	struct stat st;

	return is_ours(fd, &st) ? do_write(fd, &st, from, size, 0, true) : syscall(SYS_write, fd, from, size);
}

ssize_t pwrite(int fd, const void *from, size_t size, off_t offset)
{
	struct stat st;

	return is_ours(fd, &st) ? do_write(fd, &st, from, size, offset, false)
				: syscall(SYS_pwrite64, fd, from, size, offset);
}

int ftruncate(int fd, off_t size)
{
	struct stat st;
	int result;

	if (!is_ours(fd, &st))
		return (int)syscall(SYS_ftruncate, fd, size);
	begin();
	result = (int)syscall(SYS_ftruncate, fd, size);
	if (result == 0)
		add((struct record){ .kind = RESIZE, .inode = st.st_ino, .offset = (uint64_t)size }, "", NULL,
		    0);
	unlock();
	return result;
}

/* A file that becomes longer is all that is seen of it: what it reserves is not content. */
int posix_fallocate(int fd, off_t offset, off_t size)
{
	struct stat st;
	bool ours = is_ours(fd, &st);
	int error;

	if (ours)
		begin();
	error = syscall(SYS_fallocate, fd, 0, offset, size) == -1 ? errno : 0;
	if (ours && error == 0 && fstat(fd, &st) == 0)
		add((struct record){ .kind = RESIZE, .inode = st.st_ino, .offset = (uint64_t)st.st_size }, "",
		    NULL, 0);
	if (ours)
		unlock();
	return error;
}

static int do_sync(long call, int fd)
{
	struct record r = { .kind = SYNC };
	struct stat st;
	int result;

	if (!is_ours(fd, &st))
		return (int)syscall(call, fd);
	begin();
	r.inode = st.st_ino;
	r.offset = shared->end;
	unlock();
	if ((result = (int)syscall(call, fd)) == -1)
		return -1;
	lock();
	add(r, "", NULL, 0);
	unlock();
	return 0;
}

int fsync(int fd)
{
	return do_sync(SYS_fsync, fd);
}

int fdatasync(int fd)
{
	return do_sync(SYS_fdatasync, fd);
}

/* --- the calls: names --- */

int renameat(int from_dir, const char *from, int to_dir, const char *to)
{
	struct place p, q;
	const char *old = find(from_dir, from, &p), *new = find(to_dir, to, &q);
	int result;

	if (old == NULL && new == NULL)
		return (int)syscall(SYS_renameat, from_dir, from, to_dir, to);
	if (old == NULL || new == NULL)
		die("a rename into the data directory or out of it");
	begin();
	result = add_name((int)syscall(SYS_renameat, from_dir, from, to_dir, to), RENAME, old, new);
	unlock();
	return result;
}

int rename(const char *from, const char *to)
{
	return renameat(AT_FDCWD, from, AT_FDCWD, to);
}

int unlinkat(int dir, const char *path, int flags)
{
	struct place p;
	const char *ours = find(dir, path, &p);
	int result;

	if (ours == NULL)
		return (int)syscall(SYS_unlinkat, dir, path, flags);
	begin();
	result = add_name((int)syscall(SYS_unlinkat, dir, path, flags), UNLINK, ours, "");
	unlock();
	return result;
}

int unlink(const char *path)
{
	return unlinkat(AT_FDCWD, path, 0);
}

int symlinkat(const char *target, int dir, const char *path)
{
	struct place p;
	const char *ours = find(dir, path, &p);
	int result;

	if (ours == NULL)
		return (int)syscall(SYS_symlinkat, target, dir, path);
	begin();
	result = add_name((int)syscall(SYS_symlinkat, target, dir, path), SYMLINK, ours, target);
	unlock();
	return result;
}

int rmdir(const char *path)
{
	return unlinkat(AT_FDCWD, path, AT_REMOVEDIR);
}

int symlink(const char *target, const char *path)
{
	return symlinkat(target, AT_FDCWD, path);
}

int mkdirat(int dir, const char *path, mode_t mode)
{
	struct place p;
	const char *ours = find(dir, path, &p);
	struct stat st;
	int result;

	if (ours == NULL)
		return (int)syscall(SYS_mkdirat, dir, path, mode);
	begin();
	result = (int)syscall(SYS_mkdirat, dir, path, mode);
	if (result == 0 && fstatat(dir, path, &st, 0) == -1)
		die(path);
	if (result == 0)
		add((struct record){ .kind = MKDIR, .inode = st.st_ino }, ours, NULL, 0);
	unlock();
	return result;
}

int mkdir(const char *path, mode_t mode)
{
	return mkdirat(AT_FDCWD, path, mode);
}

/* --- the same under their other names --- */

int open64(const char *path, int flags, ...) __attribute__((alias("open")));
int openat64(int dir, const char *path, int flags, ...) __attribute__((alias("openat")));
int posix_fallocate64(int fd, off_t offset, off_t size) __attribute__((alias("posix_fallocate")));
ssize_t pwrite64(int fd, const void *from, size_t size, off_t offset) __attribute__((alias("pwrite")));
int ftruncate64(int fd, off_t size) __attribute__((alias("ftruncate")));
