#ifndef TESTS_COMMON_CHILD_H
#define TESTS_COMMON_CHILD_H

#include "common/buf.h"

/*
 * For what ends a process or writes to stderr: it is done in a child.
 */

/* Runs run(arg) in a child, appends what it writes to stderr, and returns its wait status (0 when run() returned). */
int child_run(void (*run)(void *arg), void *arg, struct buf *said);

/* True when run(arg) does not come back: a failed assert, abort, a sanitizer's verdict. What it says is dropped. */
bool child_dies(void (*run)(void *arg), void *arg);

#endif
