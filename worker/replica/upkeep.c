#include <inttypes.h>
#include <stdlib.h>

#include "common/log.h"
#include "worker/replica/inside.h"

/*
 * The maintenance lane: what keeps a start short and the foreground smooth, away from log and state lane. The
 * store's log is flushed steadily and checkpointed by time and volume (from the writer's own thread a checkpoint is
 * a third of a second of silence); the log's next segment is filled ahead, and those that were cut away are removed;
 * tables that are not used any more are dropped. On a full filesystem what can wait does.
 */

static enum err do_checkpoint(struct upkeep_job *j)
{
	struct replica *r = j->r;
	struct instant began = measure_now(r);
	enum err e = table_checkpoint(j->table);
	struct span took = instant_between(began, measure_now(r));

	if (e != ERR_OK)
		return e;
	metric_observe_span(r->measure.metrics->checkpoint_seconds, took);
	log_debug("the state is checkpointed took=%" PRId64 "ms", span_to_ms(took));
	return ERR_OK;
}

static enum err do_job(struct upkeep_job *j)
{
	switch (j->kind) {
	case UPKEEP_FLUSH:
		return table_flush(j->table);
	case UPKEEP_CHECKPOINT:
		return do_checkpoint(j);
	case UPKEEP_FILL:
		return wal_fill(j->r->wal, &j->more);
	case UPKEEP_DROP:
		tables_drop(j->r->env.tables, j->table);
		return ERR_OK;
	case UPKEEP_SWEEP:
		return wal_sweep(j->r->wal, &j->more);
	case UPKEEP_COUNT:
		break;
	}
	return ERR_INTERNAL;
}

/* Without room to fill, all else goes on. */
static bool is_no_room(const struct upkeep_job *j)
{
	return j->kind == UPKEEP_FILL && j->error == ERR_NO_SPACE;
}

static void do_turn(void *arg, struct jobs *jobs)
{
	struct replica *r = arg;
	struct job *job;

	STAILQ_FOREACH (job, jobs, link) {
		struct upkeep_job *j = (struct upkeep_job *)job;

		if ((j->error = lanes_error(r)) == ERR_OK)
			j->error = do_job(j);
		if (!is_no_room(j))
			lanes_note(r, j->kind == UPKEEP_FILL ? PART_LOG : PART_STATE, j->error);
	}
}

static void on_done(void *arg, struct job *job)
{
	(void)arg;
	((struct upkeep_job *)job)->over = true;
}

struct lane_work upkeep_lane_work(struct replica *r)
{
	return (struct lane_work){ do_turn, on_done, r };
}

void upkeep_init(struct replica *r)
{
	for (int i = 0; i < UPKEEP_COUNT; i++)
		r->upkeep[i] =
		    (struct upkeep_job){ .r = r, .kind = (enum upkeep_kind)i, .at = INSTANT_NEVER };
}

/* The first wish since the last run decides when, unless a later one is more urgent. */
void upkeep_want(struct replica *r, enum upkeep_kind kind, struct span from_now)
{
	struct upkeep_job *j = &r->upkeep[kind];
	struct instant at = instant_add(r->now, from_now);

	j->at = j->due ? instant_least(j->at, at) : at;
	j->due = true;
}

void upkeep_want_checkpoint(struct replica *r)
{
	bool pressed = cut_presses(r);
	uint64_t most = pressed ? r->o.segment_bytes / 4 : space_checkpoint_bytes(r->o.segment_bytes);
	int64_t ms = pressed ? UPKEEP_PRESSED_MS : UPKEEP_CHECKPOINT_MS;

	upkeep_want(r, UPKEEP_CHECKPOINT, span_ms(r->bytes_since_checkpoint > most ? 0 : ms));
}

static void take_over(struct replica *r, struct upkeep_job *j)
{
	j->busy = j->over = false;
	if (is_no_room(j)) {
		upkeep_want(r, UPKEEP_FILL, span_ms(UPKEEP_FULL_MS));
		return;
	}
	if (j->error != ERR_OK) {
		fail_by(
		    r, j->error, j->kind == UPKEEP_FILL || j->kind == UPKEEP_SWEEP ? "the log" : "the state");
		return;
	}
	if (j->kind == UPKEEP_CHECKPOINT)
		cut_checkpointed(r, j->table, j->index);
	else if ((j->kind == UPKEEP_FILL || j->kind == UPKEEP_SWEEP) && j->more)
		upkeep_want(r, j->kind, span_ms(0));
	if (j->kind == UPKEEP_DROP && r->drop_count > 0)
		upkeep_want(r, UPKEEP_DROP, span_ms(0));
}

void upkeep_drop(struct replica *r, struct table *t)
{
	if (t == NULL)
		return;
	r->drops = xreallocarray(r->drops, r->drop_count + 1, sizeof(struct table *));
	r->drops[r->drop_count++] = t;
	upkeep_want(r, UPKEEP_DROP, span_ms(0));
}

void upkeep_fini(struct replica *r)
{
	while (r->drop_count > 0)
		tables_drop(r->env.tables, r->drops[--r->drop_count]);
	free(r->drops);
}

/* What is ahead of its need never draws on what is left; a checkpoint frees more than it takes, but not at once. */
static bool waits_for_space(const struct replica *r, enum upkeep_kind kind)
{
	switch (kind) {
	case UPKEEP_FLUSH:
	case UPKEEP_DROP:
	case UPKEEP_SWEEP:
	case UPKEEP_COUNT:
		return false;
	case UPKEEP_CHECKPOINT:
		return r->space.room == RAFT_ROOM_NONE;
	case UPKEEP_FILL:
		return r->space.room != RAFT_ROOM_ENOUGH;
	}
	return false;
}

void upkeep_run(struct replica *r)
{
	for (int i = 0; i < UPKEEP_COUNT && !r->failed; i++) {
		struct upkeep_job *j = &r->upkeep[i];

		if (j->over)
			take_over(r, j);
		if (j->busy || !j->due || !instant_passed(j->at, r->now) || waits_for_space(r, j->kind))
			continue;
		j->due = false;
		j->busy = true;
		j->table = j->kind == UPKEEP_DROP ? r->drops[--r->drop_count] : r->table;
		j->index = r->meta.applied_index; /* committed; what comes meanwhile may not be in it */
		if (j->kind == UPKEEP_CHECKPOINT)
			r->bytes_since_checkpoint = 0;
		lane_submit(r->upkeep_lane, &j->job);
	}
}

struct instant upkeep_deadline(const struct replica *r)
{
	struct instant at = INSTANT_NEVER;

	for (int i = 0; i < UPKEEP_COUNT; i++)
		if (r->upkeep[i].due && !r->upkeep[i].busy && !waits_for_space(r, r->upkeep[i].kind))
			at = instant_least(at, r->upkeep[i].at);
	return at;
}
