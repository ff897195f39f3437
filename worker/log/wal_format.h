#ifndef WORKER_LOG_WAL_FORMAT_H
#define WORKER_LOG_WAL_FORMAT_H

#include "common/err.h"
#include "worker/raft/entry.h"

/*
 * The bytes of the raft log.
 *
 * A segment is a file. Its first 4096 bytes are the head; batches follow it, each beginning where the one before
 * ends, or at the next multiple of 4096 with zeros between. What lies behind the last batch is zeros, or the end
 * of the file. Integers are little-endian.
 *
 * The log's beginning is a small file of its own beside them, replaced as a whole.
 *
 *	head	magic 8, format 4, number 8, cluster 8, incarnation 8,
 *		segment before: number 8, end 8, chain 4,
 *		base: term 8, index 8, log time 8,  hard state: term 8, vote 8,
 *		zeros, and in the last 4 of the 4096 bytes the CRC of all before
 *	batch	crc 4, size of its records 4, kind 2, zero 2, chain 4, offset 8, mark 8		(32)
 *	record	crc 4, size of its data 4, kind 2, type 2, zero 4, term 8, index 8, time 8	(40)
 *		and the data, with zeros up to a multiple of 8
 *	begins	magic 8, format 4, cluster 8, incarnation 8, number 8, CRC of all before 4	(40)
 *
 * A record is an entry, or hard state: then `index` is the vote, and type, time and data are nothing. Hard state
 * comes first in its batch, and once.
 *
 * Every CRC is CRC-32C over what follows it in its batch head or record, and continues from another one:
 * - a batch head's continues from the CRC of the segment's head, the seed. It says at which offset it lies. So it
 *   can be believed wherever it is met, and one that was written for another segment, another place or another
 *   cluster never can.
 * - a record's continues from the one before it, the first one's from its batch head. The batch head repeats the
 *   CRC of the last record (or batch head, or segment head) before it, its `chain`. So records can be believed only
 *   in the order and the place in which they were written.
 *
 * A segment's file is new (renamed to its name when its head is synced) and no byte of it is written twice, except
 * for zeros that were written ahead. An entry discards the entries of its index and above that came before it.
 *
 * What is known to be durable. A batch's `mark` is the offset up to which the last sync was complete when the
 * batch was written; all that lies before the mark of any batch head of a segment was durable once. A segment's head
 * says where the segment before it ends and the chain there: that one was synced to its end first. A log that is
 * silent gets an empty batch with a mark (wal_settle); it begins in a block of 4096 bytes of its own, so that no
 * one block can hide both a synced batch and the witness that it was synced.
 *
 * So, when a log is read: what does not validate in a segment that has a successor is damage; in the last segment
 * it is damage if any batch head behind it has a mark behind it, and else a torn tail. What a crash leaves is never
 * taken for damage: whatever part of the bytes behind the last complete sync survived, in whatever order, no mark
 * among them points past that sync. And damage is always found, with one exception that nothing on one disk can
 * mend: damage of batches that were synced and then followed by no other write at all (a crash within 50 ms), or
 * of which every batch behind is lost too. The loss of the whole newest segment shows only to whom knows what the
 * log held.
 *
 * What comes before what. Segments are a chain from the newest one back, each head naming the one before; numbers
 * rise along it, and one that is on nobody's way was superseded: its content went into a later one before that had
 * its name. The chain ends where a head names none: there the log was created, or began anew (wal_reset). Or it ends
 * where a head names a number below the one in `begins`: there the log was cut. A segment that is named and not below
 * `begins` must be there, and without `begins` any that is named.
 *
 * Cutting: (1) `begins` is replaced, synced and renamed with its directory synced; (2) only then are files removed, in
 * any order and at any time. A crash before (1) is complete leaves the old `begins`, or the new one, and all files. A
 * crash later leaves some files that the chain does not reach, even such as a directory that was not synced brings
 * back; the next start removes them. A segment can be the first only if no entry in it or behind it discards the entry
 * that its head names as its base, else the rest would not follow on that. Hard state is not lost with what is cut, for
 * each head has it, and the last segment stays.
 *
 * Beginning anew: a segment whose head names none before it, with the new base and the hard state, gets its name when it
 * is synced. That rename is the switch; the directory is synced before anybody hears of it. A crash before leaves the
 * old chain, and a file without a name; a crash behind it the new one, and segments that it does not reach.
 */

#define WAL_BLOCK 4096
#define WAL_HEAD_BYTES WAL_BLOCK
#define WAL_BATCH_BYTES 32
#define WAL_RECORD_BYTES 40

/* On disk: numbers are never reused. */
enum wal_kind {
	WAL_NOTHING = 0,
	WAL_BATCH = 1,
	WAL_HARD = 2,
	WAL_ENTRY = 3,
};

#define WAL_BEGINS_BYTES 40

/* Where the log was cut. */
struct wal_begins {
	uint64_t cluster, incarnation;
	uint64_t number; /* of what was the first segment then; those below it are gone */
};

/* Where a segment ended: everything of it before `end` was durable, and the CRC chain stood at `chain`. */
struct wal_end {
	uint64_t number; /* 0: there is no segment before */
	uint64_t end;
	uint32_t chain;
};

struct wal_head {
	uint64_t number; /* from 1 */
	uint64_t cluster, incarnation;
	struct wal_end before;
	struct raft_pos base; /* the log's last entry when this segment began */
	uint64_t base_time_ms; /* and its log time */
	struct raft_hard hard; /* as it was then */
};

struct wal_batch {
	uint64_t offset, mark;
	uint32_t size; /* of the records, without the batch head */
	uint32_t chain;
};

/* What a record says. `data` is borrowed from where it was read. */
struct wal_record {
	enum wal_kind kind;
	struct wal_batch batch; /* WAL_BATCH */
	struct raft_hard hard; /* WAL_HARD */
	struct raft_pos pos; /* WAL_ENTRY, and the rest */
	uint64_t time_ms;
	enum entry_type type;
	struct bytes data;
};

/* Fills all the WAL_HEAD_BYTES and returns the seed of the segment. */
uint32_t wal_put_head(uint8_t *at, const struct wal_head *h);
/* NULL, or what is wrong. ERR_VERSION in *e when it is whole but made by an unknown version, else ERR_DAMAGED. */
const char *wal_get_head(const uint8_t *at, struct wal_head *out, uint32_t *seed, enum err *e);

/* Fills WAL_BEGINS_BYTES. */
void wal_put_begins(uint8_t *at, const struct wal_begins *b);
/* As wal_get_head(). */
const char *wal_get_begins(struct bytes file, struct wal_begins *out, enum err *e);

/* The puts return the CRC from which the next record continues. */
uint32_t wal_put_batch(uint8_t *at, uint32_t seed, const struct wal_batch *b);
uint32_t wal_put_hard(uint8_t *at, uint32_t chain, struct raft_hard hard);
uint32_t wal_put_entry(uint8_t *at, uint32_t chain, const struct entry *e);
/* Bytes of an entry's record; never more than UINT32_MAX (asserted). */
size_t wal_entry_bytes(const struct entry *e);

/* The batch head at `at` (WAL_BATCH_BYTES there) if it is one that was written for this segment and `offset`. */
bool wal_get_batch(const uint8_t *at, uint32_t seed, uint64_t offset, struct wal_batch *out, uint32_t *crc);
/* Bytes of the record whose first WAL_RECORD_BYTES are at `at`, as it claims, not yet validated. */
uint64_t wal_record_claims(const uint8_t *at);
/* The record of `size` bytes at `at` if it is whole and continues `chain`; *crc is what the next continues. A kind or
 * type that is not known is left to the caller. */
bool wal_get_record(const uint8_t *at, size_t size, uint32_t chain, struct wal_record *out, uint32_t *crc);

/* The next multiple of `step`, a power of two. */
uint64_t wal_round_up(uint64_t n, uint64_t step);

#endif
