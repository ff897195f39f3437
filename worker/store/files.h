#ifndef WORKER_STORE_FILES_H
#define WORKER_STORE_FILES_H

#include <sys/types.h>

#include "common/disk.h"

/* What Berkeley DB leaves undone when it writes its own files. All of it is for the whole process. */
struct mark;

/* From now on each file that Berkeley DB creates has a durable name before it is written to. It syncs what a log file
 * holds and then lets pages refer to it, but never syncs the directory: a power failure would leave pages that are ahead
 * of the log. */
void files_take_over(void);

/* Until this is called again this thread writes for the state with this mark, which is raised before a page (of the file
 * with this inode) is written that is ahead of it, and relieved where there is no space. NULL: for one that is not in force; then *full becomes true
 * where there is none (Berkeley DB goes on to try other pages, and fails for want of memory in the end). */
void files_write_for(struct mark *m, ino_t pages, bool *full);

/* The pages that this thread writes from now on go to the disk in small steps, each of which is waited for; `fd` is a
 * descriptor of their file that Berkeley DB has not. What comes in one piece, with a sync behind it, holds up the syncs
 * of everybody else. -1: they are left to the kernel, as at first. */
void files_take_time(int fd);
/* As DB_ENV->set_mp_max_write() it makes the steps of a checkpoint end where it holds no page: before a write has to wait,
 * which would hold one. */
#define FILES_PAGES_A_STEP 48
/* Until files_take_time() is called again this thread does that some thirty times a second between such steps. It rests no
 * more once that has returned false. */
void files_between_steps(bool (*call)(void *arg), void *arg);
/* From now on nothing in this process takes its time: it ends. */
void files_hurry(void);
/* The kernel begins to write what it still holds of this file, so that the next sync finds little. */
void files_write_out(int fd);

/* From now on a write that finds no space asks this disk's relief for some; NULL: nobody. After one that failed Berkeley
 * DB could not even recover before there is space again. */
void files_relieve(struct disk *d);

#endif
