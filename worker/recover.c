#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <time.h>

#include "common/log.h"
#include "worker/recover.h"
#include "worker/replica/settle.h"
#include "worker/worker.h"

/*
 * A cluster that has lost its majority for good, and one survivor. Nothing is touched before it is sure that nobody else
 * answers and the operator has said yes; then refound.h says what will be, and every step can be repeated.
 */

#define READ_BYTES (4 * 1024 * 1024)
#define IDENTITY_BYTES_MAX (1024 * 1024)

/* --- what there is --- */

static char *aside_path(const char *name, const char *aside)
{
	return xasprintf("%s.%s", name, aside);
}

/* The old log, by an earlier try. What is there in its place is the beginning of the new one. */
static enum err is_set_aside(const struct recovery *r, bool *out)
{
	char *name = r->again ? aside_path("log", r->plan.aside) : xstrdup("");
	enum err e = disk_find(r->o->disk, "", name, out);

	free(name);
	return e;
}

static int check_identity(const struct recovery *r)
{
	const struct identity *i = &r->identity;

	if (strcmp(i->id, r->o->conf->node_id) != 0) {
		log_errorx("the directory is that of node %s, not of %s: give it the node's own "
			   "configuration, or --id %s, --http and --peer",
		    i->id, r->o->conf->node_id, i->id);
		return EX_CONFIG;
	}
	if (r->again && r->plan.work == REFOUND_RESTORE)
		return recovery_refuse(
		    EX_CONFIG, "a restore into this directory broke off; repeat that (holdfastd --restore)");
	if (i->phase == IDENTITY_REMOVED)
		return recovery_refuse(EX_CONFIG,
		    "this node was removed from its cluster before; what it has is old. "
		    "Recover another one, or restore a backup");
	if (i->phase != IDENTITY_FORMED)
		return recovery_refuse(
		    EX_CONFIG, "this node has no cluster yet: there is nothing to recover");
	return EX_OK;
}

static int read_identity(struct recovery *r)
{
	enum err e = identity_read(&r->identity, r->o->disk);

	if (e == ERR_NOT_FOUND)
		return recovery_refuse(EX_NOINPUT, "there is no node in this directory: it has no identity");
	if (e == ERR_OK && (e = refound_read(&r->plan, r->o->disk)) == ERR_OK)
		r->again = true;
	if (e != ERR_OK && e != ERR_NOT_FOUND)
		return worker_status(e);
	return check_identity(r);
}

static enum err refuse_level(const char *what, unsigned level)
{
	log_errorx("the %s of this node is of feature level %u, and this version knows no level above %d: "
		   "recover it "
		   "with the version that it ran, or a later one",
	    what, level, FEATURE_LEVEL_MOST);
	return ERR_VERSION;
}

static enum err open_state(struct recovery *r)
{
	enum err e;

	if ((e = tables_open(r->o->tables, &r->table)) != ERR_OK)
		return e;
	if ((e = kv_open(&r->kv, r->table)) != ERR_OK)
		return e;
	if (kv_meta(r->kv)->level > FEATURE_LEVEL_MOST)
		return refuse_level("state", kv_meta(r->kv)->level);
	if (kv_quarantined(r->kv) == NULL)
		return ERR_OK;
	log_errorx(
	    "the state of this node is not to be trusted: %s; recover another node, or restore a backup",
	    kv_quarantined(r->kv));
	return ERR_DAMAGED;
}

static enum err open_log(struct recovery *r)
{
	const struct wal_options o = { .disk = r->o->disk,
		.cluster = r->identity.cluster,
		.incarnation = r->identity.incarnation,
		.segment_bytes = r->o->conf->log_segment };
	const struct kv_meta *m = kv_meta(r->kv);
	enum err e = wal_open(&r->wal, &o, &r->found);

	if (e == ERR_NOT_FOUND) {
		log_errorx("the log is missing");
		return ERR_DAMAGED;
	}
	if (e != ERR_OK)
		return e;
	/* An earlier try may have moved the state on already. */
	if (m->applied_index >= r->found.base.index &&
	    (m->applied_index <= r->found.last.index || (r->again && m->applied_index == r->plan.base.index)))
		return ERR_OK;
	log_errorx("the log does not hold what the state has applied applied=%" PRIu64 " log=%" PRIu64
		   "-%" PRIu64,
	    m->applied_index, r->found.base.index, r->found.last.index);
	return ERR_DAMAGED;
}

static enum err take_members(struct recovery *r, struct bytes data, uint64_t index)
{
	struct blob *b = blob_new(data);
	bool good = raft_config_get(&r->members, index, b);

	blob_unref(b);
	if (good && r->members.level > FEATURE_LEVEL_MOST)
		return refuse_level("log", r->members.level);
	if (!good && raft_members_of(data).later) {
		log_errorx(
		    "a later version wrote the members of the cluster; recover this node with that version "
		    "index=%" PRIu64,
		    index);
		return ERR_VERSION;
	}
	if (!good)
		log_errorx("the members of the cluster cannot be read index=%" PRIu64, index);
	return good ? ERR_OK : ERR_DAMAGED;
}

/* The last configuration that this node has heard of, committed or not. */
static enum err find_members(struct recovery *r)
{
	struct buf told = { 0 };
	struct entries one = { 0 };
	uint64_t index = 0;
	enum err e;

	if (r->again)
		return take_members(r, blob_bytes(r->plan.others), 0);
	if (r->found.config_count > 0)
		index = r->found.configs[r->found.config_count - 1];
	e = index > 0 ? wal_read(r->wal, index, 1, &one) : kv_members(r->kv, &index, &told);
	if (e == ERR_OK)
		e = take_members(r, one.count > 0 ? blob_bytes(one.data[0].data) : buf_bytes(&told), index);
	entries_free(&one);
	buf_free(&told);
	return e;
}

static enum err look(struct recovery *r)
{
	bool aside;
	enum err e;

	if ((e = is_set_aside(r, &aside)) != ERR_OK || (e = open_state(r)) != ERR_OK)
		return e;
	if (!aside && (e = open_log(r)) != ERR_OK)
		return e;
	return find_members(r);
}

/* --- what is done --- */

static char *date_suffix(void)
{
	char text[64];
	time_t now = time(NULL);
	struct tm tm;

	gmtime_r(&now, &tm);
	strftime(text, sizeof(text), "before-recovery-%Y%m%dT%H%M%SZ", &tm);
	return xstrdup(text);
}

static void plan(struct recovery *r)
{
	const struct conf *c = r->o->conf;
	struct raft_pos last = r->found.last;

	if (r->again)
		return;
	r->plan = refound_new(REFOUND_RECOVER, c->node_id, c->peer_advertise, r->o->http);
	if (r->found.hard.term > last.term)
		last.term = r->found.hard.term;
	refound_begin_beyond(&r->plan, last, r->found.last_time_ms);
	r->plan.aside = date_suffix();
	r->plan.others = blob_ref(r->members.data);
}

/* One turn: so many bytes of the log become one unit of the state. */
static enum err apply_some(struct recovery *r, struct kv_changes *changes, struct buf *result)
{
	struct entries entries = { 0 };
	enum err e = wal_read(r->wal, kv_meta(r->kv)->applied_index + 1, READ_BYTES, &entries);

	for (size_t i = 0; e == ERR_OK && i < entries.count; i++) {
		buf_clear(result);
		e = settle_entry(r->kv, &entries.data[i], changes, result);
	}
	entries_free(&entries);
	return e != ERR_OK ? e : kv_commit(r->kv);
}

static enum err apply_all(struct recovery *r)
{
	struct kv_changes *changes = kv_changes_new();
	struct buf result = { 0 };
	enum err e = ERR_OK;

	while (e == ERR_OK && kv_meta(r->kv)->applied_index < r->found.last.index)
		e = apply_some(r, changes, &result);
	buf_free(&result);
	kv_changes_free(changes);
	return e;
}

/* The log is needed no more once the state is durable where the new cluster begins. */
static enum err move_state(struct recovery *r)
{
	char *aside = aside_path("log", r->plan.aside);
	enum err e;

	if ((e = apply_all(r)) != ERR_OK || (e = refound_state(&r->plan, r->kv)) != ERR_OK ||
	    (e = table_flush(r->table)) != ERR_OK)
		goto out;
	wal_close(r->wal);
	r->wal = NULL;
	if ((e = disk_rename(r->o->disk, "log", aside)) == ERR_OK)
		e = disk_sync_dir(r->o->disk, "");
out:
	free(aside);
	return e;
}

static enum err keep_identity(struct recovery *r)
{
	char *aside = aside_path("identity", r->plan.aside);
	struct buf file = { 0 };
	enum err e = disk_read_whole(r->o->disk, "identity", IDENTITY_BYTES_MAX, &file);

	if (e == ERR_OK)
		e = disk_replace(r->o->disk, "", aside, buf_bytes(&file));
	buf_free(&file);
	free(aside);
	return e;
}

static enum err carry_out(struct recovery *r)
{
	enum err e;

	if (!r->again && (e = refound_note(&r->plan, r->o->disk)) != ERR_OK)
		return e;
	if (r->wal != NULL && (e = move_state(r)) != ERR_OK)
		return e;
	return keep_identity(r);
}

static int end(struct recovery *r, enum err e)
{
	if (e == ERR_OK)
		e = refound_finish(&r->plan, r->o->disk, r->o->conf->log_segment);
	if (e == ERR_OK) {
		recovery_show_end(r);
		return EX_OK;
	}
	log_errorx("the recovery broke off: %s; repeat it, it goes on where it was", err_text(e));
	return worker_status(e);
}

static int recover(struct recovery *r, bool yes)
{
	int status;
	enum err e;

	if ((status = read_identity(r)) != EX_OK)
		return status;
	/* Everything was done but forgetting the plan. */
	if (r->again && r->identity.incarnation == r->plan.next.incarnation)
		return end(r, ERR_OK);
	if ((e = look(r)) != ERR_OK) {
		log_errorx("this node cannot be recovered from: %s", err_text(e));
		return worker_status(e);
	}
	plan(r);
	recovery_show(r);
	if ((status = recovery_check_others(r)) != EX_OK)
		return status;
	recovery_explain(r);
	if ((status = recovery_ask(yes)) != EX_OK)
		return status;
	return end(r, carry_out(r));
}

int recover_alone(struct offline *o, bool yes)
{
	struct recovery r = { .o = o };
	int status = recover(&r, yes);

	raft_config_free(&r.members);
	wal_found_free(&r.found);
	wal_close(r.wal);
	kv_close(r.kv);
	tables_close(o->tables, r.table);
	refound_free(&r.plan);
	identity_free(&r.identity);
	return status;
}
