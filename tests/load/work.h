#ifndef TESTS_LOAD_WORK_H
#define TESTS_LOAD_WORK_H

#include "common/buf.h"
#include "common/random.h"
#include "tests/load/options.h"

/*
 * What is to be done: which operation is next, on which key, with which value, and what it looks like as a request.
 *
 * Keys are PREFIX and a number. With keys of their own writes count up, and reads take any that was written or is
 * just being written; else all take one of --keys at random. A value begins with a unique word and goes on with
 * dots.
 */
enum op_kind { OP_PUT, OP_GET, OP_DELETE, OP_CAS, OP_CREATE };

#define OP_WORD_BYTES 48

struct op {
	enum op_kind kind;
	uint64_t key; /* its number */
	char value[OP_WORD_BYTES]; /* the word of what puts one; else empty */
	char token[OP_WORD_BYTES]; /* empty: none */
	uint64_t expected; /* of a cas: the revision */
};

struct work {
	const struct options *options;
	struct random random;
	char *prefix;
	uint64_t started, written; /* operations; writes among them */
	uint64_t *heard; /* revision of each of the --keys */
};

const char *op_name(enum op_kind k);
bool op_is_write(enum op_kind k);
/* It may be refused with 412. */
bool op_has_condition(enum op_kind k);

/* The seed and prefix of the options are completed if they were left open. */
void work_init(struct work *w, struct options *o);
void work_fini(struct work *w);

void work_next(struct work *w, bool read, struct op *out);
/* True with a chance of so many per cent. */
bool work_chance(struct work *w, uint64_t per_cent);
/* Cleared first, then the key as it is written in paths and histories: nothing in it needs encoding. */
void work_key(const struct work *w, const struct op *o, struct buf *out);
/* Appends the whole request. */
void work_request(const struct work *w, const struct op *o, struct buf *out);
/* A revision of the key was heard of. */
void work_heard(struct work *w, const struct op *o, uint64_t revision);
/* The word that a stored value begins with, or ?HEX; cleared first. False when it is no value of ours. */
bool work_word(const struct work *w, struct bytes value, struct buf *out);

#endif
