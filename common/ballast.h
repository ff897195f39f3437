#ifndef COMMON_BALLAST_H
#define COMMON_BALLAST_H

#include "common/disk.h"

/*
 * Space put by on a filesystem that others fill too: DATA/ballast, a file that holds nothing but its place on the device.
 * When a write finds no space, the ballast gives way, a part at a time, and the write is tried again: so what is under way
 * is brought to its end even on a filesystem that is full to the last byte. It is made whole again when there is space
 * enough. Give its whole size, or less than is needed is put by; a part of it may go to whoever else writes just then.
 *
 * Any thread may write to the disk; one at a time looks after the ballast.
 */
struct ballast;

struct ballast_room {
	uint64_t free; /* of the filesystem, beside the ballast */
	uint64_t held; /* by the ballast */
};

/* Finds what there is of it, makes nothing, and becomes the disk's relief. ERR_IO and what else a disk says. */
enum err ballast_open(struct ballast **out, struct disk *d, uint64_t bytes);
/* Accepts NULL. The file stays. */
void ballast_close(struct ballast *b);

/* Looks how much room there is; makes the ballast whole if that leaves `spare` free. Blocks. */
enum err ballast_look(struct ballast *b, uint64_t spare, struct ballast_room *out);

/* What a write does for which there is not even ballast left: wait until there is space (patient), or fail. A thread that
 * waits goes on within a moment after this was set to fail. */
void ballast_set_patient(struct ballast *b, bool patient);

#endif
