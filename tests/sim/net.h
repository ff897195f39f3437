#ifndef TESTS_SIM_NET_H
#define TESTS_SIM_NET_H

#include "common/random.h"
#include "tests/sim/plan.h"
#include "worker/peer/hello.h"

/*
 * The wires. Each node dials the others and sends on what it dialed, as transport.h says; a link is one dialed
 * connection, from the dialer's view and from the acceptor's, which learn of its end at different moments.
 *
 * Where frames keep their order, a cut wire holds them back until it is whole again or the connection breaks, as
 * TCP would; else a frame may be lost, doubled, late or overtaken, which is more than TCP allows.
 */
struct universe;
struct event;
struct node;

struct link {
	bool wanted; /* the dialer was told to keep it */
	bool dialing; /* an attempt is due */
	bool dialed_up; /* the dialer believes in it */
	bool accepted_up;
	bool broken; /* nothing is sent on it any more; the ends will hear of it */
	uint64_t generation; /* of the connection that was dialed last */
	uint64_t deaf; /* what is on its way on this one and on older ones is lost */
	uint64_t far; /* whom the dialer reaches, as its hello said */
	uint64_t accepted; /* the generation that the acceptor knows */
	uint64_t near; /* who dialed, as the acceptor heard */
	struct instant last; /* when the latest frame arrives */
	struct blob *held[256]; /* by a cut wire */
	size_t held_count;
	size_t in_flight; /* bytes */
};

/* A node's transport, as its replica has it. */
struct sim_transport {
	struct transport transport;
	struct node *node;
	struct buf hello; /* encoded; empty: none was set */
	uint64_t cluster, visits;
	struct buf
	    wanted; /* the addresses that it was told to keep a connection to, each with an end of line */
};

struct net {
	struct random dice;
	struct link links[NODES_MAX][NODES_MAX]; /* [dialer][acceptor] */
	bool cut[NODES_MAX][NODES_MAX]; /* nothing gets from [here] to [there] */
	struct span lag[NODES_MAX][NODES_MAX]; /* and this much later than else */
	struct hello_known known[NODES_MAX][NODES_MAX]; /* what [here] knows of [there] */
};

void net_init(struct universe *u);
void net_fini(struct universe *u);

/* A fresh transport for a life of the node. */
void net_attach(struct universe *u, struct node *n);
/* The node died: its ends are gone, the others hear of it soon, or with the power late. */
void net_detach(struct universe *u, struct node *n, bool power);

/* Nodes have other addresses than before: who dials whom. */
void net_readdress(struct universe *u);
/* The node begins anew, as somebody else: what was heard of it is nobody's. */
void net_forget(struct universe *u, const struct node *n);
/* A process on an older copy of the node's data directory says hello to everybody. False: nobody was there who had heard
 * a later start. */
bool net_present_copy(struct universe *u, const struct node *n);

/* Cuts or mends the wire in one direction. */
void net_cut(struct universe *u, int from, int to);
void net_mend(struct universe *u, int from, int to);
void net_mend_all(struct universe *u);
/* From now on everything takes this much longer in this direction; 0 ends it. */
void net_lag(struct universe *u, int from, int to, struct span more);
/* All wires whole and as fast as ever; whoever believes in a connection that is no more hears of it soon. */
void net_heal(struct universe *u);
/* Breaks some connection that is up; false when there is none. */
bool net_break_any(struct universe *u);
/* Likewise, and only one of its ends hears of it soon. */
bool net_half_open(struct universe *u);

#endif
