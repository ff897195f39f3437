#ifndef WORKER_STORE_PLACE_H
#define WORKER_STORE_PLACE_H

#include "common/err.h"

/* Where the environment lies: makes DATA/state.0 and the link DATA/state to it, durably, where there is none yet.
 * *home is the path of the link, which the caller frees; NULL after an error, which is logged. */
enum err place_make(const char *data_dir, char **home);

/* The names in a directory become durable. */
enum err place_sync(const char *dir);

#endif
