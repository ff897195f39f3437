#ifndef WORKER_LOG_WAL_H
#define WORKER_LOG_WAL_H

#include "common/disk.h"
#include "worker/raft/entry.h"

/*
 * The raft log on disk: segments in the directory log/, named %016x.log by number, append-only, zero-filled ahead
 * of use. Entries and hard state lie in one stream, so that one sync covers both. The oldest segments are cut away
 * when their entries are needed no more. How the bytes look, and why a torn tail is told from damage and a cut from a
 * loss, is written in wal_format.h.
 *
 * One thread at a time uses a wal (the log lane), with two exceptions: wal_fill() and wal_sweep() run on the
 * maintenance lane at the same time. After any error but ERR_NO_SPACE of wal_fill() the wal must not be used any
 * more: the node ends.
 */
struct wal;

struct wal_options {
	struct disk *disk;
	uint64_t cluster, incarnation; /* stand in every segment's header; another's log is ERR_DAMAGED */
	uint64_t segment_bytes; /* 64 MiB in production; at least WAL_SEGMENT_LEAST */
	/* Told by wal_open() while it reads: bytes read of bytes in all. NULL: nobody. */
	void (*progress)(void *arg, uint64_t done, uint64_t total);
	void *progress_arg;
};

#define WAL_SEGMENT_LEAST (64 * 1024)

/* A run of entries of one term: it begins at `first` and lasts until the next run or the last entry. */
struct wal_term {
	uint64_t term, first;
};

/* What a log holds, after wal_open(). The arrays belong to it; wal_found_free() releases them. */
struct wal_found {
	struct raft_hard hard;
	struct raft_pos
	    base; /* the position before the first entry kept: {0, 0} until the log is ever cut or reset */
	struct raft_pos last; /* == base when there are no entries */
	uint64_t last_time_ms;
	struct wal_term *terms; /* of the entries base+1 .. last */
	size_t term_count;
	uint64_t *configs; /* indexes of the ENTRY_CONFIG entries, rising */
	size_t config_count;
	uint64_t cut_bytes; /* of a torn tail that was cut off, 0 for a clean end; it was logged */
};
void wal_found_free(struct wal_found *f);

/* Makes a new log, durable when it returns: directory, first segment, hard state {term of first, vote 0}, and one
 * entry. What lies in log/ (of a creation that a crash interrupted) is removed first. */
enum err wal_create(const struct wal_options *o, const struct entry *first);
/* Likewise, without entries: it goes on behind `base`, whose log time is `time_ms`. */
enum err wal_create_at(
    const struct wal_options *o, struct raft_pos base, uint64_t time_ms, struct raft_hard hard);

/* Reads the log, tells what it holds, and makes it safe to promise again (DESIGN 4: what was read from the page
 * cache only is copied behind a sync). A torn tail is cut and logged. ERR_NOT_FOUND: there is no log;
 * ERR_DAMAGED: file, offset and reason were logged, nothing was changed. ERR_VERSION: what it holds is whole, but
 * a later version wrote it; logged too. */
enum err wal_open(struct wal **out, const struct wal_options *o, struct wal_found *found);

/* Accepts NULL. Syncs nothing. */
void wal_close(struct wal *w);

/* Writes one batch: the hard state if not NULL, then the entries. An entry whose index is not after the last one
 * discards that one and all behind it. Durable only after wal_sync(). The entries must follow on each other and on
 * what stays (asserted). */
enum err wal_append(struct wal *w, const struct raft_hard *hard, const struct entry *entries, size_t count);

/* Everything appended so far becomes durable. */
enum err wal_sync(struct wal *w);

/* Notes on disk that the last sync is complete, by an empty synced batch, if nothing says so yet; called after
 * 50 ms of silence. Afterwards any damage before this point is known to be damage. */
enum err wal_settle(struct wal *w);

/* Reads entries from `index` on, at least one and then as many as fit into `bytes_max`, appended to *out. They
 * may be unsynced. An index beyond the last or at or before the base is a bug (asserted). */
enum err wal_read(struct wal *w, uint64_t index, size_t bytes_max, struct entries *out);

/* The position before the first entry that can be read. */
struct raft_pos wal_base(const struct wal *w);

/* Forgets the oldest whole segments as long as all together take more than `keep_bytes` and all entries of the
 * oldest are at or before `index`, which must be committed and must not be needed again; the last segment stays.
 * Durable when it returns; the files are removed by wal_sweep(). */
enum err wal_cut(struct wal *w, uint64_t index, uint64_t keep_bytes);

/* Discards all entries: the log goes on behind `base`, whose log time is `time_ms`, with this hard state. Durable when
 * it returns; a crash leaves either the log as it was or this one. The files are removed by wal_sweep(). */
enum err wal_reset(struct wal *w, struct raft_pos base, uint64_t time_ms, struct raft_hard hard);

/* Removes one file of what was cut away or discarded; *more is false when none is left. Beside the log lane. */
enum err wal_sweep(struct wal *w, bool *more);

/* Prepares the next segment by one synced step of 256 KiB; *more is false when it is complete. ERR_NO_SPACE is no
 * damage: the step is tried again later. */
enum err wal_fill(struct wal *w, bool *more);

/* Bytes in all files, also of segments that are to be removed. */
uint64_t wal_disk_bytes(const struct wal *w);

#endif
