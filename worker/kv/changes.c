#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "worker/kv/changes.h"

/* A buffer that one large operation made longer than this is given back. */
#define KEEP_BYTES_MAX ((size_t)8 * 1024 * 1024)

struct kv_changes *kv_changes_new(void)
{
	return xcalloc(1, sizeof(struct kv_changes));
}

void kv_changes_free(struct kv_changes *c)
{
	if (c == NULL)
		return;
	buf_free(&c->bytes);
	free(c->items);
	free(c->order);
	free(c);
}

void kv_changes_clear(struct kv_changes *c)
{
	if (c->bytes.room > KEEP_BYTES_MAX)
		buf_free(&c->bytes);
	buf_clear(&c->bytes);
	c->count = 0;
	c->order_count = 0;
}

size_t kv_changes_count(const struct kv_changes *c)
{
	return c->count;
}

static struct bytes borrow(const struct kv_changes *c, size_t at, size_t size)
{
	return size == 0 ? (struct bytes){ NULL, 0 } : bytes_of(c->bytes.data + at, size);
}

struct kv_change kv_changes_at(const struct kv_changes *c, size_t i)
{
	const struct change *item = &c->items[i];

	assert(i < c->count);
	return (struct kv_change){
		.table = item->table,
		.key = borrow(c, item->key_at, item->key_size),
		.old_record = borrow(c, item->old_at, item->old_size),
		.new_record = borrow(c, item->new_at, item->new_size),
	};
}

static int compare_key(
    const struct kv_changes *c, const struct change *item, enum kv_table table, struct bytes key)
{
	if (item->table != table)
		return item->table < table ? -1 : 1;
	return bytes_compare(borrow(c, item->key_at, item->key_size), key);
}

size_t changes_seek(const struct kv_changes *c, enum kv_table table, struct bytes key)
{
	size_t low = 0, high = c->order_count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (compare_key(c, &c->items[c->order[middle]], table, key) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

bool changes_peek(const struct kv_changes *c, size_t place, enum kv_table table, struct kv_change *out)
{
	if (place >= c->order_count || c->items[c->order[place]].table != table)
		return false;
	*out = kv_changes_at(c, c->order[place]);
	return true;
}

bool changes_find(const struct kv_changes *c, enum kv_table table, struct bytes key, struct kv_change *out)
{
	return changes_peek(c, changes_seek(c, table, key), table, out) && bytes_equal(out->key, key);
}

/* Where the list has the key, the draft continues its latest change: key and old record are there already. */
static bool continue_known(struct kv_changes *c, enum kv_table table, struct bytes key)
{
	const struct change *latest;

	c->draft_place = changes_seek(c, table, key);
	c->draft_known = false;
	if (c->draft_place == c->order_count)
		return false;
	latest = &c->items[c->order[c->draft_place]];
	if (compare_key(c, latest, table, key) != 0)
		return false;
	c->draft_known = true;
	c->draft = (struct change){ table, latest->key_at, latest->key_size, latest->new_at, latest->new_size,
		0, 0 };
	return true;
}

static void begin_new(struct kv_changes *c, enum kv_table table, struct bytes key)
{
	c->draft = (struct change){ .table = table, .key_at = c->bytes.size, .key_size = key.size };
	buf_append(&c->bytes, key);
	c->draft.old_at = c->bytes.size;
}

enum err changes_begin(
    struct kv_changes *c, struct table *t, enum kv_table table, struct bytes key, struct bytes *old)
{
	enum err e = ERR_OK;

	if (!continue_known(c, table, key)) {
		begin_new(c, table, key);
		e = table_get(t, table, key, &c->bytes);
		c->draft.old_size = c->bytes.size - c->draft.old_at;
	}
	c->draft.new_at = c->bytes.size;
	*old = borrow(c, c->draft.old_at, c->draft.old_size);
	return e == ERR_NOT_FOUND ? ERR_OK : e;
}

void changes_begin_known(struct kv_changes *c, enum kv_table table, struct bytes key, struct bytes old)
{
	if (!continue_known(c, table, key)) {
		begin_new(c, table, key);
		buf_append(&c->bytes, old);
		c->draft.old_size = old.size;
	}
	c->draft.new_at = c->bytes.size;
}

static void insert_in_order(struct kv_changes *c, size_t place)
{
	if (c->order_count == c->order_room) {
		c->order_room = c->order_room == 0 ? 16 : c->order_room * 2;
		c->order = xreallocarray(c->order, c->order_room, sizeof(*c->order));
	}
	memmove(c->order + place + 1, c->order + place, (c->order_count - place) * sizeof(*c->order));
	c->order_count++;
}

void changes_end(struct kv_changes *c)
{
	c->draft.new_size = c->bytes.size - c->draft.new_at;
	if (c->draft.old_size == 0 && c->draft.new_size == 0)
		return;
	if (c->count == c->room) {
		c->room = c->room == 0 ? 16 : c->room * 2;
		c->items = xreallocarray(c->items, c->room, sizeof(*c->items));
	}
	if (!c->draft_known)
		insert_in_order(c, c->draft_place);
	c->order[c->draft_place] = (uint32_t)c->count;
	c->items[c->count++] = c->draft;
}
