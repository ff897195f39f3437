#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "common/log.h"
#include "worker/replica/inside.h"
#include "worker/replica/settle.h"

/*
 * The state lane: applies committed entries in order, all of a turn as one atomic unit together with the applied
 * index, answers reads, and reads slices of an image (scan.c). Functions named do_* run on the lane and touch nothing
 * of the replica but kv, changes, identity and what the lanes share.
 */

static void add_outcome(struct state_job *j, struct outcome o)
{
	if (j->outcome_count == j->outcome_room) {
		j->outcome_room = j->outcome_room == 0 ? 16 : j->outcome_room * 2;
		j->outcomes = xreallocarray(j->outcomes, j->outcome_room, sizeof(*j->outcomes));
	}
	j->outcomes[j->outcome_count++] = o;
}

/* A request of this life of this node: its requester waits for the result. */
static bool is_mine(const struct replica *r, const struct kv_command *c)
{
	return c->origin_incarnation == r->identity.incarnation && c->origin_start == r->identity.start;
}

/* The result, as far as somebody here waits for it. */
static void keep_result(struct state_job *j, const struct entry *e, size_t from)
{
	struct reader reader = reader_of(blob_bytes(e->data));
	struct kv_command c;

	if (e->type == ENTRY_WRITE && kv_command_get(&reader, &c) && is_mine(j->r, &c))
		add_outcome(j, (struct outcome){ .number = c.origin_number,
				   .index = e->pos.index,
				   .from = from,
				   .size = j->results.size - from });
	else
		j->results.size = from;
}

static enum err do_entry(struct state_job *j, const struct entry *e)
{
	size_t from = j->results.size;
	enum err error = settle_entry(j->r->kv, e, j->r->changes, &j->results);

	if (error == ERR_OK)
		keep_result(j, e, from);
	return error;
}

/* As of exactly this index, whatever else the turn brings. */
static void note_point(struct state_job *j)
{
	const struct kv_meta *meta = kv_meta(j->r->kv);

	if (meta->applied_index % j->r->o.hash_every == 0)
		points_add(&j->points, (struct point){ meta->applied_index, meta->hash });
}

/* What was applied to the old state goes to its table before another takes its place. It comes back in the job. */
static enum err do_switch(struct state_job *j)
{
	struct kv *old = j->r->kv;
	enum err e = kv_commit(old);

	j->r->kv = j->kv;
	j->kv = old;
	j->switched = true;
	return e;
}

static enum err do_apply(struct state_job *j)
{
	enum err e = ERR_OK;

	for (size_t i = 0; e == ERR_OK && i < j->entries.count; i++) {
		e = do_entry(j, &j->entries.data[i]);
		note_point(j);
	}
	return e;
}

static enum err do_reads(struct state_job *j)
{
	enum err e = ERR_OK;

	for (size_t i = 0; e == ERR_OK && i < j->outcome_count; i++) {
		struct outcome *o = &j->outcomes[i];

		if ((o->undone = !reads_lane_has_room(j->r)))
			continue;
		o->from = j->results.size;
		e = kv_read(j->r->kv, blob_bytes(o->txn), &j->results);
		o->size = j->results.size - o->from;
		atomic_fetch_add(&j->r->reads.lane_bytes, o->size);
	}
	return e;
}

static enum err do_job(struct state_job *j)
{
	switch (j->kind) {
	case STATE_APPLY:
		return do_apply(j);
	case STATE_READ:
		return do_reads(j);
	case STATE_DISTRUST:
		return kv_quarantine(j->r->kv, blob_bytes(j->why));
	case STATE_SWITCH:
		return do_switch(j);
	case STATE_SCAN_BEGIN:
		return scan_do_begin(j);
	case STATE_SCAN:
		return scan_do_slice(j);
	case STATE_SCAN_END:
		scan_do_end(j);
		return ERR_OK;
	}
	return ERR_INTERNAL;
}

static enum err do_jobs(struct replica *r, struct jobs *jobs)
{
	struct instant began = measure_now(r);
	uint64_t entries = 0;
	bool applied = false;
	enum err e;
	struct job *job;

	STAILQ_FOREACH (job, jobs, link) {
		struct state_job *j = (struct state_job *)job;

		if ((e = do_job(j)) != ERR_OK)
			return e;
		j->meta = *kv_meta(r->kv);
		applied |= j->kind == STATE_APPLY;
		entries += j->entries.count;
	}
	if (!applied)
		return ERR_OK;
	if ((e = kv_commit(r->kv)) != ERR_OK)
		return e;
	metric_observe_span(r->measure.metrics->apply_seconds, instant_between(began, measure_now(r)));
	metric_observe_count(r->measure.metrics->apply_entries, entries);
	return ERR_OK;
}

/* A turn is one transaction, and fails as one. */
static void do_turn(void *arg, struct jobs *jobs)
{
	struct replica *r = arg;
	enum err e = lanes_error(r);
	struct job *job;

	if (e == ERR_OK)
		e = do_jobs(r, jobs);
	lanes_note(r, PART_STATE, e);
	STAILQ_FOREACH (job, jobs, link)
		((struct state_job *)job)->error = e;
}

static void on_done(void *arg, struct job *job)
{
	struct replica *r = arg;

	STAILQ_INSERT_TAIL(&r->state_over, (struct state_job *)job, over);
}

struct lane_work state_lane_work(struct replica *r)
{
	return (struct lane_work){ do_turn, on_done, r };
}

struct state_job *state_job_new(struct replica *r, enum state_job_kind kind)
{
	struct state_job *j = xcalloc(1, sizeof(*j));

	j->r = r;
	j->kind = kind;
	return j;
}

void state_job_submit(struct state_job *j)
{
	j->r->measure.state_jobs++;
	lane_submit(j->r->state_lane, &j->job);
}

void state_job_free(struct state_job *j)
{
	entries_free(&j->entries);
	for (size_t i = 0; i < j->outcome_count; i++)
		blob_unref(j->outcomes[i].txn);
	free(j->outcomes);
	buf_free(&j->results);
	blob_unref(j->why);
	kv_close(j->kv);
	free(j);
}

/* Done, the state machine is of the new table already; else it still is of the old one. */
void state_close_switch(struct replica *r, struct state_job *j)
{
	struct table *unused = j->table;

	if (j->kind != STATE_SWITCH)
		return;
	if (j->switched) {
		unused = r->table;
		r->table = j->table;
	}
	kv_close(j->kv);
	j->kv = NULL;
	tables_close(r->env.tables, unused);
}

void state_apply(struct replica *r, const struct raft_ready *rd)
{
	struct state_job *j = state_job_new(r, STATE_APPLY);

	for (size_t i = 0; i < rd->committed_count; i++) {
		assert(rd->committed[i].pos.index == r->submitted + 1);
		r->submitted++;
		entries_add(&j->entries, &rd->committed[i]);
		r->bytes_since_checkpoint += entry_bytes(&rd->committed[i]);
	}
	state_job_submit(j);
}

void state_switch(struct replica *r, struct table *table, struct kv *kv, uint64_t index)
{
	struct state_job *j = state_job_new(r, STATE_SWITCH);

	j->kv = kv;
	j->table = table;
	r->submitted = index;
	agreement_replacing(r);
	state_job_submit(j);
}

void state_distrust(struct replica *r, const char *why)
{
	struct state_job *j = state_job_new(r, STATE_DISTRUST);

	j->why = blob_new(bytes_text(why));
	state_job_submit(j);
}

/* The lane works in order: a read behind the job that applies its index sees it. */
void state_job_read(struct state_job *j, struct pending *p)
{
	add_outcome(j, (struct outcome){ .number = p->number, .txn = blob_ref(p->data) });
	pending_move(&j->r->pendings, p, STAGE_READING);
}

static void give_outcome(struct replica *r, const struct state_job *j, const struct outcome *o)
{
	struct pending *p = pending_find(&r->pendings, o->number);

	if (p == NULL || p->stage != (j->kind == STATE_APPLY ? STAGE_WRITTEN : STAGE_READING) || o->undone)
		return;
	if (!request_may_answer(r, p))
		return;
	if (j->kind == STATE_APPLY)
		p->index = o->index;
	answer_result(r, p, bytes_of(j->results.data + o->from, o->size), j->meta.applied_index);
}

/* In the order in which they were. */
static void put_back_undone(struct replica *r, const struct state_job *j)
{
	for (size_t i = j->outcome_count; i-- > 0 && j->outcomes[i].undone;) {
		struct pending *p = pending_find(&r->pendings, j->outcomes[i].number);

		if (p != NULL && p->stage == STAGE_READING)
			reads_put_back(r, p);
	}
}

static void take_applied(struct replica *r, const struct state_job *j)
{
	raft_applied(r->raft, j->meta.applied_index);
	request_applied(r, j->meta.applied_term);
	upkeep_want(r, UPKEEP_FLUSH, span_ms(UPKEEP_FLUSH_MS));
	upkeep_want_checkpoint(r);
}

static void take_job(struct replica *r, struct state_job *j)
{
	struct kv_meta before;

	if (j->error != ERR_OK) {
		fail_by(r, j->error, "the state");
		return;
	}
	before = r->meta;
	r->meta = j->meta;
	level_applied(r, &before);
	for (size_t i = 0; i < j->points.count; i++)
		agreement_note(r, j->points.list[i]);
	for (size_t i = 0; i < j->outcome_count; i++)
		give_outcome(r, j, &j->outcomes[i]);
	switch (j->kind) {
	case STATE_APPLY:
		take_applied(r, j);
		break;
	case STATE_READ:
		put_back_undone(r, j);
		reads_take_job(r, j);
		break;
	case STATE_DISTRUST:
		agreement_distrusted(r);
		break;
	case STATE_SWITCH:
		upkeep_drop(r, r->table);
		r->table = j->table;
		agreement_replaced(r);
		take_applied(r, j);
		break;
	case STATE_SCAN_BEGIN:
	case STATE_SCAN:
	case STATE_SCAN_END:
		scan_take_job(r, j);
		break;
	}
}

/* What came back from the lane, in order. */
void state_take_over(struct replica *r)
{
	struct state_job *j;

	while ((j = STAILQ_FIRST(&r->state_over)) != NULL) {
		STAILQ_REMOVE_HEAD(&r->state_over, over);
		r->measure.state_jobs--;
		if (!r->failed)
			take_job(r, j);
		else
			state_close_switch(r, j);
		state_job_free(j);
	}
}
