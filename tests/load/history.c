#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sysexits.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/mem.h"
#include "tests/load/history.h"
#include "tests/load/options.h"

struct history {
	FILE *file;
};

struct history *history_open(const char *path, const struct options *o, const char *prefix)
{
	struct history *h = xcalloc(1, sizeof(*h));

	if (*path == '\0')
		return h;
	if ((h->file = fopen(path, "we")) == NULL)
		fatal(EX_CANTCREAT, "%s", path);
	fprintf(h->file,
	    "# holdfast-history 1\n# prefix=%s level=%s tokens=%d value-size=%" PRIu64 " keys=%" PRIu64 "\n",
	    prefix, o->level, o->tokens, o->value_size, o->keys);
	return h;
}

static const char *text_or_none(const char *text)
{
	return text != NULL ? text : "-";
}

/* A number or -, and a blank. */
static void put_number(FILE *f, bool there, uint64_t number)
{
	if (there)
		fprintf(f, "%" PRIu64 " ", number);
	else
		fputs("- ", f);
}

void history_add(struct history *h, const struct history_event *e)
{
	if (h->file == NULL)
		return;
	fprintf(h->file, "%" PRId64 " %" PRIu64 " %s %s %s %s ", clock_now().ns / 1000, e->process, e->event,
	    e->op, text_or_none(e->key), text_or_none(e->value));
	put_number(h->file, e->revision != 0, e->revision);
	put_number(h->file, e->version != 0, e->version);
	fprintf(h->file, "%s %s ", text_or_none(e->token), text_or_none(e->node));
	if (e->status >= 0)
		fprintf(h->file, "%d\n", e->status);
	else
		fputs("-\n", h->file);
}

void history_flush(struct history *h)
{
	if (h->file != NULL && fflush(h->file) != 0)
		fatal(EX_IOERR, "the history");
}

void history_close(struct history *h)
{
	if (h == NULL)
		return;
	history_flush(h);
	if (h->file != NULL)
		fclose(h->file);
	free(h);
}
