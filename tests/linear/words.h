#ifndef TESTS_LINEAR_WORDS_H
#define TESTS_LINEAR_WORDS_H

#include <stddef.h>

/*
 * Numbers for words: 1, 2, 3 ... in the order in which they are first seen. Zeroed memory is empty.
 */
struct words {
	void *tree;
	char **texts; /* of number i at i - 1 */
	size_t count, room;
};

size_t words_number(struct words *w, const char *text);
/* Borrows, valid until the end. */
const char *words_text(const struct words *w, size_t number);
void words_fini(struct words *w);

#endif
