#ifndef DAEMON_OFFLINE_H
#define DAEMON_OFFLINE_H

#include "daemon/args.h"

/*
 * Work on the data directory of a node that does not run: --restore and --recover-alone. This program takes the lock and
 * hands over to holdfast-worker (worker/offline.h), as the user that workers are; what is to be done it does not know.
 */

/* ARGS_RESTORE or ARGS_RECOVER. Ends as the worker does; what is in the way before that with 66 (there is no such
 * backup, no such directory), 73, 75 (the directory is in use) or 77. */
void offline_run(struct conf *c, enum args_what what, const struct args_offline *o) __attribute__((noreturn));

#endif
