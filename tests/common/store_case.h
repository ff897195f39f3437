#ifndef TESTS_COMMON_STORE_CASE_H
#define TESTS_COMMON_STORE_CASE_H

#include "worker/kv/tables.h"

/* A store in a data directory of its own, for one test at a time. */
#define STORE_CASE_CACHE_BYTES ((uint64_t)4 * 1024 * 1024)

extern char *store_dir;
extern struct tables *store_tables; /* while it is open */
/* What the last opening said of its recovery. */
extern struct store_progress {
	unsigned times;
	uint64_t least, most, total;
} store_progress;

/* For this directory. */
struct tables *store_case_new(const char *data_dir);

/* Of the directory; for cmocka. */
int store_setup(void **state);
int store_teardown(void **state);

enum err store_try(struct table **out);
/* It must open. */
struct table *store_enter(void);
void store_leave(struct table *t);
/* Its own log comes in small files from now on: many are begun in a short time. */
void store_make_small_log_files(void);

/* Where an open file lies. */
void store_path_of(int fd, char *out, size_t size);

#endif
