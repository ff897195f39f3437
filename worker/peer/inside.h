#ifndef WORKER_PEER_INSIDE_H
#define WORKER_PEER_INSIDE_H

#include <sys/queue.h>

#include "common/random.h"
#include "worker/peer/channel.h"
#include "worker/peer/hello.h"
#include "worker/peer/peer.h"

/* What the files of this folder share: peer.c (the transport and what is known of nodes), link.c (dialed),
 * guest.c (accepted). Nobody else includes it. */

/* Keeps one kind of line from filling the log. */
struct hush {
	struct instant since;
	unsigned lines;
};
/* Up to `most` lines a minute. */
bool hush_allows(struct hush *h, struct instant now, unsigned most);
#define HUSH_CHANGES 20
#define HUSH_REFUSALS 2

/* What is known of an incarnation. Remembered after its connections have ended, for hello_check(); those without
 * connections are forgotten when there are too many. */
struct node {
	TAILQ_ENTRY(node) entry;
	uint64_t incarnation;
	struct hello_known known;
	bool reached; /* that life, on a connection that this node dialed */
	struct guest *guest; /* the accepted connection that counts, or NULL */
	struct link *link; /* the dialed connection that counts, or NULL */
	struct hush refusals;
};

struct peer {
	struct transport transport;
	struct loop *loop;
	struct peer_options options;
	const struct peer_events *events;
	void *arg;
	struct names *names;
	struct loop_batch *flush;
	struct random random;
	struct hush refusals; /* of nodes not known */

	bool spoken; /* there is a hello */
	struct peer_hello hello; /* borrows from hello_bytes */
	struct buf hello_bytes;

	int listener;
	struct loop_io *accept;
	struct loop_timer *accept_again; /* after the process ran out of descriptors */
	TAILQ_HEAD(, guest) guests;
	size_t guest_count;
	TAILQ_HEAD(, link) links;
	TAILQ_HEAD(, node) nodes;
	size_t node_count;
};

/* Decides about the far end of a connection and logs a refusal. */
enum hello_verdict peer_judge(struct peer *p, const struct peer_hello *hello, const char *far);
/* Notes a welcome hello; what belongs to an earlier life of the node is ended. */
struct node *peer_learn(struct peer *p, const struct peer_hello *hello);
struct node *peer_find(struct peer *p, uint64_t incarnation);

/* A connection that was accepted. */
struct guest {
	TAILQ_ENTRY(guest) entry;
	struct peer *peer;
	struct channel *channel;
	struct node *node; /* once its hello was welcomed */
	char *name; /* that its hello said, for the log; NULL before */
};

void guests_open(struct peer *p);
void guests_close(struct peer *p);
/* Starts accepting; more than once does no harm. */
void guests_welcome(struct peer *p);
/* Ends all that have heard this node's hello. */
void guests_dismiss(struct peer *p, const char *why);

/* An address that this node keeps a connection to. */
struct link {
	TAILQ_ENTRY(link) entry;
	struct peer *peer;
	char *address;
	bool numeric;
	struct addresses addresses; /* that it stood for when it was last resolved */
	size_t next; /* of these to try */
	struct lookup *lookup; /* under way, or NULL */
	struct channel *channel; /* or NULL */
	bool greeted; /* this node's hello was said on it */
	bool refused; /* by this node, which said so in the log */
	bool removed; /* freed when its connection is over */
	struct node *node; /* while its hello is welcome */
	uint64_t incarnation; /* that was met there last; 0: none */
	char *name; /* of that node, for the log; NULL: none */
	struct instant up_since;
	struct span retry;
	struct loop_timer *again;
	struct hush changes;
	char *lost; /* why the last connection ended, until it is back or said to be lost; NULL: nothing */
	uint64_t start; /* as its hello said last */
	char *complaint; /* why it could not be reached, as logged last; NULL: nothing was */
};

/* Dials in the next turn, if this node has a hello to say. */
struct link *link_new(struct peer *p, struct bytes address);
/* At once, without events. */
void link_free(struct link *l);
/* Ends it in a later turn. */
void link_remove(struct link *l);
/* There is reason to try now. */
void link_nudge(struct link *l);
/* Ends a connection on which an earlier hello was said, and dials anew. */
void link_renew(struct link *l, const char *why);

#endif
