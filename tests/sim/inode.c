#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "tests/sim/dice.h"
#include "tests/sim/inode.h"

#define SECTOR 512

/* FORGOTTEN: in the cache, taken for clean since a sync failed, and not on the disk. SYNCED ones are kept only where
 * such a one lies before them. */
enum fate { UNSYNCED, FORGOTTEN, SYNCED };

/* Enough to take it back and to do it again. */
struct inode_write {
	enum fate fate;
	uint64_t offset;
	struct blob *bytes;
	struct blob *before; /* what lay there, as far as the file reached */
	uint64_t size_before;
};

struct inode *inode_ref(struct inode *i)
{
	if (i != NULL)
		i->refs++;
	return i;
}

static void forget(struct inode_write *w)
{
	blob_unref(w->bytes);
	blob_unref(w->before);
}

static void forget_all(struct inode *i)
{
	for (size_t n = 0; n < i->count; n++)
		forget(&i->writes[n]);
	i->count = 0;
	i->failed = false;
}

static void change_fate(struct inode *i, enum fate fate)
{
	for (size_t n = 0; n < i->count; n++)
		if (i->writes[n].fate == UNSYNCED)
			i->writes[n].fate = fate;
}

void inode_sync(struct inode *i)
{
	if (i->failed)
		change_fate(i, SYNCED);
	else
		forget_all(i);
	if (i->low != 0) {
		i->lows[1] = i->lows[0];
		i->lows[0] = i->low;
	}
	i->low = 0;
}

void inode_fail_sync(struct inode *i)
{
	change_fate(i, FORGOTTEN);
	i->failed = true;
}

uint64_t inode_proved(const struct inode *i)
{
	uint64_t low = i->lows[0] < i->lows[1] ? i->lows[0] : i->lows[1];

	if (low == 0 || i->failed || i->count > 0)
		return 0;
	return low - 1 < i->content.size ? low - 1 : i->content.size;
}

void inode_unref(struct inode *i)
{
	if (i == NULL || --i->refs > 0)
		return;
	forget_all(i);
	free(i->writes);
	buf_free(&i->content);
	free(i);
}

static void put(struct inode *i, uint64_t offset, struct bytes from)
{
	size_t end = (size_t)offset + from.size;

	if (end > i->content.size)
		buf_extend(&i->content, end - i->content.size);
	memcpy(i->content.data + offset, from.data, from.size);
}

void inode_write(struct inode *i, uint64_t offset, struct bytes from)
{
	size_t size = i->content.size, over = 0;

	if (from.size == 0)
		return;
	if (offset < size)
		over = size - (size_t)offset < from.size ? size - (size_t)offset : from.size;
	if (i->count == i->room) {
		i->room = i->room == 0 ? 8 : i->room * 2;
		i->writes = xreallocarray(i->writes, i->room, sizeof(*i->writes));
	}
	if (i->low == 0 || offset + 1 < i->low)
		i->low = offset + 1;
	i->writes[i->count++] = (struct inode_write){ UNSYNCED, offset, blob_new(from),
		blob_new(bytes_of(over > 0 ? i->content.data + offset : NULL, over)), size };
	put(i, offset, from);
}

void inode_resize(struct inode *i, uint64_t size)
{
	assert(i->count == 0);
	if (size > i->content.size)
		buf_extend(&i->content, (size_t)size - i->content.size);
	i->content.size = (size_t)size;
}

uint64_t inode_volatile(const struct inode *i)
{
	uint64_t bytes = 0;

	for (size_t n = 0; n < i->count; n++)
		bytes += i->writes[n].fate == UNSYNCED ? i->writes[n].bytes->size : 0;
	return bytes;
}

size_t inode_torn_size(struct random *dice, uint64_t offset, size_t size)
{
	size_t kept = (size_t)random_below(dice, size + 1);
	size_t past = (size_t)((offset + kept) % SECTOR);

	if (dice_chance(dice, 250000))
		return kept;
	return past < kept ? kept - past : 0;
}

static void keep_sectors(struct inode *i, const struct inode_write *w, struct random *dice)
{
	size_t at = 0;

	while (at < w->bytes->size) {
		size_t step = SECTOR - (size_t)((w->offset + at) % SECTOR);

		if (step > w->bytes->size - at)
			step = w->bytes->size - at;
		if (dice_chance(dice, 500000))
			put(i, w->offset + at, bytes_of(w->bytes->data + at, step));
		at += step;
	}
}

static void keep_beginning(struct inode *i, const struct inode_write *w, struct random *dice)
{
	put(i, w->offset, bytes_of(w->bytes->data, inode_torn_size(dice, w->offset, w->bytes->size)));
}

static void take_back_all(struct inode *i)
{
	for (size_t n = i->count; n-- > 0;) {
		const struct inode_write *w = &i->writes[n];

		memcpy(i->content.data + w->offset, w->before->data, w->before->size);
		i->content.size = (size_t)w->size_before;
	}
}

void inode_lose_power(struct inode *i, struct random *dice, enum loss loss, struct loss_counts *counts)
{
	size_t beginning = (size_t)random_below(dice, i->count + 1);

	take_back_all(i);
	for (size_t n = 0; n < i->count; n++) {
		const struct inode_write *w = &i->writes[n];

		if (w->fate != UNSYNCED) {
			if (w->fate == SYNCED || dice_chance(dice, 500000))
				put(i, w->offset, blob_bytes(w->bytes));
		} else if (loss == LOSE_NOTHING || (loss == KEEP_BEGINNING && n < beginning) ||
			   (loss == KEEP_SOME && dice_chance(dice, 500000))) {
			put(i, w->offset, blob_bytes(w->bytes));
		} else if (loss == KEEP_BEGINNING && n == beginning) {
			keep_beginning(i, w, dice);
			counts->torn++;
		} else if (loss == KEEP_SECTORS) {
			keep_sectors(i, w, dice);
			counts->torn++;
		} else {
			counts->lost++;
		}
	}
	forget_all(i);
	inode_sync(i);
}

void inode_drop_clean(struct inode *i)
{
	struct inode old = { .writes = i->writes, .count = i->count };
	uint64_t low = i->low;

	if (!i->failed)
		return;
	take_back_all(i);
	i->writes = NULL;
	i->count = i->room = 0;
	i->failed = false;
	for (size_t n = 0; n < old.count; n++) {
		struct inode_write *w = &old.writes[n];

		if (w->fate != FORGOTTEN)
			inode_write(i, w->offset, blob_bytes(w->bytes));
		if (w->fate == SYNCED)
			forget_all(i);
		forget(w);
	}
	i->low = low;
	free(old.writes);
}
