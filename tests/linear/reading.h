#ifndef TESTS_LINEAR_READING_H
#define TESTS_LINEAR_READING_H

#include "tests/linear/read.h"

/* What a file has said so far; inside of linear_read(). */
struct entry {
	struct linear_op op;
	bool open, silent; /* not ended; tells nothing */

	/* Of an entry by revision; op has its values when all lines are read. */
	bool by_revision;
	size_t text; /* of the value that is written or was read; 0: none */
	uint64_t revision; /* of that value; 0: not known */
	uint64_t condition, found; /* of a cas: the revision wanted, and that which refused it; 0: absent */
};

struct reading {
	struct linear_file *file;
	struct entry *entries;
	size_t count, room;
	struct words processes, texts;
	size_t *last; /* by process: its last entry, plus 1 */
	size_t last_room;
	int64_t line;
	bool stale; /* reads promise nothing */
	const char *wrong;
};

/* Keeps what is wrong with the line, and returns false. */
bool reading_complain(struct reading *r, const char *wrong);

/* An operation that begins at this line. */
struct entry *reading_add(struct reading *r);
/* The same, for a process; NULL when it has not ended what it began. */
struct entry *reading_begin(struct reading *r, const char *process);
/* What the process began; NULL: nothing. */
struct entry *reading_opened(struct reading *r, const char *process);
/* It ends by "ok", "fail" (silently, unless it is refused) or "info" (and stays without an answer). */
void reading_end(struct reading *r, struct entry *e, const char *event);
bool reading_is_end(const char *event);

/* One line, which they take apart. */
bool reading_take_load(struct reading *r, char *line);
bool reading_take_jepsen(struct reading *r, const char *line);
/* Makes values of texts and revisions. */
bool reading_settle_revisions(struct reading *r);

#endif
