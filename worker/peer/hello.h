#ifndef WORKER_PEER_HELLO_H
#define WORKER_PEER_HELLO_H

#include "worker/replica/transport.h"

/*
 * Who may talk to whom (DESIGN 5): decided from the two hellos and from what earlier hellos of that incarnation
 * told, and from nothing else. Pure.
 */
enum hello_verdict {
	HELLO_WELCOME,
	HELLO_MALFORMED, /* no incarnation, no id, or versions the wrong way round */
	HELLO_VERSION, /* no protocol version in common */
	HELLO_FOREIGN, /* both formed, in different clusters (M12) */
	HELLO_SELF, /* this very process: it dialed its own address */
	HELLO_OLD, /* started earlier than a process of this incarnation heard before: a copied directory (D13) */
	HELLO_RIVAL, /* it says that it was started later than one that this node has reached and is connected to */
	HELLO_COPY, /* the same start as another process of this incarnation: a copied directory (D13) */
};

/* The latest life of an incarnation that was heard; zeros: none was. A start is raised and synced before the
 * first hello, so two boots of one start cannot be one directory, whether or not the first still lives. */
struct hello_known {
	uint64_t start, boot;
	/* The life before that one, where this node had reached it. Anybody can say a hello of a later start; when nobody is
	 * connected who said it, the very process that was there before is welcome again. A copy of its directory has
	 * another boot. */
	uint64_t before_start, before_boot;
	bool lives; /* a connection that this node dialed to it is up */
	bool connected; /* or any other */
};

enum hello_verdict hello_check(
    const struct peer_hello *mine, const struct peer_hello *theirs, struct hello_known known);

/* Why not, as the end of a sentence that begins with the node. Static memory. */
const char *hello_verdict_text(enum hello_verdict v);

/* The refused side can see the reason by itself once it has this node's hello. For a copied directory it cannot:
 * there silence says no. */
bool hello_verdict_shared(enum hello_verdict v);

#endif
