#include <string.h>

#include "worker/raft/draft.h"

#define IN_USE (RAFT_VOTER | RAFT_OUTGOING | RAFT_LEARNER)

void draft_of(struct raft_draft *d, const struct raft_config *c)
{
	struct raft_members all = raft_members_of(blob_bytes(c->data));

	d->level = all.level;
	d->count = 0;
	while (raft_members_next(&all, &d->members[d->count]))
		d->count++;
}

struct raft_member *draft_find(struct raft_draft *d, uint64_t incarnation)
{
	for (size_t i = 0; i < d->count; i++)
		if (d->members[i].incarnation == incarnation)
			return &d->members[i];
	return NULL;
}

static size_t count_with(const struct raft_draft *d, unsigned roles)
{
	size_t count = 0;

	for (size_t i = 0; i < d->count; i++)
		count += (d->members[i].roles & roles) != 0;
	return count;
}

bool draft_is_joint(const struct raft_draft *d)
{
	return count_with(d, RAFT_OUTGOING) > 0;
}

size_t draft_voters(const struct raft_draft *d)
{
	return count_with(d, RAFT_VOTER);
}

static void take_out(struct raft_draft *d, size_t i)
{
	memmove(&d->members[i], &d->members[i + 1], (d->count - i - 1) * sizeof(d->members[0]));
	d->count--;
}

/* The oldest are forgotten: they are kept to be told, and who was not told in so many changes is long switched off. */
static void bury(struct raft_draft *d, size_t i)
{
	struct raft_member gone = d->members[i];

	take_out(d, i);
	if (count_with(d, RAFT_GONE) == RAFT_GONE_MAX)
		for (size_t j = 0; j < d->count; j++)
			if (d->members[j].roles == RAFT_GONE) {
				take_out(d, j);
				break;
			}
	gone.roles = RAFT_GONE;
	d->members[d->count++] = gone;
}

static void bury_the_idle(struct raft_draft *d)
{
	for (size_t i = 0; i < d->count;)
		if ((d->members[i].roles & (IN_USE | RAFT_GONE)) == 0)
			bury(d, i);
		else
			i++;
}

enum err draft_enter(struct raft_draft *d)
{
	if (draft_is_joint(d) || draft_voters(d) == 0)
		return ERR_CONFLICT;
	for (size_t i = 0; i < d->count; i++)
		if (d->members[i].roles & RAFT_VOTER)
			d->members[i].roles |= RAFT_OUTGOING;
	return ERR_OK;
}

enum err draft_leave(struct raft_draft *d)
{
	if (!draft_is_joint(d))
		return ERR_CONFLICT;
	for (size_t i = 0; i < d->count; i++)
		d->members[i].roles &= (uint8_t)~RAFT_OUTGOING;
	bury_the_idle(d);
	return ERR_OK;
}

/* The member with this incarnation, made when there is none; NULL for the incarnation 0. */
static enum err take(struct raft_draft *d, const struct raft_member *m, struct raft_member **out)
{
	*out = m->incarnation == 0 ? NULL : draft_find(d, m->incarnation);
	if (*out != NULL || m->incarnation == 0)
		return ERR_OK;
	if (count_with(d, IN_USE) == RAFT_MEMBERS_MAX)
		return ERR_TOO_LARGE;
	*out = &d->members[d->count++];
	**out = *m;
	(*out)->roles = 0;
	return ERR_OK;
}

enum err draft_voter(struct raft_draft *d, const struct raft_member *m)
{
	struct raft_member *mine;
	enum err e = take(d, m, &mine);

	if (mine != NULL)
		mine->roles = (mine->roles & RAFT_OUTGOING) | RAFT_VOTER;
	return e;
}

enum err draft_learner(struct raft_draft *d, const struct raft_member *m)
{
	struct raft_member *mine;
	enum err e = take(d, m, &mine);

	if (mine != NULL)
		mine->roles =
		    (uint8_t)((mine->roles & RAFT_OUTGOING) | RAFT_LEARNER | (m->roles & RAFT_WANTED));
	return e;
}

void draft_remove(struct raft_draft *d, uint64_t incarnation)
{
	struct raft_member *mine = draft_find(d, incarnation);

	if (mine == NULL || mine->roles == RAFT_GONE)
		return;
	mine->roles &= RAFT_OUTGOING;
	bury_the_idle(d);
}

struct blob *draft_blob(const struct raft_draft *d)
{
	struct buf b = { 0 };
	struct blob *blob;

	raft_config_begin(&b, d->level);
	for (size_t i = 0; i < d->count; i++)
		raft_config_put(&b, d->level, &d->members[i]);
	blob = blob_new(buf_bytes(&b));
	buf_free(&b);
	return blob;
}
