#ifndef WORKER_HTTP_FLIGHT_H
#define WORKER_HTTP_FLIGHT_H

#include "common/clock.h"
#include "worker/http/dialect.h"
#include "worker/http/server.h"

/*
 * The requests that wait for the consensus worker: one slot for each connection at most, reused without allocation. A
 * request's id names the slot and the slot's generation, so that an answer that comes too late finds nobody.
 *
 * One that is answered by a stream stays until its end. What the consensus worker may send of it, and what the client has
 * not taken, is a window of FLIGHT_WINDOW_BYTES in all, so that is what a slow client costs.
 */
#define FLIGHT_WINDOW_BYTES ((size_t)1024 * 1024)

struct flight {
	uint64_t id;
	bool used;
	bool handed_over; /* the consensus worker has it, or had it when it died */
	struct conn *conn;
	struct match match; /* without `rest` */
	struct note note;
	enum request_kind kind;
	enum read_level level;
	uint64_t min_revision;
	bool leader_only;
	bool head_only; /* the method is HEAD */
	bool streams; /* the answer has begun, and goes on */
	size_t owed; /* credit for which nothing has come yet */
	struct instant begun;
	struct instant until; /* as long as the client waits; of a stream: for what there is credit for */
	/* What is needed to hand it over (again): token, then operation. Empty for a write that was handed over: that
	 * is never done twice. */
	struct buf kept;
	size_t token_bytes;
};

struct flights;

/* At most `max` at a time. */
struct flights *flights_new(size_t max);
/* Accepts NULL. */
void flights_free(struct flights *t);
/* An empty one; asserts that there is one left. */
struct flight *flights_add(struct flights *t);
/* NULL when it is not in flight (any more). */
struct flight *flights_find(const struct flights *t, uint64_t id);
void flights_remove(struct flights *t, struct flight *f);
size_t flights_count(const struct flights *t);
/* Goes through the slots, from *at = 0 on: the next one in use, or NULL at the end. Adding and removing in between is
 * allowed; what is added may or may not be met. */
struct flight *flights_next(const struct flights *t, size_t *at);

/* Keeps token and operation; how many bytes all keep together is in flights_kept(). */
void flight_keep(struct flights *t, struct flight *f, struct bytes token, struct bytes operation);
/* How much more of the stream there may come, with `unsent` bytes that wait for the client; counted as owed. 0: not enough to
 * ask for. */
uint32_t flight_credit(struct flight *f, size_t unsent);
/* So much of it came. */
void flight_received(struct flight *f, size_t size);

void flight_drop_kept(struct flights *t, struct flight *f);
size_t flights_kept(const struct flights *t);

#endif
