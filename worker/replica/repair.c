#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/log.h"
#include "common/wire.h"
#include "worker/kv/kv.h"
#include "worker/replica/repair.h"
#include "worker/replica/sealed.h"

#define WIRE_TABLE "worker/replica/repair.def"
#define WIRE_PREFIX repair
#include "common/wire_declare.h"
#define WIRE_TABLE "worker/replica/repair.def"
#define WIRE_PREFIX repair
#include "common/wire_define.h"

#define REPAIR_FORMAT 1
#define NOTE "repair"
#define NOTE_BYTES_MAX 65536

const char *repair_part_name(enum replica_part part)
{
	switch (part) {
	case PART_NONE:
		break;
	case PART_IDENTITY:
		return "the identity";
	case PART_LOG:
		return "the log";
	case PART_STATE:
		return "the state";
	}
	return "something";
}

/* --- the note --- */

enum err repair_write(const struct repair_note *n, struct disk *d)
{
	struct repair_record record = { REPAIR_FORMAT, (uint8_t)n->stage, (uint8_t)n->part,
		bytes_text(n->why), bytes_text(n->aside), bytes_text(n->others) };
	struct buf b = { 0 };

	repair_record_put(&b, &record);
	return sealed_save(d, NOTE, &b);
}

static enum err take(struct repair_note *out, struct bytes file)
{
	struct repair_record record;
	struct reader r = reader_of(file);

	if (!repair_record_get(&r, &record) || !reader_done(&r) || record.format != REPAIR_FORMAT ||
	    record.stage < REPAIR_FOUND || record.stage > REPAIR_JOIN || record.part > PART_STATE) {
		log_errorx("the file " NOTE " is damaged: it cannot be read size=%zu", file.size);
		return ERR_DAMAGED;
	}
	*out = (struct repair_note){
		.stage = (enum repair_stage)record.stage,
		.part = (enum replica_part)record.part,
		.why = bytes_dup_text(record.why),
		.aside = bytes_dup_text(record.aside),
		.others = bytes_dup_text(record.others),
	};
	return ERR_OK;
}

enum err repair_read(struct repair_note *out, struct disk *d)
{
	struct buf file = { 0 };
	enum err e;

	*out = (struct repair_note){ 0 };
	e = sealed_read(d, NOTE, NOTE_BYTES_MAX, &file);
	if (e == ERR_OK)
		e = take(out, buf_bytes(&file));
	buf_free(&file);
	return e;
}

enum err repair_forget(struct disk *d)
{
	enum err e = disk_unlink(d, NOTE);

	return e == ERR_OK ? disk_sync_dir(d, "") : e;
}

void repair_note_free(struct repair_note *n)
{
	free(n->why);
	free(n->aside);
	free(n->others);
	*n = (struct repair_note){ 0 };
}

/* --- setting aside --- */

struct end_sought {
	const char *end;
	bool there;
};

static void find_end(void *arg, const char *name)
{
	struct end_sought *s = arg;
	size_t size = strlen(name), end = strlen(s->end);

	s->there |= size > end && strcmp(name + size - end, s->end) == 0;
}

/* Two repairs in one second are rare, and no reason to fail. */
char *repair_suffix(struct disk *d)
{
	char date[32];
	time_t now = time(NULL);
	struct tm tm;

	gmtime_r(&now, &tm);
	strftime(date, sizeof(date), "%Y%m%dT%H%M%SZ", &tm);
	for (unsigned n = 1;; n++) {
		char *suffix = n == 1 ? xasprintf("damaged-%s", date) : xasprintf("damaged-%s-%u", date, n);
		struct end_sought s = { .end = suffix };

		if (disk_list(d, "", find_end, &s) != ERR_OK || !s.there)
			return suffix;
		free(suffix);
	}
}

static enum err move_aside(struct disk *d, const char *name, const char *suffix)
{
	char *to = xasprintf("%s.%s", name, suffix);
	bool there;
	enum err e = disk_find(d, "", name, &there);

	if (e == ERR_OK && there)
		e = disk_rename(d, name, to);
	free(to);
	return e;
}

enum err repair_set_aside(struct disk *d, struct tables *ts, const char *suffix)
{
	enum err e;

	if ((e = move_aside(d, "log", suffix)) != ERR_OK || (e = move_aside(d, "identity", suffix)) != ERR_OK)
		return e;
	if ((e = tables_set_aside(ts, suffix)) != ERR_OK && e != ERR_NOT_FOUND)
		return e;
	return disk_sync_dir(d, "");
}

/* --- what is known --- */

static struct blob *members_of_state(struct tables *ts)
{
	struct table *t = NULL;
	struct kv *kv = NULL;
	struct buf members = { 0 };
	struct blob *b = NULL;
	uint64_t index;

	if (tables_open(ts, &t) == ERR_OK && kv_open(&kv, t) == ERR_OK &&
	    kv_members(kv, &index, &members) == ERR_OK)
		b = blob_new(buf_bytes(&members));
	buf_free(&members);
	kv_close(kv);
	tables_close(ts, t);
	return b;
}

void repair_look(struct repair_known *out, struct disk *d, struct tables *ts, enum replica_part damaged)
{
	*out = (struct repair_known){ 0 };
	if (damaged != PART_IDENTITY && identity_read(&out->identity, d) != ERR_OK)
		identity_free(&out->identity);
	if (damaged != PART_STATE)
		out->members = members_of_state(ts);
	if (out->members == NULL && out->identity.founding != NULL)
		out->members = blob_ref(out->identity.founding);
}

void repair_known_free(struct repair_known *k)
{
	identity_free(&k->identity);
	blob_unref(k->members);
	k->members = NULL;
}
