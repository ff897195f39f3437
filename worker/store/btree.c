#include <assert.h>
#include <db.h>
#include <stdlib.h>

#include "common/mem.h"
#include "worker/store/environment_inside.h"
#include "worker/store/files.h"
#include "worker/store/mark.h"

/* The table in an environment: one btree, the key behind the table's number. */

/* A scan reads this much at first and twice as much each time it goes on: most scans are short. */
#define BULK_BYTES_MIN (2 * PAGE_BYTES)
#define BULK_BYTES_MAX (256U * 1024)

/* Most records fit; a longer one is asked for a second time. */
#define GUESS_BYTES 1024U

static DBT make_key(struct environment *s, enum kv_table table, struct bytes key)
{
	buf_clear(&s->key);
	*buf_extend(&s->key, 1) = (uint8_t)table;
	buf_append(&s->key, key);
	return (DBT){
		.data = s->key.data,
		.size = (uint32_t)s->key.size,
		.ulen = (uint32_t)s->key.size,
		.flags = DB_DBT_USERMEM,
	};
}

/* All the room behind what a buffer holds, at least `least` bytes. */
static DBT make_room(struct buf *b, size_t least)
{
	uint8_t *at = buf_reserve(b, least);
	size_t room = b->room - b->size;

	return (DBT){
		.data = at,
		.ulen = room > UINT32_MAX ? UINT32_MAX : (uint32_t)room,
		.flags = DB_DBT_USERMEM,
	};
}

static enum err btree_get(struct table *t, enum kv_table table, struct bytes key, struct buf *record)
{
	struct environment *s = environment_enter(t);
	DBT k = make_key(s, table, key), data = make_room(record, GUESS_BYTES);
	int error = s->db->get(s->db, s->txn, &k, &data, 0);

	if (error == DB_BUFFER_SMALL) {
		data = make_room(record, data.size);
		error = s->db->get(s->db, s->txn, &k, &data, 0);
	}
	if (error == DB_NOTFOUND)
		return ERR_NOT_FOUND;
	if (error != 0)
		return environment_fail(s, "read", error);
	record->size += data.size;
	return ERR_OK;
}

static enum err begin(struct environment *s)
{
	int error;

	if (s->txn != NULL || !s->has_log)
		return ERR_OK;
	error = s->env->txn_begin(s->env, NULL, &s->txn, 0);
	return error == 0 ? ERR_OK : environment_fail(s, "begin a transaction", error);
}

static enum err btree_put(struct table *t, enum kv_table table, struct bytes key, struct bytes record)
{
	struct environment *s = environment_enter(t);
	DBT k = make_key(s, table, key), data = { 0 };
	enum err e = begin(s);
	int error;

	if (e != ERR_OK)
		return e;
	data.data = (void *)(uintptr_t)record.data;
	data.size = (uint32_t)record.size;
	error = s->db->put(s->db, s->txn, &k, &data, 0);
	return error == 0 ? ERR_OK : environment_fail(s, "write", error);
}

static enum err btree_remove(struct table *t, enum kv_table table, struct bytes key)
{
	struct environment *s = environment_enter(t);
	DBT k = make_key(s, table, key);
	enum err e = begin(s);
	int error;

	if (e != ERR_OK)
		return e;
	error = s->db->del(s->db, s->txn, &k, 0);
	assert(error != DB_NOTFOUND);
	return error == 0 ? ERR_OK : environment_fail(s, "delete", error);
}

/* Reads what fits into the scan's buffer, which grows for a single record that does not. The key that is found is
 * returned in the place of the one that was asked for, even when the record does not fit: so that is a copy. */
static int read_ahead(struct environment *s, DBC *cursor, uint32_t where, uint32_t size, DBT *data)
{
	for (;; size *= 2) {
		DBT key = { .size = (uint32_t)s->key.size, .ulen = size, .flags = DB_DBT_USERMEM };
		int error;

		buf_clear(&s->found);
		buf_reserve(&s->found, size);
		buf_append(&s->found, buf_bytes(&s->key));
		key.data = s->found.data;
		*data = make_room(&s->bulk, size);
		data->ulen = size;
		if ((error = cursor->get(cursor, &key, data, where | DB_MULTIPLE_KEY)) != DB_BUFFER_SMALL)
			return error;
	}
}

static bool visit_all(const DBT *data, enum kv_table table,
    bool (*visit)(void *arg, struct bytes key, struct bytes record), void *arg)
{
	uint8_t *key, *record;
	uint32_t key_size, record_size;
	void *at;

	DB_MULTIPLE_INIT(at, data);
	for (;;) {
		DB_MULTIPLE_KEY_NEXT(at, data, key, key_size, record, record_size);
		if (at == NULL)
			return true;
		if (key[0] != table ||
		    !visit(arg, bytes_of(key + 1, key_size - 1), bytes_of(record, record_size)))
			return false;
	}
}

static enum err btree_scan(struct table *t, enum kv_table table, struct bytes from,
    bool (*visit)(void *arg, struct bytes key, struct bytes record), void *arg)
{
	struct environment *s = environment_enter(t);
	DBT data;
	uint32_t where = DB_SET_RANGE, size = BULK_BYTES_MIN;
	DBC *cursor;
	int error, closing;

	make_key(s, table, from);
	if ((error = s->db->cursor(s->db, s->txn, &cursor, 0)) != 0)
		return environment_fail(s, "begin a scan", error);
	while (
	    (error = read_ahead(s, cursor, where, size, &data)) == 0 && visit_all(&data, table, visit, arg)) {
		where = DB_NEXT;
		size = size < BULK_BYTES_MAX ? size * 2 : size;
	}
	closing = cursor->close(cursor);
	if (s->bulk.room > 4 * BULK_BYTES_MAX)
		buf_free(&s->bulk);
	if (error == 0 || error == DB_NOTFOUND)
		error = closing;
	return error == 0 ? ERR_OK : environment_fail(s, "scan", error);
}

static enum err btree_commit(struct table *t)
{
	struct environment *s = environment_enter(t);
	DB_TXN *txn = s->txn;
	int error;

	if (txn == NULL)
		return ERR_OK;
	s->txn = NULL;
	error = txn->commit(txn, 0);
	return error == 0 ? ERR_OK : environment_fail(s, "commit", error);
}

enum err btree_flush_and_note(struct environment *s)
{
	DB_LOG_STAT *stat;
	struct mark_place place;
	int error;

	if ((error = s->env->log_flush(s->env, NULL)) != 0 ||
	    (error = s->env->log_stat(s->env, &stat, 0)) != 0)
		return environment_fail(s, "flush its log", error);
	place = (struct mark_place){ stat->st_disk_file, stat->st_disk_offset };
	free(stat);
	return mark_raise(s->mark, place);
}

/* Noted when pages refer to it, ahead of those that do so next. */
static enum err flush(struct environment *s)
{
	int error;

	files_write_out(s->pages);
	if (mark_was_needed(s->mark))
		return btree_flush_and_note(s);
	error = s->env->log_flush(s->env, NULL);
	return error == 0 ? ERR_OK : environment_fail(s, "flush its log", error);
}

static enum err btree_flush(struct table *t)
{
	struct environment *s = environment_enter(t);

	return s->has_log ? flush(s) : ERR_OK;
}

/* The number of the log file that is written to; 0: not known. */
static uint32_t log_file(struct environment *s)
{
	DB_LOG_STAT *stat;
	uint32_t number;

	if (s->env->log_stat(s->env, &stat, 0) != 0)
		return 0;
	number = stat->st_cur_file;
	free(stat);
	return number;
}

/* A checkpoint that takes its time must not keep the log from the disk: else whoever needs room in the cache has to
 * sync it before a page can go. Nor may the log grow without end meanwhile: behind a file of it there is no rest. */
static bool flush_between(void *arg)
{
	struct environment *s = arg;

	if (s->flushed == ERR_OK)
		s->flushed = flush(s);
	return log_file(s) <= s->checkpoint_file + 1;
}

/* Of one that is being filled: little is left to be done when it is adopted. */
static enum err sync_pages(struct environment *s)
{
	int error = s->home == NULL ? 0 : s->db->sync(s->db, 0);

	return error == 0 ? ERR_OK : environment_fail(s, "sync", error);
}

static enum err btree_checkpoint(struct table *t)
{
	struct environment *s = environment_enter(t);
	enum err e;
	int error;

	if (!s->has_log)
		return sync_pages(s);
	if ((e = btree_flush_and_note(s)) != ERR_OK)
		return e;
	s->checkpoint_file = log_file(s);
	files_take_time(s->pages);
	files_between_steps(flush_between, s);
	error = s->env->txn_checkpoint(s->env, 0, 0, 0);
	files_take_time(-1);
	if (error != 0)
		return environment_fail(s, "checkpoint", error);
	if (s->flushed != ERR_OK)
		return s->flushed;
	/* A start needs its record before older files are gone. */
	if ((e = btree_flush_and_note(s)) != ERR_OK)
		return e;
	error = s->env->log_archive(s->env, NULL, DB_ARCH_REMOVE);
	return error == 0 ? ERR_OK : environment_fail(s, "remove old log files", error);
}

const struct table_ops btree_ops = {
	.get = btree_get,
	.put = btree_put,
	.remove = btree_remove,
	.scan = btree_scan,
	.commit = btree_commit,
	.flush = btree_flush,
	.checkpoint = btree_checkpoint,
};
