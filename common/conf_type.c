#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "common/addr.h"
#include "common/conf_type.h"

/* A whole number at the start of *text, which is moved behind it. */
static bool take_number(const char **text, uint64_t *out)
{
	const char *at = *text;
	uint64_t v = 0;

	if (*at < '0' || *at > '9')
		return false;
	for (; *at >= '0' && *at <= '9'; at++)
		if (__builtin_mul_overflow(v, 10, &v) || __builtin_add_overflow(v, *at - '0', &v))
			return false;
	*text = at;
	*out = v;
	return true;
}

#define NEVER "never"

struct unit {
	const char *name;
	uint64_t factor;
};

/* Largest first: the first that divides a value evenly is the one it is shown in. */
static const struct unit span_units[] = {
	{ "h", 3600u * UINT64_C(1000000000) },
	{ "m", 60u * UINT64_C(1000000000) },
	{ "s", 1000000000 },
	{ "ms", 1000000 },
	{ "us", 1000 },
	{ "ns", 1 },
	{ NULL, 0 },
};

static const struct unit byte_units[] = {
	{ "TiB", UINT64_C(1) << 40 },
	{ "GiB", 1u << 30 },
	{ "MiB", 1u << 20 },
	{ "KiB", 1u << 10 },
	{ "", 1 },
	{ NULL, 0 },
};

static const struct unit no_units[] = {
	{ "", 1 },
	{ NULL, 0 },
};

static bool take_quantity(const char *text, const struct unit *units, uint64_t *out)
{
	uint64_t v;

	if (!take_number(&text, &v))
		return false;
	for (const struct unit *u = units; u->name != NULL; u++)
		if (strcmp(text, u->name) == 0)
			return !__builtin_mul_overflow(v, u->factor, out) && *out <= INT64_MAX;
	return false;
}

static void show_quantity(uint64_t v, const struct unit *units, struct buf *to)
{
	const struct unit *u = units;

	/* Zero is divided by all of them; the plainest unit reads best. */
	while (u->factor > 1 && (v == 0 || v % u->factor != 0))
		u++;
	buf_printf(to, "%" PRIu64 "%s", v / u->factor, u->name);
}

static enum err read_quantity(uint64_t *field, const char *text, const struct unit *units, const char *form,
    const struct conf_option *o, struct buf *why)
{
	uint64_t v, min, max;
	bool bounds = take_quantity(o->min, units, &min) && take_quantity(o->max, units, &max);

	assert(bounds);
	if (!take_quantity(text, units, &v)) {
		buf_printf(why, "\"%s\" is not %s", text, form);
		return ERR_BAD_REQUEST;
	}
	if (v < min || v > max) {
		buf_printf(why, "%s is not between %s and %s", text, o->min, o->max);
		return ERR_BAD_REQUEST;
	}
	*field = v;
	return ERR_OK;
}

static void release_nothing(void *field)
{
	(void)field;
}

static enum err read_number(void *field, const char *text, const struct conf_option *o, struct buf *why)
{
	return read_quantity(field, text, no_units, "a whole number", o, why);
}

static void show_number(const void *field, struct buf *to)
{
	show_quantity(*(const conf_number *)field, no_units, to);
}

const struct conf_type conf_type_number = { read_number, show_number, release_nothing, false };

static enum err read_bytes(void *field, const char *text, const struct conf_option *o, struct buf *why)
{
	return read_quantity(
	    field, text, byte_units, "a number of bytes like 4096, 64KiB, 2MiB, 1GiB", o, why);
}

static void show_bytes(const void *field, struct buf *to)
{
	show_quantity(*(const conf_bytes *)field, byte_units, to);
}

const struct conf_type conf_type_bytes = { read_bytes, show_bytes, release_nothing, false };

static enum err read_span(void *field, const char *text, const struct conf_option *o, struct buf *why)
{
	uint64_t ns;
	enum err e =
	    read_quantity(&ns, text, span_units, "a time with its unit like 500ms, 10s, 2m, 1h", o, why);

	if (e == ERR_OK)
		*(conf_span *)field = (struct span){ (int64_t)ns };
	return e;
}

static void show_span(const void *field, struct buf *to)
{
	show_quantity((uint64_t)((const conf_span *)field)->ns, span_units, to);
}

const struct conf_type conf_type_span = { read_span, show_span, release_nothing, false };

static enum err read_silence(void *field, const char *text, const struct conf_option *o, struct buf *why)
{
	if (strcasecmp(text, NEVER) != 0)
		return read_span(field, text, o, why);
	*(conf_silence *)field = span_ms(0);
	return ERR_OK;
}

static void show_silence(const void *field, struct buf *to)
{
	if (((const conf_silence *)field)->ns == 0)
		buf_append_text(to, NEVER);
	else
		show_span(field, to);
}

const struct conf_type conf_type_silence = { read_silence, show_silence, release_nothing, false };

struct word {
	const char *text;
	unsigned value;
};

static const struct word bool_words[] = {
	{ "yes", true }, /* the first of each value is how it is shown */
	{ "no", false },
	{ "true", true },
	{ "false", false },
	{ "on", true },
	{ "off", false },
	{ "1", true },
	{ "0", false },
	{ NULL, 0 },
};

static const struct word level_words[] = {
	{ "error", LOG_LEVEL_ERROR },
	{ "warn", LOG_LEVEL_WARN },
	{ "info", LOG_LEVEL_INFO },
	{ "debug", LOG_LEVEL_DEBUG },
	{ NULL, 0 },
};

static const struct word repair_words[] = {
	{ "auto", REPAIR_AUTO },
	{ "yes", REPAIR_YES },
	{ "no", REPAIR_NO },
	{ NULL, 0 },
};

static const struct word follower_words[] = {
	{ "as-documented", FOLLOWER_AS_DOCUMENTED },
	{ "forward", FOLLOWER_FORWARD },
	{ "redirect", FOLLOWER_REDIRECT },
	{ NULL, 0 },
};

static const struct word *find_word(const struct word *words, const char *text)
{
	while (words->text != NULL && strcasecmp(words->text, text) != 0)
		words++;
	return words->text == NULL ? NULL : words;
}

static void show_word(const struct word *words, unsigned value, struct buf *to)
{
	while (words->value != value)
		words++;
	buf_append_text(to, words->text);
}

static enum err read_bool(void *field, const char *text, const struct conf_option *o, struct buf *why)
{
	const struct word *w = find_word(bool_words, text);

	(void)o;
	if (w == NULL) {
		buf_printf(why, "\"%s\" is neither yes nor no", text);
		return ERR_BAD_REQUEST;
	}
	*(conf_bool *)field = w->value;
	return ERR_OK;
}

static void show_bool(const void *field, struct buf *to)
{
	show_word(bool_words, *(const conf_bool *)field, to);
}

const struct conf_type conf_type_bool = { read_bool, show_bool, release_nothing, false };

static enum err read_level(void *field, const char *text, const struct conf_option *o, struct buf *why)
{
	const struct word *w = find_word(level_words, text);

	(void)o;
	if (w == NULL) {
		buf_printf(why, "\"%s\" is none of error, warn, info, debug", text);
		return ERR_BAD_REQUEST;
	}
	*(conf_level *)field = (enum log_level)w->value;
	return ERR_OK;
}

static void show_level(const void *field, struct buf *to)
{
	show_word(level_words, *(const conf_level *)field, to);
}

const struct conf_type conf_type_level = { read_level, show_level, release_nothing, false };

static enum err read_repair(void *field, const char *text, const struct conf_option *o, struct buf *why)
{
	const struct word *w = find_word(repair_words, text);

	(void)o;
	if (w == NULL) {
		buf_printf(why, "\"%s\" is none of auto, yes, no", text);
		return ERR_BAD_REQUEST;
	}
	*(conf_repair *)field = (enum repair_wish)w->value;
	return ERR_OK;
}

static void show_repair(const void *field, struct buf *to)
{
	show_word(repair_words, *(const conf_repair *)field, to);
}

const struct conf_type conf_type_repair = { read_repair, show_repair, release_nothing, false };

static enum err read_follower(void *field, const char *text, const struct conf_option *o, struct buf *why)
{
	const struct word *w = find_word(follower_words, text);

	(void)o;
	if (w == NULL) {
		buf_printf(why, "\"%s\" is none of as-documented, forward, redirect", text);
		return ERR_BAD_REQUEST;
	}
	*(conf_follower *)field = (enum on_follower)w->value;
	return ERR_OK;
}

static void show_follower(const void *field, struct buf *to)
{
	show_word(follower_words, *(const conf_follower *)field, to);
}

const struct conf_type conf_type_follower = { read_follower, show_follower, release_nothing, false };

static const struct word dialect_words[] = {
#define DIALECT(NAME, name) { name, DIALECT_##NAME },
#include "common/dialect.def"
#undef DIALECT
	{ NULL, 0 },
};

#define LIST_BLANKS ", \t"

/* One word of the list, which adds to *set. */
static bool take_dialect(const char *at, size_t size, unsigned *set)
{
	for (const struct word *w = dialect_words; w->text != NULL; w++)
		if (strlen(w->text) == size && strncasecmp(w->text, at, size) == 0) {
			*set |= w->value;
			return true;
		}
	return false;
}

static enum err read_dialects(void *field, const char *text, const struct conf_option *o, struct buf *why)
{
	const char *at = text + strspn(text, LIST_BLANKS);
	unsigned set = 0;
	size_t size;

	(void)o;
	if (strcasecmp(text, "all") == 0 || strcasecmp(text, "none") == 0) {
		*(conf_dialects *)field = strcasecmp(text, "all") == 0 ? DIALECTS_ALL : 0;
		return ERR_OK;
	}
	do {
		size = strcspn(at, LIST_BLANKS);
		if (!take_dialect(at, size, &set)) {
			buf_printf(why, "\"%.*s\" is none of", (int)size, at);
			for (const struct word *w = dialect_words; w->text != NULL; w++)
				buf_printf(why, " %s,", w->text);
			buf_append_text(why, " and all and none stand alone");
			return ERR_BAD_REQUEST;
		}
		at += size;
		at += strspn(at, LIST_BLANKS);
	} while (*at != '\0');
	*(conf_dialects *)field = set;
	return ERR_OK;
}

static void show_dialects(const void *field, struct buf *to)
{
	unsigned set = *(const conf_dialects *)field;
	const char *between = "";

	if (set == DIALECTS_ALL || set == 0) {
		buf_append_text(to, set == 0 ? "none" : "all");
		return;
	}
	for (const struct word *w = dialect_words; w->text != NULL; w++)
		if ((set & w->value) != 0) {
			buf_printf(to, "%s%s", between, w->text);
			between = ", ";
		}
}

const struct conf_type conf_type_dialects = { read_dialects, show_dialects, release_nothing, false };

/* A file could not give back what these would do to a line: blanks at the ends are trimmed, and a comment may begin
 * behind a blank. */
static enum err check_line(const char *text, struct buf *why)
{
	size_t size = strlen(text);

	for (size_t i = 0; i < size; i++)
		if ((unsigned char)text[i] < 0x20 || text[i] == 0x7f || text[i] == ';') {
			buf_append_text(why, "a semicolon or control character does not belong there");
			return ERR_BAD_REQUEST;
		}
	if (size > 0 && (text[0] == ' ' || text[size - 1] == ' ')) {
		buf_append_text(why, "blanks at the start or end do not belong there");
		return ERR_BAD_REQUEST;
	}
	return ERR_OK;
}

static void replace_text(void *field, char *text)
{
	free(*(char **)field);
	*(char **)field = text;
}

static enum err read_text(void *field, const char *text, const struct conf_option *o, struct buf *why)
{
	size_t size = strlen(text);
	enum err e = check_line(text, why);

	if (e == ERR_OK && (size < strtoul(o->min, NULL, 10) || size > strtoul(o->max, NULL, 10))) {
		buf_printf(why, "it must have %s to %s bytes, not %zu", o->min, o->max, size);
		e = ERR_BAD_REQUEST;
	}
	if (e == ERR_OK)
		replace_text(field, xstrdup(text));
	return e;
}

static void show_text(const void *field, struct buf *to)
{
	buf_append_text(to, *(char *const *)field);
}

static void release_text(void *field)
{
	replace_text(field, NULL);
}

const struct conf_type conf_type_text = { read_text, show_text, release_text, false };

static enum err read_addr(void *field, const char *text, const struct conf_option *o, struct buf *why)
{
	bool may_be_empty = strcmp(o->min, "0") == 0;
	struct addr a;

	if (!(text[0] == '\0' && may_be_empty) &&
	    (check_line(text, why) != ERR_OK || !addr_parse(bytes_text(text), &a))) {
		buf_clear(why);
		buf_printf(why, "\"%s\" is not an address like 10.0.0.1:9000, [::1]:9000 or :9000", text);
		return ERR_BAD_REQUEST;
	}
	replace_text(field, xstrdup(text));
	return ERR_OK;
}

const struct conf_type conf_type_addr = { read_addr, show_text, release_text, false };

static enum err read_addresses(void *field, const char *text, const struct conf_option *o, struct buf *why)
{
	struct bytes list = bytes_text(text), address;
	struct buf canonical = { 0 };
	enum err e = ERR_OK;
	struct addr a;

	(void)o;
	while (e == ERR_OK && addr_next(&list, &address)) {
		if (!addr_parse(address, &a) || a.host[0] == '\0') {
			buf_printf(why, "\"%s\" is not a list like host1:8080, host2:8080", text);
			e = ERR_BAD_REQUEST;
		}
		buf_printf(
		    &canonical, "%s%.*s", canonical.size > 0 ? ", " : "", (int)address.size, address.data);
	}
	if (e == ERR_OK)
		replace_text(field, xstrdup(buf_text(&canonical)));
	buf_free(&canonical);
	return e;
}

const struct conf_type conf_type_addresses = { read_addresses, show_text, release_text, true };

static bool is_id(struct bytes id)
{
	for (size_t i = 0; i < id.size; i++)
		if (id.data[i] <= ' ' || id.data[i] == 0x7f || memchr("=,;/", id.data[i], 4) != NULL)
			return false;
	return id.size > 0 && id.size <= 64;
}

static enum err read_members(void *field, const char *text, const struct conf_option *o, struct buf *why)
{
	struct bytes list = bytes_text(text), id, address;
	struct buf canonical = { 0 };
	enum err e = ERR_OK;
	struct addr a;

	(void)o;
	while (e == ERR_OK && addr_next_member(&list, &id, &address)) {
		if (!is_id(id) || !addr_parse(address, &a) || a.host[0] == '\0') {
			buf_printf(why, "\"%s\" is not a list like n1=host1:9000, n2=host2:9000", text);
			e = ERR_BAD_REQUEST;
		}
		buf_printf(&canonical, "%s%.*s=%.*s", canonical.size > 0 ? ", " : "", (int)id.size, id.data,
		    (int)address.size, address.data);
	}
	if (e == ERR_OK)
		replace_text(field, xstrdup(buf_text(&canonical)));
	buf_free(&canonical);
	return e;
}

const struct conf_type conf_type_members = { read_members, show_text, release_text, true };
