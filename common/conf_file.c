#define _GNU_SOURCE
#include <errno.h>
#include <ini.h>
#include <stdlib.h>
#include <string.h>

#include "common/conf_type.h"

/*
 * The one place that knows libinih. It reads lines through next_line(), because inih alone cuts long lines in two
 * without a word and does not tell a handler where it is.
 */
#define LINE_BYTES_MAX 4096
#define ROWS_MAX 256

struct reading {
	struct conf *conf;
	FILE *file;
	const char *path;
	char *text; /* of getline(3) */
	size_t text_room;
	unsigned line;
	unsigned seen[ROWS_MAX]; /* the line at which option n was given, or 0 */
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

static int on_option(void *arg, const char *section, const char *name, const char *value)
{
	struct reading *r = arg;
	const struct conf_type *type;
	const struct conf_option *o = conf_find(section, name, &type);
	struct buf why = { 0 };

	if (r->failed)
		return 0;
	if (o != NULL && !type->repeats) {
		unsigned *seen = &r->seen[number_of(o)];

		if (*seen != 0)
			return refuse(r, "[%s] %s was given in line %u already", section, name, *seen);
		*seen = r->line;
	}
	if (conf_set(r->conf, section, name, value, &why) != ERR_OK)
		refuse(r, "%s", buf_text(&why));
	buf_free(&why);
	return !r->failed;
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

enum err conf_read(struct conf *c, const char *path, struct buf *why)
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
