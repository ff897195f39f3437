#include <endian.h>
#include <string.h>

#include "worker/kv/inside.h"
#include "worker/kv/record.h"

_Static_assert(KV_TOKENS_MAX == 1000000 && KV_TOKEN_LIFE_MS == 10 * 60 * 1000, "common/err.def says so");

/*
 * Idempotency: which operation a client's token stands for, and what it was answered first. Two kinds of keys lie in
 * TABLE_TOKENS: the tokens themselves, and their ages in the order of the log, so that the oldest are found without
 * looking at the others. A token lives by log time alone (T4, D8) and is never put out early.
 */
enum { KEY_TOKEN = 1, KEY_AGE = 2 };

/* By each command: more than one, so that what piled up in a busy time goes. */
#define SWEEP_MAX 4

struct token_key {
	uint8_t bytes[1 + 8 + KV_TOKEN_BYTES_MAX];
};
struct age_key {
	uint8_t bytes[1 + 8];
};

static void store_big_endian(uint8_t *at, uint64_t v)
{
	v = htobe64(v);
	memcpy(at, &v, sizeof(v));
}

static struct bytes make_token_key(struct token_key *k, const struct token_use *use)
{
	k->bytes[0] = KEY_TOKEN;
	store_big_endian(k->bytes + 1, use->principal);
	memcpy(k->bytes + 9, use->token.data, use->token.size);
	return bytes_of(k->bytes, 9 + use->token.size);
}

static struct bytes make_age_key(struct age_key *k, uint64_t index)
{
	k->bytes[0] = KEY_AGE;
	store_big_endian(k->bytes + 1, index);
	return bytes_of(k->bytes, sizeof(k->bytes));
}

static bool is_expired(const struct kv *kv, uint64_t since_ms, uint64_t now_ms)
{
	return now_ms >= since_ms && now_ms - since_ms >= kv->limits->token_life_ms;
}

static enum err drop(struct kv *kv, struct bytes key, struct kv_changes *changes)
{
	struct bytes old;
	enum err e = changes_begin(changes, kv->table, TABLE_TOKENS, key, &old);

	if (e == ERR_OK)
		changes_end(changes);
	return e;
}

struct sweep {
	struct kv *kv;
	uint64_t time_ms;
	struct kv_changes *changes;
	struct buf *token_keys; /* of those that go, each as wire bytes */
	unsigned count;
	enum err e;
};

static bool on_age(void *arg, struct bytes key, struct bytes record)
{
	struct sweep *s = arg;
	struct age_record age;

	if ((s->e = age_record_get(record, &age)) != ERR_OK)
		return false;
	if (!is_expired(s->kv, age.time_ms, s->time_ms)) {
		if (s->count == 0) {
			s->kv->oldest_known = true;
			s->kv->oldest_ms = age.time_ms;
		}
		return false;
	}
	changes_begin_known(s->changes, TABLE_TOKENS, key, record);
	changes_end(s->changes);
	wire_put_bytes(s->token_keys, age.token_key);
	return ++s->count < SWEEP_MAX;
}

/* The ages are scanned first and the tokens taken after it: during a scan the table is not asked anything else. */
static enum err sweep_expired(struct sweep *s)
{
	const uint8_t first = KEY_AGE;
	struct reader r;
	enum err e;

	s->kv->oldest_known = true;
	s->kv->oldest_ms = UINT64_MAX;
	buf_clear(s->token_keys);
	if ((e = table_scan(s->kv->table, TABLE_TOKENS, bytes_of(&first, 1), on_age, s)) != ERR_OK)
		return e;
	if (s->count > 0)
		s->kv->oldest_known = false;
	r = reader_of(buf_bytes(s->token_keys));
	for (e = s->e; e == ERR_OK && r.left > 0;)
		e = drop(s->kv, wire_get_bytes(&r), s->changes);
	return e;
}

enum err tokens_sweep(struct kv *kv, uint64_t time_ms, struct kv_changes *changes, uint64_t *alive)
{
	struct sweep s = { kv, time_ms, changes, &kv->scratch, 0, ERR_OK };
	enum err e = ERR_OK;

	if (!kv->oldest_known || is_expired(kv, kv->oldest_ms, time_ms))
		e = sweep_expired(&s);
	*alive = kv->meta.tokens - s.count;
	return e;
}

enum err tokens_find(struct kv *kv, struct token_use *use, struct kv_changes *changes, struct bytes *first)
{
	struct token_key key;
	struct token_record found;
	struct bytes record;
	enum err e;

	kv->view.changes = changes;
	e = view_get(&kv->view, TABLE_TOKENS, make_token_key(&key, use), &record);
	use->absent = e == ERR_NOT_FOUND;
	if (e != ERR_OK || (e = token_record_get(record, &found)) != ERR_OK)
		return e;
	if (is_expired(kv, found.time_ms, use->time_ms))
		return ERR_NOT_FOUND;
	if (found.operation.high != use->operation.high || found.operation.low != use->operation.low)
		return ERR_TOKEN_REUSED;
	*first = found.result;
	return ERR_OK;
}

/* An expired record of the same token may still be there: its age goes with it. */
static enum err forget_expired(struct kv *kv, struct bytes token_key, struct kv_changes *changes)
{
	struct token_record before;
	struct age_key age;
	struct bytes old;
	enum err e;

	if ((e = changes_begin(changes, kv->table, TABLE_TOKENS, token_key, &old)) != ERR_OK ||
	    (e = token_record_get(old, &before)) != ERR_OK)
		return e;
	changes_end(changes);
	return drop(kv, make_age_key(&age, before.index), changes);
}

/* From here on nothing is there under either key, so the table is not asked again. */
enum err tokens_remember(
    struct kv *kv, const struct token_use *use, struct bytes result, struct kv_changes *changes)
{
	const struct bytes nothing = { NULL, 0 };
	struct token_key key;
	struct age_key age;
	struct bytes token_key = make_token_key(&key, use);
	enum err e;

	if (!use->absent && (e = forget_expired(kv, token_key, changes)) != ERR_OK)
		return e;
	changes_begin_known(changes, TABLE_TOKENS, token_key, nothing);
	token_record_put(
	    &changes->bytes, &(struct token_record){ use->time_ms, use->index, use->operation, result });
	changes_end(changes);
	changes_begin_known(changes, TABLE_TOKENS, make_age_key(&age, use->index), nothing);
	age_record_put(&changes->bytes, &(struct age_record){ use->time_ms, token_key });
	changes_end(changes);
	return ERR_OK;
}

bool tokens_counts(struct bytes key)
{
	return key.size > 0 && key.data[0] == KEY_TOKEN;
}

enum err tokens_settle(struct kv *kv, const struct kv_change *change)
{
	bool was = change->old_record.size > 0, is = change->new_record.size > 0;
	struct age_record age;
	enum err e;

	if (tokens_counts(change->key)) {
		kv->meta.tokens += is;
		kv->meta.tokens -= was;
		return ERR_OK;
	}
	if (!is) {
		kv->oldest_known = false;
		return ERR_OK;
	}
	if ((e = age_record_get(change->new_record, &age)) == ERR_OK && kv->oldest_ms == UINT64_MAX)
		kv->oldest_ms = age.time_ms;
	return e;
}
