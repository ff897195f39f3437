#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <ini.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/conf_type.h"

/*
 * The one place that knows libinih. It reads lines through next_line(), because inih alone cuts long lines in two
 * without a word and does not tell a handler where it is.
 */
#define LINE_BYTES_MAX 4096

struct reading {
	struct conf *conf;
	FILE *file;
	const char *path;
	char *text; /* of getline(3) */
	size_t text_room;
	unsigned line;
	unsigned seen[CONF_OPTIONS]; /* the line at which option n was given last, or 0 */
	struct buf *why;
	bool failed; /* *why holds the first mistake: what follows it is not looked at */
};

__attribute__((format(printf, 2, 3))) static int refuse(struct reading *r, const char *format, ...)
{
	va_list ap;
	char *text;

	if (r->failed)
		return 0;
	r->failed = true;
	va_start(ap, format);
	if (vasprintf(&text, format, ap) == -1)
		abort();
	va_end(ap);
	buf_printf(r->why, "%s:%u: %s", r->path, r->line, text);
	free(text);
	return 0;
}

/* An ini_reader: the next line, without the blanks before it, which inih might take for a continuation. */
static char *next_line(char *to, int room, void *arg)
{
	struct reading *r = arg;
	ssize_t size = r->failed ? -1 : getline(&r->text, &r->text_room, r->file);

	if (size == -1)
		return NULL;
	r->line++;
	if (size >= room)
		refuse(r, "the line is longer than %d bytes", room - 1);
	else if (strlen(r->text) != (size_t)size)
		refuse(r, "there is a NUL in the line");
	else
		return strcpy(to, r->text + strspn(r->text, " \t"));
	return NULL;
}

static size_t number_of(const struct conf_option *o)
{
	size_t n = 0;

	while (conf_option(n) != o)
		n++;
	return n;
}

/* Of a text it would quietly become a part. (What begins with a semicolon inih takes away.) */
static bool has_comment(const char *value)
{
	return value[0] == '#' || strstr(value, " #") != NULL || strstr(value, "\t#") != NULL;
}

static void note_origin(const struct reading *r, const struct conf_option *o)
{
	char *origin = xasprintf("%s:%u", r->path, r->line);

	conf_set_origin(r->conf, o, origin);
	free(origin);
}

static int on_option(void *arg, const char *section, const char *name, const char *value)
{
	struct reading *r = arg;
	const struct conf_type *type;
	const struct conf_option *o = conf_find(section, name, &type);
	struct buf why = { 0 };

	if (r->failed)
		return 0;
	if (has_comment(value))
		return refuse(r, "a comment stands on a line of its own, not after a value: %s", value);
	if (o != NULL && !type->repeats && r->seen[number_of(o)] != 0)
		return refuse(
		    r, "[%s] %s was given in line %u already", section, name, r->seen[number_of(o)]);
	/* A list of an earlier file does not go on in this one. */
	if (o != NULL && r->seen[number_of(o)] == 0)
		conf_reset(r->conf, section, name);
	if (conf_set(r->conf, section, name, value, &why) != ERR_OK)
		refuse(r, "%s", buf_text(&why));
	buf_free(&why);
	if (r->failed)
		return 0;
	note_origin(r, o);
	r->seen[number_of(o)] = r->line;
	return 1;
}

static void parse(struct reading *r)
{
	int bad;

	/* The library's switches are variables of the process; only this function uses it. */
	ini_use_stack = false;
	ini_allow_realloc = false;
	ini_max_line = ini_initial_alloc = LINE_BYTES_MAX;
	ini_allow_multiline = false;
	ini_allow_no_value = false;
	ini_stop_on_first_error = true;
	bad = ini_parse_stream(next_line, r, on_option, r);
	if (bad != 0)
		refuse(r, "this is neither [section] nor name = value");
}

static enum err read_file(struct conf *c, const char *path, struct buf *why)
{
	struct reading r = { .conf = c, .path = path, .why = why, .file = fopen(path, "re") };
	enum err e = ERR_OK;

	if (r.file == NULL) {
		e = err_from_errno(errno);
		buf_printf(why, "%s: %s", path, strerror(errno));
		return e;
	}
	parse(&r);
	if (!r.failed && ferror(r.file))
		refuse(&r, "it cannot be read: %s", strerror(errno));
	fclose(r.file);
	free(r.text);
	return r.failed ? ERR_BAD_REQUEST : ERR_OK;
}

static int is_part(const struct dirent *d)
{
	const char *end = strrchr(d->d_name, '.');

	return d->d_name[0] != '.' && end != NULL && strcmp(end, ".conf") == 0;
}

/* As alphasort(3), but the same in every locale. */
static int compare_names(const struct dirent **a, const struct dirent **b)
{
	return strcmp((*a)->d_name, (*b)->d_name);
}

/* Sets *found where there is at least one. */
static enum err read_parts(struct conf *c, const char *path, bool *found, struct buf *why)
{
	struct dirent **names;
	int count = scandir(path, &names, is_part, compare_names);
	enum err e = ERR_OK;

	*found |= count > 0;
	if (count == -1 && errno == ENOENT)
		return ERR_OK;
	if (count == -1) {
		e = err_from_errno(errno);
		buf_printf(why, "%s: %s", path, strerror(errno));
		return e;
	}
	for (int i = 0; i < count; i++) {
		char *name = xasprintf("%s/%s", path, names[i]->d_name);

		if (e == ERR_OK)
			e = read_file(c, name, why);
		free(name);
		free(names[i]);
	}
	free(names);
	return e;
}

enum err conf_read(struct conf *c, const char *path, struct buf *why)
{
	char *file, *parts;
	enum err e = ERR_OK;
	struct stat st;
	bool found;

	if (stat(path, &st) == -1 || !S_ISDIR(st.st_mode))
		return read_file(c, path, why);
	file = xasprintf("%s/holdfast.conf", path);
	parts = xasprintf("%s/conf.d", path);
	found = access(file, F_OK) == 0;
	if (found)
		e = read_file(c, file, why);
	if (e == ERR_OK)
		e = read_parts(c, parts, &found, why);
	if (e == ERR_OK && !found) {
		buf_printf(why,
		    "%s: the directory holds no configuration: neither holdfast.conf nor conf.d/NAME.conf",
		    path);
		e = ERR_NOT_FOUND;
	}
	free(file);
	free(parts);
	return e;
}
