#ifndef WORKER_RAFT_CORE_H
#define WORKER_RAFT_CORE_H

#include "common/random.h"
#include "worker/raft/raft_log.h"

/* The inside of struct raft, shared by the files of this folder, each of which is a concept of the thesis. */

#define WINDOW_MESSAGES 256
#define TICKETS_MAX_OUT 64 /* grows beyond when needed */
#define READ_ROUNDS_OUT 4
#define CROWD_SLACK (64 * 1024) /* bytes, for what nobody proposes: no-ops */
#define ROUNDS_KEPT 64 /* an answer to an older one confirms nothing */

/* How the leader sends to one member. Probing: one append at a time until one is accepted. Streaming: pipelined in
 * a window (§10.2.2). Image: nothing but heartbeats, for the log does not reach back to where it ends (§5). */
enum progress_state { PROGRESS_PROBE, PROGRESS_STREAM, PROGRESS_IMAGE };

struct in_flight {
	uint64_t index; /* the last of the append */
	size_t bytes;
};

struct progress {
	uint64_t id;
	enum progress_state state;
	uint64_t match, next; /* match < next */
	bool paused; /* probing: an append is out */
	bool fetching;
	bool down; /* no connection */
	bool nudge; /* an empty append is due, to find out what was lost */
	bool answered; /* in this term, so that its room is known */
	enum raft_room room;
	bool frozen; /* as it last said */
	bool image_asked; /* and not over yet */
	uint64_t image_round; /* the last one that was sent before the image was over */
	uint64_t match_before; /* at the last heartbeat's answer */
	uint64_t commit_sent;
	uint64_t round; /* the highest that it answered, §6.4 */
	struct instant
	    confirmed; /* when that round was sent; until the first, when the vote was asked for. {0}: never */
	struct instant heard;
	/* A learner's round of catching up, §4.2.1: what was committed when it began, 0 where none has; the heartbeats that
	 * began it; when. */
	uint64_t goal, goal_round;
	struct instant goal_at;
	struct in_flight window[WINDOW_MESSAGES]; /* a ring */
	size_t window_head, window_count, window_bytes;
};

struct ticket {
	uint64_t number;
	uint64_t index; /* the last entry that is durable with it; falls when the log is cut (E10) */
};

/* A read that waits on the leader. */
struct read_wait {
	uint64_t from, start, number;
	uint64_t index; /* 0: the leader has not committed in its term yet (R1) */
	uint64_t round; /* 0: in none yet; it joins the next, never one under way (R4) */
};

struct messages {
	struct raft_message *data;
	size_t count, room;
};

struct raft {
	struct raft_options o;
	struct random random;
	enum raft_role role;
	struct raft_hard hard;
	bool hard_dirty;
	uint64_t leader;
	struct raft_log log;

	/* The configuration at log.base or a later one that is committed, and every one behind it; the last in force, so
	 * that cutting brings the one before back (M4). */
	struct raft_config *configs;
	size_t config_count, config_room;

	struct instant now; /* of the last input that told the time */

	/* Timers. */
	struct instant election_at; /* when to stand, or to stand again */
	struct instant heartbeat_at, quorum_check_at;
	struct instant heard; /* the leader */
	bool lost; /* its connection closed and it was not heard since */

	/* Elections. */
	enum quorum_vote votes[RAFT_MEMBERS_MAX]; /* parallel to the configuration's members */
	struct instant stood; /* when the votes of this candidacy were asked for */
	uint64_t vote_ticket; /* a candidate's own vote counts when this is durable (D2) */

	/* Leading. */
	struct progress *peers; /* all members but self */
	size_t peer_count;
	struct instant led_since;
	uint64_t led_from_ms; /* log time at that moment */

	/* Transfer, §3.10. */
	uint64_t transfer_to; /* 0: none under way */
	bool transfer_told;
	bool unfit; /* to lead: the disk hangs */
	struct instant transfer_until;

	/* Room on the disks (room.c). */
	enum raft_room room; /* on this node's */
	bool roomy; /* leading: a majority of the voters has room, and was heard lately */
	struct instant yield_at; /* leading without room: when to try to hand over again */

	/* Reads, §6.4. */
	uint64_t round, round_confirmed;
	struct instant rounds_sent[ROUNDS_KEPT]; /* by number, modulo */
	struct read_wait *reads;
	size_t read_count, read_room;

	/* Durability. */
	uint64_t ticket_given, ticket_durable;
	struct ticket *tickets;
	size_t ticket_count, ticket_room;

	/* The state. */
	bool frozen; /* it is not to be trusted */
	uint64_t state_at; /* it holds this */
	/* Nothing is handed out to be applied until this is durable: the term that committed it, the image that it follows. */
	uint64_t apply_ticket;
	bool install, rebase; /* for the next ready */
	struct raft_pos install_pos;
	uint64_t install_time_ms;
	struct entries fetched; /* to be applied, from disk */
	bool fetching;

	/* What the next ready gives out; cleared by raft_advance(). */
	struct messages messages, promises;
	struct entries to_persist, to_apply;
	struct raft_read_done *reads_done;
	size_t read_done_count, read_done_room;
	struct raft_fetch *fetches;
	size_t fetch_count, fetch_room;
	uint64_t images[RAFT_MEMBERS_MAX];
	size_t image_count;
};

/* raft.c */
struct raft_message *send_now(struct raft *r, enum raft_type type, uint64_t to);
struct raft_message *promise(struct raft *r, enum raft_type type, uint64_t to);
void add_entry(struct raft *r, const struct entry *e);
void cut_log(struct raft *r, uint64_t index);
void advance_commit(struct raft *r, uint64_t index);
void add_config(struct raft *r, const struct raft_config *c);
/* False: it cannot be read. */
bool push_config(struct raft *r, uint64_t index, struct blob *data);
/* No configuration before the last one up to this index comes back: what is committed is not cut. */
void forget_configs(struct raft *r, uint64_t index);
const struct raft_config *config_now(const struct raft *r);
bool is_voter(const struct raft *r);
/* The invariants, as one readable function; any false one ends the process. */
void check(const struct raft *r);

/* apply.c */
void gather_committed(struct raft *r, struct raft_ready *rd);
void take_fetched(struct raft *r, const struct entries *entries);

/* image.c */
/* It needs an image: what it lacks the log holds no more. */
void need_image(struct progress *p);
void ask_images(struct raft *r);
void note_frozen(struct progress *p, bool frozen, uint64_t round);
void gather_install(struct raft *r, struct raft_ready *rd);

/* election.c */
void become_follower(struct raft *r, uint64_t term, uint64_t leader, struct instant now);
/* What a member answered to this candidacy; `arg` is the core. */
enum quorum_vote vote_of(void *arg, uint64_t id);
void reset_election(struct raft *r, struct instant now);
void stand(struct raft *r, struct instant now);
bool leader_is_heard(const struct raft *r, struct instant now);
void on_prevote(struct raft *r, const struct raft_message *m, struct instant now);
void on_prevote_answer(struct raft *r, const struct raft_message *m, struct instant now);
void on_vote(struct raft *r, const struct raft_message *m, struct instant now);
void on_vote_answer(struct raft *r, const struct raft_message *m, struct instant now);
void on_timeout_now(struct raft *r, const struct raft_message *m, struct instant now);
void count_own_vote(struct raft *r, struct instant now);

/* replication.c */
void start_leading(struct raft *r, struct instant now);
void stop_leading(struct raft *r);
void send_appends(struct raft *r);
void send_heartbeats(struct raft *r);
void count_commit(struct raft *r);
void probe(struct progress *p, uint64_t next);
void ask_fetch(struct raft *r, uint64_t peer, uint64_t index);
struct progress *progress_of(const struct raft *r, uint64_t id);
/* Has it answered within the last election timeout? */
bool is_heard(const struct raft *r, const struct progress *p, struct instant now);
bool quorum_is_heard(const struct raft *r, const struct quorum *q, struct instant now);
void on_append(struct raft *r, const struct raft_message *m, struct instant now);
void on_append_answer(struct raft *r, const struct raft_message *m, struct instant now);
void on_heartbeat(struct raft *r, const struct raft_message *m, struct instant now);
void on_heartbeat_answer(struct raft *r, const struct raft_message *m, struct instant now);

/* change.c */
void follow_config(struct raft *r);
void drive_change(struct raft *r, struct instant now);

/* transfer.c */
/* Of the other connected voters, those that leave aside, the one that holds most of the log; NULL when there is none.
 * `room`: one that said it has room. */
struct progress *furthest(const struct raft *r, bool room);
void begin_transfer(struct raft *r, const struct progress *p, struct instant now);
/* Nobody else could ever lead. */
bool is_alone(const struct raft *r);
void drive_transfer(struct raft *r);
bool tick_transfer(struct raft *r, struct instant now);

/* room.c */
void note_room(struct raft *r, struct progress *p, uint8_t room, struct instant now);
/* With the time: who was heard lately; and a leader without room gives way. */
void tick_room(struct raft *r, struct instant now);
bool takes_writes(const struct raft *r, struct instant now);
/* The last entry that this member is to be sent for now. */
uint64_t send_limit(const struct raft *r, const struct progress *p);
/* How many of the entries, of which the first `held` are in the log, this node accepts. */
size_t count_acceptable(const struct raft *r, const struct entries *list, size_t held);
/* What a node without room waits longer than others before it stands. */
struct span reluctance(const struct raft *r);

/* read.c */
void start_read_round(struct raft *r);
void confirm_reads(struct raft *r);
void note_round(struct raft *r, struct progress *p, uint64_t round);
void give_reads_index(struct raft *r);
void drop_reads(struct raft *r);
void on_read(struct raft *r, const struct raft_message *m);
void on_read_answer(struct raft *r, const struct raft_message *m);

#endif
