#define _GNU_SOURCE
#include <db.h>
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <sched.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/mem.h"
#include "worker/store/files.h"
#include "worker/store/mark.h"
#include "worker/store/place.h"

/* So much a thread that has time has on its way to the disk at once. */
#define STEP_BYTES (256U * 1024)
/* How long it rests at most, after a step and in all. */
#define REST_MS 10
#define RESTS_MS 2000
/* How often something else is done between its steps. */
#define CALL_MS 30
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
	struct instant since; /* the step under way began */
	struct span rested;
	bool (*between)(void *arg);
	void *between_arg;
	struct instant called;
} behind;

void files_take_time(int fd)
{
	if (behind.on ? behind.fd == fd : fd == -1)
		return;
	behind.on = fd != -1;
	behind.fd = fd;
	behind.bytes = 0;
	behind.between = NULL;
}

static atomic_bool hurried;

void files_hurry(void)
{
	atomic_store(&hurried, true);
}

void files_between_steps(bool (*call)(void *arg), void *arg)
{
	behind.between = call;
	behind.between_arg = arg;
	behind.since = behind.called = clock_now();
	behind.rested = span_ms(0);
}

/* In two calls: a write that is asked to wait is one that the kernel hurries. A failure is left to the sync at the end,
 * by another descriptor, which is told of it too. */
static void wait_for_disk(void)
{
	off_t size = behind.end - behind.first;

	if (behind.bytes == 0)
		return;
	sync_file_range(behind.fd, behind.first, size, SYNC_FILE_RANGE_WRITE);
	sync_file_range(behind.fd, behind.first, size, SYNC_FILE_RANGE_WAIT_BEFORE);
	behind.bytes = 0;
}

static void write_behind(off_t offset, size_t size)
{
	if (behind.bytes == 0 || offset < behind.first)
		behind.first = offset;
	if (behind.bytes == 0 || offset + (off_t)size > behind.end)
		behind.end = offset + (off_t)size;
	behind.bytes += size;
	if (behind.bytes >= STEP_BYTES && !atomic_load(&hurried))
		wait_for_disk();
}

static void rest(struct span s)
{
	const struct timespec t = { s.ns / 1000000000, s.ns % 1000000000 };

	nanosleep(&t, NULL);
}

/* Between two steps of a checkpoint nobody else needs wait: it holds no page. So it leaves disk and processor to others
 * for as long as it has used them itself, two seconds in all. */
static void rest_from_step(void)
{
	struct span took;

	if (atomic_load(&hurried))
		return;
	wait_for_disk();
	took = instant_between(behind.since, clock_now());
	if (took.ns > span_ms(REST_MS).ns)
		took = span_ms(REST_MS);
	if (behind.rested.ns < span_ms(RESTS_MS).ns)
		rest(took);
	behind.rested.ns += took.ns;
	if (instant_between(behind.called, clock_now()).ns > span_ms(CALL_MS).ns) {
		behind.called = clock_now();
		if (!behind.between(behind.between_arg))
			behind.rested = span_ms(RESTS_MS);
	}
	behind.since = clock_now();
}

/* Berkeley DB rests: of itself, for so long, or because we have asked it to after FILES_PAGES_A_STEP. */
static int on_pause(u_long seconds, u_long us)
{
	if (seconds > 0 || us > 0)
		rest(span_us((int64_t)(seconds * 1000000 + us)));
	else if (behind.on && behind.between != NULL)
		rest_from_step();
	else
		sched_yield();
	return 0;
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
	db_env_set_func_yield(on_pause);
}

void files_relieve(struct disk *d)
{
	relieved = d;
}
