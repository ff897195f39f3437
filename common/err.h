#ifndef COMMON_ERR_H
#define COMMON_ERR_H

/*
 * The errors that can happen, as one table (err.def). A function that can fail for an outside reason returns an
 * enum err; 0 (ERR_OK) is success. A wrong program is an assert, a process that cannot go on is fatal() (log.h).
 */

enum err {
#define ERR(NAME, http, retry, text) ERR_##NAME,
#include "common/err.def"
#undef ERR
	ERR_COUNT
};

/* Who may be asked again, and where. */
enum err_retry { RETRY_NONE, RETRY_NEVER, RETRY_HERE, RETRY_LEADER };

/* The word of an error, in lower case as in JSON answers ("not_leader"). Static memory. */
const char *err_name(enum err e);

/* One sentence for a person. Static memory. */
const char *err_text(enum err e);

/* The HTTP status that stands for it. */
int err_http(enum err e);

enum err_retry err_retry(enum err e);

/* The nearest error for an errno value of a file operation; ERR_IO when nothing is nearer. */
enum err err_from_errno(int error);

#endif
