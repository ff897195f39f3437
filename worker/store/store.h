#ifndef WORKER_STORE_STORE_H
#define WORKER_STORE_STORE_H

#include "common/disk.h"
#include "worker/kv/table.h"

/*
 * The state on disk: all tables in one Berkeley DB btree, key behind the table's number, one transaction for each
 * commit. DATA/state is a link to the directory of the environment (state.0, ...), so that a whole state can be put
 * in the place of another by one rename. There is neither locking nor MVCC: one thread reads and writes; flush and
 * checkpoint may run in one other.
 *
 * Errors are logged here; any of them, ERR_NOT_FOUND aside, is the end of the process. Commits are atomic through a
 * crash of the process; through one of the machine those are kept that were flushed.
 */

#define STORE_LOG_FILE_LEAST (4 * 1024 * 1024)

/* Borrowed for store_open(), except the disk. */
struct store_options {
	const char *data_dir;
	uint64_t cache_bytes;
	uint32_t log_file_bytes; /* of the store's own log: STORE_LOG_FILE_LEAST at least */
	struct disk *
	    disk; /* whose relief writes ask when they find no space; NULL: none. One for the whole process */
};

/* Opens the state in the data directory, made durably where there is none, and recovers it. ERR_DAMAGED, ERR_VERSION,
 * ERR_NO_SPACE, ERR_PERMISSION, ERR_IO. */
enum err store_open(struct table **out, const struct store_options *o);
/* What is not committed is dropped. Accepts NULL. */
void store_close(struct table *t);

#endif
