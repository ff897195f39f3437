#ifndef WORKER_ASK_H
#define WORKER_ASK_H

#include "common/buf.h"

/*
 * One request to another node over HTTP, by libcurl. Blocks until it is answered or its time is over: for lanes, and for
 * the time before there is a loop. Proxies of the environment are not used, redirects not followed.
 */
struct asked {
	long status; /* 0: there was no answer */
	const char *problem; /* why there was none; static memory; NULL: there was one */
	struct buf body; /* buf_free() */
};

/* Before the first ask(), on any one thread. */
void ask_init(void);
/* GET http://ADDRESS/PATH, or POST where there is a body, which is JSON. Fills in all of *out. */
void ask(struct asked *out, const char *address, const char *path, const char *body);

#endif
