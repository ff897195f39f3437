#ifndef WORKER_STORE_STORE_H
#define WORKER_STORE_STORE_H

#include "common/disk.h"
#include "worker/kv/tables.h"

/*
 * States on disk. Each is a directory DATA/state.N: all tables in one Berkeley DB btree, key behind the table's number,
 * one transaction for each commit. The link DATA/state names the one in force, so that another takes its place by one
 * rename. There is neither locking nor MVCC: one thread reads and writes a table; flush and checkpoint may run in one
 * other.
 *
 * Errors are logged here; any of the state in force, ERR_NOT_FOUND aside, is the end of the process. Commits are atomic
 * through a crash of the process; through one of the machine those are kept that were flushed. One that is being built
 * has no log of its own and is nothing until it was adopted.
 */

#define STORE_LOG_FILE_LEAST (4 * 1024 * 1024)

struct store_options {
	const char *data_dir; /* borrowed for store_new() */
	uint64_t cache_bytes; /* of the state in force; others take little */
	uint32_t log_file_bytes; /* of the store's own log: STORE_LOG_FILE_LEAST at least */
	/* Whose relief writes to the state in force ask when they find no space; NULL: none. One for the whole process. */
	struct disk *disk;
	/* While tables_open() recovers the state in force: so much of it is done. NULL: nobody wants to know. */
	void (*progress)(void *arg, uint64_t done, uint64_t total);
	void *progress_arg;
};

/* Opens nothing yet. */
struct tables *store_new(const struct store_options *o);
/* The process ends: what goes on in other threads, a checkpoint, takes no more time than it needs. */
void store_hurry(void);
/* Its tables are closed before. Accepts NULL. */
void store_free(struct tables *ts);

#endif
