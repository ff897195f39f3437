#ifndef WORKER_STORE_ENVIRONMENT_INSIDE_H
#define WORKER_STORE_ENVIRONMENT_INSIDE_H

#include <db.h>

#include "worker/store/environment.h"

/* The inside of an environment, for environment.c, which opens and closes it, and btree.c, which uses it. */
struct mark;

#define PAGE_BYTES 4096U

struct environment {
	struct table table;
	DB_ENV *env;
	DB *db;
	DB_TXN *txn; /* of the unit under way, from its first change on */
	struct buf key; /* table number and key */
	struct buf found; /* the key that a scan came to */
	struct buf bulk; /* what a scan read ahead */
	char *home; /* NULL: none */
	enum err flushed; /* during a checkpoint */
	uint32_t checkpoint_file; /* the log file that was written to when it began */
	bool has_log; /* else there are no units */
	ino_t inode; /* of the file of the tables; 0: none */
	int pages; /* a descriptor of the file of the tables; -1: none */
	void (*progress)(void *arg, uint64_t done, uint64_t total);
	void *progress_arg;
	struct mark *mark; /* NULL: it is not in force, or not yet */
	bool full; /* a write found no space: it is of no use any more */
	char *complaint; /* the first of Berkeley DB's; NULL: none */
	uint64_t bad_page; /* that it named */
	int panic; /* the error for which Berkeley DB gave up; 0: none */
};

/* Each call into one begins with it. One that is not in force, or not yet, takes nothing of what is put by for a disk that
 * is full, and has time. */
struct environment *environment_enter(struct table *t);
/* Logs what cannot be done, and where it is damaged. */
enum err environment_fail(const struct environment *s, const char *doing, int error);

/* btree.c */
extern const struct table_ops btree_ops;
/* What is in the log is synced, and that is noted. */
enum err btree_flush_and_note(struct environment *s);

#endif
