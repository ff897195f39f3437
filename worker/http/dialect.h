#ifndef WORKER_HTTP_DIALECT_H
#define WORKER_HTTP_DIALECT_H

#include "common/status.h"
#include "worker/http/meaning.h"

struct meter;
struct dialect;

/*
 * A dialect turns a request into a neutral operation and a neutral answer into a response, by pure functions: no I/O,
 * no clock, no Raft. A new one is a file with a table of routes, and a line in http.c.
 */

/* Facts of the process that no answer carries. */
struct about {
	const char *version, *build;
	uint64_t uptime_ms;
	const struct meter *meter; /* of local answers, like what follows */
	const struct dialect *const *dialects;
	unsigned spoken;
};

/* An answer of the consensus worker, or one made in its place, ready to be rendered. Borrowed. */
struct answer {
	enum err error; /* of the answer, or else of the result in it */
	enum applied applied; /* of a write that failed */
	struct bytes text; /* about the error; empty: err_text() */
	uint64_t revision; /* applied index of the node that answered */
	uint64_t age_ms; /* of a stale read */
	struct kv_result result; /* WRITE, READ; also with the errors that come out of it */
	struct status_node status; /* STATUS, TRANSFER */
	const struct note *note;
	const struct about *about;
};

enum route_flag {
	ROUTE_WRITE = 1, /* errors say whether it was applied */
	ROUTE_VALUE = 2, /* the body is a value: its limit is that of values */
	ROUTE_LOCAL = 4, /* the consensus worker is not asked: rendered at once */
	ROUTE_BODY = 8, /* a request may have a body */
};

struct route {
	enum method method;
	const char *pattern; /* a path, in which one '*' may stand for whatever is there */
	const char *says; /* what it is for, in a line of the index */
	unsigned flags; /* enum route_flag */
	unsigned headers, parameters; /* that it honours: enum header_bit, enum parameter_bit */
	/* `rest` is what stood for '*', still encoded. What it writes into `op` borrows from `q`. */
	enum err (*parse)(const struct request *q, struct bytes rest, struct operation *op);
	/* An answer without error. The response may borrow from it. */
	void (*render)(const struct answer *a, struct response *out);
	/* One with an error; NULL: the dialect's. */
	void (*error)(const struct answer *a, struct response *out);
	unsigned dialects; /* enum dialect_bit: it is there where one of them is spoken; 0: always */
};

struct dialect {
	const char *name;
	const struct route *routes; /* behind the last: pattern NULL */
	/* An answer with an error, wherever it was found; the status is err_http() or a more honest one. */
	void (*error)(const struct answer *a, struct response *out);
	bool
	    open; /* parameters and bodies that a route does not know are passed over, as its users' servers did */
	bool follows; /* [http] on_follower says what a node that does not lead makes of its requests */
};

/* Where a request belongs. */
struct match {
	const struct dialect *dialect; /* never NULL: the first where no route fits */
	const struct route *route; /* NULL: none */
	struct bytes rest;
	unsigned methods; /* of the routes whose pattern fits, a bit for each enum method */
	unsigned
	    silent; /* where no route fits: dialects that have one and are not spoken (enum dialect_bit) */
	bool writes; /* and one of those writes */
};

/* `dialects` ends with NULL; `spoken`: enum dialect_bit. HEAD finds the rows of GET. */
struct match route_find(
    const struct dialect *const *dialects, unsigned spoken, enum method method, struct bytes path);
/* "GET, HEAD, PUT", for Allow, valid until the next call. */
const char *route_allow(unsigned methods);
/* The most bytes of body that a request to this route may have, and the option that says so, in static memory. */
size_t route_body_max(const struct match *m, const struct limits *limits, const char **option);

/* What fails of it may have been applied, or not. */
bool match_is_write(const struct match *m, enum method method);

/* Parses by the route, or says why there is none: ERR_NOT_FOUND, ERR_METHOD. Sets kind, level and all of `op`. */
enum err dialect_parse(const struct match *m, const struct request *q, struct operation *op);

/* "m2": of a number, not of a bit. Static memory; NULL behind the last. */
const char *dialect_name(size_t n);

/* A request of dialects that are not spoken: ERR_NOT_FOUND, with a sentence that names them. */
enum err dialect_refuse_silent(struct operation *op, unsigned dialects);

/* Renders what the consensus worker answered to a request of this kind; where it is for the leader alone, which is
 * another node, that is 307 in every dialect. */
void dialect_render(const struct match *m, enum request_kind kind, const struct note *note,
    const struct ipc_answer *from, const struct about *about, struct response *out);
/* Renders what a request to a ROUTE_LOCAL gets. */
void dialect_render_local(const struct match *m, const struct note *note, uint64_t revision,
    const struct about *about, struct response *out);
/* Renders an error found in this process: nothing was applied unless `applied` says that it may have been.
 * `revision`: the last applied index heard of. */
void dialect_refuse(const struct match *m, const struct note *note, enum err e, enum applied applied,
    struct bytes text, uint64_t revision, struct response *out);

extern const struct dialect native; /* native.c */
extern const struct dialect m2; /* m2.c */
extern const struct dialect shared_key; /* key.c: hraft, raftdb and raft-kv-demo */
extern const struct dialect raft_kv_example; /* raft_kv_example.c */

#endif
