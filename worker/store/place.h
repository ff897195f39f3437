#ifndef WORKER_STORE_PLACE_H
#define WORKER_STORE_PLACE_H

#include <stdint.h>

#include "common/err.h"

/* Directories of states, DATA/state.N, and the link DATA/state that names the one in force. Errors are logged. */

#define PLACE_NONE UINT64_MAX

/* The number of the state in force; PLACE_NONE: there is no link. ERR_DAMAGED: it names nothing of ours. */
enum err place_find(const char *data_dir, uint64_t *number);
/* The path of the directory with this number, which the caller frees. */
char *place_path(const char *data_dir, uint64_t number);
/* Makes the directory, durably. One that is there is taken, without what a state leaves in it. */
enum err place_make(const char *data_dir, uint64_t number);
/* The link names this one from now on, durably; what it names is durable before. */
enum err place_link(const char *data_dir, uint64_t number);
/* Removes the files of a state, and the directory if nothing else is in it. */
enum err place_remove(const char *data_dir, uint64_t number);
/* Where there is no link: the number of the one state that is complete, and so was in force or was to be; PLACE_NONE:
 * there is none. ERR_DAMAGED: there are several. */
enum err place_guess(const char *data_dir, uint64_t *number);
/* Removes all but this one (PLACE_NONE: all), and what is left of a link under way. *next is above every number that is left. */
enum err place_sweep(const char *data_dir, uint64_t number, uint64_t *next);
/* All of it, whatever it is, gets names with -SUFFIX behind them, durably: the directories, and then the link.
 * ERR_NOT_FOUND: there is nothing. */
enum err place_set_aside(const char *data_dir, const char *suffix);

/* The names in a directory become durable. */
enum err place_sync(const char *dir);

#endif
