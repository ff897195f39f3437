#ifndef DAEMON_DATADIR_H
#define DAEMON_DATADIR_H

#include "common/conf.h"
#include "daemon/user.h"

/*
 * The data directory and the run directory of a node. They belong to the user that the workers are. Each is made,
 * with its parents, where it is not there. A directory that holds anything else is refused before it is touched: a data
 * directory is empty or has an identity, but for the remains of a start that did not come that far.
 */

/* Makes DATA where there is none (mode 0700, durably, its parents too) and takes the lock on DATA/lock. Returns the locked descriptor, to be
 * held for life; close-on-exec. The lock belongs to the open file: the consensus worker inherits it, so that a
 * successor cannot have the directory while any process still works on it. A directory in use is waited for, up to
 * five seconds. What is impossible ends the process: 73 it cannot be made or is not ours, 75 in use (names the
 * pid), 77 not permitted. */
int datadir_lock(const char *path, const struct user *u);

/* Makes the run directory (mode 0700) where there is none, which is then true; ends the process with 73 where it
 * cannot be made or is not ours. */
bool rundir_make(const char *path, const struct user *u);
/* Removes the sockets in the run directory and, when it was made here, the directory itself. */
void rundir_clear(const struct conf *c, bool made, const struct user *u);

#endif
