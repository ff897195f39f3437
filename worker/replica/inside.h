#ifndef WORKER_REPLICA_INSIDE_H
#define WORKER_REPLICA_INSIDE_H

#include <stdatomic.h>

#include "common/member.h"
#include "common/status.h"
#include "worker/kv/image.h"
#include "worker/kv/kv.h"
#include "worker/log/wal.h"
#include "worker/raft/raft.h"
#include "worker/replica/cut.h"
#include "worker/replica/health.h"
#include "worker/replica/identity.h"
#include "worker/replica/image_send.h"
#include "worker/replica/listed.h"
#include "worker/replica/measure.h"
#include "worker/replica/outage.h"
#include "worker/replica/pending.h"
#include "worker/replica/points.h"
#include "worker/replica/reads.h"
#include "worker/replica/replica.h"
#include "worker/replica/scan.h"
#include "worker/replica/slow.h"
#include "worker/replica/space.h"

/* The inside of a replica, shared by the files of this folder. */

/* ---- log lane (log_lane.c) ---- */

enum log_job_kind { LOG_PERSIST, LOG_FETCH, LOG_SETTLE, LOG_CUT, LOG_FORM, LOG_LEAVE };

struct log_job {
	struct job job;
	struct replica *r;
	enum log_job_kind kind;
	enum err error;
	/* PERSIST */
	uint64_t ticket;
	bool hard_changed;
	struct raft_hard hard;
	struct table *install; /* before that, this state takes the place of the one in force; NULL: no */
	bool rebase; /* and the log is empty behind this */
	struct raft_pos base;
	uint64_t base_time_ms;
	struct entries entries; /* FETCH: the result */
	/* FETCH */
	struct raft_fetch fetch;
	/* CUT: up to where, and what is to be kept of it; where it begins then */
	uint64_t cut_index, keep_bytes;
	struct raft_pos cut_base;
	/* FORM: who this node will be; the result is an open log. LEAVE: that it is no member any more */
	struct identity identity;
	struct wal *wal;
	struct wal_found found;
	struct instant since;
	STAILQ_ENTRY(log_job) out, over;
};

/* ---- state lane (state_lane.c) ---- */

/* What one request of this node came to: a part of the job's results. */
struct outcome {
	uint64_t number;
	uint64_t index; /* APPLY: of its entry */
	struct blob *txn; /* READ: the question */
	bool undone; /* READ: there was no room for its result */
	size_t from, size;
};

enum state_job_kind {
	STATE_APPLY,
	STATE_READ,
	STATE_DISTRUST,
	STATE_SWITCH,
	STATE_SCAN_BEGIN,
	STATE_SCAN,
	STATE_SCAN_END,
};

struct state_job {
	struct job job;
	struct replica *r;
	enum state_job_kind kind;
	enum err error;
	struct entries entries;
	bool big; /* READ */
	struct outcome *outcomes;
	size_t outcome_count, outcome_room;
	struct buf results; /* SCAN: frames of the image */
	struct kv_meta meta; /* after it */
	struct points points; /* APPLY: those that the state came by */
	struct blob *why; /* DISTRUST */
	struct kv *kv; /* SWITCH: the new state machine, and its table */
	bool switched; /* SWITCH: it is in force, and `kv` the old one */
	struct table *table;
	/* SCAN_*: of which scan, as of which index */
	uint64_t scan, scan_index;
	size_t slice_bytes; /* SCAN: so much is asked for */
	bool more; /* SCAN: that was not all */
	bool spoilt; /* SCAN_BEGIN, SCAN: it cannot go on */
	struct table *aside; /* SCAN_END: it is to be dropped */
	STAILQ_ENTRY(state_job) over;
};

/* ---- maintenance lane (upkeep.c) ---- */

enum upkeep_kind { UPKEEP_FLUSH, UPKEEP_CHECKPOINT, UPKEEP_FILL, UPKEEP_SWEEP, UPKEEP_DROP, UPKEEP_COUNT };

#define UPKEEP_FLUSH_MS 30
#define UPKEEP_CHECKPOINT_MS 10000
#define UPKEEP_PRESSED_MS 1000 /* when the log is to be cut */
#define UPKEEP_FULL_MS 1000 /* the disk is full: look again so much later */

struct upkeep_job {
	struct job job;
	struct replica *r;
	enum upkeep_kind kind;
	enum err error;
	struct table *table; /* the one in force when it began; of DROP the one to be dropped */
	uint64_t index; /* CHECKPOINT: what that held then */
	bool more; /* FILL, SWEEP */
	bool busy; /* on the lane */
	bool over; /* came back and was not looked at yet */
	bool due;
	struct instant at; /* not before this */
};

/* ---- the states of all nodes compared (agreement.c) ---- */

struct agreement {
	struct points noted; /* of this node's own state */
	bool
	    replacing; /* the state lane is about to go on with another state, of which nothing is noted yet */
	struct points right; /* as a leader said, or found */
	uint64_t term, leader; /* to which the following belongs */
	uint64_t settled; /* the last index at which it is known what is right */
	uint64_t disputed; /* at this index no value has a majority; 0: none such is known */
	struct instant say_at; /* to the leader, what is not settled */
	/* Leading. */
	struct tally tally;
	struct point agreed; /* the last one */
	uint64_t config; /* the index of the last configuration that was looked at */
	struct instant unclear_until; /* voters differ, and the others have so long to say what they have */
};

/* ---- image lane (image_receive.c) ---- */

/* A state that is being built of an image. Used by the lane until it is finished. */
struct incoming {
	struct table *table;
	struct image_load *load;
	uint64_t unsynced; /* bytes */
	enum err error; /* the first; nothing is done any more */
	/* When it is complete. */
	struct kv *kv;
	struct raft_image image;
};

enum receive_kind { RECEIVE_PIECES, RECEIVE_FINISH, RECEIVE_DROP };

struct receive_job {
	struct job job;
	struct replica *r;
	enum receive_kind kind;
	enum err error;
	struct incoming *in;
	struct buf frames;
	STAILQ_ENTRY(receive_job) out, over;
};

enum receiving_phase { RECEIVING_NOTHING, RECEIVING_PIECES, RECEIVING_FINISHES, RECEIVING_INSTALLS };

struct receiving {
	struct lane *lane;
	STAILQ_HEAD(, receive_job) out; /* with the lane, oldest first */
	STAILQ_HEAD(, receive_job) over;
	enum receiving_phase phase;
	uint64_t from, number; /* which image */
	uint64_t next, written; /* the piece that is wanted; those before `written` are */
	struct incoming *in;
	uint64_t done_from, done_number, done_index; /* the last that was over */
};

/* A promise of raft that waits for its ticket. */
struct promise_held {
	uint64_t ticket;
	struct raft_message message;
};

/* What a leader remembers of a node that forwards to it: the last number, and the term in which it came. */
struct forwarder {
	uint64_t incarnation, start, term, number;
};

/* Another node, as its last hello said. */
struct acquaintance {
	uint64_t incarnation, cluster, start;
	unsigned level; /* the highest feature level that it knows */
	uint64_t asked_start,
	    asked; /* the last request, other than a read, that it passed on, and in which life */
	char *id, *peer, *http, *build;
	char *list; /* of the nodes that form, or formed, its cluster; empty: it says none */
	char *dialed; /* the address at which this node reached it; NULL: it came by itself */
	char *dialed_me; /* the address at which it reached this node, as it said; NULL: it did not */
	uint64_t visits; /* the cluster whose members it asks, being none; 0: it asks nobody */
	bool removed; /* it knows that it is no member any more */
	bool reachable; /* the dialed connection is up */
	bool guest; /* the accepted one is */
	struct instant heard; /* the last frame of it, while there was no leader (outage.c) */
};

/* Of writes that a leader has proposed and that are not applied yet. */
#define UNCOMMITTED_BYTES_MAX (64 * 1024 * 1024)

/* A request that is answered as soon as this turn ends. */
struct prompt {
	uint32_t client;
	uint64_t id;
	enum err error; /* ERR_OK: it asked for the status */
	char *text; /* about the error; owned */
};

/* The backup that there is one of at a time (backup.c). */
struct backup {
	struct scan_user user;
	bool on; /* there is one */
	bool told; /* its first answer was given */
	uint32_t client;
	uint64_t id;
	uint64_t index, bytes;
	int64_t credit; /* below zero when a slice was longer */
	struct instant begun;
};

/* A change of members that the leader works on. */
struct change_ask {
	uint64_t from, number, term; /* who asked, as what, of the leader of which term */
	struct blob *what; /* a member_change */
	struct instant dial_until, until;
	const char
	    *refused; /* why the node at the address cannot be added; NULL: nothing was heard against it */
};

#define CHANGE_ASKS_MAX 16

/* Of clusters by accident (strangers.c). */
enum warning {
	WARNING_JOIN, /* an address of [cluster] join */
	WARNING_MEMBER, /* the address of a member */
	WARNING_CALLER, /* a node of another cluster that takes this one for a member of it */
	WARNING_COUNT
};

struct warning_note {
	uint64_t cluster; /* which other one; 0: none */
	char *text;
	struct instant first, last; /* when it was true */
	bool said;
};

/* A cluster that does not add this node, as its id is that of a member (visit.c). */
struct visit {
	uint64_t cluster;
	char *why; /* NULL: there is none */
	char *peers[RAFT_MEMBERS_MAX]; /* the members' addresses */
	size_t peer_count;
};

#define HINTS_MAX 32

/* Does this node know a leader, or where the others could be (addresses.c)? */
struct astray {
	bool leader; /* one is known */
	struct instant leader_at; /* since when that is so, or is not; {0}: it was not looked at yet */
	bool on; /* no leader was known for long */
	char *hints[HINTS_MAX]; /* peer addresses that others told of */
	size_t hint_count;
};

struct replica {
	struct replica_env env;
	struct replica_options o; /* texts are copies */
	struct instant opened, now;
	struct identity identity;
	bool failed;
	atomic_int lane_error; /* and what of: shared by the lanes: lanes_note() */

	struct raft *raft; /* NULL while unformed */
	struct wal *wal; /* used by the log lane only */
	struct table *table; /* in force */
	struct kv *kv; /* of that table; used by the state lane only */
	struct kv_changes *changes;
	struct lane *log_lane, *state_lane, *upkeep_lane;
	STAILQ_HEAD(, log_job) log_out; /* with the lane, oldest first */
	STAILQ_HEAD(, log_job) log_over;
	STAILQ_HEAD(, state_job) state_over;

	uint64_t ticket_durable;
	struct promise_held *held;
	size_t held_count, held_room;
	bool disk_hangs;
	struct instant suspect, suspected; /* a job that is late, by its time, and since when it is watched */
	bool settle_due;
	struct instant settle_at;

	struct kv_meta meta; /* as of the last apply that came back */
	uint64_t submitted; /* the last index given to the state lane */
	struct upkeep_job upkeep[UPKEEP_COUNT];
	struct table **drops; /* what upkeep_drop() was given and has not begun with */
	size_t drop_count;
	uint64_t bytes_since_checkpoint;

	struct cut cut;
	struct slow slow;

	struct pendings pendings;
	struct reads reads;
	struct prompt *prompts;
	size_t prompt_count, prompt_room;
	uint64_t seen_term, seen_leader;
	enum raft_role seen_role;
	struct instant again_at; /* when to try once more what found no way */
	uint64_t applied_term;
	uint64_t term_opened; /* in which this life of the node began */
	struct forwarder forwarders[RAFT_MEMBERS_MAX * 2];

	struct list list; /* [cluster] members */
	char *list_text; /* that stands for it; empty: there is none */
	char *
	    unanswered; /* a formed cluster that it asked does not reach it; NULL: it does, or was not asked */
	struct instant unanswered_since;
	char *difference; /* what other lists keep it from forming a cluster; NULL: none does */
	struct acquaintance *acquaintances;
	size_t acquaintance_count;
	bool forming; /* a LOG_FORM job is out */
	bool form_wanted; /* a write waits for it, or a change of members */
	uint64_t claimed; /* by a cluster that knows the id of this node without one; 0: by none */
	struct instant claimed_at;
	uint64_t misnamed; /* of the list, the last that was complained of */
	char *foreign; /* why this node must not form a cluster; NULL: nothing */
	struct instant form_again;

	struct scan scan;
	struct backup backup;
	struct space space;
	struct health health;
	struct outage outage;
	struct receiving receiving;
	struct sending sending;
	struct change_ask asks[CHANGE_ASKS_MAX];
	size_t ask_count;
	struct instant level_tell_at; /* leading: when to say who holds the feature level back */
	char *level_told; /* who did, as was said last; NULL: nothing was said */
	uint64_t config_seen; /* the index of the configuration that the connections were made for */
	struct raft_config config_sure; /* the last committed one that was looked at */
	struct instant adopt_at, tell_gone_at;
	char *removed; /* this node is no member any more, and why; NULL: it is, or never was */
	struct agreement agreement;
	char *distrusted; /* its own state must not be used, and why; NULL: it may */
	uint64_t passed; /* to whom a request was passed last */
	struct visit visit;
	struct astray astray;
	struct warning_note warnings[WARNING_COUNT]; /* what an operator should look at */
	struct instant led_since; /* when this node was elected last */

	struct measure measure;
	struct buf frame; /* reused for every frame sent */
};

/* replica.c */
/* The node cannot go on: once, with the status with which the process ends. */
void fail_with(struct replica *r, int status, const char *why);
void fail_by(struct replica *r, enum err e, const char *what);
/* For the lanes. Between a lane's error and the end of the process the lanes are still asked for turns. None does
 * anything any more: what a failed write, sync or commit left behind must not be built upon, and a second sync or
 * commit would succeed without it. lanes_error() is the error that was noted first, or ERR_OK. `part`: of what it is. */
void lanes_note(struct replica *r, enum replica_part part, enum err e);
enum err lanes_error(struct replica *r);
bool send_frame(struct replica *r, uint64_t to);

/* start.c */
/* Reads identity, state and log; there is a core then, but on a node without a cluster. */
enum err start_open(struct replica *r);
/* Makes the core of a log that is open and what it holds. */
enum err start_raft(struct replica *r, const struct wal_found *found);

/* log_lane.c */
struct lane_work log_lane_work(struct replica *r);
void log_persist(struct replica *r, const struct raft_ready *rd);
void log_fetch(struct replica *r, const struct raft_fetch *fetch);
/* Forgets what lies in the log's oldest segments, as wal_cut(). */
void log_cut(struct replica *r, uint64_t index, uint64_t keep_bytes);
/* Bytes of its files. */
uint64_t log_bytes(const struct replica *r);
void log_form(struct replica *r, const struct identity *identity);
void log_leave(struct replica *r, const struct identity *identity);
void log_take_over(struct replica *r);
void log_tick(struct replica *r);
/* Is a job out for longer than an election timeout? Then the disk hangs. */
void log_watch(struct replica *r);
struct wal_options log_options(const struct replica *r, const struct identity *identity);
/* Makes what the phase FORMING promises: the log with its first entry, then the phase FORMED. */
enum err log_make(struct replica *r, struct identity *identity);
void log_job_free(struct log_job *j);

/* state_lane.c */
struct lane_work state_lane_work(struct replica *r);
void state_apply(struct replica *r, const struct raft_ready *rd);
/* The state is marked, durably, as not to be trusted; then agreement_distrusted(). */
void state_distrust(struct replica *r, const char *why);
void state_take_over(struct replica *r);
struct state_job *state_job_new(struct replica *r, enum state_job_kind kind);
void state_job_submit(struct state_job *j);
/* A READ does this one, too. */
void state_job_read(struct state_job *j, struct pending *p);
void state_job_free(struct state_job *j);
/* The node ends before it has taken this switch over: of the two states the one that is not in force is closed. */
void state_close_switch(struct replica *r, struct state_job *j);
/* From now on the lane applies to this state machine, which holds everything up to `index`. Takes both over. */
void state_switch(struct replica *r, struct table *table, struct kv *kv, uint64_t index);

/* upkeep.c */
struct lane_work upkeep_lane_work(struct replica *r);
void upkeep_init(struct replica *r);
void upkeep_want(struct replica *r, enum upkeep_kind kind, struct span from_now);
/* Takes over a table that is not used any more, and drops it beside the rest. Accepts NULL. */
void upkeep_drop(struct replica *r, struct table *t);
/* At the end of the replica's life: what is left to drop. */
void upkeep_fini(struct replica *r);
/* Something was applied: sooner or later, by how much there is of it and how long the log is. */
void upkeep_want_checkpoint(struct replica *r);
void upkeep_run(struct replica *r);
struct instant upkeep_deadline(const struct replica *r);

/* image_receive.c */
void image_receive_start(struct replica *r);
void image_receive_take_over(struct replica *r);
/* State and log have been switched on disk. */
void image_installed(struct replica *r);
void image_receive_fini(struct replica *r);
void on_image(struct replica *r, uint64_t from, const struct peer_image *m);

/* image_send.c */
void on_image_ack(struct replica *r, uint64_t from, const struct peer_image_ack *m);

/* answer.c */
/* Gives the answer and frees the request. */
void answer_by(struct replica *r, struct pending *p, struct ipc_answer *a);
void answer_error(struct replica *r, struct pending *p, enum err e, enum applied applied, const char *text);
void answer_result(struct replica *r, struct pending *p, struct bytes result, uint64_t revision);
/* With what this node says of itself and of the members. */
void answer_status(struct replica *r, struct pending *p);
/* One that does not wait: the error, with a text in static memory, or for ERR_OK the status, when this turn ends. */
void answer_at_turn_end(struct replica *r, uint32_t client, uint64_t id, enum err e, const char *text);
void answer_prompts(struct replica *r);
/* This client is gone. */
void prompts_forget(struct replica *r, uint32_t client);
void prompts_fini(struct replica *r);

/* backup.c */

/* It has begun, and its answers follow. Else why not: an error, and a text in static memory. */
enum err backup_ask(struct replica *r, uint32_t client, uint64_t id, const char **why);
/* Gives the first answer. */
void backup_turn(struct replica *r);
void backup_cancel(struct replica *r, uint32_t client, uint64_t id);
void backup_forget(struct replica *r, uint32_t client);

/* request.c */
/* The request waits from now on. NULL, and why. */
struct pending *request_take(
    struct replica *r, uint32_t client, uint64_t id, const struct ipc_request *q, enum err *e);
/* Nothing is answered by this node's own state any more: what became of its writes is not known here, `why`; reads look for
 * another way. */
void request_lose_state(struct replica *r, const char *why);
void request_removed(struct replica *r);
void request_again(struct replica *r);
void request_expire(struct replica *r);
void request_leader_changed(struct replica *r);
void request_applied(struct replica *r, uint64_t term);
/* The state has gone on without applying entry by entry, up to one of this term. */
void request_skipped(struct replica *r, uint64_t term);
void request_read_done(struct replica *r, const struct raft_read_done *done);
/* May a read be answered as this node's state answers it, or must it look for its way again? */
bool request_may_answer(struct replica *r, struct pending *p);

/* route.c */
/* Everything that is new, in its order, and one question for all reads that need one. */
void route_new(struct replica *r);
/* Writes at the leader wait longer until they are applied than `left`: one more would be worked for in vain. */
bool route_is_vain(const struct replica *r, struct span left);
#define REFUSED_LATE "the leader has more to write than it can in the time that this has left"
/* Of a write at the leader: false when it must wait, else it was proposed, moved, or answered. */
bool route_propose(struct replica *r, struct pending *p);
/* Hands it over whole. A read may be asked again; of anything else nobody here knows what became of it. */
void route_ask(struct replica *r, struct pending *p, uint64_t whom, enum read_level level);
/* The connection to this peer is there again. */
void route_reconnected(struct replica *r, uint64_t peer);

/* It needs a feature level that the cluster does not have. */
void route_refuse_level(struct replica *r, struct pending *p);

/* addresses.c */
void addresses_fini(struct replica *r);
/* On a member: does it know a leader? */
void addresses_tick(struct replica *r);
/* On the leader: what members say of their addresses goes into the log. */
void addresses_follow(struct replica *r);

/* level.c: feature levels (worker/kv/feature.h) */
/* ERR_VERSION (logged): this program does not know what a state of this level means. */
enum err level_check_state(const struct replica *r, unsigned level);
/* The leader sends these entries. False: one of them is not known here, and the node stops. */
bool level_knows(struct replica *r, const struct entries *list);
/* The log of this node holds these. ERR_VERSION (logged): one of them is not known here. */
enum err level_check_log(const struct replica *r, const struct entries *list);
/* The node stops: it must take over a state of which it does not know what it means. */
void level_stop_at_image(struct replica *r, const char *why);
/* The level of the last configuration in the log. */
unsigned level_now(const struct replica *r);
/* The operation needs a higher one. */
bool level_lacks(const struct replica *r, struct bytes txn);
/* What a member knows, as far as this node can say. */
unsigned level_announced(const struct replica *r, const struct raft_member *m);
/* Why an operation that needs this level is not done; the caller frees it. */
char *level_refusal(const struct replica *r, unsigned needed);
/* The leader logs what members announce, and raises the level when all know a higher one. */
void level_tick(struct replica *r);
void level_leader_changed(struct replica *r);
/* Something was applied, before which the state was this. */
void level_applied(struct replica *r, const struct kv_meta *before);

/* between.c */
/* Says that it was not proposed and never will be. */
void send_refuse(struct replica *r, uint64_t to, uint64_t term, uint64_t number, enum err e);
void on_forward(struct replica *r, uint64_t from, const struct peer_forward *m);
void on_refuse(struct replica *r, uint64_t from, const struct peer_refuse *m);
void on_ask(struct replica *r, uint64_t from, const struct peer_ask *m);
void on_tell(struct replica *r, uint64_t from, const struct peer_tell *m);

/* elsewhere.c: requests for the leader alone */

/* Such a one has come: it has less time until it is known who leads. */
void elsewhere_begin(struct replica *r, struct pending *p);
/* False when it may not, or not yet; then it was moved or answered. */
bool elsewhere_may_go_on(struct replica *r, struct pending *p, const struct raft_view *v);

/* handover.c */
void handover_route(struct replica *r, struct pending *p, const struct raft_view *v);
void handover_leader_changed(struct replica *r);
void handover_refused(struct replica *r, struct pending *p, enum err e);
void on_hand_over(struct replica *r, uint64_t from, const struct peer_hand_over *m);

/* acquaintance.c */
struct acquaintance *acquaintance_find(const struct replica *r, uint64_t incarnation);
/* Who answers at the address that this node dialed; NULL: nobody. */
struct acquaintance *acquaintance_at(const struct replica *r, struct bytes address);
void acquaintance_learn(struct replica *r, const struct peer_hello *hello, const struct bytes *dialed);
void acquaintance_fini(struct replica *r);

/* formation.c */
enum err formation_init(struct replica *r);
void formation_fini(struct replica *r);
void formation_hello(struct replica *r, const struct peer_hello *hello, const struct bytes *dialed);
void formation_tick(struct replica *r);
/* Somebody came or went: do the lists of those that are there still differ? */
void formation_compare(struct replica *r);
void formation_done(struct replica *r, struct log_job *j);
void formation_say_hello(struct replica *r);
void formation_set_peers(struct replica *r);
void on_adopt(struct replica *r, uint64_t from, const struct peer_adopt *m);
void on_claim(struct replica *r, uint64_t from, const struct peer_claim *m);
void on_form_ask(struct replica *r, uint64_t from);
void on_form(struct replica *r, uint64_t from, const struct peer_form *m);

/* membership.c */
void membership_route(struct replica *r, struct pending *p, const struct raft_view *v);
/* Once a turn: what the configurations that are new here, or newly committed, lead to. */
void membership_turn(struct replica *r);
void membership_tick(struct replica *r);
void membership_fini(struct replica *r);
/* Answers those who asked for this node's own removal. */
void membership_removed(struct replica *r);
/* The node at this address cannot be a member: it `why`. */
void membership_refused(struct replica *r, struct bytes address, const char *why);
void on_change(struct replica *r, uint64_t from, const struct peer_change *m);
void on_changed(struct replica *r, uint64_t from, const struct peer_changed *m);

/* removal.c */
bool removal_is_gone(const struct replica *r, uint64_t incarnation);
void removal_tell(struct replica *r, uint64_t incarnation);
void removal_tell_all(struct replica *r);
/* The leader tells those that are connected now and then. */
void removal_tick(struct replica *r);
/* This node is out, by the configuration of that index, 0 when it knew when it started: says so. */
void removal_note(struct replica *r, uint64_t index);
/* It will not take part in raft again, and notes it durably. */
void removal_leave(struct replica *r, uint64_t index);
void removal_left(struct replica *r, struct log_job *j);
void on_gone(struct replica *r, uint64_t from, const struct peer_gone *m);

/* relay.c: what a node that cannot use its own state is asked */
/* This node is no member of a cluster: what was passed on to it already must not go further. */
bool relay_is_outside(const struct replica *r);
bool relay_is_due(const struct replica *r, const struct pending *p);
void relay_route(struct replica *r, struct pending *p, const struct raft_view *v);

/* visit.c */
void visit_fini(struct replica *r);

/* strangers.c */
void strangers_fini(struct replica *r);
/* Sentences, each with an end of line. */
void strangers_put_warnings(const struct replica *r, struct buf *out);

/* replace.c: who may take the place of whom */
/* Why the node that the leader has dialed must not be added under its id, as a whole sentence; the caller frees it. NULL: it may. */
char *replace_objection(
    const struct replica *r, const struct member_change *c, const struct acquaintance *newcomer);

/* agreement.c */
void agreement_init(struct replica *r);
void agreement_fini(struct replica *r);
/* The state is open: it may have been marked in an earlier life. */
void agreement_open(struct replica *r);
/* The state came by this point. */
void agreement_note(struct replica *r, struct point p);
/* The state bears the mark now: raft gives out nothing more. */
void agreement_distrusted(struct replica *r);
/* Another state is about to take the place of this node's own; and has taken it. */
void agreement_replacing(struct replica *r);
void agreement_replaced(struct replica *r);
/* What is said to this peer arrives again. */
void agreement_reconnected(struct replica *r, uint64_t peer);
/* Once a turn. */
void agreement_turn(struct replica *r);
struct instant agreement_deadline(const struct replica *r);
void on_hash(struct replica *r, uint64_t from, const struct peer_hash *m);
void on_agreed(struct replica *r, uint64_t from, const struct peer_agreed *m);

/* status.c */
void status_put(struct replica *r, struct buf *out);
enum node_role status_role(const struct replica *r, const struct raft_view *v);
/* Since the leader was heard; 0 on the leader and without a cluster, UINT64_MAX: never. */
uint64_t status_leader_age_ms(const struct replica *r);

#endif
