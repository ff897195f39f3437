#include <stdio.h>

#include "tests/common/kv_random.h"

#define KEY_ROOM 24

static struct bytes pick_key(struct random *r, char room[KEY_ROOM])
{
	int size = snprintf(
	    room, KEY_ROOM, "%c/%02u", (char)('a' + random_below(r, 4)), (unsigned)random_below(r, 40));

	return bytes_of(room, (size_t)size);
}

static struct bytes pick_prefix(struct random *r, char room[KEY_ROOM])
{
	struct bytes key = pick_key(r, room);

	/* The empty prefix, which is everything, comes seldom. */
	key.size = random_below(r, 16) == 0 ? 0 : 2 + (size_t)random_below(r, 2);
	return key;
}

static void add_put(struct random *r, struct buf *steps)
{
	char key[KEY_ROOM];
	uint8_t value[3000];
	size_t size = (size_t)random_below(r, random_below(r, 8) == 0 ? sizeof(value) : 40);

	for (size_t i = 0; i < size; i++)
		value[i] = (uint8_t)random_next(r);
	kv_put_step(steps, pick_key(r, key), bytes_of(value, size),
	    bytes_text(random_below(r, 3) == 0 ? "text/plain" : ""));
}

static void add_read(struct random *r, struct buf *steps)
{
	char key[KEY_ROOM], after[KEY_ROOM];

	if (random_below(r, 2) == 0) {
		kv_get_step(steps, pick_key(r, key));
		return;
	}
	struct bytes prefix = pick_prefix(r, key), behind = pick_key(r, after);
	if (random_below(r, 2) == 0)
		behind.size = 0;
	kv_range_step(steps, prefix, behind, (uint32_t)random_below(r, 20), random_below(r, 2) == 0);
}

static void add_guards(struct random *r, struct buf *guards)
{
	char key[KEY_ROOM];

	while (random_below(r, 3) == 0) {
		enum kv_guard_kind kind = (enum kv_guard_kind)(1 + random_below(r, 3));

		kv_guard(guards, kind, pick_key(r, key), kind == GUARD_MODIFY ? random_below(r, 50) : 0);
	}
}

static void add_txn(struct random *r, struct buf *out, bool writes, unsigned depth);

static void add_nested(struct random *r, struct buf *steps, bool writes, unsigned depth)
{
	struct buf txn = { 0 };

	add_txn(r, &txn, writes, depth + 1);
	kv_step_put(steps, &(struct kv_step){ .kind = STEP_TXN, .value = buf_bytes(&txn) });
	buf_free(&txn);
}

static void add_steps(struct random *r, struct buf *steps, bool writes, unsigned depth)
{
	char key[KEY_ROOM];

	for (uint64_t count = random_below(r, 5); count > 0; count--) {
		uint64_t kind = random_below(r, 20);

		if (kind == 0 && depth < KV_TXN_DEPTH_MAX)
			add_nested(r, steps, writes, depth);
		else if (kind < 6 || !writes)
			add_read(r, steps);
		else if (kind < 8)
			kv_delete_step(steps, pick_key(r, key));
		else if (kind == 8)
			kv_delete_first_step(steps, pick_prefix(r, key), (uint32_t)random_below(r, 8));
		else
			add_put(r, steps);
	}
}

static void add_txn(struct random *r, struct buf *out, bool writes, unsigned depth)
{
	struct buf guards = { 0 }, steps = { 0 }, otherwise = { 0 };

	add_guards(r, &guards);
	add_steps(r, &steps, writes, depth);
	if (random_below(r, 2) == 0)
		add_steps(r, &otherwise, writes, depth);
	struct kv_txn txn = { buf_bytes(&guards), buf_bytes(&steps), buf_bytes(&otherwise) };
	kv_txn_put(out, &txn);
	buf_free(&guards);
	buf_free(&steps);
	buf_free(&otherwise);
}

void kv_random_command(struct random *r, struct buf *out)
{
	struct buf txn = { 0 };
	char token[KEY_ROOM];
	int size = 0;

	add_txn(r, &txn, true, 1);
	if (random_below(r, 4) == 0)
		size = snprintf(token, sizeof(token), "token-%u", (unsigned)random_below(r, 300));
	struct kv_command command = {
		.principal = random_below(r, 2),
		.token = bytes_of(token, (size_t)size),
		.txn = buf_bytes(&txn),
	};
	if (random_below(r, 50) == 0)
		command.txn.size = (size_t)random_below(r, command.txn.size);
	kv_command_put(out, &command);
	buf_free(&txn);
}

void kv_random_read(struct random *r, struct buf *out)
{
	add_txn(r, out, false, 1);
}
