#ifndef TESTS_LOAD_CONN_H
#define TESTS_LOAD_CONN_H

#include "common/addr.h"
#include "common/buf.h"
#include "common/loop.h"

/*
 * One connection that is opened when it is needed, and one request in flight on it.
 */
enum applied { APPLIED_UNSAID, APPLIED_NO, APPLIED_UNKNOWN };

struct answer {
	int status;
	uint64_t etag; /* the revision in it; 0: none */
	uint64_t version; /* 0: none */
	bool replayed;
	enum applied applied;
	struct bytes body;
};

struct conn_handlers {
	/* Borrowed for the call, which may send the next request. */
	void (*on_answer)(void *arg, const struct answer *a);
	/* There will be no answer. `sent`: something of the request may have arrived. */
	void (*on_lost)(void *arg, bool sent);
};

struct conn;
struct conn *conn_new(struct loop *l, const struct conn_handlers *handlers, void *arg);
/* Accepts NULL. */
void conn_free(struct conn *c);
/* Sends a request to that address, over the connection that there is if it leads there. Never calls a handler. */
void conn_send(struct conn *c, const struct sockaddr_storage *to, socklen_t to_size, struct bytes request);
/* Drops the connection and whatever is in flight; no handler is called for it. */
void conn_drop(struct conn *c);

#endif
