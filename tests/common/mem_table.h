#ifndef TESTS_COMMON_MEM_TABLE_H
#define TESTS_COMMON_MEM_TABLE_H

#include "worker/kv/table.h"

/*
 * A table in memory for tests, with crashes: it keeps what takes back each commit until a flush or a checkpoint
 * makes it durable. One thread at a time uses it, flush and checkpoint included. It fails only
 * where a test wants it to.
 */

/* Empty. */
struct table *mem_table_new(void);
/* Accepts NULL. */
void mem_table_free(struct table *t);

/* Commits that a crash may lose: those since the last flush or checkpoint. */
size_t mem_table_volatile(const struct table *t);

/* The machine died and is up again: what was not committed is gone, and so are the last `lose` commits (at most
 * mem_table_volatile(), asserted). What is left is durable. The table stays usable, as if just opened. */
void mem_table_crash(struct table *t, size_t lose);

/* What is not committed is gone. */
void mem_table_take_back(struct table *t);

/* The next commit fails; its changes are taken back, and what comes after it can be committed. */
void mem_table_fail_commit(struct table *t);
/* The same, because what it holds is found damaged. */
void mem_table_find_damage(struct table *t);

/* From now on nothing can be put into it: ERR_IO. */
void mem_table_fail_puts(struct table *t);

/* Records in all tables. */
size_t mem_table_count(const struct table *t);

#endif
