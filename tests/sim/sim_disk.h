#ifndef TESTS_SIM_SIM_DISK_H
#define TESTS_SIM_SIM_DISK_H

#include "common/disk.h"
#include "tests/sim/inode.h"

/*
 * A disk in memory that remembers what was not synced: writes since their file's last sync, and names (created,
 * renamed, unlinked) since their directory's. When the process dies the page cache stays, and what was not synced
 * is still only there; when power goes, any part of it may be gone: all, none, a beginning with its last write torn,
 * some writes, some sectors; and of the names likewise.
 *
 * A fuse makes it die in the middle of a later call: that call has half its effect, and from there on everything
 * is ERR_IO, until the disk is started again.
 */
struct sim_disk_counts {
	struct loss_counts writes;
	uint64_t names_lost;
};

struct disk *sim_disk_new(uint64_t seed);
/* Accepts NULL. No file may be open. */
void sim_disk_free(struct disk *d);

/* Dies in the `calls`-th changing call from now on. */
void sim_disk_set_fuse(struct disk *d, uint64_t calls);
/* Fails the `calls`-th changing call from now on, without an effect, and works again after it; 0: none. What a failed
 * sync should have made durable stays readable, and no later sync makes it durable: Linux takes it for clean then. */
void sim_disk_set_error(struct disk *d, uint64_t calls);
/* A call failed since it was started. */
bool sim_disk_failed(const struct disk *d);
/* Dies now: nothing has an effect any more. */
void sim_disk_die(struct disk *d);
bool sim_disk_dead(const struct disk *d);
/* Lives again, for the next life of its node, after a loss of power or only of the process. All files are closed. */
void sim_disk_revive(struct disk *d, bool power_lost);

/* A change that does not lie on this disk, but dies and fails like one that does: true when it takes place; *e is what
 * the caller is told. */
bool sim_disk_changes(struct disk *d, enum err *e);

/* Flips one bit of what lies before the last two syncs of some file, where a reader can tell it from a tail that was
 * never whole. False when there is none. */
bool sim_disk_flip(struct disk *d);
/* Flips it back; false when none is. */
bool sim_disk_unflip(struct disk *d);
/* It does no harm: it stays as it is. */
void sim_disk_unflip_never(struct disk *d);

/* Somebody else fills the filesystem: so many bytes are left for files to grow by; UINT64_MAX: no end to it, as at
 * first. */
void sim_disk_set_free(struct disk *d, uint64_t bytes);

/* For the control of the simulator itself: from now on a sync is a lie. */
void sim_disk_lie(struct disk *d);
/* Bytes written and not synced. */
uint64_t sim_disk_volatile(const struct disk *d);
const struct sim_disk_counts *sim_disk_counts(const struct disk *d);

#endif
