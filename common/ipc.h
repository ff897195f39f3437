#ifndef COMMON_IPC_H
#define COMMON_IPC_H

#include <sys/types.h>

#include "common/err.h"
#include "common/loop.h"
#include "common/wire.h"

/*
 * Messages between the processes of one node: a socketpair between supervisor and worker, a byte stream of NNG's
 * between HTTP worker and consensus worker, behind one face. The table ipc.def declares messages, codecs and handlers.
 *
 * What is sent during a turn of the loop leaves at its end by one call (a round trip costs nearly the same for one
 * request or a hundred). What the kernel has no room for is gathered: ipc_waiting() tells how much, so that the sender
 * can stop taking in work.
 *
 * A connection is a session. What was sent in it reaches this life of the peer or nobody: when it ends, what waits is
 * dropped, also where both processes live on and meet again.
 *
 * An answer may be the first of many, a stream (`more`). What follows is sent as far as the asker has given credit, in
 * bytes, so there is never more of it under way than the asker wants, nor does it take the room of plain answers. It
 * ends with an answer without `more`, with CANCEL, or with the life of either end.
 *
 * Handlers are called in the loop and may send; none may ipc_close() the connection that called it.
 */
enum ipc_role { IPC_SUPERVISOR, IPC_CONSENSUS, IPC_HTTP };

enum ipc_direction {
	IPC_SUPERVISOR_TO_WORKER,
	IPC_WORKER_TO_SUPERVISOR,
	IPC_HTTP_TO_CONSENSUS,
	IPC_CONSENSUS_TO_HTTP,
};

enum request_kind {
	REQUEST_WRITE,
	REQUEST_READ,
	REQUEST_STATUS,
	REQUEST_PROBE, /* the status, once it is known whether a read would be served */
	REQUEST_TRANSFER,
	REQUEST_CHANGE,
	REQUEST_BACKUP
};

/* DESIGN 2, "A read". */
enum read_level { LEVEL_LINEARIZABLE, LEVEL_LEADER, LEVEL_STALE };

/* Of a write that was answered with an error: may it have taken effect? */
enum applied { APPLIED_NO, APPLIED_UNKNOWN };

#define WIRE_TABLE "common/ipc.def"
#define WIRE_PREFIX ipc
#include "common/wire_declare.h"

enum ipc_type {
#define MSG(NAME, name, direction, fields) IPC_##NAME,
#include "common/ipc.def"
#undef MSG
	IPC_TYPE_COUNT
};

/* A message (its encoded fields) longer than this is a bug of the sender: over a socketpair, and in a stream. */
#define IPC_PAIR_BYTES_MAX (128 * 1024 - 8)
#define IPC_STREAM_BYTES_MAX (64 * 1024 * 1024)

/* HOLDS is sent again when one of its numbers has changed by this. */
#define IPC_HOLDS_STEP ((uint64_t)64 * 1024)

/* The name of a message for the log ("request"); "?" for a number that is none. */
const char *ipc_type_name(unsigned type);

/* A process's face: one function for each message that may come to it; NULL for those that it never gets, which
 * end the connection as malformed. Borrowed fields are valid for the call. */
struct ipc_handlers {
#define MSG(NAME, name, direction, fields) void (*name)(void *arg, const struct ipc_##name *m);
#include "common/ipc.def"
#undef MSG
	/* A stream's peer is here, from now on messages reach it: after its greeting, and again after each restart of
	 * it, with its new generation. Of a socketpair the peer is here from the start and this is not called. */
	void (*here)(void *arg, uint64_t generation);
	/* The peer is gone, or the connection cannot be trusted any more. What was sent and not answered is lost. A
	 * socketpair is dead for good, nothing is called after this; a stream's end waits for the next peer. */
	void (*gone)(void *arg);
	/* Waiting bytes fell to zero again, at the end of a turn or later. (They also do when the peer is gone; then
	 * this is not called.) Each of these three may be NULL. */
	void (*drained)(void *arg);
};

struct ipc;

/* Takes over one end of a SOCK_SEQPACKET socketpair; ipc_close() closes it. `self` decides which messages may come
 * in and go out. The handlers are borrowed as long as the connection is open, here and below. */
struct ipc *ipc_open_pair(
    struct loop *l, int fd, enum ipc_role self, const struct ipc_handlers *handlers, void *arg);
/* Makes a socketpair whose ends ipc_open_pair() takes: SOCK_SEQPACKET, CLOEXEC, non-blocking. */
enum err ipc_pair(int fds[2]);

/* The consensus worker's end for one HTTP worker: listens at `path` (a socket file, mode 0600; a stale socket is
 * replaced, one that is listened on is ERR_IN_USE, anything else there is ERR_EXISTS; over 100 bytes is
 * ERR_TOO_LARGE). A peer of another user is refused. */
enum err ipc_listen(struct ipc **out, struct loop *l, const char *path, uint64_t generation,
    const struct ipc_handlers *handlers, void *arg);
/* The HTTP worker's end: dials without blocking and comes back by itself. */
enum err ipc_dial(struct ipc **out, struct loop *l, const char *path, uint64_t generation,
    const struct ipc_handlers *handlers, void *arg);

/* Accepts NULL. */
void ipc_close(struct ipc *i);

/* Gathered bytes that have not left yet. */
size_t ipc_waiting(const struct ipc *i);
/* Sends of what is gathered what can leave now instead of at the end of the turn (before _exit). */
void ipc_flush(struct ipc *i);

/* ipc_send_NAME(i, &message): copies. To a peer that is not here it is dropped. */
#define MSG(NAME, name, direction, fields) void ipc_send_##name(struct ipc *i, const struct ipc_##name *m);
#include "common/ipc.def"
#undef MSG

#endif
