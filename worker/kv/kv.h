#ifndef WORKER_KV_KV_H
#define WORKER_KV_KV_H

#include "common/err.h"
#include "worker/kv/feature.h"
#include "worker/kv/table.h"

/*
 * The state machine: what an operation does to tables. Pure: no clock, no option, no locale, no randomness; the
 * same entries in the same order give the same tables, results and hash on every node (RAFT-CHECKLIST C12).
 * (Of the entry's position and time it knows the numbers only, not raft's types.)
 */

/* Numbers are in the log: never reused. */
enum kv_guard_kind {
	GUARD_MODIFY = 1, /* the key's modify revision is this one */
	GUARD_ABSENT = 2,
	GUARD_EXISTS = 3,
};
enum kv_step_kind {
	STEP_PUT = 1,
	STEP_DELETE = 2,
	STEP_DELETE_PREFIX = 3,
	STEP_GET = 4,
	STEP_RANGE = 5,
	STEP_TXN = 6, /* nested; its own guards */
};

/* Which limit of a TOO_LARGE result was met. In messages between nodes: never reused. */
enum kv_bound {
	BOUND_UNSAID = 0, /* by an earlier version */
	BOUND_RESULT = 1, /* KV_RESULT_BYTES_MAX */
	BOUND_VISITS = 2, /* KV_TXN_VISITS_MAX */
	BOUND_DELETE_KEYS = 3, /* KV_DELETE_KEYS_MAX */
	BOUND_DELETE_BYTES = 4, /* KV_DELETE_BYTES_MAX */
};

#define WIRE_TABLE "worker/kv/kv.def"
#define WIRE_PREFIX kv
#include "common/wire_declare.h"

/* Limits that matter in apply, as of feature level 0. Apply itself takes them from kv_limits(): one that changes does so
 * with a level, never with the program's version. */
#define KV_KEY_BYTES_MAX 4096
#define KV_VALUE_BYTES_MAX (1024 * 1024)
#define KV_DELETE_KEYS_MAX 10000
#define KV_DELETE_BYTES_MAX (16 * 1024 * 1024)
#define KV_PAGE_KEYS_MAX 1000
#define KV_PAGE_BYTES_MAX (2 * 1024 * 1024)
/* The one size from which the others follow: what is proposed, passed to the leader and sent to followers fits into a frame
 * between nodes (worker/replica/start.c) and into a message between processes (worker/desks.c). A log may hold larger
 * ones, that earlier versions let in: apply does not ask. */
#define KV_TXN_BYTES_MAX (7 * 1024 * 1024)
#define KV_TXN_STEPS_MAX 10000 /* and so many guards, nested ones included */
#define KV_TXN_DEPTH_MAX 4
#define KV_TXN_VISITS_MAX 100000 /* records that its RANGE and DELETE_PREFIX steps pass by */
#define KV_CONTENT_TYPE_BYTES_MAX 1024
#define KV_RESULT_BYTES_MAX (4 * 1024 * 1024)
#define KV_TOKEN_BYTES_MAX 256
#define KV_TOKENS_MAX 1000000
#define KV_TOKEN_LIFE_MS (10 * 60 * 1000)

/* One change of one record; empty bytes stand for "no record". Borrowed from the list of changes. */
struct kv_change {
	enum kv_table table;
	struct bytes key, old_record, new_record;
};

/* The changes of one entry in order: store, state hash and, later, image and watches are fed by this alone. */
struct kv_changes;
struct kv_changes *kv_changes_new(void);
void kv_changes_free(struct kv_changes *c);
void kv_changes_clear(struct kv_changes *c);
size_t kv_changes_count(const struct kv_changes *c);
struct kv_change kv_changes_at(const struct kv_changes *c, size_t i);

/* Additive 128-bit hash over (table, key, record) of all tables but TABLE_META: independent of the order in which
 * the state came about. */
struct kv_hash {
	uint64_t high, low;
};

/* Kept in TABLE_META in the same unit as what it stands for. */
struct kv_meta {
	uint64_t applied_term, applied_index;
	uint64_t time_ms; /* the log time reached */
	uint64_t tokens; /* in the table of tokens */
	struct kv_hash hash;
	unsigned
	    level; /* the feature level: not in this record but in TABLE_SETTINGS, as all nodes have it */
};

struct kv;
/* Borrows the table, which must outlive it, and reads what it holds. Whether its feature level is one that this program
 * knows is for the caller to ask (kv_meta). ERR_DAMAGED, ERR_VERSION, ERR_IO. */
enum err kv_open(struct kv **out, struct table *t);
/* No image of it may be under way (asserted). */
void kv_close(struct kv *kv);
/* As of the last kv_settle(); valid until the next. */
const struct kv_meta *kv_meta(const struct kv *kv);

/* An operation is checked before it is proposed, by the same rules that apply follows and for its size: ERR_OK,
 * ERR_BAD_REQUEST, ERR_TOO_LARGE, ERR_KEY_TOO_LONG. `writes` tells whether it may have writing steps. What the feature level
 * does not know is ERR_BAD_REQUEST. */
enum err kv_txn_check(struct bytes txn, bool writes, unsigned level);
/* Appends which limit that is, its value and what there is, where it is TOO_LARGE or KEY_TOO_LONG; else nothing. */
void kv_txn_excess(struct bytes txn, bool writes, unsigned level, struct buf *why);
/* The lowest feature level, from `level` to `most`, at which the check of this operation comes to something else than
 * ERR_BAD_REQUEST; `level` where there is none. */
unsigned kv_txn_level(struct bytes txn, bool writes, unsigned level, unsigned most);

/* Applies one command (kv_command, encoded) as of index and log time; changes nothing yet: `changes` (cleared
 * first) says what to change, `result` gets an encoded kv_result appended. A command that is not well formed has
 * the result BAD_REQUEST and no change; so has one with a step that the state's feature level does not know, whatever the
 * program does: on every node alike. The error returned is the table's.
 *
 * Guards are judged before any step of their txn. A nested txn whose guard fails says so in its own result and does
 * not undo what is around it; one at the top changes nothing, and neither does any step that is TOO_LARGE.
 *
 * A token is remembered with the results OK and CONDITION. A refusal (BAD_REQUEST, KEY_TOO_LONG, TOO_LARGE,
 * TOKEN_REUSED, TOKENS_FULL) applied nothing and is not remembered: a repeat is judged anew. Expired tokens are
 * removed a few at a time by each command, through the changes; until then they count as absent. */
enum err kv_apply_command(struct kv *kv, uint64_t index, uint64_t time_ms, struct bytes command,
    struct kv_changes *changes, struct buf *result);
/* The members of the cluster as of an entry: kept as one record in TABLE_MEMBERS. The feature level that the entry says is
 * that of the state for all entries behind it; it never falls. */
enum err kv_apply_members(
    struct kv *kv, uint64_t index, struct bytes members, unsigned level, struct kv_changes *changes);
/* Appends what the last settled one said, and its index. ERR_NOT_FOUND: there was none. */
enum err kv_members(struct kv *kv, uint64_t *index, struct buf *members);

/* Puts the changes into the table and the hash, and counts the entry as applied; `time_ms` is its log time. Called
 * for every entry, also for one without changes, in order: an index that does not follow is a bug (asserted). */
enum err kv_settle(
    struct kv *kv, uint64_t term, uint64_t index, uint64_t time_ms, const struct kv_changes *changes);
/* Writes kv_meta and commits: everything settled since the last time is one atomic unit. */
enum err kv_commit(struct kv *kv);

/* The state is just as an image brought it: nothing was applied since. */
bool kv_is_image(const struct kv *kv);
/* From now on this state is not to be trusted, and why; what is settled is committed with it. Durable when it returns.
 * An image that takes the state's place takes the mark away. */
enum err kv_quarantine(struct kv *kv, struct bytes why);
/* NULL: it is to be trusted. Borrowed. */
const char *kv_quarantined(const struct kv *kv);
/* The state goes on at another position, which lies ahead, as if everything before it had changed nothing: what `members`
 * says, and the feature level, is all that is new there. Commits. */
enum err kv_move(struct kv *kv, uint64_t term, uint64_t index, struct bytes members, unsigned level);

/* Does the reading steps of `txn` (encoded) on what is settled; appends an encoded kv_result whose revision is the
 * applied index. A page of a RANGE ends at its limit, KV_PAGE_KEYS_MAX or KV_PAGE_BYTES_MAX. The error returned is
 * the table's; a refusal is in the result. */
enum err kv_read(struct kv *kv, struct bytes txn, struct buf *result);

/* Builders, for whoever turns a request into an operation: append one encoded step or guard. */
void kv_put_step(struct buf *steps, struct bytes key, struct bytes value, struct bytes content_type);
void kv_delete_step(struct buf *steps, struct bytes key);
void kv_delete_prefix_step(struct buf *steps, struct bytes prefix);
/* The first keys of the prefix, at most `limit`; 0: all of them. */
void kv_delete_first_step(struct buf *steps, struct bytes prefix, uint32_t limit);
void kv_get_step(struct buf *steps, struct bytes key);
void kv_range_step(
    struct buf *steps, struct bytes prefix, struct bytes after, uint32_t limit, bool keys_only);
void kv_guard(struct buf *guards, enum kv_guard_kind kind, struct bytes key, uint64_t modify);

#endif
