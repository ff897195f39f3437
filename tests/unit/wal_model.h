#ifndef TESTS_UNIT_WAL_MODEL_H
#define TESTS_UNIT_WAL_MODEL_H

#include "tests/common/fake_disk.h"
#include "worker/log/wal.h"

/*
 * What a log should hold: everything that was ever appended, in order, as items (a hard state, an entry, or a new
 * beginning), of which a number is known to be durable. After a crash a log must hold what some number of items make,
 * not less than the durable ones; and it begins where it was last cut to, or not yet. Every append goes to log and
 * model together.
 */
struct model_item {
	bool is_hard, is_reset; /* a reset has hard state, position and time */
	struct raft_hard hard;
	struct raft_pos pos;
	uint64_t time_ms;
	enum entry_type type;
	size_t size;
	uint64_t salt; /* what the data is made from */
};

struct model {
	struct model_item *items;
	size_t count, durable;
	struct fake_disk *disk;
	struct wal_options o;
	struct wal *wal; /* NULL: not open */
	uint64_t salt;
	/* what all the items make */
	struct raft_hard hard;
	struct raft_pos last;
	uint64_t time_ms;
	/* The last cut, made when there were so many items: the log begins behind `least`, or behind any entry up to
	 * `most` where a crash came in between. */
	size_t cut_items;
	uint64_t cut_least, cut_most;
};

#define MODEL_CLUSTER 0x1111222233334444
#define MODEL_INCARNATION 0x55556666

void model_init(struct model *m);
void model_fini(struct model *m);

/* Each does the thing to the log and notes it; the error is the log's. */
enum err model_create(struct model *m);
enum err model_hard(struct model *m, struct raft_hard hard);
/* `count` entries of `size` bytes from `index` on in `term`; with a hard state of that term if it is higher. */
enum err model_append(struct model *m, uint64_t index, uint64_t term, size_t count, size_t size);
enum err model_sync(struct model *m);
enum err model_settle(struct model *m);
enum err model_fill(struct model *m, unsigned steps);
/* What is at or before `index` must be durable, and is never discarded. */
enum err model_cut(struct model *m, uint64_t index, uint64_t keep_bytes);
enum err model_reset(struct model *m, struct raft_pos base, struct raft_hard hard);
enum err model_sweep(struct model *m, unsigned steps);

/* Lets go of the log, without a sync. */
void model_close(struct model *m);
/* Opens and, on success, checks that the log holds what it may hold; the model then holds that, and all durable. */
enum err model_open(struct model *m);
/* model_open() that must succeed. */
void model_must_open(struct model *m);
/* Reads every entry, and some alone, and compares. */
void model_check_reads(struct model *m);

/* Bytes of a file in log/, by number. */
const char *model_path(uint64_t number);
/* The highest number of a segment, 0 if there is none; *count of them if not NULL. */
uint64_t model_newest(struct model *m, size_t *count);

#endif
