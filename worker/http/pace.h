#ifndef WORKER_HTTP_PACE_H
#define WORKER_HTTP_PACE_H

#include <stddef.h>

#include "common/clock.h"

/*
 * Does a client move the bytes that it is waited for fast enough? Pure: somebody looks now and then, and says how many bytes
 * were moved until then.
 *
 * Only the client's time counts. Between two looks no more counts than they are apart when all is well, so a process that was
 * stopped, or had no processor, blames nobody.
 */
struct pace_rule {
	struct span silence; /* the client may move nothing for this long */
	uint64_t rate; /* the least bytes a second, over twice that time; 0: any */
	struct span look_most; /* what counts at most of the time between two looks */
};

struct pace {
	bool begun;
	struct instant looked;
	uint64_t bytes; /* moved when last looked at */
	struct span silent; /* since when nothing was */
	uint64_t window_bytes; /* moved when the present window began */
	struct span window; /* how much of it has passed */
};

enum pace_found { PACE_GOOD, PACE_SILENT, PACE_SLOW };

/* The client is not waited for; zeroed memory is the same. */
void pace_end(struct pace *p);
/* The client is waited for, and has moved this many bytes, counted from anywhere. The first look begins. */
enum pace_found pace_look(struct pace *p, const struct pace_rule *r, uint64_t bytes, struct instant now);

#endif
