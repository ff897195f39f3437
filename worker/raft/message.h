#ifndef WORKER_RAFT_MESSAGE_H
#define WORKER_RAFT_MESSAGE_H

#include "worker/raft/entry.h"

/* The messages between raft cores, as values. A node is named by its incarnation. */

#define WIRE_TABLE "worker/raft/message.def"
#define WIRE_PREFIX raft
#include "common/wire_declare.h"

/* What is left of a node's disk. SHORT: the node is full (DESIGN 4). NONE: what it had put by for that is nearly spent,
 * too. */
enum raft_room { RAFT_ROOM_ENOUGH, RAFT_ROOM_SHORT, RAFT_ROOM_NONE };

enum raft_type {
#define MSG(NAME, name, number, fields) RAFT_##NAME = number,
#include "worker/raft/message.def"
#undef MSG
};

struct raft_message {
	enum raft_type type;
	uint64_t from, to, term;
	union {
#define MSG(NAME, name, number, fields) struct raft_##name name;
#include "worker/raft/message.def"
#undef MSG
	};
};

/* "APPEND" ... for the log and the transcripts of tests; static memory. */
const char *raft_type_name(enum raft_type type);

void raft_message_put(struct buf *b, const struct raft_message *m);
/* False when it is malformed. Either way the message owns entries, released by raft_message_free(). */
bool raft_message_get(struct bytes from, struct raft_message *m);
/* Releases the entries of an APPEND; the message is dead afterwards. */
void raft_message_free(struct raft_message *m);

#endif
