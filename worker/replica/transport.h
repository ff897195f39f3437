#ifndef WORKER_REPLICA_TRANSPORT_H
#define WORKER_REPLICA_TRANSPORT_H

#include "common/wire.h"

/*
 * What a replica needs of the network, as an interface that the replica owns: peer/ makes it of TCP connections,
 * the simulator of events. Nodes are dialed by address and named by incarnation, which only the hello tells.
 *
 * Each node dials every other and sends on the connection that it dialed; it receives on those that it accepted.
 * Frames of one connection come in order, whole, at most once; any may be lost with its connection.
 */
#define WIRE_TABLE "worker/replica/transport.def"
#define WIRE_PREFIX peer
#include "common/wire_declare.h"

enum peer_type {
#define MSG(NAME, name, number, fields) PEER_##NAME = number,
#include "worker/replica/transport.def"
#undef MSG
};

/* How the receiver of an image stands. */
enum image_state {
	IMAGE_UNDER_WAY = 0,
	IMAGE_DONE = 1,
	IMAGE_REFUSED = 2, /* it has to be begun anew */
};

/* Of the protocol. Since 2 a long frame may come in pieces, with others between them (peer/channel.h). */
#define PEER_VERSION_LEAST 1
#define PEER_VERSION_PIECES 2
#define PEER_VERSION_MOST 2

/* A frame is one u8 of enum peer_type and its message. What nodes make is at most this long: earlier versions end a
 * connection on which more comes. */
#define PEER_FRAME_BYTES_MAX (8 * 1024 * 1024)
/* And this is taken: the log of a single node of an earlier version may hold operations as large as a body of 16 MiB, which
 * a node that is added later must get. */
#define PEER_FRAME_BYTES_TAKEN (17 * 1024 * 1024)

/*
 * Frames of one way keep their order; those of different ways may overtake each other. What bulk there is, an urgent
 * frame does not wait for it, and entries little.
 */
enum peer_way {
	WAY_URGENT, /* what elections, reads and the accounts of who is there depend on, all of it small */
	WAY_ENTRIES, /* the log */
	WAY_BULK, /* requests that are passed on, their answers, images */
	WAY_COUNT
};
enum peer_way peer_way(struct bytes frame);

struct transport {
	const struct transport_ops *ops;
};

struct transport_ops {
	void (*set_hello)(struct transport *, const struct peer_hello *);
	void (*set_peers)(struct transport *, const struct bytes *addresses, size_t count);
	bool (*send)(struct transport *, uint64_t incarnation, struct bytes frame);
	size_t (*unsent)(struct transport *, uint64_t incarnation);
};

/* What this node says of itself from now on; copies. When the cluster that it belongs to or visits is another than
 * before, all connections are closed and dialed again, so that everybody hears it. */
void transport_set_hello(struct transport *t, const struct peer_hello *hello);
/* Keeps one connection to each of these addresses (host:port), with back-off, and no other; copies. */
void transport_set_peers(struct transport *t, const struct bytes *addresses, size_t count);
/* Queues a frame (copies) on the dialed connection whose far end said this incarnation. False, and nothing
 * happens, where there is none or the queue of its way is full. An answer (TELL) finds room always: whoever makes
 * answers asks first how much waits. */
bool transport_send(struct transport *t, uint64_t incarnation, struct bytes frame);
/* Bytes of WAY_BULK that wait to be sent there. A turn of the loop follows when they have left. */
size_t transport_unsent(struct transport *t, uint64_t incarnation);

#endif
