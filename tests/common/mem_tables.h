#ifndef TESTS_COMMON_MEM_TABLES_H
#define TESTS_COMMON_MEM_TABLES_H

#include "worker/kv/tables.h"

/*
 * Whole states in memory for tests: mem_tables behind the interface of kv/tables.h. They outlive the replica that uses
 * them; an adoption is durable when it returns. One thread at a time.
 */

/* There is no state yet. */
struct tables *mem_tables_new(void);
/* Accepts NULL. */
void mem_tables_free(struct tables *ts);

/* The state in force, a mem_table; an empty one is made where there is none. */
struct table *mem_tables_in_force(struct tables *ts);
/* States that are not in force, and scratch tables. */
size_t mem_tables_beside(const struct tables *ts);
/* As long as it is not ERR_OK, none can be made: this is why. */
void mem_tables_set_error(struct tables *ts, enum err e);
/* Adoptions so far. */
size_t mem_tables_adopted(const struct tables *ts);
/* The machine died and is up again: what was made and not adopted is gone, and of the one in force what
 * mem_table_crash() takes. */
void mem_tables_crash(struct tables *ts, size_t lose);

#endif
