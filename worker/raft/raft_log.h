#ifndef WORKER_RAFT_RAFT_LOG_H
#define WORKER_RAFT_RAFT_LOG_H

#include "worker/raft/raft.h"

/*
 * The log as the core sees it: the terms of all entries as runs, the newest entries in memory, and how far each
 * stage has come:
 *
 *	base <= applied <= min(commit, durable);  durable <= handed <= last;  base < first <= durable + 1
 *
 * handed: given out to be persisted. durable: on this node's own disk; an image that is on its way there may be ahead
 * of it (raft_install()), and the base of a new log counts before it is.
 */
struct raft_log {
	struct raft_pos base, last;
	uint64_t last_time_ms;
	struct raft_run *runs;
	size_t run_count, run_room;
	struct entry *ring; /* entries first .. last; index i lies at ring[i & (room - 1)] */
	size_t room; /* a power of two */
	uint64_t first; /* in memory; last.index + 1 when there are none */
	size_t bytes; /* of the entries in memory */
	size_t unapplied_bytes; /* of those of them that are behind `applied` */
	uint64_t handed, durable, commit, applied;
};

void raft_log_init(struct raft_log *l, const struct raft_start *s);
void raft_log_fini(struct raft_log *l);

/* 0 for a position that the log does not hold; base's term for base. */
uint64_t raft_log_term(const struct raft_log *l, uint64_t index);
bool raft_log_matches(const struct raft_log *l, struct raft_pos p);
/* An entry in memory; valid until the log changes. */
const struct entry *raft_log_at(const struct raft_log *l, uint64_t index);
/* Adds the entry that follows the last one; takes a reference to its data. */
void raft_log_add(struct raft_log *l, const struct entry *e);
/* Drops `index` and everything behind it, all of which must be uncommitted (C6). */
void raft_log_cut(struct raft_log *l, uint64_t index);
/* The last position at or before `index` whose term is not above `term`: where two logs may still agree (§3.5). */
struct raft_pos raft_log_back_off(const struct raft_log *l, uint64_t index, uint64_t term);
/* Lets entries up to `index` go from memory, oldest first, while it holds more than `bytes_max`. */
void raft_log_trim(struct raft_log *l, uint64_t index, size_t bytes_max);
void raft_log_set_applied(struct raft_log *l, uint64_t index);
/* It begins behind `base` from now on, one of its positions. */
void raft_log_cut_before(struct raft_log *l, struct raft_pos base);
/* All entries go; an empty log behind `base`, all of which is committed, applied and durable. */
void raft_log_rebase(struct raft_log *l, struct raft_pos base, uint64_t time_ms);

#endif
