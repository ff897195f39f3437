#include <inttypes.h>

#include "tests/sim/universe.h"

static void replace_program(struct node *n, unsigned level_most)
{
	if (node_up(n))
		node_crash(n, false);
	story_tell(n->universe, n->number, "gets a program that knows feature level %u", level_most);
	n->level_most = level_most;
	node_restart_later(n, dice_span_skewed(&n->universe->nemesis.dice, span_ms(1), span_ms(1000)));
}

/* Not back once the level has risen: the old program would only stop. */
bool strike_upgrade(struct universe *u)
{
	struct node *n = nemesis_any_node(u);
	bool back = n->level_most == FEATURE_LEVEL_MOST;

	if (back && (u->laws.level > 0 || dice_chance(&u->nemesis.dice, 700000)))
		return false;
	replace_program(n, back ? 0 : FEATURE_LEVEL_MOST);
	return true;
}

void upgrade_outdated(struct node *n)
{
	struct universe *u = n->universe;

	/* What it does not know may lie in its own log, founded or raised there, and be applied nowhere yet. */
	if (n->level_most >= FEATURE_LEVEL_MOST)
		universe_fail(u, "n%d stops because of what it does not know, and knows feature level %u",
		    n->number + 1, n->level_most);
	node_crash(n, false);
	replace_program(n, FEATURE_LEVEL_MOST);
}

void upgrade_on_limited(struct universe *u, const struct node *n, uint64_t revision)
{
	if (revision <= u->laws.raised_above)
		universe_fail(u,
		    "n%d says that a limited delete took effect at %" PRIu64 ", where the feature level is 0",
		    n->number + 1, revision);
}

void upgrade_heal(struct universe *u)
{
	for (int i = 0; i < u->plan.nodes; i++)
		if (u->nodes[i].level_most < FEATURE_LEVEL_MOST)
			replace_program(&u->nodes[i], FEATURE_LEVEL_MOST);
}

bool upgrade_is_over(struct universe *u)
{
	for (int i = 0; i < u->plan.nodes; i++) {
		const struct node *n = &u->nodes[i];

		if (laws_member(u, n) && (!node_up(n) || replica_view(n->replica).level < FEATURE_LEVEL_MOST))
			return false;
	}
	return true;
}
