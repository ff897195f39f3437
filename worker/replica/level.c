#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

#include "common/log.h"
#include "worker/replica/inside.h"

/*
 * Feature levels (worker/kv/feature.h). What a level brings is only used once every member knows it: the leader raises the
 * level, by a configuration, when all members have announced that they do, learners and absent ones too. And a node
 * that meets what it does not know stops, and says what to do; it never passes over it.
 */

#define ADVICE "upgrade this node, and start it again with its data as they are"
#define TELL_ELECTIONS 10

/* ---- what this node does not know ---- */

enum err level_check_state(const struct replica *r, unsigned level)
{
	if (level <= r->o.level_most)
		return ERR_OK;
	log_errorx(
	    "the state of this node is of feature level %u; this version (%s) knows feature levels up to "
	    "%u: " ADVICE,
	    level, r->o.build, r->o.level_most);
	return ERR_VERSION;
}

/* NULL: it is known. Else what is not, which the caller frees. */
static char *what_is_unknown(const struct replica *r, const struct entry *e)
{
	struct raft_members members;

	switch (e->type) {
	case ENTRY_NOOP:
	case ENTRY_WRITE:
		return NULL;
	case ENTRY_CONFIG:
		members = raft_members_of(blob_bytes(e->data));
		if (members.later)
			return xasprintf("its configuration at the index %" PRIu64
					 " has a format that is not known here",
			    e->pos.index);
		if (members.level <= r->o.level_most)
			return NULL;
		return xasprintf("its configuration at the index %" PRIu64 " raises the feature level to %u",
		    e->pos.index, members.level);
	}
	return xasprintf("its entry at the index %" PRIu64 " is of the type %d, which is not known here",
	    e->pos.index, (int)e->type);
}

/* True: they are. Else the sentence in *why is the caller's. */
static bool are_known(const struct replica *r, const struct entries *list, const char *whose, char **why)
{
	char *what = NULL;

	for (size_t i = 0; i < list->count && what == NULL; i++)
		what = what_is_unknown(r, &list->data[i]);
	*why = what == NULL ? NULL
			    : xasprintf("%s cannot be gone on with: %s; this version (%s) knows feature "
					"levels up to %u: " ADVICE,
				  whose, what, r->o.build, r->o.level_most);
	free(what);
	return *why == NULL;
}

bool level_knows(struct replica *r, const struct entries *list)
{
	char *why;
	bool known = are_known(r, list, "the log of the leader", &why);

	if (!known)
		fail_with(r, EX_CONFIG, why);
	free(why);
	return known;
}

enum err level_check_log(const struct replica *r, const struct entries *list)
{
	char *why;
	bool known = are_known(r, list, "the log of this node", &why);

	if (!known)
		log_errorx("%s", why);
	free(why);
	return known ? ERR_OK : ERR_VERSION;
}

void level_stop_at_image(struct replica *r, const char *why)
{
	char *sentence =
	    xasprintf("the state that the leader sends cannot be taken over: %s; this version (%s) knows "
		      "feature levels up to %u: " ADVICE,
		why, r->o.build, r->o.level_most);

	fail_with(r, EX_CONFIG, sentence);
	free(sentence);
}

/* ---- what an operation needs ---- */

unsigned level_now(const struct replica *r)
{
	return r->raft == NULL ? 0 : raft_config(r->raft)->level;
}

/* That level is what the state will have when it gets to an entry that is proposed now. What no level knows goes its way:
 * apply refuses it. */
bool level_lacks(const struct replica *r, struct bytes txn)
{
	unsigned level = level_now(r);

	return kv_txn_check(txn, true, level) == ERR_BAD_REQUEST &&
	       kv_txn_level(txn, true, level, r->o.level_most) > level;
}

/* A configuration of level 0 cannot say it: what its hello said to this node counts then, in this life of it. From level 1
 * on it is what was logged last, whoever leads. */
unsigned level_announced(const struct replica *r, const struct raft_member *m)
{
	const struct acquaintance *a;

	if (level_now(r) > 0)
		return m->level;
	if (m->incarnation == r->identity.incarnation)
		return r->o.level_most;
	a = acquaintance_find(r, m->incarnation);
	return a == NULL ? 0 : a->level;
}

/* Those who have not said that they know it. */
static void put_missing(const struct replica *r, unsigned level, struct buf *out)
{
	const struct raft_config *c = raft_config(r->raft);
	const char *between = "";

	for (size_t i = 0; i < c->count; i++) {
		const struct acquaintance *a = acquaintance_find(r, c->members[i]);
		struct raft_member m;

		if (!raft_config_find(c, c->members[i], &m) || level_announced(r, &m) >= level)
			continue;
		buf_printf(out, "%s%.*s ", between, (int)m.id.size, (const char *)m.id.data);
		if (a != NULL)
			buf_printf(out, "runs %s, which knows level %u", a->build, level_announced(r, &m));
		else if (level_now(r) > 0)
			buf_printf(out, "is away, and knew level %u", m.level);
		else
			buf_append_text(out, "has not been heard");
		between = "; ";
	}
}

char *level_refusal(const struct replica *r, unsigned needed)
{
	struct buf text = { 0 };
	char *made;

	buf_printf(&text,
	    "this needs feature level %u; the cluster is at %u until every member runs a version "
	    "that knows it",
	    needed, level_now(r));
	if (r->raft != NULL) {
		buf_append_text(&text, ": ");
		put_missing(r, needed, &text);
	}
	made = xstrdup(buf_text(&text));
	buf_free(&text);
	return made;
}

/* ---- on the leader ---- */

/* What all members have announced. */
static unsigned common_level(const struct replica *r)
{
	const struct raft_config *c = raft_config(r->raft);
	unsigned level = r->o.level_most;
	struct raft_member m;

	for (size_t i = 0; i < c->count; i++)
		if (raft_config_find(c, c->members[i], &m) && level_announced(r, &m) < level)
			level = level_announced(r, &m);
	return level;
}

/* Logged, so that a later leader knows it of a member that is away. */
static bool says_another(const struct replica *r, const struct raft_member *m, unsigned *level)
{
	const struct acquaintance *a = acquaintance_find(r, m->incarnation);

	if (m->incarnation == r->identity.incarnation)
		*level = r->o.level_most;
	else if (a != NULL && a->start >= m->start)
		*level = a->level;
	else
		return false; /* it was not heard in this life, or something else was heard later */
	return *level != m->level;
}

static bool describe(struct replica *r)
{
	const struct raft_config *c = raft_config(r->raft);
	struct raft_pos pos;
	struct raft_member m;
	unsigned level;

	for (size_t i = 0; i < c->count; i++) {
		if (!raft_config_find(c, c->members[i], &m) || !says_another(r, &m, &level))
			continue;
		m.level = level;
		if (raft_change(r->raft, RAFT_DESCRIBE, &m, r->now, &pos) == ERR_OK)
			log_info("member %.*s knows feature level %u", (int)m.id.size,
			    (const char *)m.id.data, level);
		return true; /* one change at a time: what is refused now is looked at again */
	}
	return false;
}

static void raise_to(struct replica *r, unsigned level)
{
	struct raft_member wanted = { .level = level };
	struct raft_pos pos;

	if (raft_change(r->raft, RAFT_RAISE, &wanted, r->now, &pos) == ERR_OK)
		log_info("all members know feature level %u: it is raised index=%" PRIu64, level, pos.index);
}

/* Once for each set of members, and not before they have had the time to say hello to a new leader. */
static void tell_missing(struct replica *r)
{
	struct buf missing = { 0 };
	const char *text;

	if (!instant_passed(r->level_tell_at, r->now))
		return;
	put_missing(r, r->o.level_most, &missing);
	text = buf_text(&missing);
	if (r->level_told == NULL || strcmp(r->level_told, text) != 0) {
		log_info("the feature level stays at %u until all members know %u (%s): %s", level_now(r),
		    r->o.level_most, feature_text(r->o.level_most), text);
		free(r->level_told);
		r->level_told = xstrdup(text);
	}
	buf_free(&missing);
}

void level_tick(struct replica *r)
{
	unsigned level;

	if (level_now(r) > 0 && describe(r))
		return;
	if (level_now(r) >= r->o.level_most)
		return;
	level = common_level(r);
	if (level > level_now(r))
		raise_to(r, level);
	else
		tell_missing(r);
}

void level_leader_changed(struct replica *r)
{
	r->level_tell_at = instant_add(r->now, span_times(r->o.election, TELL_ELECTIONS));
}

/* A cluster that begins at its level says nothing of it. */
void level_applied(struct replica *r, const struct kv_meta *before)
{
	if (r->meta.level > before->level && before->applied_index > 0)
		log_info("the feature level is %u now (%s)", r->meta.level, feature_text(r->meta.level));
}
