#ifndef TESTS_COMMON_PEER_NET_H
#define TESTS_COMMON_PEER_NET_H

#include "worker/peer/peer.h"

/*
 * Several nodes of worker/peer in one loop, on real sockets of 127.0.0.1. Whatever is waited for ends the loop when
 * it is there; a guard fails the test when it never comes.
 */
#define MEMBERS_MOST 3

struct member {
	struct transport *transport; /* NULL: closed */
	char address[32];
	struct peer_hello hello;
	/* What was told so far. */
	unsigned accepted, dialed, lost, unreachable, refused, strangers;
	struct peer_hello last_hello; /* its texts are not kept */
	struct buf frames; /* payloads, one behind the other */
	unsigned frame_count;
	uint64_t frame_from;
	bool renews; /* sets another cluster id within the next hello */
	unsigned calls; /* events that were told */
};

extern struct net {
	struct loop *loop;
	struct loop_timer *guard;
	struct member members[MEMBERS_MOST];
	bool (*wanted)(void);
} net;

#define A (&net.members[0])
#define B (&net.members[1])
#define C (&net.members[2])

/* For cmocka. */
int net_setup(void **state);
int net_teardown(void **state);

/* Turns the loop until it is so. */
void net_await(bool (*wanted)(void));
/* Turns the loop for some time, in which nothing should happen. */
void net_turn_for(int64_t ms);

/* A listening socket on a port of the kernel's choice. */
int net_listen(void);
/* Options that retry often. */
struct peer_options net_quick(void);
/* Opens node n on the socket, incarnation 100 + n, in cluster 7, start 1; it has said nothing yet. */
struct member *net_open_on(size_t n, int fd, const struct peer_options *o);
struct member *net_open(size_t n);
void net_close(struct member *m);

void net_dial(struct member *from, const struct member *to);
void net_speak(struct member *m);
bool net_send(struct member *from, const struct member *to, const char *text);

#endif
