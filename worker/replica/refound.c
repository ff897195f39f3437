#include <inttypes.h>
#include <stdlib.h>

#include "common/log.h"
#include "worker/log/wal.h"
#include "worker/raft/config.h"
#include "worker/replica/refound.h"
#include "worker/replica/sealed.h"

#define WIRE_TABLE "worker/replica/refound.def"
#define WIRE_PREFIX unfinished
#include "common/wire_declare.h"
#define WIRE_TABLE "worker/replica/refound.def"
#define WIRE_PREFIX unfinished
#include "common/wire_define.h"

#define REFOUND_FORMAT 1
#define NOTE "unfinished"
#define NOTE_BYTES_MAX 65536

struct refound refound_new(enum refound_work work, const char *id, const char *peer, const char *http)
{
	struct refound r = { .work = work, .next = identity_new(id) };
	struct raft_member m = { r.next.incarnation, RAFT_VOTER, bytes_text(id), bytes_text(peer),
		bytes_text(http), 0, FEATURE_LEVEL_MOST };
	struct buf members = { 0 };

	raft_config_begin(&members, FEATURE_LEVEL_MOST);
	raft_config_put(&members, FEATURE_LEVEL_MOST, &m);
	r.next.cluster = identity_new_cluster();
	r.next.founding = blob_new(buf_bytes(&members));
	buf_free(&members);
	return r;
}

void refound_free(struct refound *r)
{
	identity_free(&r->next);
	free(r->aside);
	blob_unref(r->others);
	*r = (struct refound){ 0 };
}

void refound_begin_beyond(struct refound *r, struct raft_pos last, uint64_t time_ms)
{
	r->base = (struct raft_pos){ last.term + 1, last.index + REFOUND_AHEAD };
	r->time_ms = time_ms;
}

enum err refound_note(const struct refound *r, struct disk *d)
{
	struct unfinished_record record = {
		REFOUND_FORMAT,
		(uint8_t)r->work,
		bytes_text(r->next.id),
		r->next.incarnation,
		r->next.cluster,
		r->base.term,
		r->base.index,
		r->time_ms,
		blob_bytes(r->next.founding),
		bytes_text(r->aside != NULL ? r->aside : ""),
		blob_bytes(r->others),
	};
	struct buf b = { 0 };

	unfinished_record_put(&b, &record);
	return sealed_save(d, NOTE, &b);
}

static enum err take(struct refound *out, struct bytes file)
{
	struct reader r = reader_of(file);
	struct unfinished_record record;

	if (!unfinished_record_get(&r, &record) || !reader_done(&r) || record.format != REFOUND_FORMAT ||
	    (record.work != REFOUND_RESTORE && record.work != REFOUND_RECOVER)) {
		log_errorx("the file " NOTE " is damaged: it cannot be read size=%zu", file.size);
		return ERR_DAMAGED;
	}
	out->work = (enum refound_work)record.work;
	out->next = (struct identity){
		.id = bytes_dup_text(record.id),
		.incarnation = record.incarnation,
		.cluster = record.cluster,
		.founding = blob_new(record.members),
	};
	out->base = (struct raft_pos){ record.term, record.index };
	out->time_ms = record.time_ms;
	out->aside = record.aside.size > 0 ? bytes_dup_text(record.aside) : NULL;
	out->others = record.others.size > 0 ? blob_new(record.others) : NULL;
	return ERR_OK;
}

enum err refound_read(struct refound *out, struct disk *d)
{
	struct buf file = { 0 };
	enum err e;

	*out = (struct refound){ 0 };
	e = sealed_read(d, NOTE, NOTE_BYTES_MAX, &file);
	if (e == ERR_OK)
		e = take(out, buf_bytes(&file));
	buf_free(&file);
	return e;
}

enum err refound_check(struct disk *d)
{
	struct refound r;
	enum err e = refound_read(&r, d);

	if (e == ERR_NOT_FOUND)
		return ERR_OK;
	if (e != ERR_OK)
		return e;
	if (r.work == REFOUND_RESTORE)
		log_errorx("a restore into this directory did not come to its end; repeat it "
			   "(holdfastd --restore), or empty the directory");
	else
		log_errorx("the recovery of this node did not come to its end; repeat it "
			   "(holdfastd --recover-alone): it goes on where it was");
	refound_free(&r);
	return ERR_CONFLICT;
}

enum err refound_state(const struct refound *r, struct kv *kv)
{
	if (kv_meta(kv)->applied_index == r->base.index)
		return ERR_OK;
	return kv_move(kv, r->base.term, r->base.index, blob_bytes(r->next.founding),
	    raft_members_of(blob_bytes(r->next.founding)).level);
}

enum err refound_finish(struct refound *r, struct disk *d, uint64_t segment_bytes)
{
	const struct wal_options o = { .disk = d,
		.cluster = r->next.cluster,
		.incarnation = r->next.incarnation,
		.segment_bytes = segment_bytes };
	enum err e;

	if ((e = wal_create_at(&o, r->base, r->time_ms, (struct raft_hard){ r->base.term, 0 })) != ERR_OK)
		return e;
	r->next.phase = IDENTITY_FORMED;
	if ((e = identity_save(&r->next, d)) != ERR_OK)
		return e;
	if ((e = disk_unlink(d, NOTE)) != ERR_OK)
		return e;
	return disk_sync_dir(d, "");
}
