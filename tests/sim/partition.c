#include "tests/sim/universe.h"

/*
 * Shapes of a network that is not whole. One at a time; each ends by itself. Slow wires go beside them.
 */

static const struct event_kind mend_kind, flap_kind, switch_kind, close_kind, hurry_kind;

static struct random *dice(struct universe *u)
{
	return &u->nemesis.dice;
}

/* ---- cuts ---- */

/* Cuts both ways between those in the set and those not in it. */
static void cut_set(struct universe *u, unsigned set)
{
	for (int a = 0; a < u->plan.nodes; a++)
		for (int b = 0; b < u->plan.nodes; b++)
			if ((set >> a & 1) != (set >> b & 1))
				net_cut(u, a, b);
}

static void cut_outward(struct universe *u, int node)
{
	for (int other = 0; other < u->plan.nodes; other++)
		if (other != node)
			net_cut(u, node, other);
}

/* False when there is such a partition already; else it lasts for a while, `least` or more. */
static bool begin_for(struct universe *u, struct span least)
{
	if (u->nemesis.partitioned)
		return false;
	u->nemesis.partitioned = true;
	universe_add(u, dice_span_skewed(dice(u), least, (struct span){ least.ns + span_ms(8000).ns }),
	    &mend_kind, NOBODY, ++u->nemesis.partitions, 0, NULL);
	return true;
}

static bool begin(struct universe *u)
{
	return begin_for(u, span_ms(50));
}

static void on_mend(struct universe *u, const struct event *e)
{
	if (e->a != u->nemesis.partitions || !u->nemesis.partitioned)
		return;
	story_tell(u, NOBODY, "the network is whole again");
	u->nemesis.partitioned = u->nemesis.relay = false;
	net_mend_all(u);
}

bool strike_isolate_leader(struct universe *u)
{
	struct node *leader = node_leading(u);

	if (leader == NULL || !begin(u))
		return false;
	cut_set(u, 1u << leader->number);
	return true;
}

bool strike_isolate_any(struct universe *u)
{
	if (!begin(u))
		return false;
	cut_set(u, 1u << nemesis_any_node(u)->number);
	return true;
}

bool strike_split(struct universe *u)
{
	unsigned set = 0;

	if (!begin(u))
		return false;
	for (int i = 0; i < u->plan.nodes / 2; i++)
		set |= 1u << nemesis_any_node(u)->number;
	cut_set(u, set);
	return true;
}

bool strike_one_way(struct universe *u)
{
	bool in = dice_chance(dice(u), 500000);
	int node = nemesis_victim(u)->number;

	if (!begin(u))
		return false;
	for (int other = 0; other < u->plan.nodes; other++) {
		if (other == node || dice_chance(dice(u), 300000))
			continue;
		net_cut(u, in ? other : node, in ? node : other);
	}
	return true;
}

/* Two halves that only one node reaches both of. */
bool strike_bridge(struct universe *u)
{
	int bridge = nemesis_any_node(u)->number;

	if (!begin(u))
		return false;
	for (int a = 0; a < u->plan.nodes; a++)
		for (int b = 0; b < u->plan.nodes; b++)
			if (a != bridge && b != bridge && a % 2 != b % 2)
				net_cut(u, a, b);
	return true;
}

/* Each node reaches its two neighbours only: majorities that are all different (E8). */
bool strike_ring(struct universe *u)
{
	int nodes = u->plan.nodes;

	if (!begin(u))
		return false;
	for (int a = 0; a < nodes; a++)
		for (int b = 0; b < nodes; b++)
			if (a != b && (a + 1) % nodes != b && (b + 1) % nodes != a)
				net_cut(u, a, b);
	return true;
}

/* ---- a network that flaps ---- */

/* Each wire for itself, or some of the nodes from the others. */
static void on_flap(struct universe *u, const struct event *e)
{
	uint64_t cuts = dice_skewed(dice(u), 50000, 500000);
	bool sets = dice_chance(dice(u), 500000);

	if (e->a != u->nemesis.partitions || !u->nemesis.partitioned)
		return;
	net_mend_all(u);
	if (sets)
		cut_set(u, (unsigned)random_below(dice(u), 1u << u->plan.nodes));
	for (int a = 0; a < u->plan.nodes && !sets; a++)
		for (int b = 0; b < u->plan.nodes; b++)
			if (a != b && dice_chance(dice(u), cuts))
				net_cut(u, a, b);
	universe_add(u, dice_span_skewed(dice(u), span_ms(5), span_times(u->plan.election, 2)), &flap_kind,
	    NOBODY, e->a, 0, NULL);
}

bool strike_flap(struct universe *u)
{
	if (!begin(u))
		return false;
	universe_add(u, span_us(0), &flap_kind, NOBODY, u->nemesis.partitions, 0, NULL);
	return true;
}

/* ---- leaders cut off one after the other ---- */

/* Whoever leads speaks to nobody any more, at once; what others say to it arrives for a while longer. So tails of
 * many terms come about, and leaders that have them (figure 8 of the Raft paper; C1). */
static void cut_off(struct universe *u, int leader)
{
	net_mend_all(u);
	u->nemesis.relay_off = leader;
	story_tell(u, leader, "nemesis: is cut off");
	cut_outward(u, leader);
	universe_add(u, dice_span_skewed(dice(u), span_us(10), span_times(u->plan.election, 2)), &close_kind,
	    NOBODY, u->nemesis.partitions, (uint64_t)leader, NULL);
}

static void on_close(struct universe *u, const struct event *e)
{
	if (e->a == u->nemesis.partitions && u->nemesis.partitioned && u->nemesis.relay_off == (int)e->b)
		cut_set(u, 1u << e->b);
}

static void wait_for_next(struct universe *u)
{
	static const enum moment moments[] = { MOMENT_LED, MOMENT_APPENDED, MOMENT_APPENDED, MOMENT_ACKED };

	u->nemesis.relay = true;
	u->nemesis.relay_moment = moments[random_below(dice(u), sizeof(moments) / sizeof(moments[0]))];
}

static void on_switch(struct universe *u, const struct event *e)
{
	if (e->a != u->nemesis.partitions || !u->nemesis.partitioned)
		return;
	cut_off(u, (int)e->b);
	wait_for_next(u);
}

void partition_on_moment(struct universe *u, const struct node *n, enum moment m)
{
	const struct node *leader = m == MOMENT_LED ? n : node_leading(u);
	bool at_once = dice_chance(dice(u), 700000);

	if (!u->nemesis.relay || m != u->nemesis.relay_moment || leader == NULL ||
	    leader->number == u->nemesis.relay_off)
		return;
	u->nemesis.relay = false;
	universe_add(u, at_once ? span_us(0) : dice_span_skewed(dice(u), span_us(1), span_ms(30)),
	    &switch_kind, NOBODY, u->nemesis.partitions, (uint64_t)leader->number, NULL);
}

bool strike_relay(struct universe *u)
{
	struct node *leader = node_leading(u);

	if (leader == NULL || !begin_for(u, span_times(u->plan.election, 10)))
		return false;
	cut_off(u, leader->number);
	wait_for_next(u);
	return true;
}

void partition_isolate(struct universe *u, int node)
{
	if (!begin(u))
		return;
	cut_outward(u, node);
	if (dice_chance(dice(u), 500000))
		cut_set(u, 1u << node);
}

/* ---- wires that lag ---- */

/* What goes to a node, what leaves it, or all that there is. Where it is the way to a leader, its own may be cut: it
 * goes on hearing what the others said while they followed. */
bool strike_lag(struct universe *u)
{
	struct span more =
	    dice_span_skewed(dice(u), (struct span){ u->plan.election.ns / 8 }, u->plan.lag_most);
	uint64_t shape = random_below(dice(u), 8);
	int node = nemesis_victim(u)->number;

	for (int other = 0; other < u->plan.nodes; other++) {
		if (other == node)
			continue;
		if (shape >= 4 || shape == 0)
			net_lag(u, other, node, more);
		if (shape < 4)
			net_lag(u, node, other, more);
	}
	if (shape >= 6 && begin(u))
		cut_outward(u, node);
	universe_add(u, dice_span_skewed(dice(u), span_ms(100), span_ms(8000)), &hurry_kind, NOBODY,
	    (uint64_t)node, 0, NULL);
	return true;
}

static void on_hurry(struct universe *u, const struct event *e)
{
	for (int other = 0; other < u->plan.nodes; other++) {
		net_lag(u, (int)e->a, other, span_us(0));
		net_lag(u, other, (int)e->a, span_us(0));
	}
}

static const struct event_kind mend_kind = { "mend", on_mend }, flap_kind = { "flap", on_flap },
			       switch_kind = { "switch", on_switch }, close_kind = { "close", on_close },
			       hurry_kind = { "hurry", on_hurry };

void partition_heal(struct universe *u)
{
	u->nemesis.partitioned = u->nemesis.relay = false;
	u->nemesis.partitions++;
	net_heal(u);
}
