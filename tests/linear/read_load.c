#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/linear/reading.h"

#define WORDS 11

/* Which of the eleven. */
enum { PROCESS = 1, EVENT, OP, KEY, VALUE, REVISION, STATUS = 10 };

static uint64_t number_or_none(const char *word)
{
	return strtoull(word, NULL, 10);
}

static size_t text_or_none(struct reading *r, const char *word)
{
	return strcmp(word, "-") == 0 ? 0 : words_number(&r->texts, word);
}

static bool kind_of(const char *word, enum linear_kind *kind)
{
	static const char *const names[] = { "get", "put", "delete", "cas" };

	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++)
		if (strcmp(word, names[i]) == 0) {
			*kind = (enum linear_kind)i;
			return true;
		}
	return false;
}

static bool take_begin(struct reading *r, char **words, enum linear_kind kind)
{
	struct entry *e = reading_begin(r, words[PROCESS]);

	if (e == NULL)
		return false;
	e->op.kind = kind;
	e->by_revision = true;
	e->op.key = words_number(&r->file->keys, words[KEY]);
	e->text = text_or_none(r, words[VALUE]);
	e->condition = number_or_none(words[REVISION]);
	return true;
}

static bool take_end(struct reading *r, char **words, enum linear_kind kind)
{
	struct entry *e = reading_opened(r, words[PROCESS]);
	uint64_t revision = number_or_none(words[REVISION]);

	if (e == NULL)
		return false;
	if (e->op.kind != kind || e->op.key != words_number(&r->file->keys, words[KEY]))
		return reading_complain(r, "this is not what the process began");
	if (kind == LINEAR_GET)
		e->text = text_or_none(r, words[VALUE]);
	if (strcmp(words[EVENT], "ok") == 0) {
		e->revision = revision;
		if (e->text != 0 && revision == 0)
			return reading_complain(r, "a value without its revision");
	}
	e->op.refused =
	    kind == LINEAR_CAS && strcmp(words[EVENT], "fail") == 0 && strcmp(words[STATUS], "412") == 0;
	e->found = revision;
	reading_end(r, e, words[EVENT]);
	return true;
}

static bool take_final(struct reading *r, char **words)
{
	struct entry *e = reading_add(r);

	e->op.kind = LINEAR_GET;
	e->by_revision = true;
	e->op.key = words_number(&r->file->keys, words[KEY]);
	e->text = text_or_none(r, words[VALUE]);
	e->revision = number_or_none(words[REVISION]);
	if (e->text != 0 && e->revision == 0)
		return reading_complain(r, "a value without its revision");
	reading_end(r, e, "ok");
	return true;
}

bool reading_take_load(struct reading *r, char *line)
{
	char *words[WORDS + 1], *rest = NULL;
	enum linear_kind kind;
	size_t n = 0;

	for (char *w = strtok_r(line, " ", &rest); w != NULL && n <= WORDS; w = strtok_r(NULL, " ", &rest))
		words[n++] = w;
	if (n != WORDS)
		return reading_complain(r, "not eleven words");
	if (!kind_of(words[OP], &kind))
		return reading_complain(r, "what kind of operation is this?");
	if (strcmp(words[EVENT], "invoke") == 0)
		return take_begin(r, words, kind);
	if (strcmp(words[EVENT], "again") == 0)
		return true; /* check-history's business */
	if (strcmp(words[EVENT], "final") == 0)
		return take_final(r, words);
	return reading_is_end(words[EVENT]) ? take_end(r, words, kind)
					    : reading_complain(r, "what event is this?");
}

/* ---- revisions ---- */

/*
 * The number of a value stands for the text and its revision. A write of unknown outcome has the revision with which
 * its value was read; if it was never, it may be any that nobody was told a value for, and all of these are one.
 */
struct revisions {
	struct reading *r;
	struct words written; /* "key text" */
	struct entry **writers; /* by its number */
	struct words known; /* "key revision" */
	uint64_t *values; /* by its number */
	uint64_t unread;
};

static size_t number_of(struct words *w, uint64_t key, uint64_t other)
{
	char text[64];

	snprintf(text, sizeof(text), "%" PRIu64 " %" PRIu64, key, other);
	return words_number(w, text);
}

static bool is_write(const struct entry *e)
{
	return e->by_revision && !e->silent && e->text != 0 && e->op.kind != LINEAR_GET;
}

static bool is_read(const struct entry *e)
{
	return e->by_revision && !e->silent && e->text != 0 && e->op.kind == LINEAR_GET;
}

static bool find_writers(struct revisions *v)
{
	for (size_t i = 0; i < v->r->count; i++) {
		struct entry *e = &v->r->entries[i], **writer;

		if (!is_write(e))
			continue;
		writer = &v->writers[number_of(&v->written, e->op.key, e->text)];
		v->r->line = e->op.call;
		if (*writer != NULL)
			return reading_complain(v->r, "this value is written a second time");
		*writer = e;
	}
	return true;
}

static void learn_from_reads(struct revisions *v)
{
	for (size_t i = 0; i < v->r->count; i++) {
		struct entry *e = &v->r->entries[i], *writer;

		if (!is_read(e))
			continue;
		writer = v->writers[number_of(&v->written, e->op.key, e->text)];
		if (writer != NULL && writer->revision == 0)
			writer->revision = e->revision;
	}
}

/* Of those that claim one revision it belongs to whom `which` finds first. */
static void give_values(struct revisions *v, bool (*which)(const struct entry *))
{
	struct words *values = &v->r->file->values;

	for (size_t i = 0; i < v->r->count; i++) {
		struct entry *e = &v->r->entries[i];
		uint64_t *known;
		char *name;

		if (!which(e))
			continue;
		name = xasprintf("%s@%" PRIu64, words_text(&v->r->texts, e->text), e->revision);
		e->op.value = e->revision == 0 ? v->unread : words_number(values, name);
		free(name);
		known = &v->values[number_of(&v->known, e->op.key, e->revision)];
		if (e->revision != 0 && *known == 0)
			*known = e->op.value;
	}
}

/* 0: absent. */
static uint64_t value_at(struct revisions *v, const struct entry *e, uint64_t revision)
{
	uint64_t known = revision == 0 ? 0 : v->values[number_of(&v->known, e->op.key, revision)];

	return revision == 0 ? LINEAR_ABSENT : known != 0 ? known : v->unread;
}

static void give_conditions(struct revisions *v)
{
	for (size_t i = 0; i < v->r->count; i++) {
		struct entry *e = &v->r->entries[i];
		char name[32];

		if (!e->by_revision || e->op.kind != LINEAR_CAS)
			continue;
		e->op.expected = value_at(v, e, e->condition);
		e->op.found = value_at(v, e, e->found);
		snprintf(name, sizeof(name), "?@%" PRIu64, e->condition);
		/* Which of those it was is not known, so it was none that might have been there. */
		if (e->op.refused && e->op.expected == v->unread)
			e->op.expected = words_number(&v->r->file->values, name);
	}
}

bool reading_settle_revisions(struct reading *r)
{
	struct revisions v = { .r = r };
	bool sound;

	v.writers = xcalloc(r->count * 2 + 1, sizeof(*v.writers));
	v.values = xcalloc(r->count * 3 + 1, sizeof(*v.values));
	sound = find_writers(&v);
	if (sound) {
		v.unread = words_number(&r->file->values, "a value that nobody read");
		learn_from_reads(&v);
		give_values(&v, is_write);
		give_values(&v, is_read);
		give_conditions(&v);
	}
	words_fini(&v.written);
	words_fini(&v.known);
	free(v.writers);
	free(v.values);
	return sound;
}
