#ifndef WORKER_OFFLINE_H
#define WORKER_OFFLINE_H

#include "common/conf.h"
#include "common/disk.h"
#include "worker/kv/tables.h"

/*
 * What holdfast-worker does alone with the data directory of a node that does not run, for the supervisor's --restore and
 * --recover-alone. It is started in the supervisor's place with the lock, the standard streams, and the configuration in
 * the descriptor that HOLDFAST_CONF names. Log lines go to stderr; what the operator is told and asked, to stdout.
 */
struct offline {
	const struct conf *conf;
	char *http; /* advertised, with scheme */
	struct disk *disk; /* the data directory */
	struct tables *tables; /* none of them open */
};

/* True when this process was started for such work. */
bool offline_is_wanted(void);
/* Does it; argv[1] says what. */
void offline_run(char **argv) __attribute__((noreturn));

/* restore.c: makes the first node of a new cluster from the backup that standard input is; `name` is what it is called.
 * The status to end with (sysexits.h); all logged. */
int restore(struct offline *o, const char *name);
/* recover.c: makes a new cluster of this one node out of an old one whose other members are lost. `yes`: does not ask. */
int recover_alone(struct offline *o, bool yes);

#endif
