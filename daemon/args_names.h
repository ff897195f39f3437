#ifndef DAEMON_ARGS_NAMES_H
#define DAEMON_ARGS_NAMES_H

#include "daemon/args.h"

/* Every word that the command line and the environment know. Private to args*.c. */

#ifndef SYSCONFDIR
#define SYSCONFDIR "/etc"
#endif
#define ARGS_CONF_PATH SYSCONFDIR "/holdfast"

/* A flag or variable that stands for an option: a row of flag.def. */
struct other_name {
	const char *name, *section, *option, *before, *alone;
};

/* A flag that says what to do. */
struct command {
	const char *letter, *word; /* without dashes; "": it has none */
	const char *value; /* what it is called in the help; NULL: it takes none */
	enum args_what what;
	const char *doc;
};

/* The name with each '_' a '-', which is the form that the next three want; the caller frees it. */
char *names_plain(const char *name);
const struct other_name *names_find(const char *name);
const struct conf_option *names_find_option(const char *name);
const struct command *names_find_command(const char *name);
/* The nth variable of the environment; NULL behind the last. */
const struct other_name *names_variable(size_t n);
/* The flag most like it, without dashes; the caller frees it. */
char *names_nearest(const char *name);

#endif
