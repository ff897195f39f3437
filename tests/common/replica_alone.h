#ifndef TESTS_COMMON_REPLICA_ALONE_H
#define TESTS_COMMON_REPLICA_ALONE_H

#include "tests/common/fake_disk.h"
#include "worker/kv/kv.h"
#include "worker/raft/raft.h"
#include "worker/replica/replica.h"

/*
 * One replica, n1, alone with a test that plays everybody else: the other nodes of its list (incarnations 2 and 3 at
 * n2:1 and n3:1), its HTTP worker, its lanes and its clock. What it sends and answers is kept.
 */
#define ALONE_KEPT_MAX 256
#define ALONE_HASH_EVERY 4
#define ALONE_CLIENT 1

struct alone_lane {
	struct lane lane;
	struct lane_work work;
	struct jobs queued;
};

struct alone_answer {
	uint64_t id;
	enum err error;
	enum applied applied;
	struct blob *result;
	char text[512]; /* about the error */
};

struct alone_frame {
	uint64_t to;
	struct blob *bytes;
};

struct alone {
	struct lane_maker maker;
	struct transport transport;
	const char *members;
	struct span replace_after; /* from the next start on */
	unsigned level_most; /* from the next start on, the highest feature level that it knows */
	unsigned level_said; /* by the hellos of others */
	bool joins; /* from the next start on it is told to join a cluster */
	struct fake_disk *disk;
	struct ballast *ballast; /* NULL: there is always room */
	struct tables *tables; /* mem_tables */
	struct alone_lane lanes[5]; /* log, state, upkeep, image, space */
	size_t lane_count;
	struct replica *replica;
	struct instant now;
	uint64_t self;
	struct alone_answer answers[ALONE_KEPT_MAX];
	size_t answer_count;
	uint64_t stream_id; /* whose first answer said that others follow; 0: none did */
	struct buf stream; /* what those brought */
	bool stream_over;
	enum err stream_error; /* of the last */
	struct alone_frame frames[ALONE_KEPT_MAX];
	size_t frame_count;
	uint64_t visits; /* the cluster to which it passes requests, as its hello says */
	char list[256]; /* what its hello says of who founds, or founded, its cluster */
	char peers[256]; /* the addresses that it dials, each with a blank behind it */
	uint32_t client; /* which HTTP worker asks; 0: ALONE_CLIENT */
	size_t unsent; /* bytes of answers that the clients of ALONE_CLIENT have not taken */
	bool deaf; /* no connection carries anything */
	bool state_waits; /* the state lane does nothing, but by alone_state_turn() */
	bool log_waits; /* nor the log lane, but by alone_log_turn() */
	bool upkeep_waits; /* nor the maintenance lane */
	/* From the next start on; 0: the default. */
	uint64_t log_budget, image_budget, cache_bytes, request_bytes_max;
	uint64_t read, to_read; /* what the last start said of its log, last */
	const char *state_lost; /* from the next start on; NULL: it is there */
	bool repairs; /* from the next start on damage that is found at work is left to a repair */
	enum replica_part damaged; /* what the last start found damaged */
	int status; /* with which it died */
	char why[512]; /* and what it said */
	bool may_die; /* else a fatal error ends the test */
	bool died;
};

/* n1 on an empty disk, with this list of members. */
struct alone *alone_new(const char *members);
void alone_free(struct alone *a);
/* The same on a filesystem with so many bytes free. */
struct alone *alone_new_on(const char *members, uint64_t free);
/* Would it open with this list? */
enum err alone_opens(const char *members);
/* Its process is killed, and another one started, which must open. */
void alone_kill(struct alone *a);
/* The same where it may refuse to; there is no replica then. */
enum err alone_restart(struct alone *a);

/* Time passes, and whatever follows on this node happens, its lanes' work included. */
void alone_pass(struct alone *a, int64_t ms);
/* The log lane does the oldest of the jobs that wait for it, and no more. */
void alone_log_turn(struct alone *a);
void alone_state_turn(struct alone *a);
/* The state lane does all that waits for it, and the loop hears nothing of that before the process is killed. */
void alone_state_then_kill(struct alone *a);
/* The maintenance lane, then the state lane does all that waits for it, before the loop hears of either. */
void alone_upkeep_then_state(struct alone *a);
/* The node at the other end says who it is: n2 or n3, of this cluster, on the connection dialed or accepted. */
void alone_hello(struct alone *a, uint64_t incarnation, uint64_t cluster, bool dialed);
/* Any node, of any cluster, with this id and peer address. */
void alone_hello_as(
    struct alone *a, uint64_t incarnation, const char *id, const char *peer, uint64_t cluster, bool dialed);
/* What it says is wrong with its place in a cluster, empty when nothing is; valid until the next call. */
const char *alone_problem(struct alone *a);
/* What it warns of beside that; the same. */
const char *alone_warnings(struct alone *a);
/* n1 of a cluster that is formed, which follows this leader in term 2. */
struct alone *alone_follower_of(const char *members, uint64_t leader);
/* Forms the cluster of n1, n2 and n3. */
void alone_form(struct alone *a);
/* Elects n1 by the votes of 2; nothing is accepted by the others yet. */
void alone_elect(struct alone *a);
/* The other node accepts n1's log as it is. */
void alone_accept(struct alone *a, uint64_t from);
void alone_raft(struct alone *a, struct raft_message *m);
/* The leader sends `count` entries behind `prev`, all of them committed. */
void alone_append(struct alone *a, uint64_t leader, uint64_t term, struct raft_pos prev, size_t count);

/* The leader sends one entry behind the last, committed at once, with this data, of which it takes the reference. */
void alone_append_one(struct alone *a, uint64_t leader, enum entry_type type, struct blob *data);
/* Another node passes on a write, which does nothing, of that life and number of its own. */
void alone_forward(struct alone *a, uint64_t from, uint64_t start, uint64_t term, uint64_t number);
/* The same with everything else that the frame says but its command, and this operation. */
void alone_forward_as(
    struct alone *a, uint64_t from, uint64_t start, const struct peer_forward *as, struct bytes txn);

void alone_write(struct alone *a, uint64_t id, const char *key);
/* With a value of so many bytes. */
void alone_write_bytes(struct alone *a, uint64_t id, const char *key, size_t size);
/* One that only the leader is to answer. */
void alone_write_to_leader(struct alone *a, uint64_t id, const char *key);
void alone_read(struct alone *a, uint64_t id, enum read_level level, const char *key);
/* REQUEST_STATUS or REQUEST_PROBE: answered with a status. */
void alone_ask(struct alone *a, uint64_t id, enum request_kind kind);
/* Of all keys. */
void alone_list(struct alone *a, uint64_t id, enum read_level level);
/* NULL: not answered. */
const struct alone_answer *alone_answered(const struct alone *a, uint64_t id);
/* Frames of this type sent since the last alone_clear(), and the last of them. */
size_t alone_sent(const struct alone *a, enum peer_type type);
/* Of raft's messages of this type; the last one, without entries, in *last. */
size_t alone_sent_raft(const struct alone *a, enum raft_type type, struct raft_message *last);
void alone_clear(struct alone *a);
/* What it has answered so far. */
void alone_forget_answers(struct alone *a);
/* The number of the last question for a read index; 0: none was sent. */
uint64_t alone_asked(const struct alone *a);
struct raft_view alone_view(const struct alone *a);

#endif
