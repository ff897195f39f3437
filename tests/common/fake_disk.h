#ifndef TESTS_COMMON_FAKE_DISK_H
#define TESTS_COMMON_FAKE_DISK_H

#include "common/disk.h"
#include "common/random.h"

/*
 * A disk in memory for tests of what survives. For every file it keeps what a process sees and what the device
 * holds, in sectors of 512 bytes; for the names too, in the order in which they changed. It can die at any call, in
 * the middle of a write, and come back as after a kill (what was seen is still there) or a power cut (what was synced
 * is there; of the rest, any part).
 */
struct fake_disk;

struct fake_disk *fake_disk_new(void);
void fake_disk_free(struct fake_disk *f);
struct disk *fake_disk_of(struct fake_disk *f);

/* Calls so far that change anything: create, write, sync, rename, unlink, make_dir, sync_dir. */
uint64_t fake_disk_calls(const struct fake_disk *f);
/* The call with this number (from 0) fails, and every one after it. If it is a write, its first `bytes` bytes
 * are written; if it is anything else and `bytes` is not 0, it happens. UINT64_MAX: none. */
void fake_disk_die_at(struct fake_disk *f, uint64_t call, size_t bytes);
bool fake_disk_dead(const struct fake_disk *f);
/* The next sync of a file fails; what it should have written stays visible, looks clean, and is not on the device. */
void fake_disk_fail_sync(struct fake_disk *f);

/* So many bytes are left for files to grow by; without end at first. Files do not grow beyond: ERR_NO_SPACE. */
void fake_disk_set_free(struct fake_disk *f, uint64_t bytes);
uint64_t fake_disk_free_bytes(const struct fake_disk *f);

/* The process is gone, the machine is not. */
void fake_disk_after_kill(struct fake_disk *f);
/* Each sector and the size that were not synced survive with a chance of `permille`; of the changes of names, in
 * their order, a random number (none for 0, all for 1000). */
void fake_disk_after_power_cut(struct fake_disk *f, struct random *r, unsigned permille);

/* What a process sees of a file, NULL if there is none; valid until it changes. */
struct bytes fake_disk_file(struct fake_disk *f, const char *path);
/* Changes a byte as the device holds it and as it is seen. */
void fake_disk_flip(struct fake_disk *f, const char *path, uint64_t offset, uint8_t mask);
/* Changes a byte on the device only; what is cached of its sector looks clean and is as it was. */
void fake_disk_rot(struct fake_disk *f, const char *path, uint64_t offset, uint8_t mask);
/* Puts a file there, durable. */
void fake_disk_put(struct fake_disk *f, const char *path, struct bytes content);

#endif
