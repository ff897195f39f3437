#ifndef WORKER_STORE_LOGS_H
#define WORKER_STORE_LOGS_H

#include "worker/store/mark.h"

/* Looks at the log files in the directory of a state before Berkeley DB does: up to `whole` every record must be
 * there, and what only the page cache may have is synced. It changes nothing of them. (Berkeley DB
 * believes the length in a head before it has checked anything, and a wrong one ends the process.) ERR_DAMAGED: file,
 * offset and reason are logged. */
enum err logs_check(const char *home, struct mark_place whole);

#endif
