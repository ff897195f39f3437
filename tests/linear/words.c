#define _GNU_SOURCE

#include <search.h>
#include <stdlib.h>
#include <string.h>

#include "common/mem.h"
#include "tests/linear/words.h"

struct word {
	char *text;
	size_t number;
};

static int by_text(const void *a, const void *b)
{
	return strcmp(((const struct word *)a)->text, ((const struct word *)b)->text);
}

size_t words_number(struct words *w, const char *text)
{
	struct word asked = { .text = (char *)text }, *new;
	struct word **found = tfind(&asked, &w->tree, by_text);

	if (found != NULL)
		return (*found)->number;
	if (w->count == w->room) {
		w->room = w->room == 0 ? 64 : w->room * 2;
		w->texts = xreallocarray(w->texts, w->room, sizeof(*w->texts));
	}
	new = xcalloc(1, sizeof(*new));
	new->text = w->texts[w->count] = xstrdup(text);
	new->number = ++w->count;
	tsearch(new, &w->tree, by_text);
	return new->number;
}

const char *words_text(const struct words *w, size_t number)
{
	return w->texts[number - 1];
}

static void free_word(void *word)
{
	free(((struct word *)word)->text);
	free(word);
}

void words_fini(struct words *w)
{
	tdestroy(w->tree, free_word);
	free(w->texts);
	*w = (struct words){ 0 };
}
