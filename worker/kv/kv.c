#include <assert.h>
#include <stdlib.h>

#include "worker/kv/hash.h"
#include "worker/kv/inside.h"
#include "worker/kv/record.h"

static const char meta_key[] = "applied";

static enum err load_meta(struct kv *kv)
{
	enum err e = table_get(kv->table, TABLE_META, bytes_text(meta_key), &kv->scratch);

	if (e == ERR_NOT_FOUND)
		return ERR_OK;
	return e == ERR_OK ? meta_record_get(buf_bytes(&kv->scratch), &kv->meta) : e;
}

enum err kv_open(struct kv **out, struct table *t)
{
	struct kv *kv = xcalloc(1, sizeof(*kv));
	enum err e;

	kv->table = t;
	kv->view.table = t;
	kv->tokens_max = KV_TOKENS_MAX;
	if ((e = load_meta(kv)) != ERR_OK) {
		kv_close(kv);
		kv = NULL;
	}
	*out = kv;
	return e;
}

void kv_close(struct kv *kv)
{
	if (kv == NULL)
		return;
	view_fini(&kv->view);
	buf_free(&kv->scratch);
	free(kv);
}

const struct kv_meta *kv_meta(const struct kv *kv)
{
	return &kv->meta;
}

static enum err settle_change(struct kv *kv, const struct kv_change *change)
{
	bool was = change->old_record.size > 0, is = change->new_record.size > 0;
	enum err e;

	e = is ? table_put(kv->table, change->table, change->key, change->new_record)
	       : table_remove(kv->table, change->table, change->key);
	if (e != ERR_OK)
		return e;
	if (was)
		hash_subtract(&kv->meta.hash, change->table, change->key, change->old_record);
	if (is)
		hash_add(&kv->meta.hash, change->table, change->key, change->new_record);
	return change->table == TABLE_TOKENS ? tokens_settle(kv, change) : ERR_OK;
}

enum err kv_settle(
    struct kv *kv, uint64_t term, uint64_t index, uint64_t time_ms, const struct kv_changes *changes)
{
	assert(index == kv->meta.applied_index + 1);
	kv->unwritten = true;
	for (size_t i = 0; i < kv_changes_count(changes); i++) {
		struct kv_change change = kv_changes_at(changes, i);
		enum err e = settle_change(kv, &change);

		if (e != ERR_OK)
			return e;
	}
	kv->meta.applied_term = term;
	kv->meta.applied_index = index;
	if (time_ms > kv->meta.time_ms)
		kv->meta.time_ms = time_ms;
	return ERR_OK;
}

enum err kv_commit(struct kv *kv)
{
	enum err e;

	if (!kv->unwritten)
		return ERR_OK;
	buf_clear(&kv->scratch);
	meta_record_put(&kv->scratch, &kv->meta);
	e = table_put(kv->table, TABLE_META, bytes_text(meta_key), buf_bytes(&kv->scratch));
	if (e == ERR_OK)
		e = table_commit(kv->table);
	if (e == ERR_OK)
		kv->unwritten = false;
	return e;
}
