#ifndef TESTS_COMMON_KV_RANDOM_H
#define TESTS_COMMON_KV_RANDOM_H

#include "common/random.h"
#include "worker/kv/kv.h"

/* Appends an encoded command of any shape: all kinds of steps and guards, nested, with and without tokens, over few
 * keys, so that they meet; now and then one that is not well formed. */
void kv_random_command(struct random *r, struct buf *out);

/* Appends an encoded txn of reading steps. */
void kv_random_read(struct random *r, struct buf *out);

#endif
