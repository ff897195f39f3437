#ifndef COMMON_IPC_LINK_H
#define COMMON_IPC_LINK_H

#include "common/err.h"
#include "common/loop.h"
#include "common/mem.h"

/*
 * One end of a byte stream between two processes: NNG's nng_stream at an ipc:// address. For ipc_stream.c only.
 *
 * A link listens or dials. It has one connection at a time, and goes on listening or dialing by itself when that has
 * ended. While there is one, others that dial wait in the kernel's queue. A peer of another user is refused.
 *
 * At most one operation is under way in each direction. NNG's threads run one function of ours, which notes that an
 * operation is over and wakes the loop. Everything else happens in the loop.
 */
struct ipc_link;

struct ipc_link_events {
	/* There is a connection. */
	void (*up)(void *arg);
	/* What ipc_link_receive() asked for has come: `size` bytes, at least one. False: the connection is to end. */
	bool (*received)(void *arg, size_t size);
	/* Of what ipc_link_send_rest() borrowed, `size` bytes have left, at least one. The loan is over. */
	void (*sent)(void *arg, size_t size);
	/* The connection has ended, and with it what was under way. All that the peer had sent was received before. */
	void (*down)(void *arg);
};

/* The longest path that fits into a socket's address. */
#define IPC_LINK_PATH_BYTES_MAX 100

/* Listens at the path (see ipc_listen()). The events are borrowed as long as the link is open, here and below. */
enum err ipc_link_listen(
    struct ipc_link **out, struct loop *l, const char *path, const struct ipc_link_events *events, void *arg);
/* Dials the path, in the loop. */
enum err ipc_link_dial(
    struct ipc_link **out, struct loop *l, const char *path, const struct ipc_link_events *events, void *arg);
/* Accepts NULL. Calls no event. Not from within one. Waits for other threads' next turns, if for anything. */
void ipc_link_close(struct ipc_link *k);

/* The following are for a link that is up. */

/* Receives up to `size` bytes into memory that is borrowed until `received` or `down`. Once at a time. */
void ipc_link_receive(struct ipc_link *k, uint8_t *into, size_t size);
/* Sends what the kernel has room for at once, without waking another thread; says how much that was. Not while
 * ipc_link_send_rest() is under way. Where sending fails it is nothing: the end of the connection will be received. */
size_t ipc_link_send(struct ipc_link *k, struct bytes what);
/* Sends at least a byte of it as soon as there is room. Borrows it until `sent` or `down`. */
void ipc_link_send_rest(struct ipc_link *k, struct bytes what);
/* Ends the connection; `down` is called. Not from within an event. */
void ipc_link_hang_up(struct ipc_link *k);

#endif
