#include <stdlib.h>
#include <string.h>

#include "tests/sim/dice.h"
#include "tests/sim/inode.h"

#define SECTOR 512

/* Enough to take it back and to do it again. */
struct inode_write {
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

void inode_sync(struct inode *i)
{
	for (size_t n = 0; n < i->count; n++) {
		blob_unref(i->writes[n].bytes);
		blob_unref(i->writes[n].before);
	}
	i->count = 0;
}

void inode_unref(struct inode *i)
{
	if (i == NULL || --i->refs > 0)
		return;
	inode_sync(i);
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
	i->writes[i->count++] = (struct inode_write){ offset, blob_new(from),
		blob_new(bytes_of(over > 0 ? i->content.data + offset : NULL, over)), size };
	put(i, offset, from);
}

uint64_t inode_volatile(const struct inode *i)
{
	uint64_t bytes = 0;

	for (size_t n = 0; n < i->count; n++)
		bytes += i->writes[n].bytes->size;
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

		if (loss == LOSE_NOTHING || (loss == KEEP_BEGINNING && n < beginning) ||
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
	inode_sync(i);
}
