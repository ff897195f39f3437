#include <db.h>
#include <pthread.h>
#include <stdint.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "worker/store/holes.h"

#define PAGE_BYTES 4096
#define WATCHED_MOST 8

struct file_id {
	dev_t device;
	ino_t inode;
};

static struct {
	pthread_mutex_t lock;
	struct file_id list[WATCHED_MOST];
	size_t count;
} watched = { .lock = PTHREAD_MUTEX_INITIALIZER };

/* Its place in the list; the end of it where it is not there. */
static size_t find(const struct stat *st)
{
	size_t i = 0;

	while (i < watched.count &&
	       (watched.list[i].device != st->st_dev || watched.list[i].inode != st->st_ino))
		i++;
	return i;
}

void holes_watch(int fd, bool on)
{
	struct stat st;
	size_t i;

	if (fd == -1 || fstat(fd, &st) == -1)
		return;
	pthread_mutex_lock(&watched.lock);
	i = find(&st);
	if (on && i == watched.count && i < WATCHED_MOST)
		watched.list[watched.count++] = (struct file_id){ st.st_dev, st.st_ino };
	else if (!on && i < watched.count)
		watched.list[i] = watched.list[--watched.count];
	pthread_mutex_unlock(&watched.lock);
}

static bool is_watched(int fd)
{
	struct stat st;
	bool there;

	if (fstat(fd, &st) == -1)
		return false;
	pthread_mutex_lock(&watched.lock);
	there = find(&st) < watched.count;
	pthread_mutex_unlock(&watched.lock);
	return there;
}

static ssize_t read_page(int fd, void *to, size_t size, off_t offset)
{
	ssize_t n = pread(fd, to, size, offset);
	const uint8_t *page = to;

	if (n == PAGE_BYTES && page[0] == 0 && memcmp(page, page + 1, PAGE_BYTES - 1) == 0 && is_watched(fd))
		memset(to, 0xff, PAGE_BYTES);
	return n;
}

void holes_take_over(void)
{
	db_env_set_func_pread(read_page);
}
