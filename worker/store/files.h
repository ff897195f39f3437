#ifndef WORKER_STORE_FILES_H
#define WORKER_STORE_FILES_H

#include "common/disk.h"

/* What Berkeley DB leaves undone about its own files. */

/* From now on, in the whole process, each file that Berkeley DB creates has a durable name before it is written to.
 * It syncs what a log file holds and then lets pages refer to it, but never syncs the directory: a power failure
 * would leave pages that are ahead of the log. */
void files_keep_names(void);

/* From now on, in the whole process, a write of Berkeley DB that finds no space asks this disk's relief for some; NULL:
 * nobody. After one that failed it could not even recover before there is space again. */
void files_relieve(struct disk *d);
/* Until it is said otherwise the writes of this thread ask for none. */
void files_do_without_relief(bool without);

/* The pages that this thread writes from now on go to the disk in small steps, each of which is waited for; `fd` is a
 * descriptor of their file that Berkeley DB has not. What comes in one piece, with a sync behind it, holds up the syncs
 * of everybody else. -1: they are left to the kernel, as at first. */
void files_take_time(int fd);
/* The kernel begins to write what it still holds of this file, so that the next sync finds little. */
void files_write_out(int fd);

/* Looks at the heads of the log files in the directory of an environment. Berkeley DB believes the length in a head
 * before it has checked anything, and a wrong one ends the process. ERR_DAMAGED: file and reason are logged. */
enum err files_check(const char *home);

#endif
