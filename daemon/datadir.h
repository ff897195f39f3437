#ifndef DAEMON_DATADIR_H
#define DAEMON_DATADIR_H

#include "common/conf.h"
#include "daemon/user.h"

/*
 * The data directory and the run directory of a node. They belong to the user that the workers are. Each is made,
 * with its parents, where it is not there. A directory that holds anything else is refused before it is touched: a data
 * directory is empty or has an identity, but for the remains of a start that did not come that far.
 */

/* Makes DATA where there is none (mode 0700, durably, its parents too) and opens DATA/lock, close-on-exec. What is
 * impossible ends the process: 73 it cannot be made or is not ours, 77 not permitted. */
int datadir_open(const char *path, const struct user *u);

/* At a start, a predecessor that is just dying may still have the lock: how long that is waited for, and how often it is
 * tried. */
#define DATADIR_PATIENCE span_ms(5000)
#define DATADIR_PAUSE span_ms(20)

/* Takes the lock on what datadir_open() returned, to be held for life. It belongs to the open file: the consensus worker
 * inherits it, so that a successor cannot have the directory while any process still works on it. Where another process
 * has the lock: false, or when this is the `last` attempt the end of the process, with 75, which names that process. */
bool datadir_lock(int fd, const char *path, bool last);

/* Makes the run directory (mode 0700) where there is none, which is then true; ends the process with 73 where it
 * cannot be made or is not ours. */
bool rundir_make(const char *path, const struct user *u);
/* Removes the sockets in the run directory and, when it was made here, the directory itself. */
void rundir_clear(const struct conf *c, bool made, const struct user *u);

#endif
