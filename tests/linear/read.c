#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/linear/reading.h"

bool reading_complain(struct reading *r, const char *wrong)
{
	r->wrong = wrong;
	return false;
}

/* ---- operations as they come ---- */

static size_t *last_of(struct reading *r, const char *process)
{
	size_t number = words_number(&r->processes, process);

	while (number >= r->last_room) {
		size_t room = r->last_room == 0 ? 64 : r->last_room * 2;

		r->last = xreallocarray(r->last, room, sizeof(*r->last));
		memset(r->last + r->last_room, 0, (room - r->last_room) * sizeof(*r->last));
		r->last_room = room;
	}
	return &r->last[number];
}

struct entry *reading_add(struct reading *r)
{
	if (r->count == r->room) {
		r->room = r->room == 0 ? 256 : r->room * 2;
		r->entries = xreallocarray(r->entries, r->room, sizeof(*r->entries));
	}
	r->entries[r->count] = (struct entry){ .op = { .call = r->line, .ret = LINEAR_NEVER }, .open = true };
	return &r->entries[r->count++];
}

struct entry *reading_begin(struct reading *r, const char *process)
{
	size_t *last = last_of(r, process);

	if (*last != 0 && r->entries[*last - 1].open) {
		reading_complain(r, "this process has not ended what it began");
		return NULL;
	}
	*last = r->count + 1;
	return reading_add(r);
}

struct entry *reading_opened(struct reading *r, const char *process)
{
	size_t *last = last_of(r, process);

	if (*last != 0 && r->entries[*last - 1].open)
		return &r->entries[*last - 1];
	reading_complain(r, "this process has begun nothing");
	return NULL;
}

void reading_end(struct reading *r, struct entry *e, const char *event)
{
	e->open = false;
	if (strcmp(event, "ok") == 0 || e->op.refused)
		e->op.ret = r->line;
	else if (strcmp(event, "fail") == 0)
		e->silent = true;
}

bool reading_is_end(const char *event)
{
	return strcmp(event, "ok") == 0 || strcmp(event, "fail") == 0 || strcmp(event, "info") == 0;
}

/* ---- the file ---- */

static bool take_line(struct reading *r, char *line)
{
	line[strcspn(line, "\n")] = '\0';
	if (*line == '\0')
		return true;
	if (*line == '#') {
		r->stale = r->stale || strstr(line, " level=stale") != NULL;
		return true;
	}
	if (strncmp(line, "INFO", 4) == 0)
		return reading_take_jepsen(r, line);
	return reading_take_load(r, line);
}

static bool take_lines(struct reading *r, FILE *f)
{
	char *line = NULL;
	size_t room = 0;
	ssize_t size;
	bool sound = true;

	while (sound && (size = getline(&line, &room, f)) != -1) {
		r->line++;
		sound = line[size - 1] == '\n' ? take_line(r, line) : reading_complain(r, "the line is cut");
	}
	free(line);
	return sound;
}

static void give_ops(struct reading *r)
{
	struct linear_file *f = r->file;

	f->ops = xcalloc(r->count + 1, sizeof(*f->ops));
	for (size_t i = 0; i < r->count; i++) {
		const struct entry *e = &r->entries[i];

		if (!e->silent && !(r->stale && e->op.kind == LINEAR_GET))
			f->ops[f->count++] = e->op;
	}
}

static const char *name_key(void *arg, uint64_t key)
{
	return words_text(&((struct linear_file *)arg)->keys, key);
}

static const char *name_value(void *arg, uint64_t value)
{
	return words_text(&((struct linear_file *)arg)->values, value);
}

static void reading_fini(struct reading *r)
{
	free(r->entries);
	free(r->last);
	words_fini(&r->processes);
	words_fini(&r->texts);
}

bool linear_read(struct linear_file *f, const char *path, struct buf *why)
{
	struct reading r = { .file = f };
	FILE *file = fopen(path, "re");
	bool sound = false;

	*f = (struct linear_file){ .names = { name_key, name_value, f } };
	if (file == NULL) {
		buf_printf(why, "%s: %s", path, strerror(errno));
		return false;
	}
	if (!take_lines(&r, file) || !reading_settle_revisions(&r)) {
		buf_printf(why, "%s:%" PRId64 ": %s", path, r.line, r.wrong);
	} else if (ferror(file)) {
		buf_printf(why, "%s: cannot be read", path);
	} else {
		give_ops(&r);
		sound = true;
	}
	fclose(file);
	reading_fini(&r);
	return sound;
}

void linear_file_fini(struct linear_file *f)
{
	free(f->ops);
	words_fini(&f->keys);
	words_fini(&f->values);
	*f = (struct linear_file){ 0 };
}
