#ifndef TESTS_UNIT_KEPT_LOG_H
#define TESTS_UNIT_KEPT_LOG_H

#include "common/log.h"

/* Stands in for common/log.c: prints nothing and keeps the last line of each level, without time and process. */

/* "" when there was none; valid until the next line of that level. */
const char *kept_line(enum log_level level);
void kept_forget(void);

#endif
