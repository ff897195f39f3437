#include <inttypes.h>

#include "tests/sim/sim_disk.h"
#include "tests/sim/universe.h"

/* What the nemesis does to processes, their machines and their disks. */

static const struct event_kind spring_kind, hand_over_kind, empty_kind;

static struct random *dice(struct universe *u)
{
	return &u->nemesis.dice;
}

/* ---- deaths ---- */

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
	return crash_for(n, power, dice_span_skewed(dice(u), span_ms(1), span_ms(5000)));
}

bool strike_kill(struct universe *u)
{
	return crash(u, nemesis_victim(u), false);
}

bool strike_power(struct universe *u)
{
	return crash(u, nemesis_victim(u), true);
}

bool strike_all_down(struct universe *u)
{
	bool any = false;

	for (int i = 0; i < u->plan.nodes; i++)
		any = crash(u, &u->nodes[i], true) || any;
	return any;
}

/* One at a time, so that the others are a majority of the voters. */
bool strike_rot(struct universe *u)
{
	struct node *n = nemesis_victim(u);

	for (int i = 0; i < u->plan.nodes; i++)
		if (u->nodes[i].rotten)
			return false;
	if (!crash(u, n, dice_chance(dice(u), 500000)))
		return false;
	n->rotten = sim_tables_rot(&n->tables);
	return n->rotten;
}

/* One at a time: what all have promised is in the logs, but what is cut from them in the states alone. */
bool strike_lost(struct universe *u)
{
	struct node *n = nemesis_victim(u);

	for (int i = 0; i < u->plan.nodes; i++)
		if (u->nodes[i].lost)
			return false;
	if (!node_up(n) || replica_view(n->replica).cluster == 0)
		return false;
	n->lost = n->losing = true;
	return crash(u, n, dice_chance(dice(u), 500000));
}

/* ---- right after a promise ---- */

bool strike_trap(struct universe *u)
{
	u->nemesis.trap = (struct trap){ FAULT_TRAP, (enum moment)random_below(dice(u), MOMENTS), 1, u->now };
	return false; /* counts when it has sprung */
}

bool strike_ambush(struct universe *u)
{
	enum moment m = (enum moment)random_below(dice(u), MOMENTS + 1);

	if (m == MOMENTS)
		m = MOMENT_ASKED;
	u->nemesis.trap = (struct trap){ FAULT_AMBUSH, m, dice_skewed(dice(u), 1, 16), u->now };
	return false;
}

void trap_on_moment(struct universe *u, const struct node *n, enum moment m)
{
	struct trap *t = &u->nemesis.trap;
	enum fault f = t->fault;

	if (f == FAULTS || t->moment != m || !instant_passed(t->ready, u->now))
		return;
	if (--t->times == 0)
		t->fault = FAULTS;
	t->ready = instant_add(u->now, dice_span_skewed(dice(u), span_ms(50), span_ms(1000)));
	universe_add(u, dice_span_skewed(dice(u), (struct span){ 100 }, span_us(500)), &spring_kind, NOBODY,
	    (uint64_t)n->number, f, NULL);
}

/* Everybody; and whoever led may be the last to come back, so that what only it had on disk is missed. */
static bool crash_all_but_leader_soon_back(struct universe *u, const struct node *leader)
{
	bool any = false;

	for (int i = 0; i < u->plan.nodes; i++) {
		struct node *n = &u->nodes[i];
		struct span down = n == leader ? dice_span(dice(u), span_ms(1000), span_ms(4000))
					       : dice_span_skewed(dice(u), span_ms(1), span_ms(50));

		any = crash_for(n, true, down) || any;
	}
	return any;
}

/* It alone, or it and the leader, or everybody. */
static bool cut_power(struct universe *u, struct node *n)
{
	struct node *leader = node_leading(u);
	uint64_t scope = random_below(dice(u), 4);
	bool done = scope != 3 && crash(u, n, true);

	if (scope == 1 && leader != NULL)
		done = crash(u, leader, true) || done;
	if (scope == 2)
		done = strike_all_down(u) || done;
	if (scope == 3)
		done = crash_all_but_leader_soon_back(u, leader) || done;
	return done;
}

/* Some node that is neither of the two; NULL when there is none up. */
static struct node *third(struct universe *u, const struct node *a, const struct node *b)
{
	int first = (int)random_below(dice(u), (uint64_t)u->plan.nodes);

	for (int i = 0; i < u->plan.nodes; i++) {
		struct node *n = &u->nodes[(first + i) % u->plan.nodes];

		if (n != a && n != b && node_up(n))
			return n;
	}
	return NULL;
}

/* One that is killed is soon back; until then a majority may need it. */
static bool kill_shortly(struct universe *u, struct node *n, struct node *leader)
{
	struct node *other = third(u, n, leader);

	if (other != NULL && dice_chance(dice(u), 600000))
		node_pause(other, dice_span_skewed(dice(u), span_ms(50), span_ms(2000)), false);
	return crash_for(n, false, dice_span_skewed(dice(u), span_us(200), span_ms(100)));
}

/* It, or the leader to whom it promised. */
static bool waylay(struct universe *u, struct node *n)
{
	struct node *leader = node_leading(u);

	if (leader != NULL && dice_chance(dice(u), 400000))
		n = leader;
	if (!node_up(n))
		return false;
	switch (random_below(dice(u), 4)) {
	case 0:
	case 1:
		return kill_shortly(u, n, leader);
	case 2:
		node_pause(
		    n, dice_span_skewed(dice(u), span_ms(50), span_ms(5000)), dice_chance(dice(u), 500000));
		return true;
	default:
		partition_isolate(u, n->number);
		return true;
	}
}

static void on_spring(struct universe *u, const struct event *e)
{
	struct node *n = &u->nodes[e->a];
	enum fault f = (enum fault)e->b;

	story_tell(u, n->number, "nemesis: it has just promised something");
	if (f == FAULT_TRAP ? cut_power(u, n) : waylay(u, n))
		nemesis_count(u, f);
}

/* ---- stopped for a while ---- */

static bool stop(struct universe *u, bool clock_too)
{
	struct node *n = nemesis_victim(u);

	if (!node_up(n) || n->paused_until.ns > u->now.ns)
		return false;
	node_pause(n, dice_span_skewed(dice(u), span_ms(100), span_ms(5000)), clock_too);
	return true;
}

bool strike_pause(struct universe *u)
{
	return stop(u, false);
}

bool strike_suspend(struct universe *u)
{
	return stop(u, true);
}

static void on_hand_over(struct universe *u, const struct event *e)
{
	struct node *n = &u->nodes[e->node];

	if (replica_hand_over(n->replica, node_now(n)) == ERR_OK)
		nemesis_count(u, FAULT_HANDOVER);
	node_touch(n);
}

bool strike_handover(struct universe *u)
{
	struct node *leader = node_leading(u);

	if (leader != NULL)
		universe_add(u, span_us(0), &hand_over_kind, leader->number, 0, 0, NULL);
	return false; /* counts when there was somebody to hand it to */
}

/* ---- disks ---- */

/* Dies in the middle of a call; counts then. */
bool strike_torn(struct universe *u)
{
	struct node *n = nemesis_victim(u);

	if (node_up(n))
		sim_disk_set_fuse(n->disk, dice_skewed(dice(u), 1, 64));
	return false;
}

/* Its next life dies in one call, counted from its start, the life after that strike in the next call. */
bool strike_sweep(struct universe *u)
{
	struct node *n = nemesis_victim(u);

	if (!node_up(n))
		return false;
	n->fuse = u->plan.sweep_from + n->sweeps++;
	crash_for(n, dice_chance(dice(u), 500000), dice_span_skewed(dice(u), span_ms(1), span_ms(50)));
	return false; /* counts when it has burnt */
}

bool strike_slow_disk(struct universe *u)
{
	struct node *n = nemesis_victim(u);

	n->slow_until = instant_add(u->now, dice_span_skewed(dice(u), span_ms(100), span_ms(5000)));
	return true;
}

bool strike_hang(struct universe *u)
{
	struct node *n = nemesis_victim(u);

	if (!node_up(n))
		return false;
	n->hung_until = instant_add(u->now, dice_span_skewed(dice(u), span_ms(500), span_ms(15000)));
	return true;
}

bool strike_disk_error(struct universe *u)
{
	struct node *n = nemesis_victim(u);

	if (node_up(n))
		sim_disk_set_error(n->disk, dice_skewed(dice(u), 1, 64));
	return false; /* counts when it has come */
}

/* To the last byte as often as not, and mostly for seconds. A filesystem that is filled anew before it was emptied
 * stays as it is. */
bool strike_full(struct universe *u)
{
	struct node *n = nemesis_victim(u);
	struct span length;

	if (node_is_filled(n))
		return false;
	sim_disk_set_free(n->disk, dice_chance(dice(u), 500000) ? 0 : random_below(dice(u), 8 << 20));
	length = dice_span_skewed(dice(u), span_ms(100), span_ms(8000));
	n->full_until = instant_add(u->now, length);
	universe_add(u, length, &empty_kind, NOBODY, (uint64_t)n->number, 0, NULL);
	return true;
}

static void on_empty(struct universe *u, const struct event *e)
{
	sim_disk_set_free(u->nodes[e->a].disk, UINT64_MAX);
}

/* While nobody runs on it. */
bool strike_flip(struct universe *u)
{
	struct node *n = nemesis_victim(u);

	return crash(u, n, false) && sim_disk_flip(n->disk);
}

static const struct event_kind spring_kind = { "spring", on_spring },
			       hand_over_kind = { "hand over", on_hand_over },
			       empty_kind = { "empty", on_empty };

void machines_heal(struct universe *u)
{
	u->nemesis.trap.fault = FAULTS;
	for (int i = 0; i < u->plan.nodes; i++) {
		struct node *n = &u->nodes[i];

		n->slow_until = n->hung_until = n->full_until = u->now;
		n->fuse = 0;
		sim_disk_set_fuse(n->disk, 0);
		sim_disk_set_error(n->disk, 0);
		sim_disk_set_free(n->disk, UINT64_MAX);
		if (!node_up(n))
			node_restart_later(n, span_ms(100));
	}
}
