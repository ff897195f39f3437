#include <assert.h>
#include <stdlib.h>

#include "tests/sim/sim_disk.h"
#include "tests/sim/universe.h"

/* How often a call that hangs looks whether it still does. */
#define HANG_STEP span_ms(10)
/* Lent at a time to a call that finds no space. */
#define LOAN 65536

static const struct event_kind work_kind, done_kind;

static struct sim_lane *lane_of(struct lane *l)
{
	return (struct sim_lane *)l;
}

/* What a turn costs: mostly little, on a slow disk up to seconds */
static struct span cost(struct node *n)
{
	const struct plan *p = &n->universe->plan;

	if (n->slow_until.ns > n->universe->now.ns)
		return dice_span_skewed(&n->dice, p->disk_least, p->disk_slow_most);
	return dice_span_skewed(&n->dice, p->disk_least, p->disk_most);
}

/* Its effect comes at some moment of the time that it takes. */
static void begin(struct sim_lane *l)
{
	struct span whole = cost(l->node);
	struct span before = dice_span(&l->node->dice, span_us(0), whole);

	if (l->busy || STAILQ_EMPTY(&l->queued))
		return;
	l->busy = true;
	universe_add(l->node->universe, before, &work_kind, l->node->number, l->number,
	    (uint64_t)(whole.ns - before.ns), NULL);
}

static void on_work(struct universe *u, const struct event *e)
{
	struct node *n = &u->nodes[e->node];
	struct sim_lane *l = n->lane[e->a];

	if (l == NULL)
		return;
	STAILQ_CONCAT(&l->running, &l->queued);
	n->in_lane = true;
	l->work.turn(l->work.arg, &l->running);
	n->in_lane = false;
	universe_add(u, (struct span){ (int64_t)e->b }, &done_kind, e->node, e->a, 0, NULL);
	node_check_disk(n);
}

static void on_done(struct universe *u, const struct event *e)
{
	struct node *n = &u->nodes[e->node];
	struct sim_lane *l = n->lane[e->a];
	struct jobs jobs = STAILQ_HEAD_INITIALIZER(jobs);

	if (l == NULL)
		return;
	if (n->hung_until.ns > u->now.ns) { /* the call does not come back */
		universe_add(u, HANG_STEP, &done_kind, e->node, e->a, 0, NULL);
		return;
	}
	STAILQ_CONCAT(&jobs, &l->running);
	l->busy = false;
	while (!STAILQ_EMPTY(&jobs)) {
		struct job *j = STAILQ_FIRST(&jobs);

		STAILQ_REMOVE_HEAD(&jobs, link);
		l->work.done(l->work.arg, j);
	}
	begin(l);
	node_touch(n);
}

static const struct event_kind work_kind = { "work", on_work }, done_kind = { "done", on_done };

static void sim_submit(struct lane *lane, struct job *job)
{
	struct sim_lane *l = lane_of(lane);

	STAILQ_INSERT_TAIL(&l->queued, job, link);
	begin(l);
}

/* What is queued is still done, unless the node dies. */
static void sim_free(struct lane *lane)
{
	struct sim_lane *l = lane_of(lane);

	if (!node_dies(l->node) && !STAILQ_EMPTY(&l->queued))
		l->work.turn(l->work.arg, &l->queued);
	l->node->lane[l->number] = NULL;
	free(l);
}

static const struct lane_ops sim_ops = { sim_submit, sim_free };

static struct lane *sim_make(struct lane_maker *maker, const char *name, struct lane_work work)
{
	struct node *n = (struct node *)((char *)maker - offsetof(struct node, lanes));
	struct sim_lane *l = xcalloc(1, sizeof(*l));

	(void)name;
	assert(n->lane_count < LANES_MAX);
	l->lane.ops = &sim_ops;
	l->node = n;
	l->number = n->lane_count++;
	l->work = work;
	STAILQ_INIT(&l->queued);
	STAILQ_INIT(&l->running);
	n->lane[l->number] = l;
	return &l->lane;
}

void lanes_init(struct node *n)
{
	n->lanes.make = sim_make;
}

/* ---- space ---- */

/* As in the product a lane that finds no space, nor ballast, waits for some, and a start does not. Nobody can wait in the
 * middle of a turn here: the call is lent what it lacks, has its effect, and like one that hangs does not come back
 * before there is space. */
static bool relieve(struct disk_relief *relief)
{
	struct node *n = (struct node *)((char *)relief - offsetof(struct node, relief));
	uint64_t free;

	if (n->ballast_relief->relieve(n->ballast_relief))
		return true;
	if (!n->in_lane || !node_is_filled(n) || disk_space(n->disk, &free) != ERR_OK)
		return false;
	if (n->hung_until.ns < n->full_until.ns) {
		story_tell(n->universe, n->number, "waits for space");
		n->hung_until = n->full_until;
	}
	sim_disk_set_free(n->disk, free + LOAN);
	return true;
}

enum err ballast_begin(struct node *n)
{
	enum err e =
	    ballast_open(&n->ballast, n->disk, replica_ballast_bytes(n->universe->plan.segment_bytes));

	if (e != ERR_OK)
		return e;
	n->ballast_relief = n->disk->relief;
	n->relief.relieve = relieve;
	n->disk->relief = &n->relief;
	return ERR_OK;
}

void ballast_end(struct node *n)
{
	n->disk->relief = NULL;
	ballast_close(n->ballast);
	n->ballast = NULL;
}
