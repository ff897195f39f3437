#include <string.h>

#include "worker/replica/points.h"

bool point_is(const struct point *p, struct kv_hash hash)
{
	return p->hash.high == hash.high && p->hash.low == hash.low;
}

void points_add(struct points *s, struct point p)
{
	size_t at = s->count;

	while (at > 0 && s->list[at - 1].index >= p.index)
		at--;
	if (at < s->count && s->list[at].index == p.index) {
		s->list[at] = p;
		return;
	}
	if (s->count == POINTS_KEPT && at == 0)
		return;
	if (s->count == POINTS_KEPT)
		memmove(s->list, s->list + 1, --at * sizeof(*s->list));
	else
		memmove(s->list + at + 1, s->list + at, (s->count++ - at) * sizeof(*s->list));
	s->list[at] = p;
}

const struct point *points_find(const struct points *s, uint64_t index)
{
	for (size_t i = 0; i < s->count; i++)
		if (s->list[i].index == index)
			return &s->list[i];
	return NULL;
}

struct point points_last(const struct points *s)
{
	return s->count > 0 ? s->list[s->count - 1] : (struct point){ 0 };
}

/* ---- what members have said ---- */

static const struct point *said_of(const struct tally *t, uint64_t member, uint64_t index)
{
	for (size_t i = 0; i < t->count; i++)
		if (t->members[i].id == member)
			return points_find(&t->members[i].said, index);
	return NULL;
}

bool tally_say(struct tally *t, uint64_t member, struct point p)
{
	size_t i = 0;

	while (i < t->count && t->members[i].id != member)
		i++;
	if (i == RAFT_MEMBERS_MAX)
		return false;
	if (i == t->count) {
		t->count++;
		t->members[i].id = member;
		t->members[i].said.count = 0;
	}
	points_add(&t->members[i].said, p);
	return true;
}

void tally_keep(struct tally *t, const uint64_t *members, size_t count)
{
	size_t kept = 0;

	for (size_t i = 0; i < t->count; i++)
		for (size_t m = 0; m < count; m++)
			if (members[m] == t->members[i].id) {
				t->members[kept++] = t->members[i];
				break;
			}
	t->count = kept;
}

/* Does a voter hold this value as of this index? */
struct question {
	const struct tally *t;
	uint64_t index;
	const struct point *value; /* NULL: one that nobody has said */
};

static enum quorum_vote vote_of(void *arg, uint64_t id)
{
	const struct question *q = arg;
	const struct point *said = said_of(q->t, id, q->index);

	if (said == NULL)
		return VOTE_NONE;
	return q->value != NULL && point_is(said, q->value->hash) ? VOTE_YES : VOTE_NO;
}

enum tally_verdict tally_judge(
    const struct tally *t, const struct quorum *q, uint64_t index, struct point *right)
{
	struct question question = { t, index, NULL };
	bool open = quorum_decide(q, vote_of, &question) == QUORUM_PENDING;

	for (size_t i = 0; i < t->count; i++) {
		question.value = points_find(&t->members[i].said, index);
		if (question.value == NULL)
			continue;
		switch (quorum_decide(q, vote_of, &question)) {
		case QUORUM_WON:
			*right = *question.value;
			return TALLY_AGREED;
		case QUORUM_PENDING:
			open = true;
			break;
		case QUORUM_LOST:
			break;
		}
	}
	return open ? TALLY_OPEN : TALLY_SPLIT;
}

static bool voters_differ(const struct tally *t, const struct quorum *q, const struct point *from)
{
	for (size_t i = 0; i < t->count; i++) {
		const struct point *p = points_find(&t->members[i].said, from->index);

		if (p != NULL && quorum_has(q, t->members[i].id) && !point_is(p, from->hash))
			return true;
	}
	return false;
}

static void look_at(
    const struct tally *t, const struct quorum *q, const struct point *p, struct tally_outcome *o)
{
	struct point right;

	switch (tally_judge(t, q, p->index, &right)) {
	case TALLY_AGREED:
		if (right.index > o->agreed.index)
			o->agreed = right;
		break;
	case TALLY_SPLIT:
		if (p->index > o->split)
			o->split = p->index;
		break;
	case TALLY_OPEN:
		if (p->index > o->unclear && voters_differ(t, q, p))
			o->unclear = p->index;
		break;
	}
}

struct tally_outcome tally_outcome(const struct tally *t, const struct quorum *q)
{
	struct tally_outcome o = { 0 };

	for (size_t i = 0; i < t->count; i++)
		for (size_t n = 0; quorum_has(q, t->members[i].id) && n < t->members[i].said.count; n++)
			look_at(t, q, &t->members[i].said.list[n], &o);
	if (o.split < o.agreed.index)
		o.split = 0;
	if (o.unclear < o.agreed.index)
		o.unclear = 0;
	return o;
}
