#ifndef DAEMON_CHILD_H
#define DAEMON_CHILD_H

#include <sys/types.h>

#include "common/conf.h"
#include "common/ipc.h"
#include "common/metric.h"
#include "daemon/restart.h"
#include "daemon/user.h"

/*
 * One worker as the supervisor sees it: a process that may die and be started anew, the channel to it, and its
 * signs of life.
 *
 *	DOWN -> STARTING (forked) -> READY (said hello) -> DOWN (reaped)
 *	        \-------------------- STOPPING (was asked to) --/
 *
 * Whether it is wanted, and with which configuration, is the crew's business (daemon/crew.h).
 */
enum child_state { CHILD_DOWN, CHILD_STARTING, CHILD_READY, CHILD_STOPPING };

struct child;

/* What all children of a supervisor share; outlives them. */
struct child_env {
	struct loop *loop;
	const struct conf *conf;
	const int *sockets; /* for the HTTP workers */
	size_t socket_count;
	int lock; /* for the consensus worker */
	struct user user; /* whom the workers run as */
	struct metric_board *board;
	struct metrics *metrics; /* the supervisor's own */
	int board_fd; /* for all workers */
	struct instant start;
	uint64_t generation; /* of the last started worker */
	uint64_t desks; /* the numbers of HTTP workers that the consensus worker is to be there for */
	uint64_t version; /* of what an HTTP worker has been started with; rises when that must be replaced */
	void (*on_ready)(void *arg, struct child *c);
	/* A start goes on; borrowed for the call. `doing` empty: all is done. */
	void (*on_progress)(void *arg, struct child *c, struct bytes doing, unsigned percent);
	void *arg;
};

struct child {
	struct child_env *env;
	enum ipc_role role;
	unsigned number; /* of an HTTP worker */
	char name[24]; /* "consensus", "http 2" */
	bool wanted; /* when it dies it is started anew */

	enum child_state state;
	pid_t pid; /* 0 while down */
	uint64_t generation;
	uint64_t version; /* of the configuration that it was started with */
	struct instant started, heard;
	struct span stuck; /* as it said last: how long a lane of it has been at one turn */
	uint64_t share; /* of the sockets, or the desks, as last told */
	unsigned slot; /* of the board, while there is a process */
	struct ipc *ipc;
	struct restart restart;
	struct loop_timer *again; /* rings when it is to be started anew */
	struct loop_timer *limit; /* rings when it has not stopped in time */
};

void child_init(struct child *c, struct child_env *env, enum ipc_role role, unsigned number);
/* The process must be down. */
void child_fini(struct child *c);

/* Forks it and hands it its configuration. A failure is a death: the next attempt is set, or the process ends (69). */
void child_start(struct child *c);
/* Asks it to finish: idle connections may stay open for `idle`; when it is not gone after `limit` it is killed. One
 * that is down is not started again by its timer. Asked again without `idle`, it is to hurry. */
void child_stop(struct child *c, struct span idle, struct span limit);
/* SIGKILL, if it is there. */
void child_kill(struct child *c);

/* Tells it from which sockets to accept, if that is news. */
void child_accept(struct child *c, uint64_t share);
/* Tells the consensus worker of env->desks, if that is news. */
void child_set_desks(struct child *c);
/* Hands it the configuration anew, if it is there. */
void child_reload(struct child *c);

/* Asks for a sign of life, and kills it when none came for `silence` since it was at work. Whoever could not
 * listen says so by child_forgive(): the time counts from now. */
void child_check(struct child *c, struct span silence);
void child_forgive(struct child *c);
/* It was heard within this time, and no lane of it has been longer at one turn. While it starts: it has said within six
 * times the silence that kills one at work that its start goes on. */
bool child_progresses(const struct child *c, struct span within);

/* It was reaped with this status of waitpid(2): it is down, and the log says why. */
void child_reap(struct child *c, int status);
/* Sets when to start it anew; false: its starts have failed too often. */
bool child_restart(struct child *c, bool was_ready);

#endif
