#ifndef TESTS_LOAD_HISTORY_H
#define TESTS_LOAD_HISTORY_H

#include <stdbool.h>
#include <stdint.h>

/*
 * A history: what clients did and what they were told, one event a line, eleven words between single blanks, - for
 * what there is not:
 *
 *	time process event op key value revision version token node status
 *
 *	time	  microseconds of CLOCK_BOOTTIME, so that histories of one machine can be merged. Within a file the
 *		  order of the lines is the order of the events: an invoke stands before its request is sent, an ok
 *		  after its answer has come.
 *	process	  one thing after the other; it gets another number after an outcome that it did not learn.
 *	event	  invoke: it begins. Then exactly one of
 *		  ok:	  it took effect (or was read) between invoke and here.
 *		  fail:	  it certainly had no effect.
 *		  info:	  the outcome is not known; it may take effect at any time from invoke on.
 *		  After the ok of a write with a token there may be
 *		  again:  it was sent once more with the same token; this is what was answered.
 *		  Apart from all processes (number 0, and neither begin nor end):
 *		  final:  what a last read found when all was over.
 *	op	  put, get, delete, cas
 *	value	  of a put and cas: what is to be written; of a get's ok: what was read, - when there is no such key.
 *		  A value is stored with dots behind it up to the size of values; here it stands without. Bytes that
 *		  are no value of ours stand as ?HEX.
 *	revision  of the ok of a write: the revision it took effect at; of a get: the key's modify revision; of the
 *		  invoke of a cas: the revision that the key must have, - where there must be no such key.
 *	version	  of a get and final: how often the key was written since it was created.
 *	token	  the Idempotency-Key
 *	node	  that was asked or answered, HOST:PORT
 *	status	  of HTTP; 0 when there was no answer
 *
 * Lines that begin with # are remarks; the first names the format: "# holdfast-history 1", then
 * "# prefix=P level=L tokens=0|1 value-size=N keys=N".
 */
struct history;
struct options;

struct history_event {
	uint64_t process;
	const char *event, *op, *key; /* key may be NULL */
	const char *value; /* NULL: none */
	uint64_t revision, version; /* 0: none */
	const char *token; /* may be NULL */
	const char *node; /* may be NULL */
	int status; /* -1: none */
};

/* Makes or replaces the file; without a name nothing is kept and the rest does nothing. */
struct history *history_open(const char *path, const struct options *o, const char *prefix);
void history_add(struct history *h, const struct history_event *e);
/* What was added is in the file. */
void history_flush(struct history *h);
/* Accepts NULL. */
void history_close(struct history *h);

#endif
