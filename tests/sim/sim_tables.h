#ifndef TESTS_SIM_SIM_TABLES_H
#define TESTS_SIM_SIM_TABLES_H

#include "worker/kv/tables.h"

/*
 * The states of a machine (mem_tables), as a process on it sees them: nothing of them works on a dead disk, an adoption
 * is a call that the disk may die in, before or after it took place, and the universe sees each commit.
 */
struct node;

struct sim_tables {
	struct tables tables;
	struct tables *inside;
	struct node *node;
};

void sim_tables_init(struct sim_tables *s, struct node *n);
/* Its tables are closed before. */
void sim_tables_fini(struct sim_tables *s);
/* The state in force, as it is. */
struct table *sim_tables_look(const struct sim_tables *s);
/* The process is gone; with `power` some of the commits are that were not flushed. */
void sim_tables_crash(struct sim_tables *s, bool power);
/* Between two lives the state loses a key, as if what was applied to it had been another thing: all of it is whole, the hash
 * included, and it is wrong. False, and nothing happens, where it has none. */
bool sim_tables_rot(struct sim_tables *s);

#endif
