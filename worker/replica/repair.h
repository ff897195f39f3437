#ifndef WORKER_REPLICA_REPAIR_H
#define WORKER_REPLICA_REPAIR_H

#include "worker/kv/tables.h"
#include "worker/replica/identity.h"
#include "worker/replica/replica.h"

/*
 * A node's own files are damaged, and it gets back from the others what it has lost (DESIGN 5). Damage in the state costs
 * no vote: the state is set aside, and another node's comes as an image. Damage in log or identity, where a node may have
 * forgotten what it promised, ends this incarnation: everything is set aside, and the node joins as one that was wiped.
 * DATA/repair remembers between starts how far that has come; nothing is ever removed but by the operator.
 *
 * Whether the others can do without this node is for the caller to find out before anything is set aside.
 */
enum repair_stage {
	REPAIR_FOUND = 1, /* damage was found at work */
	REPAIR_ASIDE = 2, /* everything is being set aside */
	REPAIR_JOIN = 3, /* it is; this node is to join */
};

struct repair_note {
	enum repair_stage stage;
	enum replica_part part;
	char *why, *aside, *others; /* never NULL */
};

/* Durably, in the place of what was noted before. */
enum err repair_write(const struct repair_note *n, struct disk *d);
/* ERR_NOT_FOUND quietly: nothing was noted. ERR_DAMAGED (logged): not even that can be read. */
enum err repair_read(struct repair_note *out, struct disk *d);
enum err repair_forget(struct disk *d);
void repair_note_free(struct repair_note *n);

/* What the names of what is set aside are to end in: the date, and no other names end so. The caller frees it. */
char *repair_suffix(struct disk *d);
/* Log, state and identity, as far as they are there, get names that end in ".SUFFIX". Can be repeated. */
enum err repair_set_aside(struct disk *d, struct tables *ts, const char *suffix);

/* What a node still knows of itself and of its cluster, apart from the part that is damaged. */
struct repair_known {
	struct identity identity; /* zeros: it cannot be read */
	struct blob *members; /* a configuration (raft/config.def), the last that is known; NULL: none is */
};
/* Tables must not be open. What cannot be read is logged, and not known. */
void repair_look(struct repair_known *out, struct disk *d, struct tables *ts, enum replica_part damaged);
void repair_known_free(struct repair_known *k);

const char *repair_part_name(enum replica_part part); /* "the log" ... */

#endif
