#ifndef WORKER_RAFT_RAFT_H
#define WORKER_RAFT_RAFT_H

#include "common/clock.h"
#include "common/err.h"
#include "worker/raft/config.h"
#include "worker/raft/message.h"

/*
 * The consensus algorithm of Ongaro's thesis ("Consensus: Bridging Theory and Practice", cited as §) as a pure
 * value: no I/O, no clock, no threads, no callbacks, its randomness from a seed. Typed inputs change it; what
 * follows from them comes out of raft_ready():
 *
 *	while (raft_ready(r, &rd)) {
 *		send(rd.messages);			may leave at once
 *		install(rd.install, rd.rebase, rd.base);	the state that an image brought; part of the same ticket
 *		persist(rd.ticket, rd.hard, rd.entries);	starts; then raft_persisted(r, ticket)
 *		hold(rd.ticket, rd.promises);		leave only when that ticket is durable
 *		apply(rd.committed);			in order; already durable on this node
 *		raft_advance(r);
 *	}
 *
 * The order of these lines is the safety of the algorithm. Persisting is always asynchronous. Each ready that
 * persists anything carries a ticket one higher than the last; tickets become durable in order. A position in the
 * log is never the name of a completion: a vote moves no position, and an overwritten entry has that of its
 * successor (RAFT-CHECKLIST E10, D1).
 *
 * Has: pre-vote (§9.6), check-quorum and leader stickiness (§6.2, §4.2.3), the leader's disk write in parallel
 * (§10.2.1), pipelined appends in a window (§10.2.2), fast back-off after a conflict (§3.5), a no-op at the start
 * of each term, ReadIndex on leader and followers (§6.4), transfer (§3.10), learners and changes of members by joint
 * configurations (§4), images for those that the log does not reach back to (§5). Beyond the thesis: nodes whose disk
 * hangs (raft_set_unfit) or is full (raft_set_room), or whose state is not to be trusted (raft_freeze).
 */
struct raft;

struct raft_options {
	uint64_t self; /* this node's incarnation */
	uint64_t start; /* its start counter */
	struct span election, heartbeat;
	size_t message_bytes_max; /* of entries in one append */
	size_t window_bytes_max; /* of entries on their way to one follower */
	size_t uncommitted_bytes_max; /* and not durable here: proposals beyond are refused (C14) */
	/* Both together, and a little, bound what the log takes of memory: a follower drops entries beyond, as if lost. */
	size_t cache_bytes; /* applied entries kept in memory for lagging followers */
	uint64_t seed;
};

/* A run of entries of one term, up to where the next begins. */
struct raft_run {
	uint64_t term, first;
};

/* What this node's log and state hold when it starts. Borrowed for raft_new(), which takes references. */
struct raft_start {
	struct raft_hard hard;
	struct raft_pos base; /* before the first entry of the log */
	struct raft_pos last;
	uint64_t last_time_ms;
	const struct raft_run *runs; /* of base + 1 .. last */
	size_t run_count;
	uint64_t applied; /* the state holds this; so it is committed */
	/* The ENTRY_CONFIG entries from the one that was in force at `applied` on, which may lie before the log's beginning.
	 * Of a frozen node none may be known: it has no members until an image brings them. */
	const struct entries *configs;
	const struct entries *tail; /* applied + 1 .. last */
	bool frozen; /* as if by raft_freeze(): `applied` is base.index then, `tail` is empty */
};

/* A configuration that cannot be read, or none, is ERR_DAMAGED. */
enum err raft_new(
    struct raft **out, const struct raft_options *o, const struct raft_start *s, struct instant now);
void raft_free(struct raft *r);

/* ---- inputs ---- */

/* Time passes: timeouts and heartbeats. Call at raft_deadline() at the latest. */
void raft_tick(struct raft *r, struct instant now);
struct instant raft_deadline(const struct raft *r);

/* A message from m->from; borrowed. One that is for somebody else, or from nobody I know, does no harm. */
void raft_receive(struct raft *r, const struct raft_message *m, struct instant now);

/* Appends an entry with this data (takes a reference) to the leader's log. ERR_NOT_LEADER, ERR_BUSY; ERR_FULL: an
 * ENTRY_WRITE for which this node or too many voters have no room. The position tells nothing about the outcome yet: the entry may be overwritten by a later leader's. */
enum err raft_propose(
    struct raft *r, enum entry_type type, struct blob *data, struct instant now, struct raft_pos *pos);

enum raft_change_kind {
	RAFT_ADD, /* learner, then voter by itself; takes the place of who has its name; known already: its addresses */
	RAFT_REMOVE, /* who has this name, of `m` nothing else is looked at */
	RAFT_DESCRIBE, /* the attributes of the member with this incarnation are replaced by those of `m`; roles stay */
	RAFT_RAISE, /* the feature level of the cluster rises to that of `m`, which all members have announced */
};

/* Changes the members (§4): proposes the first configuration of it; what follows comes by itself, also under another
 * leader. The change is there when the entry at `pos` is committed; one that is there already is ERR_OK with the
 * configuration's position. ERR_NOT_LEADER; ERR_CHANGING: another one is under way, or this leader has not committed
 * anything yet (M1, M2); ERR_NO_QUORUM: a majority of those that would be voters has not answered within the last
 * election timeout; ERR_CONFLICT: the last voter, or an incarnation that was removed; ERR_NOT_FOUND; ERR_TOO_LARGE;
 * ERR_VERSION: who is added, or a member at a raise, has not announced the cluster's feature level. */
enum err raft_change(struct raft *r, enum raft_change_kind kind, const struct raft_member *m,
    struct instant now, struct raft_pos *pos);

/* Asks for an index that a linearizable read must see applied (§6.4); it comes out as a raft_read_done with this
 * number, or never (messages may be lost, leaders fall): the caller asks again under another number. ERR_NO_LEADER
 * when nobody can be asked now. */
enum err raft_read(struct raft *r, uint64_t number);

/* Hands leadership over (§3.10) to this voter, or when 0 to the one that is furthest of those with room: it gets the rest of the log and is
 * told to stand at once. Until it leads, or an election timeout has passed (T2), proposals are answered
 * ERR_NOT_LEADER. ERR_NOT_LEADER on other nodes, ERR_NOT_FOUND when there is no such other voter (or it is full and
 * this node is not), ERR_BUSY during another transfer. */
enum err raft_transfer(struct raft *r, uint64_t target, struct instant now);

/* This node's disk hangs (or works again): it must not lead. A leader hands over, and steps down when nobody has taken
 * over within an election timeout; until the disk works again the node does not stand. One that has no other voter
 * beside it goes on leading. */
void raft_set_unfit(struct raft *r, bool unfit, struct instant now);

/*
 * How much this node's disk still takes (at first: enough). While it is SHORT, a leader proposes no writes and hands over
 * to a voter with room; a follower waits longer before it stands, so that one with room is elected where there is
 * one. At NONE, no write of another leader is taken into the log either: it is not accepted, as if it had not come.
 * What else a log must hold (no-ops, configurations) is, so that reads go on.
 */
void raft_set_room(struct raft *r, enum raft_room room, struct instant now);

/* Everything up to this ticket is durable. */
void raft_persisted(struct raft *r, uint64_t ticket, struct instant now);

/* The state holds everything up to this index: older entries may leave memory. */
void raft_applied(struct raft *r, uint64_t index);

/* The entries that a raft_fetch asked for (takes references); none where the log has been cut meanwhile. */
void raft_fetched(struct raft *r, uint64_t peer, const struct entries *entries);

/* ---- images, §5 ---- */

/* The log was cut on disk: it begins behind `base`, a position of it that the state holds durably, or of a frozen node one
 * that is committed and durable. One before where it begins already does nothing. */
void raft_cut_before(struct raft *r, struct raft_pos base);

/*
 * From now on the state is not to be trusted, until raft_install(): nothing is handed out to be applied. The node goes on to
 * append, acknowledge and vote; it does not stand and is no target of a transfer. A leader asks for no images, hands
 * over, and steps down when nobody has taken over within an election timeout, also when there is no other voter.
 */
void raft_freeze(struct raft *r, struct instant now);
bool raft_is_frozen(const struct raft *r);

struct raft_image {
	struct raft_pos pos; /* everything up to here is in it */
	uint64_t time_ms; /* of that entry */
	uint64_t config_index; /* the configuration in force there: the data of its entry, borrowed */
	struct blob *config;
	uint64_t
	    term; /* in which its sender led, so that all of it was committed by then; at least pos.term (asserted) */
};

/*
 * An image whose content is complete and durable, but not in force yet, is to take the place of the state. False, and
 * nothing happens, where it is no news: at or before what is applied (S1); of a frozen node, before where its log
 * begins. Where the log holds image->pos, what lies behind stays, also when that is before what was applied of a
 * frozen node; else all of the log goes, and it begins anew behind pos. One at a time: not before raft_ready() has given
 * out the last one (asserted). A configuration that cannot be read ends the process: it was committed. No cut of the log
 * may be under way that raft_cut_before() does not know yet: the image of a frozen node could lie before it.
 *
 * A ready with `install` follows. Until its ticket is durable nothing is handed out to be applied; what is then follows
 * pos. raft_applied() says when the image is in force. The node is frozen no longer.
 */
bool raft_install(struct raft *r, const struct raft_image *image, struct instant now);

/* The image that raft_ready.images asked for is over: the peer holds the state as of `index` durably; 0: it came to
 * nothing. For who is no member, or was not asked for, nothing happens. */
void raft_image_over(struct raft *r, uint64_t peer, uint64_t index, struct instant now);

/* ---- connections ---- */

/* The connection on which this peer's messages come has closed. When it is the leader and nothing more comes of it
 * for 5 to 50 ms, it counts as not heard: a crashed leader costs milliseconds, not an election timeout. */
void raft_lost(struct raft *r, uint64_t peer, struct instant now);
/* Messages to this peer are lost from now on, or arrive again. */
void raft_unreachable(struct raft *r, uint64_t peer);
void raft_reachable(struct raft *r, uint64_t peer);

/* ---- output ---- */

struct raft_read_done {
	uint64_t number, index;
};

/* Entries that are not in memory any more: for a lagging follower, or, `peer` being this node, to be applied here. */
struct raft_fetch {
	uint64_t peer, index;
	size_t bytes_max;
};

/* Valid until raft_advance(). */
struct raft_ready {
	const struct raft_message *messages;
	size_t message_count;
	uint64_t ticket; /* the last one given out; new when there is something to persist */
	bool persist, hard_changed;
	/*
	 * The image of raft_install() comes into force. What was given out to be persisted before must be durable first, and
	 * `hard` of this one; then the state is switched; then, with `rebase`, all entries of the log are discarded, and it
	 * begins behind `base`, where the image is of, with this log time; then follow `entries`. `persist` is true.
	 */
	bool install, rebase;
	struct raft_pos base;
	uint64_t base_time_ms;
	struct raft_hard hard;
	const struct entry *entries;
	size_t entry_count;
	const struct raft_message *promises;
	size_t promise_count;
	const struct entry *committed;
	size_t committed_count;
	const struct raft_read_done *reads;
	size_t read_count;
	const struct raft_fetch *fetches;
	size_t fetch_count;
	/* Members that need an image: each is asked for once until raft_image_over(), by this leader of this term; what was
	 * asked for is void when it leads no more, or the member is gone. */
	const uint64_t *images;
	size_t image_count;
};

/* False when there is nothing to do. */
bool raft_ready(struct raft *r, struct raft_ready *rd);
void raft_advance(struct raft *r);

/* ---- looking at it ---- */

enum raft_role { RAFT_FOLLOWER, RAFT_PRE_CANDIDATE, RAFT_CANDIDATE, RAFT_LEADER };

struct raft_view {
	enum raft_role role;
	uint64_t term, vote, leader; /* leader 0: not known */
	struct raft_pos last;
	uint64_t first, commit, applied, durable; /* applied: handed out to be; an image can be of less */
	struct instant heard; /* the leader, by a follower; {0}: never */
};
struct raft_view raft_view(const struct raft *r);
const char *raft_role_name(enum raft_role role);

/* The configuration in force, valid until the next input. */
const struct raft_config *raft_config(const struct raft *r);
/* The last one that is committed; the first of all, if none is known to be. */
const struct raft_config *raft_config_committed(const struct raft *r);

/* How long the oldest entry that a leader has proposed, or found in its log when it began to lead, has waited to be
 * applied: what is proposed now will hardly be done sooner. 0 on other nodes, and where nothing waits. */
struct span raft_backlog(const struct raft *r, struct instant now);

/* A leader that a majority answered a question of the last election timeout, counted from when it was asked. */
bool raft_confirmed(const struct raft *r, struct instant now);

/* Would this node propose a write now? A confirmed leader that hands over to nobody, with room for it. */
bool raft_accepts(const struct raft *r, struct instant now);

/* What the leader knows of a member. False on other nodes and for strangers. */
struct raft_peer_view {
	uint64_t match, next;
	enum raft_room room; /* as it last said */
	struct instant heard; /* {0}: never in this term */
};
bool raft_peer_view(const struct raft *r, uint64_t peer, struct raft_peer_view *out);

/* The term of the entry at `index`, 0 when the log does not hold it. */
uint64_t raft_term_at(const struct raft *r, uint64_t index);

#endif
