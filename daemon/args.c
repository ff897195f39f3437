#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#include "daemon/args.h"

#ifndef SYSCONFDIR
#define SYSCONFDIR "/etc"
#endif
#define CONF_PATH SYSCONFDIR "/holdfast"

/* Short names for what is given most often; with a value of their own where they take none. */
static const struct {
	const char *flag, *section, *name, *value;
} shortcuts[] = {
	{ "id", "node", "id", NULL },
	{ "data", "node", "data", NULL },
	{ "http", "http", "listen", NULL },
	{ "peer", "peer", "listen", NULL },
	{ "members", "cluster", "members", NULL },
	{ "new-cluster", "cluster", "new_cluster", "yes" },
};

#define SHORTCUT_COUNT (sizeof(shortcuts) / sizeof(shortcuts[0]))

struct scan {
	char **next;
	char *flag, *value; /* of the present argument; value is what stands behind '=', or NULL */
	enum args_what what;
	const char *path;
	bool given[CONF_OPTIONS]; /* as flags, so far */
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

/* The flag of an option, without its dashes: section-name, each '_' a '-'; the caller frees it. */
static char *flag_of(const struct conf_option *o)
{
	char *flag = xasprintf("%s-%s", o->section, o->name);

	for (char *at = flag; *at != '\0'; at++)
		if (*at == '_')
			*at = '-';
	return flag;
}

static const struct conf_option *find_option(const char *flag)
{
	const struct conf_option *o;

	for (size_t n = 0; (o = conf_option(n)) != NULL; n++) {
		char *name = flag_of(o);
		bool same = strcmp(name, flag) == 0;

		free(name);
		if (same)
			return o;
	}
	return NULL;
}

/* And from now on it was. */
static bool was_given(struct scan *s, const char *section, const char *name)
{
	const struct conf_option *o;
	bool was;
	size_t n = 0;

	while (
	    (o = conf_option(n)) != NULL && (strcmp(o->section, section) != 0 || strcmp(o->name, name) != 0))
		n++;
	was = s->given[n];
	s->given[n] = true;
	return was;
}

static void set(struct scan *s, struct conf *c, const char *section, const char *name, const char *value)
{
	struct buf why = { 0 };

	/* A list of the files does not go on here. */
	if (!was_given(s, section, name))
		conf_reset(c, section, name);
	if (conf_set(c, section, name, value, &why) != ERR_OK)
		refuse(EX_CONFIG, "%s: %s", s->flag, buf_text(&why));
}

/* False when it is no flag of an option. */
static bool take_option(struct scan *s, struct conf *c)
{
	const char *name = s->flag + strspn(s->flag, "-");
	const struct conf_option *o = find_option(name);

	for (size_t i = 0; i < SHORTCUT_COUNT; i++)
		if (strcmp(shortcuts[i].flag, name) == 0) {
			set(s, c, shortcuts[i].section, shortcuts[i].name,
			    shortcuts[i].value != NULL && s->value == NULL ? shortcuts[i].value
									   : value_of(s));
			return true;
		}
	if (o == NULL)
		return false;
	set(s, c, o->section, o->name, value_of(s));
	return true;
}

static bool is(const struct scan *s, const char *one, const char *other)
{
	return strcmp(s->flag, one) == 0 || strcmp(s->flag, other) == 0;
}

/* False when it is none of the flags that say what to do. */
static bool take_command(struct scan *s)
{
	if (is(s, "-c", "--config"))
		s->path = value_of(s);
	else if (is(s, "-t", "--test"))
		s->what = ARGS_TEST;
	else if (is(s, "-T", "--print"))
		s->what = ARGS_PRINT;
	else if (is(s, "-h", "--help"))
		s->what = ARGS_HELP;
	else if (is(s, "-V", "--version"))
		s->what = ARGS_VERSION;
	else
		return false;
	return true;
}

__attribute__((noreturn)) static void refuse_unknown(const char *flag)
{
	char *section = xstrdup(flag + strspn(flag, "-")), *name = strchr(section, '-');
	struct buf nearest = { 0 };

	if (flag[0] != '-')
		refuse(EX_USAGE, "\"%s\" is not expected here; --help lists the flags", flag);
	if (name != NULL)
		*name++ = '\0';
	conf_put_nearest(section, name == NULL ? section : name, &nearest);
	refuse(EX_USAGE, "there is no flag %s; the nearest option is %s (--help lists them)", flag,
	    buf_text(&nearest));
}

static void scan(struct scan *s, char **argv, struct conf *c)
{
	s->next = argv + 1;
	while (s->what != ARGS_HELP && s->what != ARGS_VERSION && *s->next != NULL) {
		s->flag = *s->next++;
		s->value = strchr(s->flag, '=');
		if (s->value != NULL)
			*s->value++ = '\0';
		if (s->flag[0] != '-' || (!take_command(s) && !take_option(s, c)))
			refuse_unknown(s->flag);
		if (s->value != NULL)
			s->value[-1] = '='; /* it is read twice */
	}
}

static enum err read_files(const struct scan *s, struct conf *c, struct buf *why)
{
	const char *path = s->path != NULL ? s->path : CONF_PATH;

	if (s->path == NULL && access(path, F_OK) == -1)
		return ERR_OK;
	return conf_read(c, path, why);
}

/* Flags win over the files, one of which they may name, so they are read before and after those. */
static enum err read_all(struct scan *s, char **argv, struct conf *c, struct buf *why)
{
	struct conf *from_flags = conf_new();
	struct scan again = { 0 };
	enum err e;

	*s = (struct scan){ 0 };
	scan(s, argv, from_flags);
	conf_free(from_flags);
	if (s->what == ARGS_HELP || s->what == ARGS_VERSION)
		return ERR_OK;
	if ((e = read_files(s, c, why)) != ERR_OK)
		return e;
	scan(&again, argv, c);
	return conf_complete(c, why);
}

enum args_what args_read(char **argv, struct conf **conf)
{
	struct conf *c = conf_new();
	struct buf why = { 0 };
	struct scan s;
	enum err e = read_all(&s, argv, c, &why);

	if (e != ERR_OK)
		refuse(e == ERR_PERMISSION ? EX_NOPERM : EX_CONFIG, "%s", buf_text(&why));
	buf_free(&why);
	if (s.what == ARGS_HELP || s.what == ARGS_VERSION) {
		conf_free(c);
		c = NULL;
	}
	*conf = c;
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

/* Breaks a text into lines of at most 74 bytes. */
static void print_wrapped(FILE *to, const char *text)
{
	while (*text != '\0') {
		size_t size = strlen(text);

		if (size > 74)
			for (size = 74; size > 1 && text[size] != ' ';)
				size--;
		fprintf(to, "      %.*s\n", (int)size, text);
		text += size + strspn(text + size, " ");
	}
}

static void print_option(FILE *to, const struct conf_option *o)
{
	char *flag = flag_of(o);

	fprintf(to, "  --%s %s", flag, o->type);
	if (o->preset[0] != '\0')
		fprintf(to, " (%s)", o->preset);
	fputc('\n', to);
	print_wrapped(to, o->doc);
	free(flag);
}

void args_print_help(FILE *to)
{
	const struct conf_option *o;

	fputs("holdfastd: a node of a replicated key-value store\n\n"
	      "  -c, --config PATH   the configuration: a file, or a directory with holdfast.conf and\n"
	      "                      conf.d/NAME.conf (" CONF_PATH ", where there is one)\n"
	      "  -t, --test          check the configuration and exit\n"
	      "  -T, --print         print the whole configuration as a file and exit\n"
	      "  -h, --help          this text\n"
	      "  -V, --version       the version\n\n"
	      "In short:\n",
	    to);
	for (size_t i = 0; i < SHORTCUT_COUNT; i++)
		fprintf(to, "  --%-17s [%s] %s%s%s\n", shortcuts[i].flag, shortcuts[i].section,
		    shortcuts[i].name, shortcuts[i].value != NULL ? " = " : "",
		    shortcuts[i].value != NULL ? shortcuts[i].value : "");
	fputs("\nEvery option, as a flag that wins over the file:\n", to);
	for (size_t n = 0; (o = conf_option(n)) != NULL; n++)
		print_option(to, o);
}
