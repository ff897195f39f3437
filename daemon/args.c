#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sysexits.h>
#include <unistd.h>

#include "common/addr.h"
#include "daemon/args.h"
#include "daemon/args_names.h"

struct scan {
	char **next;
	const char *flag; /* the present argument, as given */
	const char *value; /* what stands behind its '=', or NULL */
	char *name; /* of the flag: without dashes and value, each '_' a '-' */
	enum args_what what;
	const char *path;
	struct args_offline offline;
	bool recovers; /* --recover-alone was given */
	const char *data; /* the positional argument; NULL: none so far */
	bool bound; /* the peer address was given by --bind or BIND */
	bool given[CONF_OPTIONS]; /* in this layer, so far */
};

__attribute__((noreturn, format(printf, 2, 3))) static void refuse(int status, const char *format, ...)
{
	va_list ap;

	fputs("holdfastd: ", stderr);
	va_start(ap, format);
	vfprintf(stderr, format, ap);
	va_end(ap);
	fputc('\n', stderr);
	_exit(status);
}

static const char *value_of(struct scan *s)
{
	if (s->value != NULL)
		return s->value;
	if (*s->next == NULL)
		refuse(EX_USAGE, "%s needs a value", s->flag);
	return *s->next++;
}

static size_t number_of(const char *section, const char *name)
{
	const struct conf_option *o;
	size_t n = 0;

	while (
	    (o = conf_option(n)) != NULL && (strcmp(o->section, section) != 0 || strcmp(o->name, name) != 0))
		n++;
	return n;
}

/* The flag or variable, as it was written, without what is behind a '='. */
static void note_origin(const struct scan *s, struct conf *c, size_t option)
{
	char *origin = xasprintf("%.*s", (int)strcspn(s->flag, "="), s->flag);

	conf_set_origin(c, conf_option(option), origin);
	free(origin);
}

static void set(struct scan *s, struct conf *c, const char *section, const char *name, const char *value)
{
	size_t option = number_of(section, name);
	struct buf why = { 0 };

	/* A list of the layer below does not go on here. */
	if (!s->given[option])
		conf_reset(c, section, name);
	s->given[option] = true;
	if (conf_set(c, section, name, value, &why) != ERR_OK)
		refuse(EX_CONFIG, "%s: %s", s->flag, buf_text(&why));
	note_origin(s, c, option);
}

static void set_by(struct scan *s, struct conf *c, const struct other_name *n, const char *value)
{
	char *whole = xasprintf("%s%s", n->before, value);

	set(s, c, n->section, n->option, whole);
	free(whole);
	if (strcmp(n->section, "peer") == 0)
		s->bound = strcasecmp(n->name, "bind") == 0;
}

/* False when it is no flag of an option. */
static bool take_option(struct scan *s, struct conf *c)
{
	const struct other_name *n = names_find(s->name);
	const struct conf_option *o = names_find_option(s->name);

	if (n != NULL) {
		set_by(s, c, n, n->alone != NULL && s->value == NULL ? n->alone : value_of(s));
		return true;
	}
	if (o == NULL)
		return false;
	set(s, c, o->section, o->name, value_of(s));
	if (strcmp(o->section, "peer") == 0 && strcmp(o->name, "listen") == 0)
		s->bound = false;
	return true;
}

/* False when it is none of the flags that say what to do. */
static bool take_command(struct scan *s)
{
	const struct command *c = names_find_command(s->name);

	if (c == NULL)
		return false;
	if (c->value == NULL && s->value != NULL)
		refuse(EX_USAGE, "%s takes no value", s->flag);
	if (c->what == ARGS_RUN) {
		s->path = value_of(s);
		return true;
	}
	if (c->what == ARGS_YES) {
		s->offline.yes = true;
		return true;
	}
	if (c->what == ARGS_RESTORE)
		s->offline.file = value_of(s);
	s->recovers |= c->what == ARGS_RECOVER;
	s->what = c->what;
	return true;
}

/* A mistake here is about data: what is asked for must be clear. */
static void check_commands(const struct scan *s)
{
	if (s->offline.file != NULL && s->recovers)
		refuse(EX_USAGE, "--restore and --recover-alone are two ways out; choose one");
	if (s->offline.yes && !s->recovers)
		refuse(EX_USAGE, "--yes goes with --recover-alone");
}

__attribute__((noreturn)) static void refuse_unknown(const struct scan *s)
{
	char *nearest = names_nearest(s->name);

	refuse(EX_USAGE, "there is no flag %s; the nearest is --%s (--help lists them)", s->flag, nearest);
}

/* A word is a slip more often than a data directory: it must not make one and start a node in it. */
__attribute__((noreturn)) static void refuse_word(const struct scan *s)
{
	char *plain = names_plain(s->flag);
	const struct command *c = names_find_command(plain);

	if (c != NULL && c->word[0] != '\0')
		refuse(EX_USAGE, "\"%s\" is no command: did you mean holdfastd --%s?", s->flag, c->word);
	if (strcmp(plain, "status") == 0)
		refuse(EX_USAGE, "\"status\" is no command: a node says how it is over HTTP: curl "
				 "http://HOST:PORT/v1/status");
	refuse(EX_USAGE,
	    "\"%s\" is no flag, and there is no such data directory: to begin one there, write ./%s (--help "
	    "lists "
	    "the flags)",
	    s->flag, s->flag);
}

static void take_data(struct scan *s, struct conf *c)
{
	if (s->data != NULL)
		refuse(EX_USAGE, "\"%s\" is not expected here: the data directory is %s already", s->flag,
		    s->data);
	if (strchr(s->flag, '/') == NULL && access(s->flag, F_OK) == -1)
		refuse_word(s);
	s->data = s->flag;
	set(s, c, "node", "data", s->flag);
}

static void take_flag(struct scan *s, struct conf *c)
{
	const char *name = s->flag + (s->flag[1] == '-' ? 2 : 1), *equals = strchr(name, '=');
	char *bare = equals == NULL ? xstrdup(name) : xasprintf("%.*s", (int)(equals - name), name);

	s->value = equals == NULL ? NULL : equals + 1;
	s->name = names_plain(bare);
	free(bare);
	if (s->name[0] == '\0' || (!take_command(s) && !take_option(s, c)))
		refuse_unknown(s);
	free(s->name);
}

static void scan(struct scan *s, char **argv, struct conf *c)
{
	s->next = argv + 1;
	while (s->what != ARGS_HELP && s->what != ARGS_VERSION && s->what != ARGS_BUILD && *s->next != NULL) {
		s->flag = *s->next++;
		if (s->flag[0] == '-')
			take_flag(s, c);
		else
			take_data(s, c);
	}
}

static void take_variables(struct scan *s, struct conf *c)
{
	const struct other_name *v;

	for (size_t i = 0; (v = names_variable(i)) != NULL; i++) {
		const char *value = getenv(s->flag = v->name);

		if (value != NULL && value[0] != '\0')
			set_by(s, c, v, value);
	}
}

static enum err read_files(const struct scan *s, struct conf *c, struct buf *why)
{
	const char *path = s->path != NULL ? s->path : ARGS_CONF_PATH;

	if (s->path == NULL && access(path, F_OK) == -1)
		return ERR_OK;
	return conf_read(c, path, why);
}

/* raft-kv-example's nodes are named after the address that they bind. */
static enum err name_after_peer(struct conf *c, struct buf *why)
{
	char *address = addr_reachable(c->peer_listen);
	enum err e = conf_set(c, "node", "id", address, why);

	free(address);
	return e;
}

/* A flag wins over a variable, and that over the files, one of which a flag may name: so flags are read before and after
 * those. */
static enum err read_all(struct scan *s, char **argv, struct conf *c, struct buf *why)
{
	struct conf *from_flags = conf_new();
	struct scan above = { 0 }, again = { 0 };
	enum err e;

	*s = (struct scan){ 0 };
	scan(s, argv, from_flags);
	conf_free(from_flags);
	check_commands(s);
	if (s->what == ARGS_HELP || s->what == ARGS_VERSION || s->what == ARGS_BUILD)
		return ERR_OK;
	if ((e = read_files(s, c, why)) != ERR_OK)
		return e;
	take_variables(&above, c);
	again.bound = above.bound;
	scan(&again, argv, c);
	if (again.bound && c->node_id[0] == '\0' && (e = name_after_peer(c, why)) != ERR_OK)
		return e;
	return conf_complete(c, why);
}

enum args_what args_read(char **argv, struct conf **conf, struct args_offline *offline)
{
	struct conf *c = conf_new();
	struct buf why = { 0 };
	struct scan s;
	enum err e = read_all(&s, argv, c, &why);

	if (e != ERR_OK)
		refuse(e == ERR_PERMISSION ? EX_NOPERM : EX_CONFIG, "%s", buf_text(&why));
	buf_free(&why);
	if (s.what == ARGS_HELP || s.what == ARGS_VERSION || s.what == ARGS_BUILD) {
		conf_free(c);
		c = NULL;
	}
	*conf = c;
	*offline = s.offline;
	return s.what;
}

/* The flags are those of the start, where each was found good. */
enum err args_reload(char **argv, struct conf **conf, struct buf *why)
{
	struct conf *c = conf_new();
	struct scan s;
	enum err e = read_all(&s, argv, c, why);

	if (e != ERR_OK) {
		conf_free(c);
		c = NULL;
	}
	*conf = c;
	return e;
}
