#include <inttypes.h>
#include <stdlib.h>

#include "common/log.h"
#include "worker/replica/inside.h"

/*
 * The states of the nodes are compared: each one notes the hash of its state as of every index that is a multiple of
 * `hash_every`, and tells the leader, until that one has said what is right there. Right is what a majority of all voters
 * holds. A node whose own state was another then takes it out of use by itself (decisions/0014).
 */

#define HASH_EVERY 65536

/* So many election timeouts those voters that differ wait for what the others say. */
#define PATIENCE 10

void agreement_init(struct replica *r)
{
	struct agreement *a = &r->agreement;

	if (r->o.hash_every == 0)
		r->o.hash_every = HASH_EVERY;
	a->say_at = a->unclear_until = INSTANT_NEVER;
}

void agreement_fini(struct replica *r)
{
	free(r->distrusted);
}

/* ---- trust ---- */

static void take_out_of_use(struct replica *r, struct bytes why)
{
	r->agreement.noted.count = 0;
	r->distrusted = xasprintf("this node is quarantined: %.*s; until the state of another has replaced "
				  "it, what is asked here is "
				  "passed on to the leader",
	    (int)why.size, (const char *)why.data);
	log_errorx("%s", r->distrusted);
}

static void distrust(struct replica *r, const struct point *mine, const struct point *right)
{
	char *why = xasprintf("its state as of revision %" PRIu64 " had the hash %016" PRIx64 "%016" PRIx64
			      ", that of a majority of the voters had %016" PRIx64 "%016" PRIx64,
	    mine->index, mine->hash.high, mine->hash.low, right->hash.high, right->hash.low);

	take_out_of_use(r, bytes_text(why));
	state_distrust(r, why);
	scan_break(r, "this node's state is not trusted any more");
	request_lose_state(r, "this node's state is not trusted any more");
	free(why);
}

void agreement_open(struct replica *r)
{
	if (kv_quarantined(r->kv) != NULL)
		take_out_of_use(r, bytes_text(kv_quarantined(r->kv)));
}

void agreement_distrusted(struct replica *r)
{
	raft_freeze(r->raft, r->now);
}

void agreement_replacing(struct replica *r)
{
	r->agreement.noted.count = 0;
	r->agreement.replacing = true;
}

void agreement_replaced(struct replica *r)
{
	r->agreement.replacing = false;
	/* Frozen since the image came, by what became known of the state before it: it has to come once more. */
	if (r->distrusted == NULL || raft_is_frozen(r->raft))
		return;
	free(r->distrusted);
	r->distrusted = NULL;
	log_info("this node's state is trusted again: the state of another has replaced it");
}

static void compare(struct replica *r, uint64_t index)
{
	const struct point *mine = points_find(&r->agreement.noted, index);
	const struct point *right = points_find(&r->agreement.right, index);

	if (mine != NULL && right != NULL && !point_is(mine, right->hash))
		distrust(r, mine, right);
}

static void take_right(struct replica *r, struct point right)
{
	struct agreement *a = &r->agreement;

	log_debug("the states agree index=%" PRIu64 " hash=%016" PRIx64 "%016" PRIx64, right.index,
	    right.hash.high, right.hash.low);
	points_add(&a->right, right);
	if (right.index > a->settled)
		a->settled = right.index;
	compare(r, right.index);
}

static void set_disputed(struct replica *r, uint64_t index)
{
	struct agreement *a = &r->agreement;

	if (index != 0 && a->disputed == 0)
		log_errorx("THE STATES OF THE VOTERS DIFFER and no majority of all voters has the same: no "
			   "writes are taken, and no reads but stale ones, until one has revision=%" PRIu64,
		    index);
	else if (index == 0 && a->disputed != 0)
		log_info("the voters' states no longer differ without a majority: writes are taken again");
	a->disputed = index;
}

/* ---- on the leader ---- */

static void send_agreed(struct replica *r, uint64_t to, const struct point *p)
{
	struct agreement *a = &r->agreement;
	struct peer_agreed m = { a->term, p->index, p->hash.high, p->hash.low, a->disputed };

	wire_put_u8(&r->frame, PEER_AGREED);
	peer_agreed_put(&r->frame, &m);
	send_frame(r, to);
}

static void send_agreed_to_all(struct replica *r)
{
	const struct raft_config *c = raft_config(r->raft);

	for (size_t i = 0; i < c->count; i++)
		if (c->members[i] != r->identity.incarnation)
			send_agreed(r, c->members[i], &r->agreement.agreed);
}

/* Those that differ are not believed at once to be all that can be asked: who lags may decide it. A dispute keeps the
 * index at which it was found, though they differ at later ones too. */
static uint64_t dispute(struct replica *r, const struct tally_outcome *o)
{
	struct agreement *a = &r->agreement;
	bool lasts = a->disputed > a->agreed.index && a->disputed > o->agreed.index;

	if (o->unclear == 0)
		a->unclear_until = INSTANT_NEVER;
	else if (a->unclear_until.ns == INSTANT_NEVER.ns)
		a->unclear_until = instant_add(r->now, span_times(r->o.election, PATIENCE));
	if (o->split == 0 && !instant_passed(a->unclear_until, r->now))
		return 0;
	return lasts ? a->disputed : o->split != 0 ? o->split : o->unclear;
}

/* Whenever somebody said something, the voters are others, or time has passed. True: everybody was told what came of it. */
static bool judge(struct replica *r)
{
	struct agreement *a = &r->agreement;
	struct tally_outcome o = tally_outcome(&a->tally, &raft_config(r->raft)->quorum);
	uint64_t disputed = dispute(r, &o);
	bool news = o.agreed.index > a->agreed.index || disputed != a->disputed;

	set_disputed(r, disputed);
	if (o.agreed.index > a->agreed.index) {
		a->agreed = o.agreed;
		take_right(r, o.agreed);
	}
	if (news)
		send_agreed_to_all(r);
	return news;
}

static bool leads(const struct replica *r)
{
	return r->raft != NULL && r->removed == NULL && raft_view(r->raft).role == RAFT_LEADER &&
	       raft_view(r->raft).term == r->agreement.term;
}

void on_hash(struct replica *r, uint64_t from, const struct peer_hash *m)
{
	struct point said = { m->index, { m->high, m->low } }, right;
	struct agreement *a = &r->agreement;

	if (!leads(r) || !raft_config_has(raft_config(r->raft), from) || !tally_say(&a->tally, from, said) ||
	    judge(r))
		return;
	if (tally_judge(&a->tally, &raft_config(r->raft)->quorum, said.index, &right) == TALLY_AGREED)
		send_agreed(r, from, &right);
	else if (said.index < a->agreed.index || a->disputed != 0)
		send_agreed(r, from, &a->agreed);
}

/* ---- on the others ---- */

void on_agreed(struct replica *r, uint64_t from, const struct peer_agreed *m)
{
	struct agreement *a = &r->agreement;
	struct raft_view v;

	if (r->raft == NULL)
		return;
	v = raft_view(r->raft);
	if (v.leader != from || v.term != m->term || v.role == RAFT_LEADER)
		return;
	if (m->index != 0)
		take_right(r, (struct point){ m->index, { m->high, m->low } });
	set_disputed(r, m->disputed > a->settled ? m->disputed : 0);
}

static bool has_to_say(const struct agreement *a)
{
	return points_last(&a->noted).index > a->settled;
}

/* Frames may be lost without a sign: what the leader has said nothing of is said again. */
static void say(struct replica *r, const struct raft_view *v)
{
	struct agreement *a = &r->agreement;

	for (size_t i = 0; i < a->noted.count; i++) {
		const struct point *p = &a->noted.list[i];
		struct peer_hash m = { p->index, p->hash.high, p->hash.low };

		if (p->index <= a->settled)
			continue;
		wire_put_u8(&r->frame, PEER_HASH);
		peer_hash_put(&r->frame, &m);
		send_frame(r, v->leader);
	}
	a->say_at = has_to_say(a) ? instant_add(r->now, r->o.election) : INSTANT_NEVER;
}

/* ---- on every node ---- */

struct instant agreement_deadline(const struct replica *r)
{
	const struct agreement *a = &r->agreement;

	if (a->leader == 0)
		return INSTANT_NEVER;
	return a->disputed != 0 ? a->say_at : instant_least(a->say_at, a->unclear_until);
}

void agreement_note(struct replica *r, struct point p)
{
	struct agreement *a = &r->agreement;

	if (r->distrusted != NULL || a->replacing)
		return;
	points_add(&a->noted, p);
	compare(r, p.index);
	a->say_at = r->now;
}

void agreement_reconnected(struct replica *r, uint64_t peer)
{
	if (peer == raft_view(r->raft).leader)
		r->agreement.say_at = r->now;
}

/* What an earlier leader has said is not known to this one. */
static void begin_term(struct replica *r, const struct raft_view *v)
{
	struct agreement *a = &r->agreement;

	a->term = v->term;
	a->leader = v->leader;
	a->settled = 0;
	a->agreed = (struct point){ 0 };
	a->tally.count = 0;
	a->unclear_until = INSTANT_NEVER;
	set_disputed(r, 0);
	a->say_at = r->now;
}

static void lead(struct replica *r)
{
	const struct raft_config *c = raft_config(r->raft);
	struct agreement *a = &r->agreement;
	bool look = instant_passed(agreement_deadline(r), r->now);

	if (!look && c->index == a->config)
		return;
	a->say_at = INSTANT_NEVER;
	a->config = c->index;
	tally_keep(&a->tally, c->members, c->count);
	for (size_t i = 0; i < a->noted.count; i++)
		tally_say(&a->tally, r->identity.incarnation, a->noted.list[i]);
	if (!judge(r) && look && a->disputed != 0)
		send_agreed_to_all(r); /* who has nothing to say of it has to know, too */
	if (a->disputed != 0)
		a->say_at = instant_add(r->now, r->o.election);
}

/* A voter that was started anew does not know any more what it had there, and without writes no further point comes. But
 * they come to rest at one index: what they hold there is compared. */
static void note_at_rest(struct replica *r)
{
	struct point p = { r->meta.applied_index, r->meta.hash };

	if (r->agreement.disputed != 0 && p.index > points_last(&r->agreement.noted).index)
		agreement_note(r, p);
}

void agreement_turn(struct replica *r)
{
	struct raft_view v = raft_view(r->raft);
	struct agreement *a = &r->agreement;

	if (v.term != a->term || v.leader != a->leader)
		begin_term(r, &v);
	note_at_rest(r);
	if (v.role == RAFT_LEADER)
		lead(r);
	else if (v.leader != 0 && instant_passed(a->say_at, r->now))
		say(r, &v);
}
