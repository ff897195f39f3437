#ifndef WORKER_REPLICA_READS_H
#define WORKER_REPLICA_READS_H

#include <stdatomic.h>
#include <sys/queue.h>

#include "worker/replica/pending.h"

/*
 * Which reads are done next. A result takes memory from when the state is read until its client has it, so the bytes of
 * results bound how many reads are begun; the others wait in their order, each until its time is up.
 *
 * Whoever asks, an HTTP worker or another node, has an account: what has been answered and has not left yet. With n of them
 * each has an n-th of the budget, so that the slow readers of one do not hold up another. A read that lists records is big, as is
 * any of several steps: it waits while its account is used up. One that gets a single record may go a quarter beyond
 * that, and the state lane does it first, so that it waits for one turn of big ones at most.
 *
 * The lane stops a job when the results that this node's loop has not taken yet fill their own bound; what it has not done
 * comes back and is the next. A result larger than all of that is done alone. Another node is asked for few big ones at a
 * time, since how large their results are is known when they come.
 */
struct replica;

enum read_queue { QUEUE_SMALL, QUEUE_BIG, QUEUE_ASK, QUEUE_COUNT };

struct read_account {
	TAILQ_ENTRY(read_account) entry;
	uint32_t client; /* an HTTP worker's life */
	uint64_t remote; /* or another node */
	struct pending_list queues[QUEUE_COUNT];
	size_t unsent; /* as of this turn */
	bool takes_small, takes_big; /* as of this turn */
};

struct reads {
	TAILQ_HEAD(, read_account) accounts; /* the first one is the next in turn */
	bool big_out; /* a job of big ones is with the lane */
	size_t asks; /* big ones that were let go in this turn to ask another node */
	struct instant told; /* when an answer of another node came last */
	atomic_size_t lane_bytes; /* of results that the lane has made, and the loop has not taken */
};

void reads_init(struct replica *r);
void reads_fini(struct replica *r);
/* The client is gone, and nothing of it waits. */
void reads_forget(struct replica *r, uint32_t client);

/* Does it do more than get one record? */
bool reads_is_big(struct bytes txn);

/* Once a turn, before anything looks for its way: what is unsent is looked at, and those go on that may ask another node
 * now. */
void reads_begin_turn(struct replica *r);
/* May this one be passed to another node now? If not, it waits. */
bool reads_may_ask(struct replica *r, struct pending *p);

/* Answers one that waits, and whose time is up. */
void reads_refuse_waiting(struct replica *r, struct pending *p);

/* Once a turn: gives the reads that have nothing more to wait for to the state lane, as far as there is room. */
void reads_turn(struct replica *r);
/* For the lane: is there room for another result? */
bool reads_lane_has_room(struct replica *r);
/* It came back undone, and is the next one. */
void reads_put_back(struct replica *r, struct pending *p);
struct state_job;
void reads_take_job(struct replica *r, const struct state_job *j);

#endif
