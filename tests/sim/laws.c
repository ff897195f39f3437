#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "common/crc.h"
#include "tests/sim/universe.h"

#define TERM_MOST 1000000

void laws_fini(struct laws *l)
{
	struct law_vote *v, *next_v;
	struct law_entry *e, *next_e;

	HASH_ITER (hh, l->votes, v, next_v) {
		HASH_DEL(l->votes, v);
		free(v);
	}
	HASH_ITER (hh, l->entries, e, next_e) {
		HASH_DEL(l->entries, e);
		free(e);
	}
	raft_config_free(&l->config);
	free(l->leaders);
	free(l->indexes);
}

static int name_of(const struct universe *u, uint64_t incarnation)
{
	for (int i = 0; i < u->plan.nodes; i++)
		if (u->nodes[i].incarnation == incarnation)
			return i + 1;
	return 0;
}

/* ---- elections ---- */

/* §5.2, election safety. */
static void leads(struct universe *u, uint64_t leader, uint64_t term)
{
	struct laws *l = &u->laws;

	if (term >= TERM_MOST)
		universe_fail(u, "terms run away: %" PRIu64, term);
	if (term >= l->leader_room) {
		size_t room = l->leader_room == 0 ? 256 : l->leader_room;

		while (room <= term)
			room *= 2;
		l->leaders = xreallocarray(l->leaders, room, sizeof(*l->leaders));
		memset(l->leaders + l->leader_room, 0, (room - l->leader_room) * sizeof(*l->leaders));
		l->leader_room = room;
	}
	if (l->leaders[term] == 0)
		u->deeds.elections++;
	else if (l->leaders[term] != leader)
		universe_fail(u, "two leaders in term %" PRIu64 ": n%d and n%d", term,
		    name_of(u, l->leaders[term]), name_of(u, leader));
	l->leaders[term] = leader;
}

/* At most one vote a term, across restarts (E1, D1). */
static void votes(struct universe *u, uint64_t voter, uint64_t candidate, uint64_t term)
{
	struct law_vote *v, probe;

	memset(&probe.key, 0, sizeof(probe.key));
	probe.key.voter = voter;
	probe.key.term = term;
	HASH_FIND(hh, u->laws.votes, &probe.key, sizeof(probe.key), v);
	if (v == NULL) {
		v = xcalloc(1, sizeof(*v));
		v->key = probe.key;
		v->candidate = candidate;
		HASH_ADD(hh, u->laws.votes, key, sizeof(v->key), v);
	}
	if (v->candidate != candidate)
		universe_fail(u, "n%d votes twice in term %" PRIu64 ": for n%d and for n%d",
		    name_of(u, voter), term, name_of(u, v->candidate), name_of(u, candidate));
}

/* ---- entries ---- */

static uint64_t content_of(const struct entry *e)
{
	uint64_t low = crc32c(0, blob_bytes(e->data)), high = crc32c(77, blob_bytes(e->data));

	return (high << 32 | low) ^ e->time_ms * 0x9e3779b97f4a7c15u ^ (uint64_t)e->type << 60;
}

static struct law_entry *entry_at(struct laws *l, struct raft_pos pos)
{
	struct law_entry *known;

	HASH_FIND(hh, l->entries, &pos, sizeof(pos), known);
	return known;
}

/* §5.3, log matching: a position tells the content, and by induction all that lies before it. */
static void matches(struct universe *u, const struct entry *e, uint64_t term_before)
{
	struct law_entry *known = entry_at(&u->laws, e->pos);
	uint64_t content = content_of(e);

	if (known == NULL) {
		known = xcalloc(1, sizeof(*known));
		known->key = e->pos;
		known->content = content;
		known->term_before = term_before;
		HASH_ADD(hh, u->laws.entries, key, sizeof(known->key), known);
	}
	if (known->content != content)
		universe_fail(u, "two entries at position %" PRIu64 ".%" PRIu64, e->pos.term, e->pos.index);
	if (known->term_before != term_before)
		universe_fail(u,
		    "position %" PRIu64 ".%" PRIu64 " follows on term %" PRIu64 " and on term %" PRIu64,
		    e->pos.term, e->pos.index, known->term_before, term_before);
}

static void check_append(struct universe *u, const struct raft_message *m)
{
	uint64_t before = m->append.prev_term, index = m->append.prev_index;

	for (size_t i = 0; i < m->append.entries.count; i++) {
		const struct entry *e = &m->append.entries.data[i];

		if (e->pos.index != ++index || e->pos.term < before || e->pos.term > m->term)
			universe_fail(u,
			    "an append of term %" PRIu64 " is no run of entries: %" PRIu64 ".%" PRIu64
			    " behind %" PRIu64 ".%" PRIu64,
			    m->term, e->pos.term, e->pos.index, before, index - 1);
		matches(u, e, before);
		before = e->pos.term;
	}
}

/* ---- frames ---- */

static void note_message(struct universe *u, int from, const struct raft_message *m)
{
	uint64_t to = (uint64_t)name_of(u, m->to), t = m->term;

	switch (m->type) {
	case RAFT_PREVOTE:
		story_note(u, from, "-> n%" PRIu64 " PREVOTE term=%" PRIu64 " last=%" PRIu64 ".%" PRIu64,
		    (uint64_t[6]){ to, t, m->prevote.last_term, m->prevote.last_index });
		break;
	case RAFT_PREVOTE_ANSWER:
		story_note(u, from, "-> n%" PRIu64 " PREVOTE_ANSWER term=%" PRIu64 " granted=%" PRIu64,
		    (uint64_t[6]){ to, t, m->prevote_answer.granted });
		break;
	case RAFT_VOTE:
		story_note(u, from, "-> n%" PRIu64 " VOTE term=%" PRIu64 " last=%" PRIu64 ".%" PRIu64,
		    (uint64_t[6]){ to, t, m->vote.last_term, m->vote.last_index });
		break;
	case RAFT_VOTE_ANSWER:
		story_note(u, from, "-> n%" PRIu64 " VOTE_ANSWER term=%" PRIu64 " granted=%" PRIu64,
		    (uint64_t[6]){ to, t, m->vote_answer.granted });
		break;
	case RAFT_APPEND:
		story_note(u, from,
		    "-> n%" PRIu64 " APPEND term=%" PRIu64 " prev=%" PRIu64 ".%" PRIu64 " entries=%" PRIu64
		    " commit=%" PRIu64,
		    (uint64_t[6]){ to, t, m->append.prev_term, m->append.prev_index, m->append.entries.count,
			m->append.commit });
		break;
	case RAFT_APPEND_ANSWER:
		story_note(u, from,
		    "-> n%" PRIu64 " APPEND_ANSWER term=%" PRIu64 " accepted=%" PRIu64 " index=%" PRIu64
		    " hint=%" PRIu64 ".%" PRIu64,
		    (uint64_t[6]){ to, t, m->append_answer.accepted, m->append_answer.index,
			m->append_answer.hint_term, m->append_answer.hint_index });
		break;
	case RAFT_READ:
		story_note(u, from, "-> n%" PRIu64 " READ term=%" PRIu64 " number=%" PRIu64,
		    (uint64_t[6]){ to, t, m->read.number });
		break;
	case RAFT_READ_ANSWER:
		story_note(u, from,
		    "-> n%" PRIu64 " READ_ANSWER term=%" PRIu64 " number=%" PRIu64 " index=%" PRIu64,
		    (uint64_t[6]){ to, t, m->read_answer.number, m->read_answer.index });
		break;
	case RAFT_HEARTBEAT:
		story_note(u, from,
		    "-> n%" PRIu64 " HEARTBEAT term=%" PRIu64 " commit=%" PRIu64 " round=%" PRIu64,
		    (uint64_t[6]){ to, t, m->heartbeat.commit, m->heartbeat.round });
		break;
	case RAFT_HEARTBEAT_ANSWER:
		story_note(u, from, "-> n%" PRIu64 " HEARTBEAT_ANSWER term=%" PRIu64 " round=%" PRIu64,
		    (uint64_t[6]){ to, t, m->heartbeat_answer.round });
		break;
	case RAFT_TIMEOUT_NOW:
		story_note(u, from, "-> n%" PRIu64 " TIMEOUT_NOW term=%" PRIu64, (uint64_t[6]){ to, t });
		break;
	}
}

static void check_message(struct universe *u, struct node *from, const struct raft_message *m)
{
	if (m->from != from->incarnation)
		universe_fail(u, "n%d speaks in another's name", from->number + 1);
	note_message(u, from->number, m);
	switch (m->type) {
	case RAFT_APPEND:
		leads(u, m->from, m->term);
		check_append(u, m);
		break;
	case RAFT_HEARTBEAT:
	case RAFT_TIMEOUT_NOW:
		leads(u, m->from, m->term);
		break;
	case RAFT_VOTE:
		votes(u, m->from, m->from, m->term);
		nemesis_on_moment(u, from, MOMENT_STOOD);
		break;
	case RAFT_VOTE_ANSWER:
		if (!m->vote_answer.granted)
			break;
		votes(u, m->from, m->to, m->term);
		nemesis_on_moment(u, from, MOMENT_VOTED);
		break;
	case RAFT_APPEND_ANSWER:
		if (m->append_answer.accepted)
			nemesis_on_moment(u, from, MOMENT_APPENDED);
		break;
	case RAFT_PREVOTE:
	case RAFT_PREVOTE_ANSWER:
	case RAFT_HEARTBEAT_ANSWER:
	case RAFT_READ_ANSWER:
		break;
	case RAFT_READ:
		nemesis_on_moment(u, from, MOMENT_ASKED);
		break;
	}
}

void laws_on_frame(struct universe *u, struct node *from, struct bytes frame)
{
	struct raft_message m;

	if (frame.size == 0)
		universe_fail(u, "n%d sends an empty frame", from->number + 1);
	if (frame.data[0] != PEER_RAFT) {
		story_note(u, from->number, "sends a frame of type %" PRIu64 ", %" PRIu64 " bytes",
		    (uint64_t[6]){ frame.data[0], frame.size });
		return;
	}
	if (!raft_message_get(bytes_of(frame.data + 1, frame.size - 1), &m))
		universe_fail(u, "n%d sends a malformed message", from->number + 1);
	check_message(u, from, &m);
	raft_message_free(&m);
}

/* ---- indexes ---- */

static struct law_index *index_at(struct laws *l, uint64_t index)
{
	if (index >= l->index_room) {
		size_t room = l->index_room == 0 ? 4096 : l->index_room;

		while (room <= index)
			room *= 2;
		l->indexes = xreallocarray(l->indexes, room, sizeof(*l->indexes));
		memset(l->indexes + l->index_room, 0, (room - l->index_room) * sizeof(*l->indexes));
		l->index_room = room;
	}
	return &l->indexes[index];
}

/* All have one state at one index. */
static void check_hash(struct universe *u, struct node *n, uint64_t index, const struct kv_hash *hash)
{
	struct law_index *i = index_at(&u->laws, index);

	if (i->hash_known && (i->hash.high != hash->high || i->hash.low != hash->low))
		universe_fail(u, "n%d has another state at %" PRIu64 " than the first that got there",
		    n->number + 1, index);
	i->hash_known = true;
	i->hash = *hash;
}

/* There is one level more than 0 in a universe. */
static void check_level(struct universe *u, struct node *n, const struct kv_meta *meta)
{
	struct laws *l = &u->laws;

	if (meta->level > n->level_most)
		universe_fail(u, "n%d has a state of feature level %u, which its program does not know",
		    n->number + 1, meta->level);
	if (meta->level == 0 && meta->applied_index > l->raised_above)
		l->raised_above = meta->applied_index;
	if (meta->level > 0 && (l->raised_at == 0 || meta->applied_index < l->raised_at))
		l->raised_at = meta->applied_index;
	if (l->raised_at != 0 && l->raised_above >= l->raised_at)
		universe_fail(u, "the feature level is 0 at %" PRIu64 " and above it at %" PRIu64,
		    l->raised_above, l->raised_at);
}

void laws_on_commit(struct universe *u, struct node *n, const struct kv_meta *meta)
{
	struct law_index *i = index_at(&u->laws, meta->applied_index);

	if (meta->applied_index < n->applied)
		universe_fail(u, "n%d applies %" PRIu64 " behind %" PRIu64, n->number + 1,
		    meta->applied_index, n->applied);
	if (i->term != 0 && i->term != meta->applied_term)
		universe_fail(u,
		    "n%d applied %" PRIu64 ".%" PRIu64 ", which was committed with term %" PRIu64,
		    n->number + 1, meta->applied_term, meta->applied_index, i->term);
	u->deeds.applied += meta->applied_index - n->applied;
	n->applied = meta->applied_index;
	n->lost = n->lost && meta->applied_index == 0;
	if (n->rotten)
		return;
	check_level(u, n, meta);
	check_hash(u, n, meta->applied_index, &meta->hash);
}

void laws_on_backup(struct universe *u, struct node *n, uint64_t index, const struct kv_hash *hash)
{
	check_hash(u, n, index, hash);
}

void laws_on_adopt(struct universe *u, struct node *n, const struct kv_meta *meta)
{
	if (meta->applied_index < n->applied)
		n->applied = meta->applied_index;
	if (n->rotten)
		n->told_revision = 0;
	n->rotten = false;
	u->deeds.images += meta->applied_index > 0;
	laws_on_commit(u, n, meta);
}

/* What a node takes for committed is so for everybody and for ever. */
static void check_committed(
    struct universe *u, struct node *n, const struct raft *r, const struct raft_view *v)
{
	for (uint64_t index = n->commit + 1; index <= v->commit; index++) {
		struct law_index *i = index_at(&u->laws, index);
		uint64_t term = raft_term_at(r, index);

		if (term == 0 && index < v->first)
			continue; /* in the state, not in the log any more */
		if (term == 0)
			universe_fail(u, "n%d takes %" PRIu64 " for committed and does not have it",
			    n->number + 1, index);
		if (i->term == 0) {
			i->term = term;
			i->seen_term = v->term;
		} else if (i->term != term) {
			universe_fail(u,
			    "n%d takes %" PRIu64 ".%" PRIu64
			    " for committed, where the committed entry has term %" PRIu64,
			    n->number + 1, term, index, i->term);
		}
		if (v->term < i->seen_term)
			i->seen_term = v->term;
		if (index > u->laws.committed)
			u->laws.committed = index;
	}
	n->commit = v->commit;
}

/* §5.4, leader completeness: what was committed in an earlier term is in the log of whoever leads. */
static void check_complete(
    struct universe *u, struct node *n, const struct raft *r, const struct raft_view *v)
{
	for (uint64_t index = u->laws.committed; index >= v->first && index > 0; index--) {
		const struct law_index *i = index_at(&u->laws, index);

		if (i->term == 0 || i->seen_term >= v->term)
			continue;
		if (raft_term_at(r, index) != i->term)
			universe_fail(u,
			    "n%d leads in term %" PRIu64 " without %" PRIu64 ".%" PRIu64
			    ", committed in term %" PRIu64,
			    n->number + 1, v->term, i->term, index, i->seen_term);
	}
}

/* ---- members ---- */

bool laws_member(const struct universe *u, const struct node *n)
{
	return n->incarnation != 0 && raft_config_has(&u->laws.config, n->incarnation);
}

void laws_see_members(struct universe *u, const struct raft *r)
{
	const struct raft_config *sure = raft_config_committed(r);

	if (sure->index <= u->laws.config.index)
		return;
	raft_config_free(&u->laws.config);
	u->laws.config = *sure;
	blob_ref(u->laws.config.data);
}

static bool same_half(const struct quorum_half *a, const struct quorum_half *b)
{
	for (size_t i = 0; i < a->count; i++)
		if (!quorum_half_has(b, a->ids[i]))
			return false;
	return a->count == b->count;
}

/* §4.3: a leader adds no configuration to its log before the last one is committed, and none that could be in force beside
 * it without sharing its majorities. */
static void check_step(
    struct universe *u, struct node *n, const struct raft_config *now, const struct raft_view *v)
{
	const struct raft_config *was = &n->config;
	bool joint = now->quorum.outgoing.count > 0, was_joint = was->quorum.outgoing.count > 0;
	const struct quorum_half *kept = joint ? &now->quorum.outgoing : &now->quorum.incoming;

	if (was->index > v->commit)
		universe_fail(u, "n%d changes the members at %" PRIu64 " before %" PRIu64 " is committed",
		    n->number + 1, now->index, was->index);
	if ((joint && was_joint) || !same_half(kept, &was->quorum.incoming))
		universe_fail(u, "n%d changes the voters from %" PRIu64 " to %" PRIu64 " in one step",
		    n->number + 1, was->index, now->index);
}

/* Whoever has to understand the log said that it can, before. */
static void check_announced(struct universe *u, struct node *n, const struct raft_config *c)
{
	if (c->level > u->laws.level)
		u->laws.level = c->level;
	for (int i = 0; i < u->plan.nodes; i++) {
		const struct node *member = &u->nodes[i];

		if (member->incarnation != 0 && raft_config_has(c, member->incarnation) &&
		    member->announced < c->level)
			universe_fail(u,
			    "n%d has a configuration of feature level %u, which n%d has never announced",
			    n->number + 1, c->level, i + 1);
	}
}

static void check_members(struct universe *u, struct node *n, const struct raft *r, const struct raft_view *v)
{
	const struct raft_config *now = raft_config(r);

	laws_see_members(u, r);
	check_announced(u, n, now);
	if (v->role != RAFT_LEADER)
		return;
	if (n->led_term != v->term && !quorum_has(&now->quorum, n->incarnation) &&
	    !quorum_has(&raft_config_committed(r)->quorum, n->incarnation))
		universe_fail(u, "n%d leads and is no voter", n->number + 1);
	if (n->led_term == v->term && now->index != n->config.index)
		check_step(u, n, now, v);
	n->config = *now;
	n->config.data = NULL;
}

void laws_on_turn(struct universe *u, struct node *n)
{
	const struct raft *r = replica_raft(n->replica);
	struct raft_view v;

	if (replica_view(n->replica).quarantined)
		n->distrusted = u->now;
	if (r == NULL)
		return;
	v = raft_view(r);
	if (v.first < n->first)
		universe_fail(u, "n%d has a log that begins at %" PRIu64 " and began at %" PRIu64,
		    n->number + 1, v.first, n->first);
	u->deeds.log_cuts += n->first != 0 && v.first > n->first;
	n->first = v.first;
	if (v.commit < n->commit)
		universe_fail(u, "n%d takes back its commit index %" PRIu64 " to %" PRIu64, n->number + 1,
		    n->commit, v.commit);
	if (v.commit > n->commit)
		check_committed(u, n, r, &v);
	check_members(u, n, r, &v);
	if (v.role != RAFT_LEADER || n->led_term == v.term)
		return;
	n->led_term = v.term;
	leads(u, n->incarnation, v.term);
	story_note(u, n->number, "leads in term %" PRIu64 ", last=%" PRIu64 ".%" PRIu64 " commit=%" PRIu64,
	    (uint64_t[6]){ v.term, v.last.term, v.last.index, v.commit });
	check_complete(u, n, r, &v);
	nemesis_on_moment(u, n, MOMENT_LED);
}
