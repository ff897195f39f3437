#include <assert.h>

#include "worker/raft/quorum.h"

static uint64_t half_reached(
    const struct quorum_half *h, uint64_t (*value)(void *arg, uint64_t id), void *arg)
{
	uint64_t sorted[RAFT_MEMBERS_MAX];

	if (h->count == 0)
		return UINT64_MAX;
	assert(h->count <= RAFT_MEMBERS_MAX);
	for (size_t i = 0; i < h->count; i++) {
		uint64_t v = value(arg, h->ids[i]);
		size_t at = i;

		for (; at > 0 && sorted[at - 1] < v; at--)
			sorted[at] = sorted[at - 1];
		sorted[at] = v;
	}
	/* Falling: the last one of the smallest majority. */
	return sorted[h->count / 2];
}

uint64_t quorum_reached(const struct quorum *q, uint64_t (*value)(void *arg, uint64_t id), void *arg)
{
	uint64_t in = half_reached(&q->incoming, value, arg);
	uint64_t out = half_reached(&q->outgoing, value, arg);

	return in < out ? in : out;
}

static enum quorum_verdict half_decide(
    const struct quorum_half *h, enum quorum_vote (*vote)(void *arg, uint64_t id), void *arg)
{
	size_t yes = 0, open = 0, needed = h->count / 2 + 1;

	if (h->count == 0)
		return QUORUM_WON;
	for (size_t i = 0; i < h->count; i++) {
		enum quorum_vote v = vote(arg, h->ids[i]);

		yes += v == VOTE_YES;
		open += v == VOTE_NONE;
	}
	if (yes >= needed)
		return QUORUM_WON;
	return yes + open >= needed ? QUORUM_PENDING : QUORUM_LOST;
}

enum quorum_verdict quorum_decide(
    const struct quorum *q, enum quorum_vote (*vote)(void *arg, uint64_t id), void *arg)
{
	enum quorum_verdict in = half_decide(&q->incoming, vote, arg);
	enum quorum_verdict out = half_decide(&q->outgoing, vote, arg);

	if (in == out)
		return in;
	return in == QUORUM_LOST || out == QUORUM_LOST ? QUORUM_LOST : QUORUM_PENDING;
}

bool quorum_half_has(const struct quorum_half *h, uint64_t id)
{
	for (size_t i = 0; i < h->count; i++)
		if (h->ids[i] == id)
			return true;
	return false;
}

bool quorum_has(const struct quorum *q, uint64_t id)
{
	return quorum_half_has(&q->incoming, id) || quorum_half_has(&q->outgoing, id);
}
