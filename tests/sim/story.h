#ifndef TESTS_SIM_STORY_H
#define TESTS_SIM_STORY_H

#include <stdarg.h>

#include "tests/sim/event.h"

/*
 * The last things that happened, to be told when a universe fails: a ring of lines. What happens often is noted as
 * a format and its numbers, which become text only when told; the log lines of the replicas are lines of it too
 * (this program defines log_info() and its like itself).
 */
#define STORY_LINES 1200
#define STORY_TEXT 200

struct story_line {
	struct instant time;
	int node;
	const char *format; /* NULL: text is final */
	uint64_t numbers[6];
	char text[STORY_TEXT];
};

struct story {
	struct story_line ring[STORY_LINES];
	uint64_t count;
	bool aloud; /* each line is printed as it comes */
	int speaker; /* whose log lines come */
};

/* Notes a line; the format is static and takes up to six uint64_t (PRIu64). */
void story_note(struct universe *u, int node, const char *format, const uint64_t numbers[6]);
/* Notes a line of text. */
void story_tell(struct universe *u, int node, const char *format, ...) __attribute__((format(printf, 3, 4)));
/* Prints the whole of it, oldest first, as comments of TAP. */
void story_print(const struct story *s);

/* The universe is wrong: says so with its story and the command that repeats it, and ends the process. */
void universe_fail(struct universe *u, const char *format, ...)
    __attribute__((noreturn, format(printf, 2, 3)));

#endif
