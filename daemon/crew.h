#ifndef DAEMON_CREW_H
#define DAEMON_CREW_H

#include "daemon/child.h"

/*
 * All workers of a node: the consensus worker, and as many HTTP workers as the configuration wants.
 *
 * An HTTP worker has a number of its own as long as its process lives, so that one that finishes its last requests and
 * its successor can be there together: the successor has another number. So a worker is replaced without a gap: the new
 * one says hello, the listening sockets are dealt anew without the old one, and only then is that asked to finish.
 */
#define CREW_HTTP_MAX 64 /* twice as many as are ever wanted */

struct crew {
	struct child_env *env;
	struct child consensus;
	struct child http[CREW_HTTP_MAX]; /* by number */
};

/* Nothing is started. env->on_ready is to call crew_balance(). */
void crew_init(struct crew *k, struct child_env *env);
/* All processes must be gone. */
void crew_fini(struct crew *k);

void crew_start(struct crew *k);
/* Starts the HTTP workers that are missing and retires those that are too many or outdated, as far as that can be done
 * now; deals the sockets out anew. To be called whenever something has changed. */
void crew_balance(struct crew *k);
/* Hands env->conf to those that are there. Those whose configuration cannot be changed while they live are replaced:
 * all HTTP workers, the consensus worker. */
void crew_reload(struct crew *k, bool replace_http, bool replace_consensus);
/* All that are wanted are at work, with the present configuration. */
bool crew_is_settled(const struct crew *k);

/* Each that is at work was heard within this time, and no lane of it is longer at one turn. */
bool crew_progresses(const struct crew *k, struct span within);

/* How many processes there are. */
size_t crew_alive(const struct crew *k, enum ipc_role role);
/* The one whose process it is, or NULL. */
struct child *crew_find(struct crew *k, pid_t pid);
/* Calls `visit` for each that has a process. */
void crew_each(struct crew *k, void (*visit)(void *arg, struct child *c), void *arg);

/* From now on nobody is started any more. */
void crew_dismiss(struct crew *k);
/* Asks those of this role to finish, at once. */
void crew_stop(struct crew *k, enum ipc_role role);
void crew_kill(struct crew *k);

#endif
