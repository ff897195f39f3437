#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>

#include "common/crc.h"
#include "common/log.h"
#include "common/wire.h"
#include "worker/store/mark.h"
#include "worker/store/place.h"

#define NAME "synced"
#define FORMAT 1
/* format u32, file u32, offset u32, CRC-32C of these u32; each copy in a block of its own */
#define COPY_BYTES 16
#define COPY_APART 4096
#define FILE_BYTES (2 * COPY_APART)

struct mark {
	int fd;
	pthread_mutex_t lock;
	_Atomic uint64_t place; /* file and offset, so that it is read without the lock */
	unsigned copy; /* that was written last */
	atomic_bool needed;
};

static enum err fail(const char *doing, const char *home)
{
	enum err e = err_from_errno(errno);

	log_error("cannot %s %s/" NAME, doing, home);
	return e;
}

static void encode(uint8_t *at, struct mark_place p)
{
	wire_store_u32(at, FORMAT);
	wire_store_u32(at + 4, p.file);
	wire_store_u32(at + 8, p.offset);
	wire_store_u32(at + 12, crc32c(0, bytes_of(at, 12)));
}

static bool decode(const uint8_t *at, struct mark_place *p)
{
	*p = (struct mark_place){ wire_load_u32(at + 4), wire_load_u32(at + 8) };
	return wire_load_u32(at) == FORMAT && wire_load_u32(at + 12) == crc32c(0, bytes_of(at, 12));
}

static uint64_t pack(struct mark_place p)
{
	return (uint64_t)p.file << 32 | p.offset;
}

enum err mark_make(const char *home)
{
	char *path = xasprintf("%s/" NAME, home);
	int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	uint8_t *content = xcalloc(1, FILE_BYTES);
	enum err e = ERR_OK;

	encode(content, (struct mark_place){ 0, 0 });
	encode(content + COPY_APART, (struct mark_place){ 0, 0 });
	if (fd == -1)
		e = fail("make", home);
	else if (pwrite(fd, content, FILE_BYTES, 0) != FILE_BYTES)
		e = fail("write", home);
	else if (fsync(fd) == -1)
		e = fail("sync", home);
	if (fd != -1)
		close(fd);
	free(content);
	free(path);
	return e == ERR_OK ? place_sync(home) : e;
}

static enum err damaged(const char *home, const char *reason)
{
	log_errorx("the state is damaged file=%s/" NAME " reason=\"%s\"", home, reason);
	return ERR_DAMAGED;
}

static enum err read_copies(struct mark *m, const char *home)
{
	uint8_t content[2][COPY_BYTES] = { { 0 } };
	struct mark_place places[2];
	bool whole[2];

	for (unsigned i = 0; i < 2; i++) {
		if (pread(m->fd, content[i], COPY_BYTES, (off_t)i * COPY_APART) == -1)
			return fail("read", home);
		whole[i] = decode(content[i], &places[i]);
	}
	if (!whole[0] && !whole[1])
		return damaged(home, "neither of its copies is whole");
	m->copy = !whole[0] || (whole[1] && pack(places[0]) < pack(places[1])) ? 1 : 0;
	m->place = pack(places[m->copy]);
	return ERR_OK;
}

enum err mark_open(struct mark **out, const char *home)
{
	struct mark *m = xcalloc(1, sizeof(*m));
	char *path = xasprintf("%s/" NAME, home);
	enum err e;

	m->fd = open(path, O_RDWR | O_CLOEXEC);
	pthread_mutex_init(&m->lock, NULL);
	if (m->fd == -1 && (errno == ENOENT || errno == ENOTDIR))
		e = damaged(home, "it is missing");
	else
		e = m->fd == -1 ? fail("open", home) : read_copies(m, home);
	free(path);
	if (e != ERR_OK) {
		mark_close(m);
		m = NULL;
	}
	*out = m;
	return e;
}

void mark_close(struct mark *m)
{
	if (m == NULL)
		return;
	if (m->fd != -1)
		close(m->fd);
	pthread_mutex_destroy(&m->lock);
	free(m);
}

bool mark_exists(const char *home)
{
	char *path = xasprintf("%s/" NAME, home);
	bool there = access(path, F_OK) == 0;

	free(path);
	return there;
}

struct mark_place mark_place(struct mark *m)
{
	uint64_t p = m->place;

	return (struct mark_place){ (uint32_t)(p >> 32), (uint32_t)p };
}

/* Into the copy that is not the last one. */
static enum err write_next(struct mark *m, struct mark_place place)
{
	uint8_t content[COPY_BYTES];
	unsigned copy = 1 - m->copy;

	encode(content, place);
	ssize_t written = pwrite(m->fd, content, sizeof(content), (off_t)copy * COPY_APART);

	if (written != -1 && written != (ssize_t)sizeof(content))
		return ERR_IO; /* errno is of some earlier call */
	if (written == -1 || fdatasync(m->fd) == -1)
		return err_from_errno(errno);
	m->copy = copy;
	m->place = pack(place);
	return ERR_OK;
}

enum err mark_raise(struct mark *m, struct mark_place place)
{
	enum err e = ERR_OK;

	/* Most pages are behind it, and do not wait while another thread raises it. */
	if (pack(place) <= m->place)
		return ERR_OK;
	pthread_mutex_lock(&m->lock);
	if (pack(place) > m->place)
		e = write_next(m, place);
	pthread_mutex_unlock(&m->lock);
	if (e != ERR_OK)
		log_errorx("state: cannot note how far its log is synced: %s", err_text(e));
	return e;
}

/* A page begins with the place of the record that changed it last. */
enum err mark_page(struct mark *m, const void *page)
{
	const uint32_t *at = page;

	m->needed = true;
	return mark_raise(m, (struct mark_place){ at[0], at[1] + 1 });
}

bool mark_was_needed(struct mark *m)
{
	return atomic_exchange(&m->needed, false);
}
