#include "tests/sim/universe.h"

static const struct event_kind strike_kind;

/* What happens from time to time. It returns false when the moment was not right for it, or when it counts itself
 * later; whatever has none happens to frames and requests all the time. */
static bool (*const strikes[FAULTS])(struct universe *u) = {
	[FAULT_BREAK] = net_break_any,
	[FAULT_HALF_OPEN] = net_half_open,
	[FAULT_LAG] = strike_lag,
	[FAULT_ISOLATE_LEADER] = strike_isolate_leader,
	[FAULT_ISOLATE_ANY] = strike_isolate_any,
	[FAULT_SPLIT] = strike_split,
	[FAULT_ONE_WAY] = strike_one_way,
	[FAULT_BRIDGE] = strike_bridge,
	[FAULT_RING] = strike_ring,
	[FAULT_FLAP] = strike_flap,
	[FAULT_RELAY] = strike_relay,
	[FAULT_HANDOVER] = strike_handover,
	[FAULT_KILL] = strike_kill,
	[FAULT_POWER] = strike_power,
	[FAULT_TORN] = strike_torn,
	[FAULT_TRAP] = strike_trap,
	[FAULT_AMBUSH] = strike_ambush,
	[FAULT_SWEEP] = strike_sweep,
	[FAULT_ALL_DOWN] = strike_all_down,
	[FAULT_PAUSE] = strike_pause,
	[FAULT_SUSPEND] = strike_suspend,
	[FAULT_SLOW_DISK] = strike_slow_disk,
	[FAULT_HANG] = strike_hang,
	[FAULT_DISK_ERROR] = strike_disk_error,
	[FAULT_FLIP] = strike_flip,
	[FAULT_ROT] = strike_rot,
	[FAULT_LOST] = strike_lost,
	[FAULT_FULL] = strike_full,
	[FAULT_MEMBERS] = strike_members,
	[FAULT_WIPE] = strike_wipe,
	[FAULT_COPY] = strike_copy,
	[FAULT_CLONE] = strike_clone,
	[FAULT_UPGRADE] = strike_upgrade,
	[FAULT_MOVE] = strike_move,
};

void nemesis_count(struct universe *u, enum fault f)
{
	u->deeds.faults[f]++;
}

struct node *nemesis_any_node(struct universe *u)
{
	return &u->nodes[random_below(&u->nemesis.dice, (uint64_t)u->plan.nodes)];
}

struct node *nemesis_victim(struct universe *u)
{
	struct node *leader = node_leading(u);

	return leader != NULL && dice_chance(&u->nemesis.dice, 500000) ? leader : nemesis_any_node(u);
}

void nemesis_on_moment(struct universe *u, const struct node *n, enum moment m)
{
	if (u->nemesis.stopped)
		return;
	trap_on_moment(u, n, m);
	partition_on_moment(u, n, m);
}

/* The drawn ones in turn, so that each has its chance, from a random one on. */
static void on_strike(struct universe *u, const struct event *e)
{
	(void)e;
	if (u->nemesis.stopped)
		return;
	for (int i = 0; i < FAULTS; i++) {
		enum fault f = (enum fault)(u->nemesis.next++ % FAULTS);

		if (!u->plan.faults[f] || strikes[f] == NULL || !strikes[f](u))
			continue;
		story_tell(u, NOBODY, "nemesis: %s", fault_text(f));
		nemesis_count(u, f);
		if (dice_chance(&u->nemesis.dice, 700000))
			break;
	}
	universe_add(u, dice_span_skewed(&u->nemesis.dice, u->plan.quiet_least, u->plan.quiet_most),
	    &strike_kind, NOBODY, 0, 0, NULL);
}

static const struct event_kind strike_kind = { "strike", on_strike };

void nemesis_start(struct universe *u)
{
	u->nemesis.dice = dice_fork(&u->dice);
	u->nemesis.next = random_next(&u->nemesis.dice) % FAULTS;
	u->nemesis.trap.fault = FAULTS;
	universe_add(u, dice_span_skewed(&u->nemesis.dice, span_ms(1), span_ms(4000)), &strike_kind, NOBODY,
	    0, 0, NULL);
}

void nemesis_heal(struct universe *u)
{
	story_tell(u, NOBODY, "everything is healed");
	u->nemesis.stopped = true;
	u->plan.lose = u->plan.duplicate = u->plan.reorder = u->plan.delay = u->plan.cancels = 0;
	partition_heal(u);
	machines_heal(u);
	upgrade_heal(u);
}
