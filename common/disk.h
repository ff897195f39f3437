#ifndef COMMON_DISK_H
#define COMMON_DISK_H

#include <stdbool.h>

#include "common/err.h"
#include "common/buf.h"

/*
 * Files, as an interface: the real one is disk_posix(), the simulator has its own that loses what was not synced.
 * Every path is relative to the disk's root (the data directory). What was written is durable after disk_sync();
 * that a file exists, or has a name, is durable after disk_sync_dir() on its directory. A failed sync must be
 * treated as the end: it is never retried.
 *
 * Errors are logged where they happen, by the implementation, with the path and the reason; callers pass them on. A
 * lack of space is not: a call that meets it asks the disk's relief for some (common/ballast.h), and is tried again.
 * An implementation may be used from several threads, one file by one thread at a time.
 */
struct disk;
struct disk_file;

enum disk_open {
	DISK_READ, /* must exist */
	DISK_WRITE, /* must exist; read and write */
	DISK_CREATE, /* must not exist (ERR_EXISTS); read and write */
};

struct disk_ops {
	enum err (*open)(struct disk *, const char *path, enum disk_open how, struct disk_file **out);
	void (*close)(struct disk_file *);
	enum err (*read)(struct disk_file *, uint64_t offset, void *to, size_t size, size_t *got);
	enum err (*write)(struct disk_file *, uint64_t offset, struct bytes from);
	enum err (*sync)(struct disk_file *);
	enum err (*size)(struct disk_file *, uint64_t *out);
	enum err (*resize)(struct disk_file *, uint64_t size);
	enum err (*drop_cache)(struct disk_file *);
	enum err (*rename)(struct disk *, const char *from, const char *to);
	enum err (*unlink)(struct disk *, const char *path);
	enum err (*make_dir)(struct disk *, const char *path);
	enum err (*sync_dir)(struct disk *, const char *path);
	enum err (*list)(
	    struct disk *, const char *path, void (*visit)(void *arg, const char *name), void *arg);
	enum err (*space)(struct disk *, uint64_t *out);
};

/* Whoever can make space where there is none: true when the call is worth another try. May block. Called from the
 * thread of whoever writes. */
struct disk_relief {
	bool (*relieve)(struct disk_relief *);
};

/* An implementation begins its own structs with these. */
struct disk {
	const struct disk_ops *ops;
	struct disk_relief *relief; /* NULL: nobody */
};

struct disk_file {
	struct disk *disk;
};

/* The real files below `root`; NULL (and a log line) where that is no directory. The caller frees it by
 * disk_posix_free(), which accepts NULL. */
struct disk *disk_posix_new(const char *root);
void disk_posix_free(struct disk *d);

enum err disk_open(struct disk *d, const char *path, enum disk_open how, struct disk_file **out);
/* Closes and sets *f to NULL; accepts NULL in *f. Does not sync. */
void disk_close(struct disk_file **f);
/* Reads up to `size` bytes; *got is less only at the end of the file. */
enum err disk_read(struct disk_file *f, uint64_t offset, void *to, size_t size, size_t *got);
/* Writes all or fails; a file grows as needed. */
enum err disk_write(struct disk_file *f, uint64_t offset, struct bytes from);
/* fdatasync(2): contents and size. */
enum err disk_sync(struct disk_file *f);
enum err disk_size(struct disk_file *f, uint64_t *out);
/* Gives it this size, and all of it its place on the device, so that a write into it needs no more space; what it grows
 * by is zeros. ERR_NO_SPACE asks nobody for relief; then it is as it was. */
enum err disk_resize(struct disk_file *f, uint64_t size);
/* What is cached and clean is read from the device next time (POSIX_FADV_DONTNEED). */
enum err disk_drop_cache(struct disk_file *f);
/* Replaces `to` if it exists. */
enum err disk_rename(struct disk *d, const char *from, const char *to);
enum err disk_unlink(struct disk *d, const char *path);
/* Success when it exists already. */
enum err disk_make_dir(struct disk *d, const char *path);
/* "" is the root. */
enum err disk_sync_dir(struct disk *d, const char *path);
/* Visits each name in the directory, in no order, without "." and "..". */
enum err disk_list(struct disk *d, const char *path, void (*visit)(void *arg, const char *name), void *arg);

/* Is there something of this name in the directory? */
enum err disk_find(struct disk *d, const char *path, const char *name, bool *there);

/* Bytes of the filesystem that this process may still fill. */
enum err disk_space(struct disk *d, uint64_t *out);
/* For writes to this disk that do not go through it: there is no space; false when there will be none. */
bool disk_relieve(struct disk *d);

/* Reads a whole file of at most `most` bytes, appended to *out; ERR_NOT_FOUND quietly where there is none,
 * ERR_TOO_LARGE where it is longer. */
enum err disk_read_whole(struct disk *d, const char *path, size_t most, struct buf *out);
/* Replaces a small file durably: writes `path`.new, syncs it, renames it, syncs the directory `dir` it lies in. */
enum err disk_replace(struct disk *d, const char *dir, const char *path, struct bytes content);

#endif
