#ifndef WORKER_WORKER_H
#define WORKER_WORKER_H

#include "common/conf.h"
#include "common/ipc.h"
#include "common/loop.h"
#include "common/metric.h"

/*
 * The life of any worker. It is started by the supervisor alone, with one end of a socketpair and, if it serves
 * HTTP, the listening sockets. It takes its configuration as the first message, starts its role, and from then on
 * answers every sign-of-life question from its loop, saying also whether one of its lanes is stuck. When the other end of the pair is gone, so is the worker, at
 * once. SIGTERM asks it to stop as the supervisor's STOP does; SIGINT and SIGHUP are ignored, SIGPIPE too.
 *
 * Everything happens on the loop's thread.
 */
struct worker {
	struct loop *loop;
	const struct conf *conf;
	uint64_t
	    generation; /* of this life; higher than that of any worker started earlier by this supervisor */
	uint32_t number; /* of this http worker, from 0; 0 for the others */
	struct instant started; /* when the supervisor was started: the node's uptime counts from here */
	const int
	    *sockets; /* inherited listening sockets: non-blocking, close-on-exec; the worker's for life */
	size_t socket_count;
	struct metric_board *board; /* the node's metrics */
	struct metrics *metrics; /* this process's slot of it */
	void *role_state; /* the role's own */

	const struct worker_role *role;
	struct ipc *supervisor;
};

struct worker_role {
	const char *name;
	enum ipc_role number;
	/* The configuration is there. May block for as long as a start takes (the supervisor waits, and systemd as
	 * long as worker_progress() is heard). Ends in
	 * worker_ready(), then or later; what makes a start impossible is a fatal() with a status of sysexits.h, of
	 * which 73, 74, 75, 77 and 78 keep the supervisor from trying again. */
	void (*start)(struct worker *w);
	/* Accept from the sockets whose bit is set (bit n: w->sockets[n]) and from no others. Comes again whenever the
	 * shares are dealt anew. NULL where the role listens to none. */
	void (*accept)(struct worker *w, uint64_t sockets);
	/* Be there for the HTTP workers whose bit is set, and for no others. NULL as above, here and below. */
	void (*desks)(struct worker *w, uint64_t numbers);
	/* w->conf is another one: those of its options that the role can take over at once have effect from now on. The
	 * one before is gone when this returns. */
	void (*reload)(struct worker *w);
	/* Finish what is under way, take nothing new, then worker_exit(w, 0). Connections that are idle may stay open
	 * so long for their next request. The supervisor waits that long, limits_request, and a little more. Comes
	 * once; but after a call with time for idle connections it may come again, with none. */
	void (*stop)(struct worker *w, struct span idle);
};

extern const struct worker_role consensus_role; /* worker/consensus.c */
extern const struct worker_role http_role; /* worker/http.c */

/* The role is at work: tells the supervisor (HELLO), which then sends ACCEPT. */
void worker_ready(struct worker *w);

/* A start goes on, `done` of `total` of what is done for it; also after worker_ready(), where not all is needed to be at
 * work. `doing` is static memory. May be called as often as there is news: the supervisor hears of it a few times a
 * second, the log every few seconds. */
void worker_progress(struct worker *w, const char *doing, uint64_t done, uint64_t total)
    __attribute__((nonnull));
/* A start waits for what comes from outside. The supervisor and systemd are told, so that they wait, too; nothing is
 * logged. Until worker_progress_end(). */
void worker_waits(struct worker *w, const char *what);
/* All of that is done. */
void worker_progress_end(struct worker *w);

/* Sends what is gathered for the supervisor and ends the process, without exit handlers. The role has closed or
 * flushed what needs it. */
void worker_exit(struct worker *w, int status) __attribute__((noreturn));

/* The status to end with because of this error: what does not go away by starting again ends the supervisor too. */
int worker_status(enum err e);

/* Where this is an error, ends the process with its status and «cannot WHAT WHICH: why». */
void worker_must(enum err e, const char *what, const char *which);

/* Tries as long as a dying predecessor may still hold it (ERR_IN_USE), some seconds; blocks. */
enum err worker_take(enum err (*attempt)(void *arg), void *arg);

/* Runs a worker of one of these roles (NULL behind the last) to its end. */
void worker_run(const struct worker_role *const *roles) __attribute__((noreturn));

#endif
