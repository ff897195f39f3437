#ifndef WORKER_REPLICA_LISTED_H
#define WORKER_REPLICA_LISTED_H

#include "common/buf.h"
#include "worker/raft/config.h"

/*
 * The nodes that form a cluster together: as [cluster] members lists them, as a hello says it, and as the founding
 * configuration of a cluster remembers it. One text stands for one list: "n1=host:port, n2=host:port", in the order of
 * the ids, whatever the order in which an operator wrote it.
 */
struct listed {
	char *id, *peer;
};

struct list {
	struct listed *nodes; /* in the order of their ids */
	size_t count;
	char *first; /* the id that was written first; NULL: the list is empty */
};

/* The caller frees it by list_free(), also when it is false: the text is no such list. */
bool list_parse(struct list *out, struct bytes text);
void list_free(struct list *l);
/* The text that stands for it; the caller frees it. */
char *list_text(const struct list *l);
/* The same of the members of a configuration. */
char *list_text_of(const struct raft_config *c);
/* In what the list of another node differs from this node's: a part of a sentence of which that node is the subject. */
void list_put_difference(struct buf *out, const struct list *mine, const char *theirs);

#endif
