#include <inttypes.h>
#include <string.h>

#include "tests/sim/universe.h"

#define TRIES_MOST 12
#define ANSWER_SLACK span_ms(1000)

static const struct event_kind ask_kind, change_kind, late_kind, unmask_kind;

static struct random *dice(struct universe *u)
{
	return &u->churn.dice;
}

static void ask_later(struct universe *u, struct span least, struct span most)
{
	universe_add(u, dice_span_skewed(dice(u), least, most), &ask_kind, NOBODY, 0, 0, NULL);
}

static void want(struct universe *u, enum member_kind kind, struct node *n, bool lost)
{
	struct churn *c = &u->churn;

	story_tell(u, n->number, "nemesis: shall be %s", kind == MEMBER_ADD ? "added" : "removed");
	c->busy = true;
	c->lost = lost;
	c->clone = false;
	c->kind = kind;
	c->subject = n->number;
	c->tries = 0;
	ask_later(u, span_us(10), span_ms(500));
}

/* Whoever looks after it sees the mistake. */
static void unmask_later(struct universe *u)
{
	universe_add(
	    u, dice_span_skewed(dice(u), span_ms(10), span_ms(4000)), &unmask_kind, NOBODY, 0, 0, NULL);
}

static void try_again(struct universe *u)
{
	struct churn *c = &u->churn;

	c->waits = false;
	if (++c->tries >= TRIES_MOST && c->clone)
		unmask_later(u);
	else if (c->tries >= TRIES_MOST && !c->lost)
		c->busy = false;
	else
		ask_later(u, span_ms(5), span_ms(1000));
}

static bool knows(const struct node *n, const struct node *other)
{
	const struct raft *r = replica_raft(n->replica);
	const struct raft_config *c = r == NULL ? NULL : raft_config(r);
	struct raft_member m;

	for (size_t i = 0; c != NULL && i < c->count; i++)
		if (raft_config_find(c, c->members[i], &m) && bytes_equal(m.peer, bytes_text(other->address)))
			return true;
	return false;
}

/* One that is out and knows no member any more has nobody to pass a request to: others that are out refuse it. */
static bool reaches_members(const struct universe *u, const struct node *n)
{
	if (!replica_view(n->replica).removed)
		return true;
	for (int i = 0; i < u->plan.nodes; i++)
		if (laws_member(u, &u->nodes[i]) && knows(n, &u->nodes[i]))
			return true;
	return false;
}

static void on_ask(struct universe *u, const struct event *e)
{
	struct churn *c = &u->churn;
	struct node *n = &u->nodes[random_below(dice(u), (uint64_t)u->plan.nodes)];

	(void)e;
	if (!node_up(n) || replica_view(n->replica).cluster == 0 || !reaches_members(u, n)) {
		ask_later(u, span_ms(5), span_ms(200));
		return;
	}
	c->request++;
	c->waits = true;
	c->asked = n->number;
	c->life = n->life;
	c->due = INSTANT_NEVER;
	universe_add(
	    u, dice_span(dice(u), span_us(10), span_us(200)), &change_kind, n->number, c->request, 0, NULL);
	universe_add(u, span_ms(500), &late_kind, NOBODY, c->request, 0, NULL);
}

/* The request has reached the node. */
static void on_change(struct universe *u, const struct event *e)
{
	struct churn *c = &u->churn;
	struct node *n = &u->nodes[e->node], *subject = &u->nodes[c->subject];
	struct member_change change = { .kind = (uint8_t)c->kind,
		.wait = c->kind == MEMBER_ADD && (c->lost || dice_chance(dice(u), 500000)),
		.id = bytes_text(subject->id) };
	struct buf operation = { 0 };
	struct ipc_request q = { .id = e->a, .kind = REQUEST_CHANGE };

	if (c->kind == MEMBER_ADD)
		change.peer = bytes_text(subject->address);
	member_change_put(&operation, &change);
	q.operation = buf_bytes(&operation);
	q.time_ms = (uint32_t)dice_between(dice(u), 500, 3000);
	story_tell(u, n->number, "is asked to %s n%d, within %" PRIu32 " ms",
	    c->kind == MEMBER_ADD ? "add" : "remove", c->subject + 1, q.time_ms);
	n->in_request = true;
	replica_request(n->replica, CHURN_CLIENT, &q, node_now(n));
	n->in_request = false;
	c->due = instant_add(instant_add(node_now(n), span_ms(q.time_ms)), ANSWER_SLACK);
	buf_free(&operation);
	node_touch(n);
}

/* Its node may have died with it; else it must have been answered. */
static void on_late(struct universe *u, const struct event *e)
{
	struct churn *c = &u->churn;
	struct node *n = &u->nodes[c->asked];

	if (!c->waits || c->request != e->a)
		return;
	if (n->life != c->life || !node_up(n)) {
		try_again(u);
		return;
	}
	if (c->due.ns != INSTANT_NEVER.ns && instant_passed(c->due, node_now(n)) &&
	    n->paused_until.ns + ANSWER_SLACK.ns < u->now.ns && !node_is_slow(n))
		universe_fail(u, "n%d does not answer a change of members", n->number + 1);
	universe_add(u, span_ms(500), &late_kind, NOBODY, e->a, 0, NULL);
}

static bool known_by_name(const struct universe *u, const struct node *n)
{
	const struct raft_config *c = &u->laws.config;
	struct raft_member m;

	for (size_t i = 0; i < c->count; i++)
		if (raft_config_find(c, c->members[i], &m) && bytes_equal(m.id, bytes_text(n->id)))
			return true;
	return false;
}

/* What was answered OK is committed by then, and nobody else changes anything. */
static void check_done(struct universe *u, const struct node *answered)
{
	const struct node *n = &u->nodes[u->churn.subject];

	if (known_by_name(u, n) != (u->churn.kind == MEMBER_ADD))
		universe_fail(u, "n%d says that n%d was %s, which is not so", answered->number + 1,
		    n->number + 1, u->churn.kind == MEMBER_ADD ? "added" : "removed");
}

static bool may_happen(const struct churn *c, enum err e)
{
	switch (e) {
	case ERR_NOT_LEADER:
	case ERR_NO_LEADER:
	case ERR_NO_QUORUM:
	case ERR_CHANGING:
	case ERR_LOST:
	case ERR_BUSY:
	case ERR_STARTING:
	case ERR_TIMEOUT:
	case ERR_CONFLICT:
		return true;
	case ERR_ID_IN_USE:
		return c->clone || c->lost;
	case ERR_UNREACHABLE:
		return c->kind == MEMBER_ADD;
	case ERR_NOT_FOUND:
		return c->kind == MEMBER_REMOVE;
	default:
		return false;
	}
}

/* What worker/join.c does with a refusal. */
static void send_visiting(struct universe *u, struct node *clone)
{
	const struct raft_config *config = &u->laws.config;
	struct replica_refusal refusal = { 0, "its id is in use", NULL, 0 };
	struct bytes peers[RAFT_MEMBERS_MAX];
	struct raft_member m;

	for (size_t i = 0; i < config->count; i++)
		if (raft_config_find(config, config->members[i], &m))
			peers[refusal.count++] = m.peer;
	for (int i = 0; i < u->plan.nodes; i++)
		if (node_up(&u->nodes[i]) && laws_member(u, &u->nodes[i]))
			refusal.cluster = replica_view(u->nodes[i].replica).cluster;
	refusal.peers = peers;
	if (!node_up(clone) || refusal.cluster == 0)
		return;
	story_tell(u, clone->number, "passes requests on");
	replica_visit(clone->replica, &refusal, node_now(clone));
	node_touch(clone);
}

/* As they are now: who told the node may be in the middle of its turn. */
static void see_members(struct universe *u)
{
	for (int i = 0; i < u->plan.nodes; i++) {
		const struct node *n = &u->nodes[i];

		if (node_up(n) && replica_raft(n->replica) != NULL)
			laws_see_members(u, replica_raft(n->replica));
	}
}

void churn_on_answer(struct universe *u, struct node *n, const struct ipc_answer *a)
{
	struct churn *c = &u->churn;

	story_tell(u, n->number, "answers the change %" PRIu64 ": %s %.*s", a->id,
	    err_name((enum err)a->error), (int)a->text.size, (const char *)a->text.data);
	if (!c->waits || a->id != c->request || n->number != c->asked || n->life != c->life)
		universe_fail(
		    u, "n%d answers a change of members twice, or that nobody asked of it", n->number + 1);
	if (a->error != ERR_OK && !may_happen(c, (enum err)a->error))
		universe_fail(u, "n%d answers a change of members with %s: %.*s", n->number + 1,
		    err_name((enum err)a->error), (int)a->text.size, (const char *)a->text.data);
	see_members(u);
	if (c->clone && a->error == ERR_OK)
		universe_fail(u, "n%d says that n%d, a second %s, was added", n->number + 1, c->subject + 1,
		    u->nodes[c->subject].id);
	if (c->clone && a->error == ERR_ID_IN_USE) {
		c->waits = false;
		send_visiting(u, &u->nodes[c->subject]);
		unmask_later(u);
		return;
	}
	/* For a moment a leader may take the process that was on a lost disk for the one that is there. */
	if (a->error != ERR_OK || (c->lost && !laws_member(u, &u->nodes[c->subject]))) {
		try_again(u);
		return;
	}
	c->waits = c->busy = false;
	check_done(u, n);
}

/* ---- what the nemesis does ---- */

bool strike_members(struct universe *u)
{
	const struct raft_config *c = &u->laws.config;
	struct node *n = nemesis_any_node(u);

	if (u->churn.busy || c->data == NULL)
		return false;
	if (n->incarnation != 0 && raft_config_is_gone(c, n->incarnation)) {
		node_wipe(n);
		n->unlisted = true;
		node_restart_later(n, dice_span_skewed(&u->nemesis.dice, span_ms(1), span_ms(3000)));
		return true;
	}
	if (!laws_member(u, n) || dice_chance(&u->nemesis.dice, 100000)) {
		want(u, MEMBER_ADD, n, false);
		return true;
	}
	if (u->plan.faults[FAULT_WIPE] || c->quorum.incoming.count < 2)
		return false;
	want(u, MEMBER_REMOVE, n, false);
	return true;
}

static bool is_alive(const struct universe *u, uint64_t incarnation)
{
	for (int i = 0; i < u->plan.nodes; i++)
		if (u->nodes[i].incarnation == incarnation)
			return true;
	return false;
}

/* One lost disk at a time, and only where two more voters are left. */
bool strike_wipe(struct universe *u)
{
	const struct raft_config *c = &u->laws.config;
	struct node *leader = node_leading(u), *n = nemesis_victim(u);

	if (u->churn.busy || leader == NULL || c->quorum.incoming.count < 3 || c->quorum.outgoing.count > 0 ||
	    raft_config(replica_raft(leader->replica))->index != c->index || !laws_member(u, n))
		return false;
	for (size_t i = 0; i < c->count; i++)
		if (!is_alive(u, c->members[i]))
			return false;
	node_wipe(n);
	n->unlisted = n->number >= u->plan.members || dice_chance(&u->nemesis.dice, 500000);
	node_restart_later(n, dice_span_skewed(&u->nemesis.dice, span_ms(1), span_ms(3000)));
	want(u, MEMBER_ADD, n, true);
	return true;
}

/* It gives up the name, and the disk that has it. */
static void on_unmask(struct universe *u, const struct event *e)
{
	struct node *n = &u->nodes[u->churn.subject];

	(void)e;
	if (laws_member(u, n))
		universe_fail(u, "n%d is a member as a second %s", n->number + 1, n->id);
	node_wipe(n);
	node_name(n, n);
	node_restart_later(n, dice_span_skewed(dice(u), span_ms(1), span_ms(1000)));
	u->churn.busy = false;
}

/* A machine that is none of the cluster's is started with the name of one that is. */
bool strike_clone(struct universe *u)
{
	struct node *n = nemesis_any_node(u), *original = nemesis_any_node(u);

	if (u->churn.busy || laws_member(u, n) || !laws_member(u, original))
		return false;
	node_wipe(n);
	n->unlisted = true;
	node_name(n, original);
	node_restart_later(n, dice_span_skewed(&u->nemesis.dice, span_ms(1), span_ms(1000)));
	want(u, MEMBER_ADD, n, false);
	u->churn.clone = true;
	return true;
}

bool strike_copy(struct universe *u)
{
	return net_present_copy(u, nemesis_any_node(u));
}

/* ---- the end ---- */

static bool all_is_said(const struct universe *u, const struct raft_config *c)
{
	struct raft_member m;

	if (c->index != u->laws.config.index || c->quorum.outgoing.count > 0)
		return false;
	for (size_t i = 0; i < c->count; i++)
		if (!is_alive(u, c->members[i]) ||
		    (raft_config_find(c, c->members[i], &m) && m.roles != RAFT_VOTER))
			return false;
	return true;
}

/* Nobody dials who is out: where it has had nothing of the log yet, or not even noted which cluster had added it, and who
 * founded that are no members any more, nobody can tell it. */
static bool knows_that_it_is_out(const struct universe *u, const struct node *n)
{
	if (!node_up(n))
		return false;
	if (replica_view(n->replica).removed)
		return true;
	for (int i = 0; i < u->plan.nodes; i++)
		if (laws_member(u, &u->nodes[i]) && knows(n, &u->nodes[i]))
			return false;
	return true;
}

bool churn_settled(struct universe *u)
{
	const struct node *leader = node_leading(u);

	if (u->churn.busy || leader == NULL || !all_is_said(u, raft_config(replica_raft(leader->replica))))
		return false;
	for (int i = 0; i < u->plan.nodes; i++) {
		const struct node *n = &u->nodes[i];

		if (n->incarnation != 0 && raft_config_is_gone(&u->laws.config, n->incarnation) &&
		    !knows_that_it_is_out(u, n))
			return false;
	}
	return true;
}

void churn_start(struct universe *u)
{
	u->churn.dice = dice_fork(&u->dice);
}

static const struct event_kind ask_kind = { "ask", on_ask }, change_kind = { "change", on_change },
			       late_kind = { "late", on_late }, unmask_kind = { "unmask", on_unmask };
