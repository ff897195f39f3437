#ifndef WORKER_HTTP_OPERATION_H
#define WORKER_HTTP_OPERATION_H

#include "common/conf.h"
#include "common/ipc.h"
#include "worker/http/message.h"
#include "worker/kv/kv.h"

/*
 * What a dialect makes of a request: a neutral operation for the consensus worker, and a note of what it has to
 * remember of the request until it renders the answer.
 */

/* Those that a dialect checks itself, before anything is handed over. */
struct limits {
	size_t key_bytes, value_bytes, body_bytes;
};

struct note {
	bool write; /* an error says whether it was applied */
	bool stale; /* the answer tells its age */
	bool verbose; /* more lines than one */
	bool keys_only; /* a list without values */
	bool limited; /* a delete says whether there is more */
	bool any; /* GET, If-None-Match: * */
	bool html; /* a page for a browser */
	bool explain; /* an error tells its sentence, also where the dialect's errors have none */
	uint64_t revision; /* GET, If-None-Match: "N"; 0: none */
	struct blob *list; /* a dialect's own bytes, or NULL; owned */
	struct blob *target; /* path and query, for a redirect to the leader; NULL: there is none; owned */
};

void note_fini(struct note *n);

/* Of a query (parameter.def). */
struct parameters {
	unsigned seen; /* enum parameter_bit: those that were there */
	uint32_t limit; /* 0: none */
	bool wait; /* for a new member to be a voter */
};

/* Zeroed memory with limits is a fresh one; it is meant to be used again. */
struct operation {
	const struct limits *limits; /* borrowed */
	enum on_follower on_follower; /* as configured */
	unsigned spoken; /* as configured: enum dialect_bit */

	enum request_kind kind;
	enum read_level level;
	uint64_t time_ms; /* 0: as long as a request may wait */
	uint64_t min_revision;
	bool leader_only; /* another node refuses it, or sends the client to the leader */
	struct bytes token; /* borrowed from the request */
	struct buf txn; /* WRITE, READ: encoded; TRANSFER: who is to lead; CHANGE: a member_change */
	struct parameters parameters;
	struct note note; /* whoever takes it over sets it to zero here */

	size_t section; /* where in txn the length of what is being written stands */
	struct buf key, after; /* decoded from the request: keys and prefixes */
	struct buf why; /* about an error, one sentence; empty: err_text() says enough */
};

void operation_clear(struct operation *op);
void operation_free(struct operation *op);

/* Says what is wrong and returns `e`. */
enum err operation_refuse(struct operation *op, enum err e, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* ERR_BAD_REQUEST for an empty key, ERR_KEY_TOO_LONG; `in_path` false: ERR_TOO_LARGE instead. */
enum err operation_check_key(struct operation *op, struct bytes key, bool in_path);
/* ERR_TOO_LARGE. */
enum err operation_check_value(struct operation *op, size_t size);

/* The encoded kv_txn is written in place, so that a value is copied once: guards, then steps, in this order, each by
 * the builders of kv.h between begin and end; operation_end() closes it. */
void operation_begin_guards(struct operation *op);
void operation_begin_steps(struct operation *op);
void operation_end(struct operation *op);

/* Makes it a REQUEST_CHANGE (common/member.h). An empty id of a node to be added stands for whatever it calls itself; `http`
 * may lack its scheme, or be empty for what the node says of itself. ERR_BAD_REQUEST, ERR_TOO_LARGE. */
enum add_how {
	ADD_PLAINLY = 0,
	ADD_WAIT = 1 << 0, /* until it is a voter */
	ADD_REPLACE = 1 << 1, /* also in the place of a member that may be alive */
};
enum err operation_add_member(
    struct operation *op, struct bytes id, struct bytes peer, struct bytes http, unsigned how);
enum err operation_remove_member(struct operation *op, struct bytes id);

#endif
