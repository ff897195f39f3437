#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <time.h>

#include "common/ballast.h"
#include "common/log.h"

#define FILE_NAME "ballast"
#define PARTS 8 /* given up one at a time */
#define PATIENCE_MS 50 /* between two tries */

struct ballast {
	struct disk_relief relief;
	struct disk *disk;
	struct disk_file *file;
	uint64_t bytes; /* when whole */
	pthread_mutex_t lock; /* of what it holds */
	uint64_t held;
	bool told;
	atomic_bool patient;
};

static struct ballast *self(struct disk_relief *r)
{
	return (struct ballast *)r;
}

/* A file that cannot give way has nothing to give. */
static bool give_part(struct ballast *b)
{
	uint64_t part = b->bytes / PARTS, left = b->held > part ? b->held - part : 0;

	if (b->held == 0 || disk_resize(b->file, left) != ERR_OK)
		return false;
	if (b->held == b->bytes)
		log_warnx("the filesystem is full to the last byte: the ballast gives way held=%llu",
		    (unsigned long long)b->held);
	b->held = left;
	b->told = false;
	return true;
}

static bool relieve(struct disk_relief *r)
{
	const struct timespec pause = { .tv_nsec = PATIENCE_MS * 1000000 };
	struct ballast *b = self(r);
	bool given, patient = atomic_load(&b->patient), tell;

	pthread_mutex_lock(&b->lock);
	given = give_part(b);
	tell = !given && patient && !b->told;
	b->told = b->told || tell;
	pthread_mutex_unlock(&b->lock);
	if (tell)
		log_errorx(
		    "the filesystem is full and the ballast is spent: what is under way waits for space");
	if (given || !patient)
		return given;
	nanosleep(&pause, NULL);
	return true;
}

/* What is there of a former life may have holes: it is made whole, or dropped. */
static enum err find(struct ballast *b)
{
	uint64_t size;
	enum err e = disk_open(b->disk, FILE_NAME, DISK_WRITE, &b->file);

	if (e == ERR_NOT_FOUND)
		return ERR_OK;
	if (e != ERR_OK || (e = disk_size(b->file, &size)) != ERR_OK)
		return e;
	size = size < b->bytes ? size : b->bytes;
	if ((e = disk_resize(b->file, size)) == ERR_NO_SPACE)
		e = disk_resize(b->file, size = 0);
	b->held = size;
	return e;
}

enum err ballast_open(struct ballast **out, struct disk *d, uint64_t bytes)
{
	struct ballast *b = xcalloc(1, sizeof(*b));
	enum err e;

	*out = NULL;
	b->relief.relieve = relieve;
	b->disk = d;
	b->bytes = bytes;
	pthread_mutex_init(&b->lock, NULL);
	if ((e = find(b)) != ERR_OK) {
		ballast_close(b);
		return e;
	}
	d->relief = &b->relief;
	*out = b;
	return ERR_OK;
}

void ballast_close(struct ballast *b)
{
	if (b == NULL)
		return;
	if (b->disk->relief == &b->relief)
		b->disk->relief = NULL;
	disk_close(&b->file);
	pthread_mutex_destroy(&b->lock);
	free(b);
}

/* Lack of space is no error: then there is no more of it than there is. */
static enum err make_whole(struct ballast *b)
{
	enum err e = ERR_OK;

	if (b->file == NULL)
		e = b->disk->ops->open(b->disk, FILE_NAME, DISK_CREATE, &b->file);
	if (e == ERR_OK && (e = disk_resize(b->file, b->bytes)) == ERR_OK)
		b->held = b->bytes;
	return e == ERR_NO_SPACE ? ERR_OK : e;
}

enum err ballast_look(struct ballast *b, uint64_t spare, struct ballast_room *out)
{
	uint64_t missing;
	enum err e;

	pthread_mutex_lock(&b->lock);
	e = disk_space(b->disk, &out->free);
	missing = b->bytes - b->held;
	if (e == ERR_OK && missing > 0 && out->free >= missing && out->free - missing >= spare) {
		e = make_whole(b);
		if (e == ERR_OK)
			e = disk_space(b->disk, &out->free);
	}
	out->held = b->held;
	pthread_mutex_unlock(&b->lock);
	return e;
}

void ballast_set_patient(struct ballast *b, bool patient)
{
	atomic_store(&b->patient, patient);
}
