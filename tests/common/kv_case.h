#ifndef TESTS_COMMON_KV_CASE_H
#define TESTS_COMMON_KV_CASE_H

#include "tests/common/kv_drive.h"

/*
 * A test case of the state machine alone: one drive over a table in memory, and the parts of the transaction that is
 * being written. The state hash is checked at the end of each.
 */
#define T(text) bytes_text(text)
#define NONE ((struct bytes){ NULL, 0 })

extern struct drive d;
extern struct buf guards, steps, otherwise;

/* For cmocka. */
int case_setup(void **state);
int case_teardown(void **state);

/* Applies what stands in guards, steps and otherwise, and empties them. */
const struct kv_result *write_steps(void);
void put(const char *key, const char *value);
/* NULL: the key is absent. */
void expect_held(const char *key, const char *value);

#endif
