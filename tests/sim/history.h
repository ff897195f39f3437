#ifndef TESTS_SIM_HISTORY_H
#define TESTS_SIM_HISTORY_H

#include "common/buf.h"
#include "common/clock.h"
#include "common/ipc.h"

/*
 * What the clients did and what they were told, kept whole; its rules are checked as the answers come and again in
 * the end:
 *
 *	a write takes effect once, at one revision, which no other has; never when it was answered "not applied"
 *	a revision is above all that anybody was told of before the operation began
 *	a read shows its key as of the revision that it names, which is at least the last that anybody was told of
 *	    before it began (if it was asked to be linearizable)
 *	in the end every acknowledged write is there, once, and nothing that nobody wrote
 *
 * Every value is unique, so what is read tells which operation wrote it.
 */
struct universe;
struct node;
struct kv_result;

enum op_kind { OP_PUT, OP_DELETE, OP_READ };
enum op_outcome {
	OP_OPEN,
	OP_DONE,
	OP_CONDITION, /* a condition did not hold: no effect */
	OP_REFUSED, /* certainly no effect */
	OP_UNKNOWN,
};

struct op {
	enum op_kind kind;
	enum op_outcome outcome;
	enum read_level level; /* of a read */
	bool on_register, token, conditional;
	bool limited; /* a delete that says how many keys: feature level 1 */
	bool unsure; /* an attempt was left without an answer */
	bool in_the_end; /* a register has its value when all is over */
	int client;
	uint32_t key; /* number of the register; of a unique key the number of the op */
	uint32_t value_size; /* of a put */
	uint32_t tries;
	struct instant begun, ended;
	uint64_t told_before; /* the highest revision that anybody was told of when it began */
	uint64_t expected; /* the condition's revision; 0: absent */
	uint64_t revision; /* of the write's effect, or of the state that was read; 0: not known */
	uint64_t modify; /* what a read or a condition found: the key's revision, 0: absent */
};

struct history {
	struct op *ops; /* by number */
	size_t count, room;
	uint32_t *by_revision; /* the write that made it, plus 1; 0: not known */
	size_t revision_room;
	uint64_t told; /* the highest revision that anybody was told of */
};

/* Begins an operation and returns its number; valid until the next: *out. */
uint32_t history_begin(struct universe *u, const struct op *from);
void history_fini(struct history *h);

/* Is it the key of an operation on no register? */
bool op_is_unique(struct bytes key);
/* The key and value of an operation; cleared first. */
void op_key(const struct op *o, struct buf *out);
void op_value(const struct op *o, uint32_t number, struct buf *out);

/* An answer without an error came. */
void history_on_written(struct universe *u, uint32_t number, const struct kv_result *r);
void history_on_read(struct universe *u, struct node *n, uint32_t number, const struct kv_result *r);

/* In the end: the state of one node against the history; learns what took effect although nobody was told. */
void history_check_state(struct universe *u, struct node *n);
/* After that: everything that was read or found by a condition. */
void history_check_reads(struct universe *u);
/* And the registers once more, by a search for a linearization (registers.c). */
void registers_check(struct universe *u);

#endif
