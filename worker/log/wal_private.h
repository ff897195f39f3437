#ifndef WORKER_LOG_WAL_PRIVATE_H
#define WORKER_LOG_WAL_PRIVATE_H

#include <stdatomic.h>

#include "worker/log/wal.h"
#include "worker/log/wal_format.h"

/* The inside of the log, for its own files and its tests. */

#define WAL_DIR "log"
/* A segment before it has its name: filled ahead by wal_fill(), or made at once. Worthless after a crash. */
#define WAL_NEXT WAL_DIR "/next.fill"
#define WAL_FRESH WAL_DIR "/fresh.fill"
/* Where the log was cut; not there until it is. */
#define WAL_BEGINS WAL_DIR "/begins"

#define WAL_FILL_STEP (256 * 1024)
/* A batch beyond this is written as several; only a single entry makes a larger one. */
#define WAL_BATCH_MOST (4 * 1024 * 1024)
/* Entries between two points of the index take at most this much to read over. */
#define WAL_POINT_BYTES (16 * 1024)

struct wal_segment {
	struct wal_head head;
	uint32_t seed;
	uint64_t end; /* behind the last valid batch that counts */
	uint64_t bytes; /* the file's size */
	struct disk_file *file;
};

/* Where to begin to read for the entries from `index` up to the next point's. */
struct wal_point {
	uint64_t index;
	uint64_t offset; /* of the record of the entry `index` */
	uint32_t segment; /* a place in wal.segments */
	uint32_t chain; /* from which that record continues */
	uint32_t left; /* bytes from there to the end of its batch */
};

/* A segment that is no part of the log any more and not yet removed. */
struct wal_gone {
	struct wal_gone *next;
	uint64_t number, bytes;
	struct disk_file *file;
};

struct wal {
	struct wal_options o;

	struct wal_segment *segments; /* the last one is appended to */
	size_t segment_count;

	struct wal_point *points; /* rising in index */
	size_t point_count, point_room;

	struct raft_hard hard;
	struct raft_pos base, last;
	uint64_t last_time_ms;

	uint32_t chain; /* at the end of the last segment */
	uint64_t synced; /* of the last segment, up to here */
	uint64_t limit; /* where the last segment should end */
	bool settled; /* nothing but an empty batch lies behind the last mark */
	struct buf out; /* a batch in the making */
	struct buf in; /* what wal_read() has read */

	/* The next segment. Whoever sets `filling` may use the two below it until he clears it; nobody waits. */
	atomic_bool filling;
	struct disk_file *next; /* NULL: not begun */
	uint64_t next_bytes;

	/* The log lane puts in front of `gone`; the sweep takes it whole, and one after the other from there. */
	_Atomic(struct wal_gone *) gone;
	struct wal_gone *sweeping;

	atomic_uint_least64_t disk_bytes;
};

/* --- wal_segment.c: files --- */

/* The path of a segment, in *to. */
struct wal_path {
	char text[32];
};
struct wal_path wal_path_of(uint64_t number);
/* Adds a segment with this head behind the others, not synced, not yet under its name. `prepared`: what wal_fill()
 * made may be used. *name is where it lies, static memory. */
enum err wal_segment_begin(struct wal *w, const struct wal_head *head, bool prepared, const char **name);
/* Gives the last segment, synced before, its name. */
enum err wal_segment_publish(struct wal *w, const char *name);
/* Writes zeros up to `to` behind the end of a file of *bytes. */
enum err wal_zero(struct wal *w, struct disk_file *f, uint64_t *bytes, uint64_t to);
/* Ends the last segment, synced, and begins the next, synced, that has room for `need` bytes. */
enum err wal_segment_change(struct wal *w, uint64_t need);
struct wal_segment *wal_last_segment(struct wal *w);

/* --- wal_append.c --- */

/* One batch into the last segment, however much room is there: the hard state if not NULL, then the entries. */
enum err wal_write_batch(
    struct wal *w, const struct raft_hard *hard, const struct entry *entries, size_t count);
/* An empty batch, synced, in a block of its own: what was synced before is now known to be. All must be synced. */
enum err wal_write_mark(struct wal *w);

/* --- wal_index.c: where entries lie --- */

/* Notes the entry at `at`, and forgets those that it discards. Comes before w->last takes its position. */
void wal_index_note(struct wal *w, const struct wal_point *at);
/* The last point at or before `index`. */
size_t wal_index_find(const struct wal *w, uint64_t index);
/* The index of the first entry that lies in the segment at this place or behind it; one behind the last if none. */
uint64_t wal_index_first(const struct wal *w, size_t segment);
/* The first `count` segments are no more. */
void wal_index_forget(struct wal *w, size_t count);

/* --- wal_scan.c: reading record by record --- */

struct wal_scan {
	struct disk_file *file;
	uint32_t seed;
	uint64_t end; /* nothing is read from here on */
	size_t read_most; /* bytes read at a time, at least */
	uint64_t offset; /* of the next record */
	uint32_t chain; /* from which it continues */
	uint64_t left; /* bytes to the end of the batch; 0: a batch head comes next */
	uint64_t whole; /* behind the last batch of which all was valid */
	const char *why; /* when there was nothing valid: what is there */
	struct buf *buf; /* borrowed */
	uint64_t buf_offset;
};

/* Begins behind the head of `s`. `buf` must live as long; what is in it is discarded. */
struct wal_scan wal_scan_begin(const struct wal_segment *s, uint64_t end, struct buf *buf);
/* Reads the next record; its data is valid until the next call. Its kind is WAL_NOTHING where no valid one is:
 * `why` says what is wrong and offset where, and the scan is over. ERR_VERSION: logged. */
enum err wal_scan_next(struct wal_scan *s, struct wal_record *out);

/* What lies at and behind `from` in a segment whose batches end there. */
struct wal_rest {
	uint64_t mark; /* the highest of all batch heads found, or 0 */
	uint64_t proof; /* the offset of the head that has it */
	uint64_t bytes; /* up to the last byte that is not zero */
};
enum err wal_scan_rest(const struct wal_segment *s, uint64_t from, struct buf *buf, struct wal_rest *out);

/* Logs it; returns ERR_DAMAGED. */
enum err wal_damaged(uint64_t number, uint64_t offset, const char *reason);
enum err wal_file_damaged(const char *path, uint64_t offset, const char *reason);

/* --- wal_find.c --- */

/* The numbers of all segments in the directory, rising; the caller frees the array. */
struct wal_numbers {
	uint64_t *data;
	size_t count;
};
/* Opens the segments of the log and reads their heads, into w->segments. Superseded ones, and what is left of those
 * that were cut away, are in *all only. ERR_NOT_FOUND: there is no log. */
enum err wal_find_segments(struct wal *w, struct wal_numbers *all);

/* --- wal_begins.c --- */

/* The number of the segment before which the log was cut; 0: it never was. */
enum err wal_begins_read(const struct wal_options *o, uint64_t *number);
/* Durable when it returns. */
enum err wal_begins_write(const struct wal_options *o, uint64_t number);

/* --- wal_found.c --- */

/* Takes the entry in, with what it discards. NULL, or why it cannot follow on the others. */
const char *wal_found_entry(struct wal_found *f, struct raft_pos pos, uint64_t time_ms, enum entry_type type);

/* --- wal.c --- */

struct wal *wal_new(const struct wal_options *o);

#endif
