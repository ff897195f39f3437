#ifndef WORKER_REPLICA_SCAN_H
#define WORKER_REPLICA_SCAN_H

#include "common/buf.h"

/*
 * The one scan of the state that there can be at a time (worker/kv/image.h), and whose it is: a backup's, or that of an
 * image for another node. First come, first served. It reads the state as of one index in slices between what the state
 * lane applies, and a slice only when its user asks for one: a slow user costs no memory but what is put aside, in a
 * table that spills to a file.
 *
 * Of the loop, but for what scan_do_*() touch.
 */
struct replica;
struct state_job;
struct table;
struct image_scan;

struct scan_user {
	/* Whole frames, in order, borrowed for the call. With `last` the image is complete and the scan over. May call all
	 * of scan_*() below. */
	void (*slice)(struct replica *r, struct scan_user *u, struct bytes frames, bool last);
	/* The scan is over, without its end: the state was replaced, or is not trusted any more, or what changes
	 * could not be put aside. `why` is a sentence without its end, in static memory. */
	void (*broken)(struct replica *r, struct scan_user *u, const char *why);
};

/* What to ask for at a time: what is applied meanwhile waits that long. */
#define SCAN_SLICE_BYTES ((size_t)256 * 1024)

struct scan {
	struct scan_user *user; /* NULL: there is none */
	uint64_t number; /* of this scan; what comes back of another one is dropped */
	uint64_t index;
	bool out; /* a slice was asked for and did not come back */
	/* Of the state lane: */
	struct image_scan *image;
	struct table *aside;
};

/* From now on `u`, which is borrowed until the scan is over, sees the state as of scan_index(). False: another scan is
 * under way. Needs a node with a log. */
bool scan_begin(struct replica *r, struct scan_user *u);
/* The index as of which the present scan sees the state. */
uint64_t scan_index(const struct replica *r);
/* Asks for the next slice, of about so many bytes; not while one is on its way, when nothing happens. */
void scan_want(struct replica *r, struct scan_user *u, size_t bytes);
/* The user has had enough; nothing is called any more. Does nothing when the scan is over, or another's. */
void scan_end(struct replica *r, struct scan_user *u);
/* Before the state is replaced, or when it is not to be trusted: ends the scan whosever it is, and says so to its user.
 * What is given to the state lane behind this call finds no scan. Not from within replica_request(). */
void scan_break(struct replica *r, const char *why);
/* At the end of the replica's life, when there are no lanes any more. */
void scan_fini(struct replica *r);

/* For the state lane: what its jobs STATE_SCAN_* do, and what becomes of them on the loop. */
enum err scan_do_begin(struct state_job *j);
enum err scan_do_slice(struct state_job *j);
void scan_do_end(struct state_job *j);
void scan_take_job(struct replica *r, struct state_job *j);

#endif
