#include <assert.h>

#include "worker/kv/hash.h"
#include "worker/kv/inside.h"
#include "worker/kv/record.h"

static void refuse(struct buf *result, uint64_t revision, enum err e)
{
	kv_result_put(result, &(struct kv_result){ .error = (uint16_t)e, .revision = revision });
}

static enum err check_command(const struct kv *kv, struct bytes encoded, struct kv_command *out)
{
	struct reader r = reader_of(encoded);

	kv_command_get(&r, out);
	if (!reader_done(&r) || out->flags != 0 || out->token.size > kv->limits->token_bytes)
		return ERR_BAD_REQUEST;
	return check_rules(out->txn, true, kv->meta.level);
}

/* Does the txn, or refuses it as a whole: then nothing is left of it. */
static enum err do_or_refuse(struct kv *kv, uint64_t index, struct bytes txn, struct kv_changes *changes,
    struct buf *result, bool *done)
{
	struct kv_result refused;
	size_t start = result->size;
	enum err e = run_txn(kv, index, txn, changes, result, &refused);

	*done = e == ERR_OK;
	if (e != ERR_TOO_LARGE)
		return e;
	kv_changes_clear(changes);
	result->size = start;
	kv_result_put(result, &refused);
	return ERR_OK;
}

static enum err repeat_first(struct bytes first, struct buf *result)
{
	struct reader r = reader_of(first);
	struct kv_result again;

	kv_result_get(&r, &again);
	if (!reader_done(&r))
		return ERR_DAMAGED;
	again.replayed = 1;
	kv_result_put(result, &again);
	return ERR_OK;
}

static enum err apply_once(struct kv *kv, struct token_use *use, struct bytes txn, uint64_t alive,
    struct kv_changes *changes, struct buf *result)
{
	size_t start = result->size;
	struct bytes first;
	bool done;
	enum err e = tokens_find(kv, use, changes, &first);

	if (e == ERR_OK)
		return repeat_first(first, result);
	if (e == ERR_NOT_FOUND && alive >= kv->tokens_max)
		e = ERR_TOKENS_FULL;
	if (e == ERR_TOKEN_REUSED || e == ERR_TOKENS_FULL) {
		refuse(result, use->index, e);
		return ERR_OK;
	}
	if (e != ERR_NOT_FOUND)
		return e;
	e = do_or_refuse(kv, use->index, txn, changes, result, &done);
	if (e != ERR_OK || !done)
		return e;
	return tokens_remember(kv, use, bytes_of(result->data + start, result->size - start), changes);
}

enum err kv_apply_command(struct kv *kv, uint64_t index, uint64_t time_ms, struct bytes encoded,
    struct kv_changes *changes, struct buf *result)
{
	struct kv_command command;
	uint64_t alive;
	bool done;
	enum err e;

	assert(index == kv->meta.applied_index + 1);
	kv_changes_clear(changes);
	if ((e = check_command(kv, encoded, &command)) != ERR_OK) {
		refuse(result, index, e);
		return ERR_OK;
	}
	if ((e = tokens_sweep(kv, time_ms, changes, &alive)) != ERR_OK)
		return e;
	if (command.token.size == 0)
		return do_or_refuse(kv, index, command.txn, changes, result, &done);
	struct token_use use = {
		.principal = command.principal,
		.token = command.token,
		.operation = hash_bytes(command.txn),
		.index = index,
		.time_ms = time_ms,
	};
	return apply_once(kv, &use, command.txn, alive, changes, result);
}

static const char members_key[] = "members";

enum err kv_apply_members(
    struct kv *kv, uint64_t index, struct bytes members, unsigned level, struct kv_changes *changes)
{
	struct bytes old;
	enum err e;

	assert(index == kv->meta.applied_index + 1);
	kv_changes_clear(changes);
	e = changes_begin(changes, kv->table, TABLE_MEMBERS, bytes_text(members_key), &old);
	if (e != ERR_OK)
		return e;
	members_record_put(&changes->bytes, &(struct members_record){ index, members });
	changes_end(changes);
	return level_change(kv, level, changes);
}

enum err kv_members(struct kv *kv, uint64_t *index, struct buf *members)
{
	struct members_record found;
	struct bytes record;
	enum err e;

	kv->view.changes = NULL;
	e = view_get(&kv->view, TABLE_MEMBERS, bytes_text(members_key), &record);
	if (e != ERR_OK || (e = members_record_get(record, &found)) != ERR_OK)
		return e;
	*index = found.index;
	buf_append(members, found.members);
	return ERR_OK;
}

enum err kv_read(struct kv *kv, struct bytes txn, struct buf *result)
{
	uint64_t revision = kv->meta.applied_index;
	size_t start = result->size;
	struct kv_result refused;
	enum err e = check_rules(txn, false, kv->meta.level);

	if (e != ERR_OK) {
		refuse(result, revision, e);
		return ERR_OK;
	}
	e = run_txn(kv, revision, txn, NULL, result, &refused);
	if (e != ERR_TOO_LARGE)
		return e;
	result->size = start;
	kv_result_put(result, &refused);
	return ERR_OK;
}
