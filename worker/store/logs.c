#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/buf.h"
#include "common/log.h"
#include "worker/store/logs.h"

/* How each record begins, in the byte order of the machine (log.h of Berkeley DB 5.3: HDR), `before` being where the one
 * before it begins; and what the first of a file says (LOGP). A length of 0: no more records. */
struct record_head {
	uint32_t before, bytes, checksum;
};
struct log_head {
	struct record_head record;
	uint32_t magic, version, file_bytes, unused;
};

/* A file under the eye. */
struct walk {
	const char *home;
	uint32_t number;
	FILE *file;
	uint64_t size;
	uint64_t at; /* where the next record begins */
	uint64_t last; /* where the last one began */
	uint32_t first_before; /* what the first one says */
	struct buf record;
};

static enum err fail(const struct walk *w, const char *doing)
{
	enum err e = errno == ENOENT ? ERR_DAMAGED : err_from_errno(errno);

	log_error("cannot %s %s/log.%010" PRIu32, doing, w->home, w->number);
	return e;
}

static enum err damaged(const struct walk *w, const char *reason)
{
	log_errorx("the state is damaged file=%s/log.%010" PRIu32 " offset=%" PRIu64 " reason=\"%s\"",
	    w->home, w->number, w->at, reason);
	return ERR_DAMAGED;
}

/* Berkeley DB's hash for it (__ham_func4). */
static uint32_t sum_of(const uint8_t *at, size_t size)
{
	uint32_t h = 0;

	for (size_t i = 0; i < size; i++)
		h = h * 33 + at[i];
	return h;
}

/* One record; *more is false where there is none any more. */
static enum err walk_record(struct walk *w, bool *more)
{
	struct record_head h;
	size_t size;

	*more = false;
	if (w->size - w->at < sizeof(h))
		return ERR_OK;
	if (fread(&h, sizeof(h), 1, w->file) != 1)
		return fail(w, "read");
	if (h.bytes == 0)
		return ERR_OK;
	if (h.bytes < sizeof(h) || h.bytes > w->size - w->at)
		return damaged(w, "a record has a wrong length");
	size = h.bytes - sizeof(h);
	buf_clear(&w->record);
	if (size > 0 && fread(buf_extend(&w->record, size), size, 1, w->file) != 1)
		return fail(w, "read");
	if ((sum_of(w->record.data, size) ^ h.before ^ h.bytes) != h.checksum)
		return damaged(w, "the checksum of a record is wrong");
	if (w->at == 0)
		w->first_before = h.before;
	else if (h.before != w->last)
		return damaged(w, "a record does not follow the one before");
	w->last = w->at;
	w->at += h.bytes;
	*more = true;
	return ERR_OK;
}

static enum err walk_records(struct walk *w, uint64_t until)
{
	enum err e = ERR_OK;
	bool more = true;

	while (e == ERR_OK && more && w->at < until)
		e = walk_record(w, &more);
	if (e == ERR_OK && w->at < until && until != UINT64_MAX)
		e = damaged(w, "it ends before what was synced");
	return e;
}

/* Its head is looked at even where nothing has to be whole. */
static enum err check_head(struct walk *w)
{
	struct log_head head = { .magic = 0 };

	if (fread(&head, 1, sizeof(head), w->file) < sizeof(head) && ferror(w->file))
		return fail(w, "read");
	rewind(w->file);
	/* One that a crash left unwritten is known to be that. */
	if (w->size < sizeof(head) || (head.record.bytes == 0 && head.magic == 0 && head.file_bytes == 0) ||
	    head.record.bytes == sizeof(head))
		return ERR_OK;
	return damaged(w, "its head has a wrong length");
}

static enum err open_file(struct walk *w)
{
	char *path = xasprintf("%s/log.%010" PRIu32, w->home, w->number);
	off_t size;

	w->at = w->last = 0;
	w->file = fopen(path, "re");
	free(path);
	if (w->file == NULL && errno == ENOENT)
		return damaged(w, "it is missing");
	if (w->file == NULL)
		return fail(w, "open");
	if (fdatasync(fileno(w->file)) == -1)
		return fail(w, "sync");
	if (fseeko(w->file, 0, SEEK_END) == -1 || (size = ftello(w->file)) == -1)
		return fail(w, "read");
	w->size = (uint64_t)size;
	rewind(w->file);
	return ERR_OK;
}

/* One file; `before` is where the last record of the file before it begins, if that was walked. */
static enum err check_file(struct walk *w, struct mark_place whole, const uint64_t *before)
{
	uint64_t until = w->number < whole.file ? UINT64_MAX : w->number == whole.file ? whole.offset : 0;
	enum err e;

	if ((e = open_file(w)) == ERR_OK && (e = check_head(w)) == ERR_OK)
		e = walk_records(w, until);
	if (e == ERR_OK && before != NULL && w->at > 0 && w->first_before != *before) {
		w->number--;
		w->at = *before;
		e = damaged(w, "records behind this one are missing");
	}
	if (w->file != NULL)
		fclose(w->file);
	w->file = NULL;
	return e;
}

static enum err check_files(struct walk *w, uint32_t first, uint32_t last, struct mark_place whole)
{
	uint64_t before = 0;
	enum err e = ERR_OK;

	for (uint32_t n = first; e == ERR_OK && n <= last; n++) {
		w->number = n;
		e = check_file(w, whole, n > first ? &before : NULL);
		before = w->last;
	}
	return e;
}

static bool is_there(const char *home, uint32_t number)
{
	char *path = xasprintf("%s/log.%010" PRIu32, home, number);
	bool there = access(path, F_OK) == 0;

	free(path);
	return there;
}

/* The names of files that were not needed any more went in no order: those before a gap are of no use. Berkeley DB itself
 * misses one that it needs. */
enum err logs_check(const char *home, struct mark_place whole)
{
	struct walk w = { .home = home };
	uint32_t first = whole.file, last = whole.file;
	enum err e = ERR_OK;

	while (first > 1 && is_there(home, first - 1))
		first--;
	while (is_there(home, last + 1))
		last++;
	if (last > 0)
		e = check_files(&w, first > 0 ? first : 1, last, whole);
	buf_free(&w.record);
	return e;
}
