#ifndef DAEMON_ARGS_H
#define DAEMON_ARGS_H

#include "common/conf.h"

/*
 * The command line: every option of the table is a flag, section-name, with one dash or two, its value behind it or behind
 * '='; flag.def has shorter names. The one argument that is no flag is the data directory. A flag wins over a variable of
 * the environment (flag.def, too), which wins over the file.
 */
enum args_what {
	ARGS_RUN,
	ARGS_TEST,
	ARGS_PRINT,
	ARGS_RESTORE,
	ARGS_RECOVER,
	ARGS_YES, /* goes with ARGS_RECOVER */
	ARGS_HELP,
	ARGS_VERSION,
	ARGS_BUILD
};

/* What the flags say of the work on a data directory that is not in use (daemon/offline.h). Borrows from argv. */
struct args_offline {
	const char *file; /* to restore from; "-": standard input */
	bool yes; /* the question was answered beforehand */
};

/* Reads the command line, the file or directory that it names (or the installation's, where there is one) and the environment,
 * and completes *conf, which the caller frees. What is wrong ends the process with one line on stderr: 64 for a flag that
 * does not exist, or not beside the others, 78 for a value. *conf is NULL for ARGS_HELP, ARGS_VERSION and ARGS_BUILD. Never
 * ARGS_YES. */
enum args_what args_read(char **argv, struct conf **conf, struct args_offline *offline);
/* Reads all of it anew. What is wrong leaves as one sentence in *why; *conf is NULL then. The caller frees it. */
enum err args_reload(char **argv, struct conf **conf, struct buf *why);

void args_print_help(FILE *to);

#endif
