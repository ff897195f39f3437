#include <assert.h>
#include <stdlib.h>

#include "worker/kv/hash.h"
#include "worker/kv/image_scan.h"
#include "worker/kv/inside.h"
#include "worker/kv/record.h"

/* In TABLE_META. */
static const char meta_key[] = "applied", image_key[] = "image", distrust_key[] = "distrust";
/* In TABLE_SETTINGS. */
static const char level_key[] = "level";

static enum err load_meta(struct kv *kv)
{
	enum err e;

	buf_clear(&kv->scratch);
	e = table_get(kv->table, TABLE_META, bytes_text(meta_key), &kv->scratch);
	if (e == ERR_NOT_FOUND)
		return ERR_OK;
	return e == ERR_OK ? meta_record_get(buf_bytes(&kv->scratch), &kv->meta) : e;
}

static enum err load_mark(struct kv *kv, const char *key, struct mark_record *mark, bool *there)
{
	enum err e;

	buf_clear(&kv->scratch);
	e = table_get(kv->table, TABLE_META, bytes_text(key), &kv->scratch);
	*there = e == ERR_OK;
	if (e == ERR_NOT_FOUND)
		return ERR_OK;
	return e == ERR_OK ? mark_record_get(buf_bytes(&kv->scratch), mark) : e;
}

static enum err load_marks(struct kv *kv)
{
	struct mark_record mark;
	bool there;
	enum err e;

	if ((e = load_mark(kv, image_key, &mark, &kv->has_image)) != ERR_OK)
		return e;
	kv->image_index = kv->has_image ? mark.index : 0;
	if ((e = load_mark(kv, distrust_key, &mark, &there)) == ERR_OK && there)
		kv->distrust = bytes_dup_text(mark.text);
	return e;
}

enum err level_read(struct table *t, struct buf *room, unsigned *level)
{
	struct setting_record record;
	enum err e;

	*level = 0;
	buf_clear(room);
	e = table_get(t, TABLE_SETTINGS, bytes_text(level_key), room);
	if (e == ERR_OK && (e = setting_record_get(buf_bytes(room), &record)) == ERR_OK)
		*level = (unsigned)record.value;
	return e == ERR_NOT_FOUND ? ERR_OK : e; /* the first version wrote none: it is level 0 */
}

static void set_level(struct kv *kv, unsigned level)
{
	kv->meta.level = level;
	kv->limits = kv_limits(level);
	kv->tokens_max = kv->limits->tokens;
}

static enum err load_level(struct kv *kv)
{
	unsigned level;
	enum err e = level_read(kv->table, &kv->scratch, &level);

	set_level(kv, level);
	return e;
}

static enum err settle_setting(struct kv *kv, const struct kv_change *change)
{
	struct setting_record record;
	enum err e;

	if (!bytes_equal(change->key, bytes_text(level_key)))
		return ERR_OK;
	if ((e = setting_record_get(change->new_record, &record)) == ERR_OK)
		set_level(kv, (unsigned)record.value);
	return e;
}

enum err level_change(struct kv *kv, unsigned level, struct kv_changes *changes)
{
	struct bytes old;
	enum err e;

	if (level <= kv->meta.level)
		return ERR_OK;
	e = changes_begin(changes, kv->table, TABLE_SETTINGS, bytes_text(level_key), &old);
	if (e != ERR_OK)
		return e;
	setting_record_put(&changes->bytes, &(struct setting_record){ level });
	changes_end(changes);
	return ERR_OK;
}

static enum err put_meta(struct table *t, struct buf *room, const struct kv_meta *meta)
{
	buf_clear(room);
	meta_record_put(room, meta);
	return table_put(t, TABLE_META, bytes_text(meta_key), buf_bytes(room));
}

static enum err put_mark(
    struct table *t, struct buf *room, const char *key, uint64_t index, struct bytes text)
{
	buf_clear(room);
	mark_record_put(room, &(struct mark_record){ index, text });
	return table_put(t, TABLE_META, bytes_text(key), buf_bytes(room));
}

enum err kv_open(struct kv **out, struct table *t)
{
	struct kv *kv = xcalloc(1, sizeof(*kv));
	enum err e;

	kv->table = t;
	kv->view.table = t;
	if ((e = load_meta(kv)) != ERR_OK || (e = load_level(kv)) != ERR_OK ||
	    (e = load_marks(kv)) != ERR_OK) {
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
	assert(kv->scan == NULL);
	free(kv->distrust);
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

	if (kv->scan != NULL)
		image_scan_put_aside(kv->scan, change);
	e = is ? table_put(kv->table, change->table, change->key, change->new_record)
	       : table_remove(kv->table, change->table, change->key);
	if (e != ERR_OK)
		return e;
	if (was)
		hash_subtract(&kv->meta.hash, change->table, change->key, change->old_record);
	if (is)
		hash_add(&kv->meta.hash, change->table, change->key, change->new_record);
	if (change->table == TABLE_SETTINGS)
		return settle_setting(kv, change);
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

enum err kv_move(struct kv *kv, uint64_t term, uint64_t index, struct bytes members, unsigned level)
{
	struct kv_changes *changes = kv_changes_new();
	enum err e;

	assert(index > kv->meta.applied_index && term >= kv->meta.applied_term);
	kv->meta.applied_index = index - 1;
	if ((e = kv_apply_members(kv, index, members, level, changes)) == ERR_OK &&
	    (e = kv_settle(kv, term, index, kv->meta.time_ms, changes)) == ERR_OK)
		e = kv_commit(kv);
	kv_changes_free(changes);
	return e;
}

enum err kv_commit(struct kv *kv)
{
	enum err e;

	if (!kv->unwritten)
		return ERR_OK;
	if ((e = put_meta(kv->table, &kv->scratch, &kv->meta)) == ERR_OK)
		e = table_commit(kv->table);
	if (e == ERR_OK)
		kv->unwritten = false;
	return e;
}

bool kv_is_image(const struct kv *kv)
{
	return kv->has_image && kv->image_index == kv->meta.applied_index;
}

enum err kv_quarantine(struct kv *kv, struct bytes why)
{
	enum err e = put_mark(kv->table, &kv->scratch, distrust_key, kv->meta.applied_index, why);

	kv->unwritten = true;
	if (e != ERR_OK || (e = kv_commit(kv)) != ERR_OK || (e = table_flush(kv->table)) != ERR_OK)
		return e;
	free(kv->distrust);
	kv->distrust = bytes_dup_text(why);
	return ERR_OK;
}

const char *kv_quarantined(const struct kv *kv)
{
	return kv->distrust;
}

enum err kv_write_image(struct table *t, const struct kv_meta *meta)
{
	const struct bytes nothing = { NULL, 0 };
	struct buf room = { 0 };
	enum err e;

	if ((e = put_meta(t, &room, meta)) == ERR_OK &&
	    (e = put_mark(t, &room, image_key, meta->applied_index, nothing)) == ERR_OK)
		e = table_commit(t);
	buf_free(&room);
	return e;
}
