#ifndef WORKER_REPLICA_IDENTITY_H
#define WORKER_REPLICA_IDENTITY_H

#include "common/disk.h"

/*
 * Who this node is (DESIGN 5): its name, its incarnation, which is random and never another's, how often it was
 * started, and the cluster that it belongs to once it is formed. Writing the cluster id is the one decision of a
 * formation, and it precedes everything else; what follows from it (the log with its first entry) can be made again
 * from the file until the phase says that it is done. From then on a missing log is damage, never a fresh start. A node
 * that was removed, or replaced, stays out: its incarnation is no member ever again.
 */
enum identity_phase {
	IDENTITY_UNFORMED = 0,
	IDENTITY_FORMING = 1,
	IDENTITY_FORMED = 2,
	IDENTITY_REMOVED = 3
};

struct identity {
	char *id;
	uint64_t incarnation; /* 63 bits, not 0 */
	uint64_t start;
	uint64_t boot; /* random, of this start only; not on disk */
	enum identity_phase phase;
	uint64_t cluster;
	struct blob *founding; /* NULL while unformed */
};

/* Reads DATA/identity, or makes a new one for an empty directory; raises the start counter and writes it durably.
 * ERR_CONFLICT: the directory belongs to another id; ERR_DAMAGED, ERR_VERSION; all logged. */
enum err identity_open(struct identity *out, struct disk *d, const char *id);
/* Only reads it: `boot` is 0. ERR_NOT_FOUND quietly where there is none; ERR_DAMAGED, ERR_VERSION; logged. */
enum err identity_read(struct identity *out, struct disk *d);
/* The id of a cluster that is about to be: random, not 0. */
uint64_t identity_new_cluster(void);
/* Of another node, or another life: never started, with no cluster. Copies the id. */
struct identity identity_new(const char *id);
/* Writes it whole, synced, renamed. */
enum err identity_save(const struct identity *i, struct disk *d);
void identity_free(struct identity *i);

#endif
