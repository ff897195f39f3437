#ifndef TESTS_LINEAR_READ_H
#define TESTS_LINEAR_READ_H

#include "tests/linear/linear.h"
#include "tests/linear/words.h"

/*
 * Reads a history from a file, of one of two kinds; each line tells by itself which.
 *
 * 1. What holdfast-load writes; tests/load/history.h has every word of it. The least that a test writes by itself,
 *    with -, - and 0 for what it does not know (time node status; the order of the lines counts):
 *
 *	# holdfast-history 1
 *	0 1 invoke put k/a v1 - - - - -			process 1 begins to write v1 to k/a
 *	0 2 invoke get k/a - - - - - -
 *	0 1 ok put k/a v1 5 - - - -			it has revision 5
 *	0 2 ok get k/a v1 5 - - - -			this one saw it; - - where there was no such key
 *	0 2 invoke cas k/a v2 5 - - - -			v2, if the key has revision 5; -: if it is absent
 *	0 1 invoke delete k/a - - - - - -
 *	0 2 fail cas k/a - 7 - - - 412			refused: the key had revision 7; -: it was absent
 *	0 1 info delete k/a - - - - - -			nobody knows; process 1 is never used again
 *
 *    Each value is written once. A value that is read and a write that is acknowledged have their revision. `fail`
 *    says that there was no effect: with status 412 because of the condition, which is evidence too; with any other
 *    status for another reason, and then the operation tells nothing. A `final` is a get that nothing else was
 *    beside. A remark with level=stale makes the file one whose reads promise nothing: they are left out.
 *
 * 2. Jepsen's log of one register: "INFO  jepsen.util - PROCESS TYPE OPERATION VALUE", where TYPE is :invoke :ok :fail
 *    :info, OPERATION :read :write :cas, VALUE nil, a number or [OLD NEW].
 *
 * Times are numbers of lines.
 */
struct linear_file {
	struct linear_op *ops;
	size_t count;
	struct words keys, values;
	struct linear_names names; /* for linear_explain() */
};

/* False when it cannot be read or is no history; why tells where. The caller ends it in both cases. */
bool linear_read(struct linear_file *f, const char *path, struct buf *why);
void linear_file_fini(struct linear_file *f);

#endif
