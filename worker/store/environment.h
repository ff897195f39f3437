#ifndef WORKER_STORE_ENVIRONMENT_H
#define WORKER_STORE_ENVIRONMENT_H

#include "worker/kv/table.h"

/* One state: a Berkeley DB environment in a directory of its own, as a table. Errors are logged. */

struct environment_size {
	uint64_t cache_bytes;
	uint32_t log_file_bytes;
	/* Of the recovery of environment_open(); may be NULL. */
	void (*progress)(void *arg, uint64_t done, uint64_t total);
	void *progress_arg;
};

/* Opens what environment_start() has once begun, and recovers it. ERR_DAMAGED, ERR_VERSION, ERR_NO_SPACE, ERR_IO. */
enum err environment_open(struct table **out, const char *home, const struct environment_size *size);
/* A new one in an empty directory, to be filled: commits do nothing, and it lasts by environment_start() alone. */
enum err environment_make(struct table **out, const char *home);
/* What is in it becomes durable, and from now on it has a log and units. After an error it can only be closed. */
enum err environment_start(struct table *t, const struct environment_size *size);
/* One without a home: what its cache does not hold goes to a file in this directory that has no name. */
enum err environment_scratch(struct table **out, const char *dir);
/* What is not committed is dropped. Accepts NULL. */
void environment_close(struct table *t);
/* Its directory, borrowed; NULL for a scratch table. */
const char *environment_home(const struct table *t);

#endif
