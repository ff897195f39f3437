#include <stdio.h>
#include <string.h>

#include "tests/sim/universe.h"

/* Nodes come back at other addresses, two of them perhaps at each other's. What is to find them again is the product's. */

#define FIRST_PORT 9001

static void move_to_fresh(struct node *n)
{
	snprintf(n->address, sizeof(n->address), "n%d:%u", n->number + 1, FIRST_PORT + ++n->moves % 1000);
	snprintf(n->http, sizeof(n->http), "http://n%d-%u", n->number + 1, n->moves % 1000);
}

static void swap_addresses(struct node *a, struct node *b)
{
	char address[sizeof(a->address)];

	memcpy(address, a->address, sizeof(address));
	memcpy(a->address, b->address, sizeof(address));
	memcpy(b->address, address, sizeof(address));
}

static void stop_for_a_while(struct universe *u, struct node *n)
{
	if (node_up(n))
		node_crash(n, dice_chance(&u->nemesis.dice, 300000));
	node_restart_later(n, dice_span_skewed(&u->nemesis.dice, span_ms(1), span_ms(3000)));
}

/* Everybody must know the cluster already, also who is down: who does not looks for the founders where they were. */
static bool may_move(struct universe *u)
{
	bool all = true;

	for (int i = 0; i < u->plan.nodes; i++) {
		struct node *n = &u->nodes[i];

		n->formed |= node_up(n) && replica_view(n->replica).cluster != 0;
		all = all && n->formed && laws_member(u, n);
	}
	return all;
}

bool strike_move(struct universe *u)
{
	struct node *n = nemesis_victim(u), *other = nemesis_any_node(u);

	if (!may_move(u) || !node_up(n) || !node_up(other))
		return false;
	stop_for_a_while(u, n);
	if (other != n)
		stop_for_a_while(u, other);
	if (other != n && dice_chance(&u->nemesis.dice, 600000)) {
		swap_addresses(n, other);
		story_tell(u, n->number, "swaps its address with n%d, and will be at %s", other->number + 1,
		    n->address);
	} else {
		move_to_fresh(n);
		story_tell(u, n->number, "will be at %s", n->address);
	}
	net_readdress(u);
	for (int i = 0; i < u->plan.nodes; i++)
		u->nodes[i].told = false;
	return true;
}

void moves_tell(struct universe *u, struct node *n)
{
	struct bytes peers[NODES_MAX];
	bool lost = replica_view(n->replica).astray;

	if (u->plan.faults[FAULT_MOVE] && lost && !n->told) {
		for (int i = 0; i < u->plan.nodes; i++)
			peers[i] = bytes_text(u->nodes[i].address);
		replica_hint(n->replica, peers, (size_t)u->plan.nodes, node_now(n));
	}
	n->told = lost;
}
