#ifndef DAEMON_ARGS_H
#define DAEMON_ARGS_H

#include "common/conf.h"

/*
 * The command line: every option of the table is a flag, --section-name VALUE or --section-name=VALUE, and wins over
 * the file.
 */
enum args_what { ARGS_RUN, ARGS_TEST, ARGS_PRINT, ARGS_HELP, ARGS_VERSION };

/* Reads the command line, then the file or directory that it names (or the installation's, where there is one), and completes *conf,
 * which the caller frees. What is wrong ends the process with one line on stderr: 64 for a flag that does not
 * exist, 78 for a value. *conf is NULL for ARGS_HELP and ARGS_VERSION. */
enum args_what args_read(char **argv, struct conf **conf);
/* Reads all of it anew. What is wrong leaves as one sentence in *why; *conf is NULL then. The caller frees it. */
enum err args_reload(char **argv, struct conf **conf, struct buf *why);

void args_print_help(FILE *to);

#endif
