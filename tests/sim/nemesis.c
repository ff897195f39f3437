#include <inttypes.h>

#include "tests/sim/sim_disk.h"
#include "tests/sim/universe.h"

static const struct event_kind strike_kind, mend_kind, spring_kind;

void nemesis_count(struct universe *u, enum fault f)
{
	u->deeds.faults[f]++;
}

static struct node *any_node(struct universe *u)
{
	return &u->nodes[random_below(&u->nemesis.dice, (uint64_t)u->plan.nodes)];
}

/* The leader more often than not. */
static struct node *victim(struct universe *u)
{
	struct node *leader = node_leading(u);

	return leader != NULL && dice_chance(&u->nemesis.dice, 500000) ? leader : any_node(u);
}

/* ---- partitions ---- */

/* Cuts both ways between those in the set and those not in it. */
static void cut_set(struct universe *u, unsigned set)
{
	for (int a = 0; a < u->plan.nodes; a++)
		for (int b = 0; b < u->plan.nodes; b++)
			if ((set >> a & 1) != (set >> b & 1))
				net_cut(u, a, b);
}

static void cut_some_way(struct universe *u, struct node *n)
{
	bool in = dice_chance(&u->nemesis.dice, 500000);

	for (int other = 0; other < u->plan.nodes; other++) {
		if (other == n->number || dice_chance(&u->nemesis.dice, 300000))
			continue;
		net_cut(u, in ? other : n->number, in ? n->number : other);
	}
}

/* Two halves that only one node reaches both of. */
static void cut_bridge(struct universe *u)
{
	int bridge = any_node(u)->number;

	for (int a = 0; a < u->plan.nodes; a++)
		for (int b = 0; b < u->plan.nodes; b++)
			if (a != bridge && b != bridge && a % 2 != b % 2)
				net_cut(u, a, b);
}

/* Each node reaches its two neighbours only: majorities that are all different (E8). */
static void cut_ring(struct universe *u)
{
	int nodes = u->plan.nodes;

	for (int a = 0; a < nodes; a++)
		for (int b = 0; b < nodes; b++)
			if (a != b && (a + 1) % nodes != b && (b + 1) % nodes != a)
				net_cut(u, a, b);
}

static unsigned minority(struct universe *u)
{
	unsigned set = 0;

	for (int i = 0; i < u->plan.nodes / 2; i++)
		set |= 1u << any_node(u)->number;
	return set;
}

static bool partition(struct universe *u, enum fault f)
{
	struct node *leader = node_leading(u);

	if (u->nemesis.partitioned)
		return false;
	switch (f) {
	case FAULT_ISOLATE_LEADER:
		if (leader == NULL)
			return false;
		cut_set(u, 1u << leader->number);
		break;
	case FAULT_ISOLATE_ANY:
		cut_set(u, 1u << any_node(u)->number);
		break;
	case FAULT_SPLIT:
		cut_set(u, minority(u));
		break;
	case FAULT_ONE_WAY:
		cut_some_way(u, victim(u));
		break;
	case FAULT_BRIDGE:
		cut_bridge(u);
		break;
	default:
		cut_ring(u);
		break;
	}
	u->nemesis.partitioned = true;
	universe_add(u, dice_span_skewed(&u->nemesis.dice, span_ms(50), span_ms(8000)), &mend_kind, NOBODY,
	    ++u->nemesis.partitions, 0, NULL);
	return true;
}

static void on_mend(struct universe *u, const struct event *e)
{
	if (e->a != u->nemesis.partitions || !u->nemesis.partitioned)
		return;
	story_tell(u, NOBODY, "the network is whole again");
	u->nemesis.partitioned = false;
	net_mend_all(u);
}

/* ---- machines ---- */

static bool crash_for(struct node *n, bool power, struct span down)
{
	if (!node_up(n))
		return false;
	node_crash(n, power);
	node_restart_later(n, down);
	return true;
}

static bool crash(struct universe *u, struct node *n, bool power)
{
	return crash_for(n, power, dice_span_skewed(&u->nemesis.dice, span_ms(1), span_ms(5000)));
}

static bool crash_all(struct universe *u)
{
	bool any = false;

	for (int i = 0; i < u->plan.nodes; i++)
		any = crash(u, &u->nodes[i], true) || any;
	return any;
}

static void set_trap(struct universe *u)
{
	u->nemesis.trap_set = true;
	u->nemesis.trap = (enum moment)random_below(&u->nemesis.dice, MOMENTS);
}

void nemesis_on_moment(struct universe *u, const struct node *n, enum moment m)
{
	if (!u->nemesis.trap_set || u->nemesis.trap != m || u->nemesis.stopped)
		return;
	u->nemesis.trap_set = false;
	universe_add(u, dice_span_skewed(&u->nemesis.dice, (struct span){ 100 }, span_us(500)), &spring_kind,
	    NOBODY, (uint64_t)n->number, m, NULL);
}

/* Everybody; and whoever led may be the last to come back, so that what only it had on disk is missed. */
static bool crash_all_but_leader_soon_back(struct universe *u, const struct node *leader)
{
	struct random *r = &u->nemesis.dice;
	bool any = false;

	for (int i = 0; i < u->plan.nodes; i++) {
		struct node *n = &u->nodes[i];
		struct span down = n == leader ? dice_span(r, span_ms(1000), span_ms(4000))
					       : dice_span_skewed(r, span_ms(1), span_ms(50));

		any = crash_for(n, true, down) || any;
	}
	return any;
}

/* It alone, or it and the leader, or everybody. */
static void on_spring(struct universe *u, const struct event *e)
{
	struct node *leader = node_leading(u);
	uint64_t scope = random_below(&u->nemesis.dice, 4);
	bool done;

	story_tell(u, (int)e->a, "nemesis: power goes right after promise %" PRIu64, e->b);
	done = scope != 3 && crash(u, &u->nodes[e->a], true);
	if (scope == 1 && leader != NULL)
		done = crash(u, leader, true) || done;
	if (scope == 2)
		done = crash_all(u) || done;
	if (scope == 3)
		done = crash_all_but_leader_soon_back(u, leader) || done;
	if (done)
		nemesis_count(u, FAULT_TRAP);
}

static bool set_fuse(struct universe *u, struct node *n)
{
	if (!node_up(n))
		return false;
	sim_disk_set_fuse(n->disk, dice_skewed(&u->nemesis.dice, 1, 64));
	return true;
}

static bool pause_node(struct universe *u, struct node *n)
{
	if (!node_up(n) || n->paused_until.ns > u->now.ns)
		return false;
	node_pause(n, dice_span_skewed(&u->nemesis.dice, span_ms(100), span_ms(5000)));
	return true;
}

static bool slow_down(struct universe *u, struct node *n)
{
	n->slow_until = instant_add(u->now, dice_span_skewed(&u->nemesis.dice, span_ms(100), span_ms(5000)));
	return true;
}

/* ---- from time to time ---- */

/* False when the moment was not right for it. */
static bool strike(struct universe *u, enum fault f)
{
	bool done = false;

	switch (f) {
	case FAULT_LOSE: /* these happen to frames and requests, all the time */
	case FAULT_DUPLICATE:
	case FAULT_REORDER:
	case FAULT_DELAY:
	case FAULT_CANCEL:
	case FAULTS:
		return false;
	case FAULT_BREAK:
		done = net_break_any(u);
		break;
	case FAULT_ISOLATE_LEADER:
	case FAULT_ISOLATE_ANY:
	case FAULT_SPLIT:
	case FAULT_ONE_WAY:
	case FAULT_BRIDGE:
	case FAULT_RING:
		done = partition(u, f);
		break;
	case FAULT_KILL:
		done = crash(u, victim(u), false);
		break;
	case FAULT_POWER:
		done = crash(u, victim(u), true);
		break;
	case FAULT_TORN:
		return set_fuse(u, victim(u)); /* counts when it has burnt */
	case FAULT_TRAP:
		set_trap(u); /* counts when it has sprung */
		return true;
	case FAULT_ALL_DOWN:
		done = crash_all(u);
		break;
	case FAULT_PAUSE:
		done = pause_node(u, victim(u));
		break;
	case FAULT_SLOW_DISK:
		done = slow_down(u, victim(u));
		break;
	}
	if (!done)
		return false;
	story_tell(u, NOBODY, "nemesis: %s", fault_text(f));
	nemesis_count(u, f);
	return true;
}

static bool strikes(enum fault f)
{
	return f != FAULT_LOSE && f != FAULT_DUPLICATE && f != FAULT_REORDER && f != FAULT_DELAY &&
	       f != FAULT_CANCEL;
}

/* The drawn ones in turn, so that each has its chance, from a random one on. */
static void on_strike(struct universe *u, const struct event *e)
{
	(void)e;
	if (u->nemesis.stopped)
		return;
	for (int i = 0; i < FAULTS; i++) {
		enum fault f = (enum fault)(u->nemesis.next++ % FAULTS);

		if (!u->plan.faults[f] || !strikes(f) || !strike(u, f))
			continue;
		if (dice_chance(&u->nemesis.dice, 700000))
			break;
	}
	universe_add(u, dice_span_skewed(&u->nemesis.dice, u->plan.quiet_least, u->plan.quiet_most),
	    &strike_kind, NOBODY, 0, 0, NULL);
}

static const struct event_kind strike_kind = { "strike", on_strike }, mend_kind = { "mend", on_mend },
			       spring_kind = { "spring", on_spring };

void nemesis_start(struct universe *u)
{
	u->nemesis.dice = dice_fork(&u->dice);
	u->nemesis.next = random_next(&u->nemesis.dice) % FAULTS;
	universe_add(u, dice_span_skewed(&u->nemesis.dice, span_ms(1), span_ms(4000)), &strike_kind, NOBODY,
	    0, 0, NULL);
}

void nemesis_heal(struct universe *u)
{
	story_tell(u, NOBODY, "everything is healed");
	u->nemesis.stopped = true;
	u->plan.lose = u->plan.duplicate = u->plan.reorder = u->plan.delay = u->plan.cancels = 0;
	net_mend_all(u);
	for (int i = 0; i < u->plan.nodes; i++) {
		struct node *n = &u->nodes[i];

		n->slow_until = n->paused_until = u->now;
		sim_disk_set_fuse(n->disk, 0);
		if (!node_up(n))
			node_restart_later(n, span_ms(100));
	}
}
