#include <assert.h>
#include <db.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/log.h"
#include "worker/store/environment.h"
#include "worker/store/files.h"
#include "worker/store/holes.h"
#include "worker/store/logs.h"
#include "worker/store/mark.h"
#include "worker/store/place.h"

#define STATE_FILE "state.db"
#define NO_PAGE UINT64_MAX
#define PAGE_BYTES 4096U
#define LOG_BUFFER_BYTES (1024U * 1024)
#define CACHE_BYTES_MIN (1024U * 1024)
#define FILLING_CACHE_BYTES (16U * 1024 * 1024)
#define SCRATCH_CACHE_BYTES (8U * 1024 * 1024)

/* A scan reads this much at first and twice as much each time it goes on: most scans are short. */
#define BULK_BYTES_MIN (2 * PAGE_BYTES)
#define BULK_BYTES_MAX (256U * 1024)

/* Most records fit; a longer one is asked for a second time. */
#define GUESS_BYTES 1024U

struct environment {
	struct table table;
	DB_ENV *env;
	DB *db;
	DB_TXN *txn; /* of the unit under way, from its first change on */
	struct buf key; /* table number and key */
	struct buf found; /* the key that a scan came to */
	struct buf bulk; /* what a scan read ahead */
	char *home; /* NULL: none */
	bool has_log; /* else there are no units */
	int pages; /* a descriptor of the file of the tables; -1: none */
	void (*progress)(void *arg, uint64_t done, uint64_t total);
	void *progress_arg;
	struct mark *mark; /* NULL: it is not in force, or not yet */
	bool full; /* a write found no space: it is of no use any more */
	char *complaint; /* the first of Berkeley DB's; NULL: none */
	uint64_t bad_page; /* that it named */
	int panic; /* the error for which Berkeley DB gave up; 0: none */
};

/* One that is not in force, or not yet, takes nothing of what is put by for a disk that is full, and has time. */
static struct environment *enter(struct table *t)
{
	struct environment *s = (struct environment *)t;

	files_write_for(s->mark, &s->full);
	files_take_time(s->has_log ? -1 : s->pages);
	return s;
}

/* Berkeley DB names a page in its complaints alone; the first one says most. */
static void on_error(const DB_ENV *env, const char *prefix, const char *text)
{
	struct environment *s = env->app_private;
	const char *at = strstr(text, "page ");

	(void)prefix;
	if (s->full)
		return;
	log_errorx("state: %s", text);
	if (s->complaint != NULL)
		return;
	s->complaint = xstrdup(text);
	if (strstr(text, "metadata page") != NULL)
		s->bad_page = 0;
	else if (at == NULL || sscanf(at, "page %" SCNu64, &s->bad_page) != 1)
		s->bad_page = NO_PAGE;
}

static void on_event(DB_ENV *env, uint32_t event, void *info)
{
	if (event == DB_EVENT_PANIC)
		((struct environment *)env->app_private)->panic = *(int *)info;
}

static void on_feedback(DB_ENV *env, int what, int percent)
{
	const struct environment *s = env->app_private;

	if (what == DB_RECOVER)
		s->progress(s->progress_arg, (uint64_t)percent, 100);
}

/* In the words of an operator who looks for the place. */
static void tell_damage(const struct environment *s, const char *reason)
{
	if (s->bad_page == NO_PAGE)
		log_errorx("the state is damaged file=%s reason=\"%s\"", s->home, reason);
	else
		log_errorx("the state is damaged file=%s/" STATE_FILE " offset=%" PRIu64
			   " reason=\"page %" PRIu64 ": %s\"",
		    s->home, s->bad_page * PAGE_BYTES, s->bad_page, reason);
}

/* What it complained of while it recovered has done no harm. */
static void forget_complaint(struct environment *s)
{
	free(s->complaint);
	s->complaint = NULL;
	s->bad_page = NO_PAGE;
}

/* Having given up it says no more than that; a disk that fails is no damage to what it holds. */
static enum err error_of(const struct environment *s, int error)
{
	if (error == DB_RUNRECOVERY && s->panic > 0)
		error = s->panic;
	switch (error) {
	case DB_RUNRECOVERY:
	case DB_CHKSUM_FAIL:
	case DB_LOG_VERIFY_BAD:
	case DB_VERIFY_BAD:
	case DB_PAGE_NOTFOUND:
	case EINVAL:
	case ENOENT:
		return ERR_DAMAGED;
	case DB_VERSION_MISMATCH:
	case DB_OLD_VERSION:
		return ERR_VERSION;
	default:
		return error > 0 ? err_from_errno(error) : ERR_IO;
	}
}

static enum err fail(const struct environment *s, const char *doing, int error)
{
	enum err e = s->full ? ERR_NO_SPACE : error_of(s, error);

	if (s->full) {
		log_errorx("state: cannot %s beside the one in force: no space", doing);
		return e;
	}
	log_errorx("state: cannot %s: %s", doing, db_strerror(error));
	if (e == ERR_DAMAGED && s->home != NULL)
		tell_damage(s, s->complaint == NULL ? db_strerror(error) : s->complaint);
	return e;
}

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

static enum err environment_get(struct table *t, enum kv_table table, struct bytes key, struct buf *record)
{
	struct environment *s = enter(t);
	DBT k = make_key(s, table, key), data = make_room(record, GUESS_BYTES);
	int error = s->db->get(s->db, s->txn, &k, &data, 0);

	if (error == DB_BUFFER_SMALL) {
		data = make_room(record, data.size);
		error = s->db->get(s->db, s->txn, &k, &data, 0);
	}
	if (error == DB_NOTFOUND)
		return ERR_NOT_FOUND;
	if (error != 0)
		return fail(s, "read", error);
	record->size += data.size;
	return ERR_OK;
}

static enum err begin(struct environment *s)
{
	int error;

	if (s->txn != NULL || !s->has_log)
		return ERR_OK;
	error = s->env->txn_begin(s->env, NULL, &s->txn, 0);
	return error == 0 ? ERR_OK : fail(s, "begin a transaction", error);
}

static enum err environment_put(struct table *t, enum kv_table table, struct bytes key, struct bytes record)
{
	struct environment *s = enter(t);
	DBT k = make_key(s, table, key), data = { 0 };
	enum err e = begin(s);
	int error;

	if (e != ERR_OK)
		return e;
	data.data = (void *)(uintptr_t)record.data;
	data.size = (uint32_t)record.size;
	error = s->db->put(s->db, s->txn, &k, &data, 0);
	return error == 0 ? ERR_OK : fail(s, "write", error);
}

static enum err environment_remove(struct table *t, enum kv_table table, struct bytes key)
{
	struct environment *s = enter(t);
	DBT k = make_key(s, table, key);
	enum err e = begin(s);
	int error;

	if (e != ERR_OK)
		return e;
	error = s->db->del(s->db, s->txn, &k, 0);
	assert(error != DB_NOTFOUND);
	return error == 0 ? ERR_OK : fail(s, "delete", error);
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

static enum err environment_scan(struct table *t, enum kv_table table, struct bytes from,
    bool (*visit)(void *arg, struct bytes key, struct bytes record), void *arg)
{
	struct environment *s = enter(t);
	DBT data;
	uint32_t where = DB_SET_RANGE, size = BULK_BYTES_MIN;
	DBC *cursor;
	int error, closing;

	make_key(s, table, from);
	if ((error = s->db->cursor(s->db, s->txn, &cursor, 0)) != 0)
		return fail(s, "begin a scan", error);
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
	return error == 0 ? ERR_OK : fail(s, "scan", error);
}

static enum err environment_commit(struct table *t)
{
	struct environment *s = enter(t);
	DB_TXN *txn = s->txn;
	int error;

	if (txn == NULL)
		return ERR_OK;
	s->txn = NULL;
	error = txn->commit(txn, 0);
	return error == 0 ? ERR_OK : fail(s, "commit", error);
}

/* What is in the log is synced, and that is noted. */
static enum err flush_and_note(struct environment *s)
{
	DB_LOG_STAT *stat;
	struct mark_place place;
	int error;

	if ((error = s->env->log_flush(s->env, NULL)) != 0 ||
	    (error = s->env->log_stat(s->env, &stat, 0)) != 0)
		return fail(s, "flush its log", error);
	place = (struct mark_place){ stat->st_disk_file, stat->st_disk_offset };
	free(stat);
	return mark_raise(s->mark, place);
}

/* Noted when pages refer to it, ahead of those that do so next. */
static enum err environment_flush(struct table *t)
{
	struct environment *s = enter(t);
	int error;

	if (!s->has_log)
		return ERR_OK;
	files_write_out(s->pages);
	if (mark_was_needed(s->mark))
		return flush_and_note(s);
	error = s->env->log_flush(s->env, NULL);
	return error == 0 ? ERR_OK : fail(s, "flush its log", error);
}

/* Of one that is being filled: little is left to be done when it is adopted. */
static enum err sync_pages(struct environment *s)
{
	int error = s->home == NULL ? 0 : s->db->sync(s->db, 0);

	return error == 0 ? ERR_OK : fail(s, "sync", error);
}

static enum err environment_checkpoint(struct table *t)
{
	struct environment *s = enter(t);
	enum err e;
	int error;

	if (!s->has_log)
		return sync_pages(s);
	if ((e = flush_and_note(s)) != ERR_OK)
		return e;
	files_take_time(s->pages);
	error = s->env->txn_checkpoint(s->env, 0, 0, 0);
	files_take_time(-1);
	if (error != 0)
		return fail(s, "checkpoint", error);
	/* A start needs its record before older files are gone. */
	if ((e = flush_and_note(s)) != ERR_OK)
		return e;
	error = s->env->log_archive(s->env, NULL, DB_ARCH_REMOVE);
	return error == 0 ? ERR_OK : fail(s, "remove old log files", error);
}

static const struct table_ops environment_ops = {
	.get = environment_get,
	.put = environment_put,
	.remove = environment_remove,
	.scan = environment_scan,
	.commit = environment_commit,
	.flush = environment_flush,
	.checkpoint = environment_checkpoint,
};

static struct environment *new_environment(const char *home)
{
	struct environment *s = xcalloc(1, sizeof(*s));

	s->table.ops = &environment_ops;
	s->pages = -1;
	s->bad_page = NO_PAGE;
	s->home = home == NULL ? NULL : xstrdup(home);
	return s;
}

static enum err make_handle(struct environment *s, uint64_t cache)
{
	const uint64_t gib = 1024 * 1024 * 1024;
	int error = db_env_create(&s->env, 0);

	if (error != 0)
		return fail(s, "make an environment", error);
	if (cache < CACHE_BYTES_MIN)
		cache = CACHE_BYTES_MIN;
	s->env->set_errcall(s->env, on_error);
	s->env->app_private = s;
	if ((error = s->env->set_event_notify(s->env, on_event)) != 0 ||
	    (error = s->env->set_cachesize(s->env, (uint32_t)(cache / gib), (uint32_t)(cache % gib), 1)) != 0)
		return fail(s, "configure", error);
	if (s->progress != NULL)
		s->env->set_feedback(s->env, on_feedback);
	return ERR_OK;
}

static enum err open_plain(struct environment *s)
{
	int error = s->env->open(s->env, s->home, DB_CREATE | DB_PRIVATE | DB_THREAD | DB_INIT_MPOOL, 0600);

	return error == 0 ? ERR_OK : fail(s, "open", error);
}

static enum err open_with_log(struct environment *s, const struct environment_size *size)
{
	const uint32_t flags =
	    DB_CREATE | DB_PRIVATE | DB_THREAD | DB_RECOVER | DB_INIT_MPOOL | DB_INIT_TXN | DB_INIT_LOG;
	int error;

	if ((error = s->env->set_lg_max(s->env, size->log_file_bytes)) != 0 ||
	    (error = s->env->set_lg_bsize(s->env, LOG_BUFFER_BYTES)) != 0 ||
	    (error = s->env->set_flags(s->env, DB_TXN_WRITE_NOSYNC, 1)) != 0)
		return fail(s, "configure", error);
	error = s->env->open(s->env, s->home, flags, 0600);
	return error == 0 ? ERR_OK : fail(s, "recover", error);
}

/* `file` NULL: it is gone when it is closed. */
static enum err open_tables(struct environment *s, const char *file, uint32_t flags)
{
	int error = db_create(&s->db, s->env, 0);

	if (error != 0)
		return fail(s, "make a table", error);
	if ((error = s->db->set_flags(s->db, DB_CHKSUM)) != 0 ||
	    (error = s->db->set_pagesize(s->db, PAGE_BYTES)) != 0)
		return fail(s, "configure a table", error);
	error = s->db->open(s->db, NULL, file, NULL, DB_BTREE, flags | DB_THREAD, 0600);
	return error == 0 ? ERR_OK : fail(s, "open its tables", error);
}

static enum err open_pages(struct environment *s)
{
	char *path = xasprintf("%s/" STATE_FILE, s->home);
	enum err e = ERR_OK;

	s->pages = open(path, O_RDONLY | O_CLOEXEC);
	if (s->pages == -1) {
		e = err_from_errno(errno);
		log_error("state: cannot open %s", path);
	}
	free(path);
	return e;
}

static enum err open_begun(struct environment *s, const struct environment_size *size)
{
	enum err e;

	if ((e = make_handle(s, size->cache_bytes)) != ERR_OK || (e = open_with_log(s, size)) != ERR_OK ||
	    (e = open_tables(s, STATE_FILE, DB_AUTO_COMMIT)) != ERR_OK || (e = open_pages(s)) != ERR_OK)
		return e;
	holes_watch(s->pages, true);
	s->has_log = true;
	return ERR_OK;
}

/* What no Berkeley DB would notice comes first. */
static enum err check_files(struct environment *s)
{
	char *path = xasprintf("%s/" STATE_FILE, s->home);
	bool there = access(path, F_OK) == 0;
	enum err e;

	free(path);
	if ((e = mark_open(&s->mark, s->home)) != ERR_OK ||
	    (e = logs_check(s->home, mark_place(s->mark))) != ERR_OK)
		return e;
	if (there)
		return ERR_OK;
	log_errorx("the state is damaged file=%s/" STATE_FILE " reason=\"it is missing\"", s->home);
	return ERR_DAMAGED;
}

static enum err give(struct environment *s, enum err e, struct table **out)
{
	*out = NULL;
	if (e == ERR_OK)
		*out = &s->table;
	else
		environment_close(&s->table);
	return e;
}

enum err environment_open(struct table **out, const char *home, const struct environment_size *size)
{
	struct environment *s = new_environment(home);
	enum err e;

	s->progress = size->progress;
	s->progress_arg = size->progress_arg;
	if ((e = check_files(s)) == ERR_OK) {
		enter(&s->table);
		if ((e = open_begun(s, size)) == ERR_OK && (e = flush_and_note(s)) == ERR_OK)
			e = place_sync(home);
		if (e == ERR_OK)
			forget_complaint(s);
	}
	return give(s, e, out);
}

enum err environment_make(struct table **out, const char *home)
{
	struct environment *s = new_environment(home);
	enum err e;

	enter(&s->table);
	if ((e = make_handle(s, FILLING_CACHE_BYTES)) == ERR_OK && (e = open_plain(s)) == ERR_OK)
		e = open_tables(s, STATE_FILE, DB_CREATE);
	if (e == ERR_OK)
		e = open_pages(s);
	return give(s, e, out);
}

enum err environment_scratch(struct table **out, const char *dir)
{
	struct environment *s = new_environment(NULL);
	enum err e;
	int error;

	enter(&s->table);
	if ((e = make_handle(s, SCRATCH_CACHE_BYTES)) == ERR_OK) {
		error = s->env->set_tmp_dir(s->env, dir);
		e = error == 0 ? open_plain(s) : fail(s, "configure", error);
	}
	if (e == ERR_OK)
		e = open_tables(s, NULL, DB_CREATE);
	return give(s, e, out);
}

static enum err close_handles(struct environment *s, uint32_t flags)
{
	int error = 0, worse = 0;

	if (s->db != NULL)
		error = s->db->close(s->db, flags);
	if (s->env != NULL)
		worse = s->env->close(s->env, 0);
	holes_watch(s->pages, false);
	if (s->pages != -1)
		close(s->pages);
	s->pages = -1;
	files_take_time(-1);
	s->db = NULL;
	s->env = NULL;
	error = error == 0 ? worse : error;
	return error == 0 ? ERR_OK : fail(s, "close", error);
}

/* To close it writes and syncs all of it. Where there is a mark, all else is there and durable. */
enum err environment_start(struct table *t, const struct environment_size *size)
{
	struct environment *s = enter(t);
	enum err e;
	int error;

	if ((e = close_handles(s, 0)) != ERR_OK || (e = open_begun(s, size)) != ERR_OK)
		return e;
	if ((error = s->env->log_flush(s->env, NULL)) != 0)
		return fail(s, "flush its log", error);
	if ((e = place_sync(s->home)) != ERR_OK || (e = mark_make(s->home)) != ERR_OK ||
	    (e = mark_open(&s->mark, s->home)) != ERR_OK)
		return e;
	return flush_and_note(enter(t));
}

const char *environment_home(const struct table *t)
{
	return ((const struct environment *)t)->home;
}

void environment_close(struct table *t)
{
	struct environment *s;

	if (t == NULL)
		return;
	s = enter(t);
	if (s->txn != NULL)
		s->txn->abort(s->txn);
	close_handles(s, s->has_log ? 0 : DB_NOSYNC);
	files_write_for(NULL, NULL);
	mark_close(s->mark);
	buf_free(&s->key);
	buf_free(&s->found);
	buf_free(&s->bulk);
	free(s->complaint);
	free(s->home);
	free(s);
}
