#ifndef WORKER_REPLICA_INSIDE_H
#define WORKER_REPLICA_INSIDE_H

#include "common/status.h"
#include "worker/kv/kv.h"
#include "worker/log/wal.h"
#include "worker/raft/raft.h"
#include "worker/replica/identity.h"
#include "worker/replica/measure.h"
#include "worker/replica/pending.h"
#include "worker/replica/replica.h"
#include "worker/replica/space.h"

/* The inside of a replica, shared by the files of this folder. */

/* ---- log lane (log_lane.c) ---- */

enum log_job_kind { LOG_PERSIST, LOG_FETCH, LOG_SETTLE, LOG_FORM };

struct log_job {
	struct job job;
	struct replica *r;
	enum log_job_kind kind;
	enum err error;
	/* PERSIST */
	uint64_t ticket;
	bool hard_changed;
	struct raft_hard hard;
	struct entries entries; /* FETCH: the result */
	/* FETCH */
	struct raft_fetch fetch;
	/* FORM: who this node will be; the result is an open log */
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
	size_t from, size;
};

enum state_job_kind { STATE_APPLY, STATE_READ };

struct state_job {
	struct job job;
	struct replica *r;
	enum state_job_kind kind;
	enum err error;
	struct entries entries;
	struct outcome *outcomes;
	size_t outcome_count, outcome_room;
	struct buf results;
	struct kv_meta meta; /* after it */
	STAILQ_ENTRY(state_job) over;
};

/* ---- maintenance lane (upkeep.c) ---- */

enum upkeep_kind { UPKEEP_FLUSH, UPKEEP_CHECKPOINT, UPKEEP_FILL };

#define UPKEEP_FLUSH_MS 30
#define UPKEEP_CHECKPOINT_MS 10000
#define UPKEEP_FULL_MS 1000 /* the disk is full: look again so much later */

struct upkeep_job {
	struct job job;
	struct replica *r;
	enum upkeep_kind kind;
	enum err error;
	bool more; /* FILL */
	bool busy; /* on the lane */
	bool over; /* came back and was not looked at yet */
	bool due;
	struct instant at; /* not before this */
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
	char *id, *peer, *http, *build;
	char *dialed; /* the address at which this node reached it; NULL: it came by itself */
	bool reachable; /* the dialed connection is up */
};

/* A request that is answered as soon as this turn ends. */
struct prompt {
	uint32_t client;
	uint64_t id;
	enum err error; /* ERR_OK: it asked for the status */
};

/* One of the static list [cluster] members. */
struct listed {
	char *id, *peer;
};

struct replica {
	struct replica_env env;
	struct replica_options o; /* texts are copies */
	struct instant opened, now;
	struct identity identity;
	bool failed;

	struct raft *raft; /* NULL while unformed */
	struct wal *wal; /* used by the log lane only */
	struct kv *kv; /* used by the state lane only */
	struct kv_changes *changes;
	struct lane *log_lane, *state_lane, *upkeep_lane;
	STAILQ_HEAD(, log_job) log_out; /* with the lane, oldest first */
	STAILQ_HEAD(, log_job) log_over;
	STAILQ_HEAD(, state_job) state_over;
	uint64_t log_bytes;

	uint64_t ticket_durable;
	struct promise_held *held;
	size_t held_count, held_room;
	bool disk_hangs;
	struct instant suspect, suspected; /* a job that is late, by its time, and since when it is watched */
	bool settle_due;
	struct instant settle_at;

	struct kv_meta meta; /* as of the last apply that came back */
	uint64_t submitted; /* the last index given to the state lane */
	struct upkeep_job upkeep[3];
	uint64_t bytes_since_checkpoint;

	struct pendings pendings;
	struct prompt *prompts;
	size_t prompt_count, prompt_room;
	uint64_t seen_term, seen_leader;
	enum raft_role seen_role;
	struct instant again_at; /* when to try once more what found no way */
	uint64_t applied_term;
	uint64_t term_opened; /* in which this life of the node began */
	struct forwarder forwarders[RAFT_MEMBERS_MAX * 2];

	struct listed *listed;
	size_t listed_count;
	struct acquaintance *acquaintances;
	size_t acquaintance_count;
	bool forming; /* a LOG_FORM job is out */
	bool form_wanted; /* a write waits for it */
	uint64_t misnamed; /* of the list, the last that was complained of */
	char *foreign; /* why this node must not form a cluster; NULL: nothing */
	struct instant form_again;

	struct space space;
	struct measure measure;
	struct buf frame; /* reused for every frame sent */
};

/* replica.c */
void fail_by(struct replica *r, enum err e, const char *what);
bool send_frame(struct replica *r, uint64_t to);
enum err start_raft(struct replica *r, const struct wal_found *found);

/* log_lane.c */
struct lane_work log_lane_work(struct replica *r);
void log_persist(struct replica *r, const struct raft_ready *rd);
void log_fetch(struct replica *r, const struct raft_fetch *fetch);
void log_form(struct replica *r, const struct identity *identity);
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
/* Gives the reads that have nothing more to wait for to the lane. */
void state_read(struct replica *r);
void state_take_over(struct replica *r);
void state_job_free(struct state_job *j);

/* upkeep.c */
struct lane_work upkeep_lane_work(struct replica *r);
void upkeep_init(struct replica *r);
void upkeep_want(struct replica *r, enum upkeep_kind kind, struct span from_now);
void upkeep_run(struct replica *r);
struct instant upkeep_deadline(const struct replica *r);

/* request.c */
void answer_error(struct replica *r, struct pending *p, enum err e, enum applied applied, const char *text);
void answer_result(struct replica *r, struct pending *p, struct bytes result, uint64_t revision);
void request_prompt(struct replica *r);
void request_route(struct replica *r);
void request_again(struct replica *r);
void request_expire(struct replica *r);
void request_leader_changed(struct replica *r);
void request_reconnected(struct replica *r, uint64_t peer);
void request_applied(struct replica *r, uint64_t term);
void request_read_done(struct replica *r, const struct raft_read_done *done);
/* May a read at level "leader" be answered now, or must it look for the leader again? */
bool request_may_answer(struct replica *r, struct pending *p);

/* between.c */
void on_forward(struct replica *r, uint64_t from, const struct peer_forward *m);
void on_refuse(struct replica *r, uint64_t from, const struct peer_refuse *m);
void on_ask(struct replica *r, uint64_t from, const struct peer_ask *m);
void on_tell(struct replica *r, uint64_t from, const struct peer_tell *m);

/* handover.c */
void handover_route(struct replica *r, struct pending *p, const struct raft_view *v);
void handover_leader_changed(struct replica *r);
void handover_refused(struct replica *r, struct pending *p, enum err e);
void on_hand_over(struct replica *r, uint64_t from, const struct peer_hand_over *m);

/* formation.c */
enum err formation_init(struct replica *r);
void formation_fini(struct replica *r);
void formation_hello(struct replica *r, const struct peer_hello *hello, const struct bytes *dialed);
struct acquaintance *acquaintance_find(struct replica *r, uint64_t incarnation);
void formation_tick(struct replica *r);
void formation_done(struct replica *r, struct log_job *j);
void formation_say_hello(struct replica *r);
void formation_set_peers(struct replica *r);
void on_form_ask(struct replica *r, uint64_t from);
void on_form(struct replica *r, uint64_t from, const struct peer_form *m);

/* status.c */
void status_put(struct replica *r, struct buf *out);
enum node_role status_role(const struct replica *r, const struct raft_view *v);

#endif
