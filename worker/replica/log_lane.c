#include <assert.h>
#include <stdlib.h>

#include "common/log.h"
#include "worker/replica/inside.h"

/*
 * The log lane: appends and syncs. All batches that queued during the last sync share the next one (group commit).
 * Functions named do_* run on the lane and touch nothing of the replica but wal, environment and what the lanes share.
 */

#define SETTLE_MS 50

struct wal_options log_options(const struct replica *r, const struct identity *identity)
{
	return (struct wal_options){
		.disk = r->env.disk,
		.cluster = identity->cluster,
		.incarnation = identity->incarnation,
		.segment_bytes = r->o.segment_bytes,
	};
}

enum err log_make(struct replica *r, struct identity *identity)
{
	struct wal_options o = log_options(r, identity);
	struct entry first = { { 1, 1 }, 0, ENTRY_CONFIG, identity->founding };
	enum err e = wal_create(&o, &first);

	if (e != ERR_OK)
		return e;
	identity->phase = IDENTITY_FORMED;
	return identity_save(identity, r->env.disk);
}

static enum err do_form(struct log_job *j)
{
	struct wal_options o = log_options(j->r, &j->identity);
	enum err e;

	if ((e = identity_save(&j->identity, j->r->env.disk)) != ERR_OK)
		return e;
	if ((e = log_make(j->r, &j->identity)) != ERR_OK)
		return e;
	return wal_open(&j->wal, &o, &j->found);
}

/* The state first: a log that does not reach up to it is known for what it is at the next start (finish_install()), while
 * one that begins behind the state would be damage. The hard state before both: the image may be of its term. */
static enum err do_install(struct log_job *j)
{
	struct wal *w = j->r->wal;
	enum err e = ERR_OK;

	if (j->hard_changed)
		e = wal_append(w, &j->hard, NULL, 0);
	if (e != ERR_OK || (e = wal_sync(w)) != ERR_OK ||
	    (e = tables_adopt(j->r->env.tables, j->install)) != ERR_OK || !j->rebase)
		return e;
	return wal_reset(w, j->base, j->base_time_ms, j->hard);
}

static enum err do_job(struct log_job *j, bool *unsynced)
{
	enum err e;

	switch (j->kind) {
	case LOG_PERSIST:
		*unsynced = true;
		if (j->install != NULL && (e = do_install(j)) != ERR_OK)
			return e;
		return wal_append(j->r->wal, j->hard_changed && j->install == NULL ? &j->hard : NULL,
		    j->entries.data, j->entries.count);
	case LOG_FETCH:
		/* The log may have been cut since it was asked for. */
		if (j->fetch.index <= wal_base(j->r->wal).index)
			return ERR_OK;
		return wal_read(j->r->wal, j->fetch.index, j->fetch.bytes_max, &j->entries);
	case LOG_SETTLE:
		return wal_settle(j->r->wal);
	case LOG_CUT:
		if ((e = wal_cut(j->r->wal, j->cut_index, j->keep_bytes)) == ERR_OK)
			j->cut_base = wal_base(j->r->wal);
		return e;
	case LOG_FORM:
		return do_form(j);
	case LOG_LEAVE:
		return identity_save(&j->identity, j->r->env.disk);
	}
	return ERR_INTERNAL;
}

static enum err sync_all(struct replica *r, uint64_t entries)
{
	struct instant began = measure_now(r);
	enum err e = wal_sync(r->wal);

	if (e != ERR_OK)
		return e;
	metric_observe_span(r->measure.metrics->log_sync_seconds, instant_between(began, measure_now(r)));
	metric_observe_count(r->measure.metrics->log_sync_entries, entries);
	return ERR_OK;
}

static enum err do_jobs(struct replica *r, struct jobs *jobs)
{
	bool unsynced = false;
	uint64_t entries = 0;
	enum err e;
	struct job *job;

	STAILQ_FOREACH (job, jobs, link) {
		struct log_job *j = (struct log_job *)job;

		if ((e = do_job(j, &unsynced)) != ERR_OK)
			return e;
		entries += j->kind == LOG_PERSIST ? j->entries.count : 0;
	}
	return unsynced ? sync_all(r, entries) : ERR_OK;
}

/* A turn fails as a whole: what was written before the job that failed was not synced either (C3). */
static void do_turn(void *arg, struct jobs *jobs)
{
	struct replica *r = arg;
	enum err e = lanes_error(r);
	struct job *job;

	if (e == ERR_OK)
		e = do_jobs(r, jobs);
	lanes_note(r, PART_LOG, e);
	STAILQ_FOREACH (job, jobs, link)
		((struct log_job *)job)->error = e;
}

static void on_done(void *arg, struct job *job)
{
	struct replica *r = arg;
	struct log_job *j = (struct log_job *)job;

	assert(j == STAILQ_FIRST(&r->log_out));
	STAILQ_REMOVE_HEAD(&r->log_out, out);
	STAILQ_INSERT_TAIL(&r->log_over, j, over);
}

struct lane_work log_lane_work(struct replica *r)
{
	return (struct lane_work){ do_turn, on_done, r };
}

static struct log_job *new_job(struct replica *r, enum log_job_kind kind)
{
	struct log_job *j = xcalloc(1, sizeof(*j));

	j->r = r;
	j->kind = kind;
	return j;
}

static void submit(struct log_job *j)
{
	j->since = j->r->now;
	STAILQ_INSERT_TAIL(&j->r->log_out, j, out);
	j->r->measure.log_jobs++;
	lane_submit(j->r->log_lane, &j->job);
}

void log_job_free(struct log_job *j)
{
	entries_free(&j->entries);
	identity_free(&j->identity);
	wal_found_free(&j->found);
	wal_close(j->wal);
	free(j);
}

void log_persist(struct replica *r, const struct raft_ready *rd)
{
	struct log_job *j = new_job(r, LOG_PERSIST);

	j->ticket = rd->ticket;
	j->hard_changed = rd->hard_changed;
	j->hard = rd->hard;
	if (rd->install) {
		j->install = r->receiving.in->table;
		j->rebase = rd->rebase;
		j->base = rd->base;
		j->base_time_ms = rd->base_time_ms;
	}
	for (size_t i = 0; i < rd->entry_count; i++) {
		entries_add(&j->entries, &rd->entries[i]);
		space_written(r, entry_bytes(&rd->entries[i]));
	}
	if (rd->entry_count > 0)
		measure_given(r, rd->entries[0].pos.index, rd->entries[rd->entry_count - 1].pos.index);
	r->settle_due = true;
	r->settle_at = instant_add(r->now, span_ms(SETTLE_MS));
	submit(j);
}

void log_fetch(struct replica *r, const struct raft_fetch *fetch)
{
	struct log_job *j = new_job(r, LOG_FETCH);

	j->fetch = *fetch;
	submit(j);
}

void log_cut(struct replica *r, uint64_t index, uint64_t keep_bytes)
{
	struct log_job *j = new_job(r, LOG_CUT);

	j->cut_index = index;
	j->keep_bytes = keep_bytes;
	submit(j);
}

uint64_t log_bytes(const struct replica *r)
{
	return r->wal == NULL ? 0 : wal_disk_bytes(r->wal);
}

static void note_identity(struct replica *r, enum log_job_kind kind, const struct identity *identity)
{
	struct log_job *j = new_job(r, kind);

	j->identity = *identity;
	j->identity.id = xstrdup(identity->id);
	blob_ref(identity->founding);
	submit(j);
}

void log_form(struct replica *r, const struct identity *identity)
{
	note_identity(r, LOG_FORM, identity);
}

void log_leave(struct replica *r, const struct identity *identity)
{
	note_identity(r, LOG_LEAVE, identity);
}

/* After 50 ms of silence the log notes that everything is synced: damage before that is then known to be damage. */
void log_tick(struct replica *r)
{
	if (!r->settle_due || !instant_passed(r->settle_at, r->now))
		return;
	r->settle_due = false;
	submit(new_job(r, LOG_SETTLE));
}

/* A process that was stopped finds its last sync old at once, and done a moment later: it is looked at twice. */
static bool is_hung(struct replica *r)
{
	const struct log_job *oldest = STAILQ_FIRST(&r->log_out);

	if (oldest == NULL || !instant_passed(instant_add(oldest->since, r->o.election), r->now))
		return false;
	if (r->disk_hangs)
		return true;
	if (r->suspect.ns != oldest->since.ns) {
		r->suspect = oldest->since;
		r->suspected = r->now;
	}
	return instant_passed(instant_add(r->suspected, r->o.heartbeat), r->now);
}

/* Others would notice a disk that hangs after an election timeout of their own, if at all: this node says it first
 * (DESIGN 2). Its log is whole in memory, so nothing is lost by handing over. */
void log_watch(struct replica *r)
{
	bool hangs = is_hung(r);

	if (r->raft == NULL || hangs == r->disk_hangs)
		return;
	r->disk_hangs = hangs;
	if (hangs)
		log_warnx("the disk hangs: a sync has not come back for %lld ms%s",
		    (long long)span_to_ms(instant_between(STAILQ_FIRST(&r->log_out)->since, r->now)),
		    raft_config(r->raft)->count > 1 ? "; this node does not lead until it does" : "");
	else
		log_info("the disk works again");
	raft_set_unfit(r->raft, hangs, r->now);
}

static void release_promises(struct replica *r, uint64_t ticket)
{
	size_t sent = 0;

	for (; sent < r->held_count && r->held[sent].ticket <= ticket; sent++) {
		const struct raft_message *m = &r->held[sent].message;

		wire_put_u8(&r->frame, PEER_RAFT);
		raft_message_put(&r->frame, m);
		send_frame(r, m->to);
	}
	r->held_count -= sent;
	for (size_t i = 0; i < r->held_count; i++)
		r->held[i] = r->held[i + sent];
}

static void take_job(struct replica *r, struct log_job *j)
{
	if (j->error != ERR_OK) {
		fail_by(r, j->error, "the log");
		return;
	}
	switch (j->kind) {
	case LOG_PERSIST:
		r->ticket_durable = j->ticket;
		if (j->install != NULL)
			image_installed(r);
		if (j->rebase)
			upkeep_want(r, UPKEEP_SWEEP, span_ms(0));
		raft_persisted(r->raft, j->ticket, r->now);
		release_promises(r, j->ticket);
		if (j->entries.count > 0)
			measure_durable(r, j->entries.data[j->entries.count - 1].pos.index);
		if (j->entries.count > 0)
			upkeep_want(r, UPKEEP_FILL, span_ms(0));
		break;
	case LOG_FETCH:
		raft_fetched(r->raft, j->fetch.peer, &j->entries);
		break;
	case LOG_SETTLE:
		break;
	case LOG_CUT:
		cut_done(r, j->cut_base);
		break;
	case LOG_FORM:
		formation_done(r, j);
		break;
	case LOG_LEAVE:
		removal_left(r, j);
		break;
	}
}

/* What came back from the lane, in order. */
void log_take_over(struct replica *r)
{
	struct log_job *j;

	while ((j = STAILQ_FIRST(&r->log_over)) != NULL) {
		STAILQ_REMOVE_HEAD(&r->log_over, over);
		r->measure.log_jobs--;
		if (!r->failed)
			take_job(r, j);
		log_job_free(j);
	}
}
