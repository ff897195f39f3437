#include <stdlib.h>
#include <string.h>

#include "common/conf_type.h"
#include "common/wire.h"

static const struct row {
	struct conf_option option;
	const struct conf_type *type;
	size_t offset;
} rows[] = {
#define OPT(section, name, type, preset, min, max, effect, doc)                                              \
	{ { #section, #name, #type, preset, min, max, CONF_##effect, doc }, &conf_type_##type,               \
		offsetof(struct conf, section##_##name) },
#include "common/option.def"
#undef OPT
};

#define ROW_COUNT CONF_OPTIONS

const struct conf_option *conf_option(size_t n)
{
	return n < ROW_COUNT ? &rows[n].option : NULL;
}

static void *field_of(struct conf *c, const struct row *r)
{
	return (char *)c + r->offset;
}

/* The row that an option of conf_option() is in. */
static const struct row *row_of(const struct conf_option *o)
{
	return (const struct row *)(const void *)((const char *)o - offsetof(struct row, option));
}

static void show_field(const struct conf *c, const struct row *r, struct buf *to)
{
	r->type->show((const char *)c + r->offset, to);
}

static const struct row *find_row(const char *section, const char *name)
{
	for (size_t i = 0; i < ROW_COUNT; i++)
		if (strcmp(rows[i].option.section, section) == 0 && strcmp(rows[i].option.name, name) == 0)
			return &rows[i];
	return NULL;
}

const struct conf_option *conf_find(const char *section, const char *name, const struct conf_type **type)
{
	const struct row *r = find_row(section, name);

	if (r == NULL)
		return NULL;
	*type = r->type;
	return &r->option;
}

static void drop_origin(struct conf *c, const struct row *r)
{
	free(c->origins[r - rows]);
	c->origins[r - rows] = NULL;
}

static void reset(struct conf *c, const struct row *r)
{
	const struct conf_option *o = &r->option;
	struct buf why = { 0 };

	if (r->type->read(field_of(c, r), o->preset, o, &why) != ERR_OK)
		fatalx(70, "the default of [%s] %s: %s", o->section, o->name, buf_text(&why));
	drop_origin(c, r);
}

struct conf *conf_new(void)
{
	struct conf *c = xcalloc(1, sizeof(*c));

	for (size_t i = 0; i < ROW_COUNT; i++)
		reset(c, &rows[i]);
	return c;
}

void conf_reset(struct conf *c, const char *section, const char *name)
{
	const struct row *r = find_row(section, name);

	if (r != NULL)
		reset(c, r);
}

void conf_set_origin(struct conf *c, const struct conf_option *o, const char *origin)
{
	const struct row *r = row_of(o);

	drop_origin(c, r);
	c->origins[r - rows] = xstrdup(origin);
}

const char *conf_origin(const struct conf *c, const struct conf_option *o)
{
	return c->origins[row_of(o) - rows];
}

void conf_put_origin(const struct conf *c, const struct conf_option *o, struct buf *to)
{
	const char *origin = conf_origin(c, o);

	if (origin != NULL)
		buf_printf(to, "%s: ", origin);
}

void conf_put_value(const struct conf *c, const struct conf_option *o, struct buf *to)
{
	show_field(c, row_of(o), to);
}

void conf_free(struct conf *c)
{
	if (c == NULL)
		return;
	for (size_t i = 0; i < ROW_COUNT; i++) {
		rows[i].type->release(field_of(c, &rows[i]));
		free(c->origins[i]);
	}
	free(c);
}

unsigned conf_distance(const char *a, const char *b)
{
	unsigned line[128];
	size_t size = strnlen(b, sizeof(line) / sizeof(line[0]) - 1);

	for (unsigned j = 0; j <= size; j++)
		line[j] = j;
	for (unsigned i = 1; *a != '\0'; a++, i++) {
		unsigned diagonal = line[0];

		line[0] = i;
		for (size_t j = 1; j <= size; j++) {
			unsigned least = diagonal + (*a != b[j - 1]);

			diagonal = line[j];
			if (least > line[j] + 1)
				least = line[j] + 1;
			if (least > line[j - 1] + 1)
				least = line[j - 1] + 1;
			line[j] = least;
		}
	}
	return line[size];
}

void conf_put_nearest(const char *section, const char *name, struct buf *to)
{
	const struct conf_option *nearest = NULL;
	unsigned least = UINT32_MAX;

	for (size_t i = 0; i < ROW_COUNT; i++) {
		const struct conf_option *o = &rows[i].option;
		/* Half the guess is the name: the right name in the wrong section is nearer than the reverse. */
		unsigned d = conf_distance(o->section, section) + 2 * conf_distance(o->name, name);

		if (d < least) {
			least = d;
			nearest = o;
		}
	}
	buf_printf(to, "[%s] %s", nearest->section, nearest->name);
}

/* For a type that repeats: what is there already and the new value, behind a comma; the caller frees it. */
static char *joined_value(const struct conf *c, const struct row *r, const char *value)
{
	struct buf old = { 0 };
	char *joined;

	show_field(c, r, &old);
	joined = xasprintf("%s%s%s", buf_text(&old), r->type->repeats && old.size > 0 ? ", " : "", value);
	buf_free(&old);
	return joined;
}

enum err conf_set(struct conf *c, const char *section, const char *name, const char *value, struct buf *why)
{
	const struct row *r = find_row(section, name);
	struct buf reason = { 0 };
	char *joined = NULL;
	enum err e;

	if (r == NULL) {
		buf_printf(why, "there is no option [%s] %s; the nearest is ", section, name);
		conf_put_nearest(section, name, why);
		return ERR_BAD_REQUEST;
	}
	if (r->type->repeats)
		value = joined = joined_value(c, r, value);
	e = r->type->read(field_of(c, r), value, &r->option, &reason);
	if (e != ERR_OK)
		buf_printf(why, "[%s] %s: %s", section, name, buf_text(&reason));
	else
		drop_origin(c, r);
	buf_free(&reason);
	free(joined);
	return e;
}

void conf_print(const struct conf *c, struct buf *to)
{
	const char *section = "";

	for (size_t i = 0; i < ROW_COUNT; i++) {
		const struct conf_option *o = &rows[i].option;

		if (strcmp(o->section, section) != 0)
			buf_printf(to, "%s[%s]\n", i == 0 ? "" : "\n", o->section);
		section = o->section;
		buf_printf(to, "# %s\n%s = ", o->doc, o->name);
		show_field(c, &rows[i], to);
		buf_append_text(to, "\n");
	}
}

void conf_encode(const struct conf *c, struct buf *to)
{
	struct buf text = { 0 };

	for (size_t i = 0; i < ROW_COUNT; i++) {
		buf_clear(&text);
		show_field(c, &rows[i], &text);
		wire_put_bytes(to, buf_bytes(&text));
	}
	buf_free(&text);
}

enum err conf_decode(struct bytes from, struct conf **out)
{
	struct reader r = reader_of(from);
	struct conf *c = conf_new();
	struct buf why = { 0 };
	enum err e = ERR_OK;

	*out = NULL;
	for (size_t i = 0; i < ROW_COUNT && e == ERR_OK; i++) {
		char *text = bytes_dup_text(wire_get_bytes(&r));

		e = rows[i].type->read(field_of(c, &rows[i]), text, &rows[i].option, &why);
		free(text);
	}
	buf_free(&why);
	if (e != ERR_OK || !reader_done(&r)) {
		conf_free(c);
		return ERR_MALFORMED;
	}
	*out = c;
	return ERR_OK;
}

static bool fields_equal(const struct conf *a, const struct conf *b, const struct row *r)
{
	struct buf left = { 0 }, right = { 0 };
	bool equal;

	show_field(a, r, &left);
	show_field(b, r, &right);
	equal = bytes_equal(buf_bytes(&left), buf_bytes(&right));
	buf_free(&left);
	buf_free(&right);
	return equal;
}

const struct conf_option *conf_difference(const struct conf *a, const struct conf *b, size_t *n)
{
	while (*n < ROW_COUNT) {
		const struct row *r = &rows[(*n)++];

		if (!fields_equal(a, b, r))
			return &r->option;
	}
	return NULL;
}

bool conf_equal(const struct conf *a, const struct conf *b)
{
	size_t n = 0;

	return conf_difference(a, b, &n) == NULL;
}

char *conf_socket_path(const struct conf *c, unsigned number)
{
	return xasprintf("%s/http-%u.sock", c->node_run, number);
}
