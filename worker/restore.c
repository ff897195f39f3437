#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#include "common/log.h"
#include "common/wire.h"
#include "worker/kv/image.h"
#include "worker/offline.h"
#include "worker/replica/refound.h"
#include "worker/worker.h"

#define READ_BYTES (1024 * 1024)
#define FRAME_HEAD_BYTES 8
#define PROGRESS_EVERY span_ms(2000)

struct backup {
	const char *name;
	struct buf buf; /* read, and not taken yet */
	uint64_t offset; /* of what is in `buf` */
	bool ended;
	struct instant told; /* how far it is */
};

/* --- the directory --- */

/* The lock, and the place of the sockets, are there before anything is; a filesystem of its own has lost+found. */
static void note_name(void *arg, const char *name)
{
	if (strcmp(name, "lock") != 0 && strcmp(name, "run") != 0 && strcmp(name, "lost+found") != 0)
		buf_printf(arg, "%s%s", ((struct buf *)arg)->size > 0 ? ", " : "", name);
}

/* What a restore that broke off has left is no obstacle: it is made anew. */
static int check_directory(const struct offline *o)
{
	struct refound before;
	struct buf there = { 0 };
	enum err e = refound_read(&before, o->disk);
	bool again = e == ERR_OK && before.work == REFOUND_RESTORE;
	int status = EX_OK;

	refound_free(&before);
	if (again)
		log_info("an earlier restore into %s broke off; this one starts over", o->conf->node_data);
	else if ((e = disk_list(o->disk, "", note_name, &there)) != ERR_OK)
		status = worker_status(e);
	else if (there.size > 0) {
		log_errorx("a backup is restored into an empty directory only; in %s there is %s",
		    o->conf->node_data, buf_text(&there));
		status = EX_CANTCREAT;
	}
	buf_free(&there);
	return status;
}

/* --- the backup --- */

static const char *shown(const char *name)
{
	return strcmp(name, "-") == 0 ? "standard input" : name;
}

static enum err damaged(const struct backup *b, const char *reason)
{
	log_errorx(
	    "%s: the backup is damaged offset=%" PRIu64 " reason=\"%s\"", shown(b->name), b->offset, reason);
	return ERR_DAMAGED;
}

/* So many bytes, or all that there are. */
static enum err read_up_to(struct backup *b, size_t size)
{
	while (b->buf.size < size && !b->ended) {
		ssize_t n = read(STDIN_FILENO, buf_reserve(&b->buf, READ_BYTES), READ_BYTES);

		if (n == -1 && errno == EINTR)
			continue;
		if (n == -1) {
			log_error("cannot read the backup %s offset=%" PRIu64, shown(b->name),
			    b->offset + b->buf.size);
			return ERR_IO;
		}
		b->buf.size += (size_t)n;
		b->ended = n == 0;
	}
	return ERR_OK;
}

/* What the front of the buffer says of its first frame, up to its end: what no frame begins with is one. */
static size_t frame_size(const struct backup *b)
{
	struct bytes head = bytes_of(b->buf.data, FRAME_HEAD_BYTES);

	return image_frames_whole(head) > 0 ? FRAME_HEAD_BYTES : FRAME_HEAD_BYTES + wire_load_u32(head.data);
}

/* The next frame, borrowed until the next call; ERR_NOT_FOUND behind the last. */
static enum err next_frame(struct backup *b, struct bytes *frame)
{
	size_t size;
	enum err e;

	if ((e = read_up_to(b, FRAME_HEAD_BYTES)) != ERR_OK)
		return e;
	if (b->buf.size == 0)
		return b->offset == 0 ? damaged(b, "it is empty") : ERR_NOT_FOUND;
	if (b->buf.size < FRAME_HEAD_BYTES)
		return damaged(b, "it ends within a frame");
	size = frame_size(b);
	if ((e = read_up_to(b, size)) != ERR_OK)
		return e;
	if (b->buf.size < size)
		return damaged(b, "it ends within a frame");
	*frame = bytes_of(b->buf.data, size);
	return ERR_OK;
}

static void tell_progress(struct backup *b)
{
	struct instant now = clock_now();

	if (!instant_passed(instant_add(b->told, PROGRESS_EVERY), now))
		return;
	b->told = now;
	log_info("restoring bytes=%" PRIu64, b->offset);
}

static enum err load_frames(struct backup *b, struct image_load *load)
{
	struct bytes frame;
	enum err e;

	while ((e = next_frame(b, &frame)) == ERR_OK) {
		if ((e = image_load_frames(load, frame)) != ERR_OK)
			break;
		b->offset += frame.size;
		buf_consume(&b->buf, frame.size);
		tell_progress(b);
	}
	if (e == ERR_NOT_FOUND)
		e = image_load_end(load);
	if (e == ERR_VERSION)
		log_errorx(
		    "the backup %s was made by a later version: %s", shown(b->name), image_load_why(load));
	else if (e != ERR_OK && image_load_why(load)[0] != '\0')
		damaged(b, image_load_why(load));
	return e;
}

static enum err load(struct table *t, const char *name, struct image_head *head)
{
	struct backup b = { .name = name, .told = clock_now() };
	struct image_load *load = image_load_begin(t, FEATURE_LEVEL_MOST);
	enum err e = load_frames(&b, load);

	if (e == ERR_OK)
		image_load_head(load, head);
	image_load_free(load);
	buf_free(&b.buf);
	return e;
}

/* --- the state --- */

static bool count_key(void *arg, struct bytes key, struct bytes record)
{
	(void)key;
	(void)record;
	++*(uint64_t *)arg;
	return true;
}

/* The state is whole, and where the new cluster begins, before it is the one in force. */
static enum err fill(
    struct table *t, const char *name, struct refound *r, struct image_head *head, uint64_t *keys)
{
	struct kv *kv;
	enum err e;

	if ((e = load(t, name, head)) != ERR_OK)
		return e;
	refound_begin_beyond(r, (struct raft_pos){ head->term, head->index }, head->time_ms);
	if ((e = kv_open(&kv, t)) != ERR_OK)
		return e;
	e = refound_state(r, kv);
	kv_close(kv);
	*keys = 0;
	return e != ERR_OK ? e : table_scan(t, TABLE_KEYS, bytes_text(""), count_key, keys);
}

static enum err make_state(
    struct offline *o, const char *name, struct refound *r, struct image_head *head, uint64_t *keys)
{
	struct table *before, *t;
	enum err e;

	if ((e = tables_open(o->tables, &before)) != ERR_OK)
		return e;
	if ((e = tables_make(o->tables, &t)) != ERR_OK)
		goto out;
	if ((e = fill(t, name, r, head, keys)) != ERR_OK || (e = tables_adopt(o->tables, t)) != ERR_OK) {
		tables_drop(o->tables, t);
		goto out;
	}
	tables_close(o->tables, t);
out:
	tables_drop(o->tables, before);
	return e;
}

static enum err build(
    struct offline *o, const char *name, struct refound *r, struct image_head *head, uint64_t *keys)
{
	enum err e;

	if ((e = refound_note(r, o->disk)) != ERR_OK)
		return e;
	if ((e = make_state(o, name, r, head, keys)) != ERR_OK)
		return e;
	return refound_finish(r, o->disk, o->conf->log_segment);
}

int restore(struct offline *o, const char *name)
{
	const struct conf *c = o->conf;
	struct refound r;
	struct image_head head;
	uint64_t keys;
	int status = check_directory(o);
	enum err e;

	if (status != EX_OK)
		return status;
	log_info("restoring %s into %s", shown(name), c->node_data);
	r = refound_new(REFOUND_RESTORE, c->node_id, c->peer_advertise, o->http);
	if ((e = build(o, name, &r, &head, &keys)) == ERR_OK) {
		printf("restored keys=%" PRIu64 " as of revision=%" PRIu64 " of the cluster %016" PRIx64 "\n"
		       "node %s is the new cluster %016" PRIx64 ", which goes on after revision=%" PRIu64
		       "\n",
		    keys, head.index, head.cluster, c->node_id, r.next.cluster, r.base.index);
	} else {
		log_errorx("nothing was restored: %s; no node starts in %s until a restore has come to its "
			   "end, or it "
			   "is empty",
		    err_text(e), c->node_data);
		status = e == ERR_DAMAGED || e == ERR_VERSION ? EX_DATAERR : worker_status(e);
	}
	refound_free(&r);
	return status;
}
