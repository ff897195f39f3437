#ifndef TESTS_SIM_INODE_H
#define TESTS_SIM_INODE_H

#include "common/buf.h"
#include "common/random.h"

/* A simulated file without its names: what it holds for whoever reads it, and which writes no sync covers yet. */
struct inode_write;

struct inode {
	unsigned refs;
	struct buf content;
	struct inode_write *writes;
	size_t count, room;
	bool failed; /* a sync has: some writes are clean in the cache and not on the disk */
	uint64_t low,
	    lows[2]; /* plus 1: where the writes since the last sync begin, those of the last sync, and before */
};

/* How a loss of power treats what was not synced. */
enum loss { LOSE_ALL, LOSE_NOTHING, KEEP_BEGINNING, KEEP_SOME, KEEP_SECTORS, LOSSES };

/* Writes that a loss of power took, whole or in part. */
struct loss_counts {
	uint64_t lost, torn;
};

/* Both accept NULL. */
struct inode *inode_ref(struct inode *i);
void inode_unref(struct inode *i);

/* Not durable until inode_sync(). */
void inode_write(struct inode *i, uint64_t offset, struct bytes from);
void inode_sync(struct inode *i);
/* What was written since the last sync is taken for clean, and only in the cache. */
void inode_fail_sync(struct inode *i);
/* The cache is dropped: of what was written and not synced what is taken for clean is gone. */
void inode_drop_clean(struct inode *i);
/* How much of it lies before all that the last two syncs made durable. */
uint64_t inode_proved(const struct inode *i);
/* It has this size, at once durably: no write, but what a filesystem does by itself. Nothing may be unsynced. */
void inode_resize(struct inode *i, uint64_t size);
/* Bytes written and not synced. */
uint64_t inode_volatile(const struct inode *i);
/* The file as it may look after a loss of power; all of that is durable. */
void inode_lose_power(struct inode *i, struct random *dice, enum loss loss, struct loss_counts *counts);
/* How much of a write of `size` bytes at `offset` gets done when it is cut short: mostly up to the border of a
 * sector. */
size_t inode_torn_size(struct random *dice, uint64_t offset, size_t size);

#endif
