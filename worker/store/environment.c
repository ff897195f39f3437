#include <db.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/log.h"
#include "worker/store/environment_inside.h"
#include "worker/store/files.h"
#include "worker/store/holes.h"
#include "worker/store/logs.h"
#include "worker/store/mark.h"
#include "worker/store/place.h"

#define STATE_FILE "state.db"
#define NO_PAGE UINT64_MAX
#define LOG_BUFFER_BYTES (1024U * 1024)
#define CACHE_BYTES_MIN (1024U * 1024)
#define FILLING_CACHE_BYTES (16U * 1024 * 1024)
#define SCRATCH_CACHE_BYTES (8U * 1024 * 1024)

struct environment *environment_enter(struct table *t)
{
	struct environment *s = (struct environment *)t;

	files_write_for(s->mark, s->inode, &s->full);
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

enum err environment_fail(const struct environment *s, const char *doing, int error)
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

static struct environment *new_environment(const char *home)
{
	struct environment *s = xcalloc(1, sizeof(*s));

	s->table.ops = &btree_ops;
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
		return environment_fail(s, "make an environment", error);
	if (cache < CACHE_BYTES_MIN)
		cache = CACHE_BYTES_MIN;
	s->env->set_errcall(s->env, on_error);
	s->env->app_private = s;
	if ((error = s->env->set_event_notify(s->env, on_event)) != 0 ||
	    (error = s->env->set_cachesize(s->env, (uint32_t)(cache / gib), (uint32_t)(cache % gib), 1)) != 0)
		return environment_fail(s, "configure", error);
	if (s->progress != NULL)
		s->env->set_feedback(s->env, on_feedback);
	return ERR_OK;
}

static enum err open_plain(struct environment *s)
{
	int error = s->env->open(s->env, s->home, DB_CREATE | DB_PRIVATE | DB_THREAD | DB_INIT_MPOOL, 0600);

	return error == 0 ? ERR_OK : environment_fail(s, "open", error);
}

static enum err open_with_log(struct environment *s, const struct environment_size *size)
{
	const uint32_t flags =
	    DB_CREATE | DB_PRIVATE | DB_THREAD | DB_RECOVER | DB_INIT_MPOOL | DB_INIT_TXN | DB_INIT_LOG;
	int error;

	if ((error = s->env->set_lg_max(s->env, size->log_file_bytes)) != 0 ||
	    (error = s->env->set_lg_bsize(s->env, LOG_BUFFER_BYTES)) != 0 ||
	    (error = s->env->set_mp_max_write(s->env, FILES_PAGES_A_STEP, 0)) != 0 ||
	    (error = s->env->set_flags(s->env, DB_TXN_WRITE_NOSYNC, 1)) != 0)
		return environment_fail(s, "configure", error);
	error = s->env->open(s->env, s->home, flags, 0600);
	return error == 0 ? ERR_OK : environment_fail(s, "recover", error);
}

/* `file` NULL: it is gone when it is closed. */
static enum err open_tables(struct environment *s, const char *file, uint32_t flags)
{
	int error = db_create(&s->db, s->env, 0);

	if (error != 0)
		return environment_fail(s, "make a table", error);
	if ((error = s->db->set_flags(s->db, DB_CHKSUM)) != 0 ||
	    (error = s->db->set_pagesize(s->db, PAGE_BYTES)) != 0)
		return environment_fail(s, "configure a table", error);
	error = s->db->open(s->db, NULL, file, NULL, DB_BTREE, flags | DB_THREAD, 0600);
	return error == 0 ? ERR_OK : environment_fail(s, "open its tables", error);
}

static enum err open_pages(struct environment *s)
{
	char *path = xasprintf("%s/" STATE_FILE, s->home);
	struct stat st;
	enum err e = ERR_OK;

	s->pages = open(path, O_RDONLY | O_CLOEXEC);
	if (s->pages != -1 && fstat(s->pages, &st) == 0) {
		s->inode = st.st_ino;
	} else {
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
	struct stat st;
	bool there = stat(path, &st) == 0;
	enum err e;

	free(path);
	if ((e = mark_open(&s->mark, s->home)) != ERR_OK ||
	    (e = logs_check(s->home, mark_place(s->mark))) != ERR_OK)
		return e;
	if (there) {
		s->inode = st.st_ino;
		return ERR_OK;
	}
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
		environment_enter(&s->table);
		if ((e = open_begun(s, size)) == ERR_OK && (e = btree_flush_and_note(s)) == ERR_OK)
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

	environment_enter(&s->table);
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

	environment_enter(&s->table);
	if ((e = make_handle(s, SCRATCH_CACHE_BYTES)) == ERR_OK) {
		error = s->env->set_tmp_dir(s->env, dir);
		e = error == 0 ? open_plain(s) : environment_fail(s, "configure", error);
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
	return error == 0 ? ERR_OK : environment_fail(s, "close", error);
}

/* To close it writes and syncs all of it. Where there is a mark, all else is there and durable. */
enum err environment_start(struct table *t, const struct environment_size *size)
{
	struct environment *s = environment_enter(t);
	enum err e;
	int error;

	if ((e = close_handles(s, 0)) != ERR_OK || (e = open_begun(s, size)) != ERR_OK)
		return e;
	if ((error = s->env->log_flush(s->env, NULL)) != 0)
		return environment_fail(s, "flush its log", error);
	if ((e = place_sync(s->home)) != ERR_OK || (e = mark_make(s->home)) != ERR_OK ||
	    (e = mark_open(&s->mark, s->home)) != ERR_OK)
		return e;
	return btree_flush_and_note(environment_enter(t));
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
	s = environment_enter(t);
	if (s->txn != NULL)
		s->txn->abort(s->txn);
	close_handles(s, s->has_log ? 0 : DB_NOSYNC);
	files_write_for(NULL, 0, NULL);
	mark_close(s->mark);
	buf_free(&s->key);
	buf_free(&s->found);
	buf_free(&s->bulk);
	free(s->complaint);
	free(s->home);
	free(s);
}
