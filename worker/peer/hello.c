#include "worker/peer/hello.h"

static bool malformed(const struct peer_hello *h)
{
	return h->incarnation == 0 || h->id.size == 0 || h->version_least > h->version_most;
}

static bool is_back(const struct peer_hello *theirs, struct hello_known known)
{
	return !known.lives && !known.connected && known.before_boot != 0 &&
	       theirs->start == known.before_start && theirs->boot == known.before_boot;
}

enum hello_verdict hello_check(
    const struct peer_hello *mine, const struct peer_hello *theirs, struct hello_known known)
{
	if (malformed(theirs))
		return HELLO_MALFORMED;
	if (theirs->version_most < mine->version_least || theirs->version_least > mine->version_most)
		return HELLO_VERSION;
	if (theirs->incarnation == mine->incarnation)
		return theirs->boot == mine->boot ? HELLO_SELF : HELLO_COPY;
	if (mine->cluster != 0 && theirs->cluster != 0 && mine->cluster != theirs->cluster)
		return HELLO_FOREIGN;
	if (theirs->start < known.start)
		return is_back(theirs, known) ? HELLO_WELCOME : HELLO_OLD;
	if (theirs->start > known.start && known.lives)
		return HELLO_RIVAL;
	if (theirs->start == known.start && theirs->boot != known.boot)
		return HELLO_COPY;
	return HELLO_WELCOME;
}

const char *hello_verdict_text(enum hello_verdict v)
{
	switch (v) {
	case HELLO_WELCOME:
		return "is welcome";
	case HELLO_MALFORMED:
		return "says a malformed hello";
	case HELLO_VERSION:
		return "speaks no version of the protocol that this node speaks";
	case HELLO_FOREIGN:
		return "belongs to another cluster";
	case HELLO_SELF:
		return "is this node itself";
	case HELLO_OLD:
		return "was started before a process of the same incarnation that was heard earlier: its "
		       "data "
		       "directory is a COPY, which must never be started; wipe it";
	case HELLO_RIVAL:
		return "says that it was started after a process of the same incarnation that is connected: "
		       "that "
		       "one counts until its connection ends";
	case HELLO_COPY:
		return "runs on the same data directory as another process: one of the two is a COPY, which "
		       "must "
		       "never be started; wipe it";
	}
	return "?";
}

bool hello_verdict_shared(enum hello_verdict v)
{
	return v == HELLO_VERSION || v == HELLO_FOREIGN || v == HELLO_SELF;
}
