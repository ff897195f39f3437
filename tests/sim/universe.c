#include <inttypes.h>
#include <string.h>

#include "common/crc.h"
#include "tests/sim/universe.h"

#define SECOND span_ms(1000)
/* After healing every kind of request is answered by every node, and all states are equal, within this. */
#define RECOVERY span_ms(15000)

static const struct event_kind watch_kind;

/* Instead of common/random_secret.c: secrets of a universe come from its seed. */
uint64_t random_secret(void)
{
	struct random r = { universe_running->secrets };
	uint64_t v = random_next(&r);

	universe_running->secrets = r.state;
	return v;
}

void universe_add(struct universe *u, struct span delay, const struct event_kind *kind, int node, uint64_t a,
    uint64_t b, struct blob *data)
{
	struct event e = { instant_add(u->now, delay), 0, kind, node, 0, a, b, data };

	if (node != NOBODY)
		e.life = u->nodes[node].life;
	events_add(&u->events, e);
}

/* ---- events ---- */

static uint64_t mix(uint64_t trace, uint64_t v)
{
	trace = (trace ^ v) * 0x9e3779b97f4a7c15u;
	return trace ^ trace >> 29;
}

static void trace_event(struct universe *u, const struct event *e)
{
	uint64_t t = u->deeds.trace;

	t = mix(t, (uint64_t)e->time.ns);
	t = mix(t, crc32c(0, bytes_text(e->kind->name)));
	t = mix(t, (uint64_t)(e->node + 1) << 32 | e->life);
	t = mix(mix(t, e->a), e->b);
	if (e->data != NULL)
		t = mix(t, crc32c(0, blob_bytes(e->data)));
	u->deeds.trace = t;
}

/* When a stopped one sees what came meanwhile: what came on one way (e->a names it) in its order, else in any. */
static struct instant after_pause(const struct node *n, const struct event *e)
{
	struct random r = { (uint64_t)n->paused_until.ns ^ e->a * 0x9e3779b97f4a7c15u };

	random_next(&r);
	return instant_add(n->paused_until, dice_span(&r, span_us(1), span_us(100)));
}

/* A life that is over gets nothing, a stopped one gets it later. */
static bool reaches(struct universe *u, struct event *e)
{
	const struct node *n;

	if (e->node == NOBODY)
		return true;
	n = &u->nodes[e->node];
	if (n->life != e->life || !node_up(n))
		return false;
	if (n->paused_until.ns <= u->now.ns)
		return true;
	e->time = after_pause(n, e);
	events_add(&u->events, *e);
	e->data = NULL;
	return false;
}

static void step(struct universe *u)
{
	struct event e;

	if (!events_next(&u->events, &e))
		universe_fail(u, "nothing will ever happen again");
	u->now = e.time;
	if (reaches(u, &e)) {
		u->deeds.events++;
		trace_event(u, &e);
		u->story.speaker = e.node;
		e.kind->run(u, &e);
	}
	blob_unref(e.data);
}

/* Looks after the patience of the clients once a second. */
static void on_watch(struct universe *u, const struct event *e)
{
	(void)e;
	clients_check_waiting(u);
	universe_add(u, SECOND, &watch_kind, NOBODY, 0, 0, NULL);
}

static const struct event_kind watch_kind = { "watch", on_watch };

/* ---- the end ---- */

static bool all_equal(struct universe *u)
{
	bool first = true;
	uint64_t applied = 0;

	for (int i = 0; i < u->plan.nodes; i++) {
		struct replica_view v;

		if (!laws_member(u, &u->nodes[i]))
			continue;
		if (!node_up(&u->nodes[i]))
			return false;
		v = replica_view(u->nodes[i].replica);
		if (first)
			applied = v.applied;
		first = false;
		if (v.applied != applied || v.commit != applied || v.last != applied ||
		    u->nodes[i].applied != applied)
			return false;
	}
	return true;
}

static void run_until(struct universe *u, bool (*done)(struct universe *), const char *what)
{
	struct instant limit = instant_add(u->now, RECOVERY);

	while (!done(u)) {
		if (instant_passed(limit, u->now))
			universe_fail(u, "%d seconds after everything was healed %s",
			    (int)(span_to_ms(RECOVERY) / 1000), what);
		step(u);
	}
}

/* A state that went wrong is found out at the next point at which states are compared; it, and one that was lost, is
 * replaced, and trusted again. */
static bool states_are_sound(struct universe *u)
{
	for (int i = 0; i < u->plan.nodes; i++)
		if (u->nodes[i].rotten || u->nodes[i].lost ||
		    (node_up(&u->nodes[i]) && replica_view(u->nodes[i].replica).quarantined))
			return false;
	return true;
}

static bool probed(struct universe *u)
{
	return clients_probed(u);
}

static bool quiet(struct universe *u)
{
	return clients_quiet(u);
}

static bool given(struct universe *u)
{
	return backups_ended(u);
}

static void end_well(struct universe *u)
{
	nemesis_heal(u);
	backups_heal(u);
	u->healed = true;
	run_until(u, churn_settled, "the members are not those that were wanted");
	run_until(u, states_are_sound, "some node still has no state that is trusted");
	run_until(u, upgrade_is_over, "the feature level has not risen");
	clients_probe(u);
	run_until(u, probed, "some node does not serve");
	clients_stop(u);
	run_until(u, quiet, "some client is not served");
	run_until(u, all_equal, "the nodes have not come to one state");
	backups_end(u);
	run_until(u, given, "some node has not given a backup");
	for (int i = 0; i < u->plan.nodes; i++)
		if (laws_member(u, &u->nodes[i]))
			history_check_state(u, &u->nodes[i]);
	history_check_reads(u);
	registers_check(u);
}

static void begin(struct universe *u, const struct plan *p, enum sabotage sabotage, bool aloud)
{
	void (*on_fail)(struct universe *, const char *) = u->on_fail;

	memset(u, 0, sizeof(*u));
	universe_running = u;
	u->on_fail = on_fail;
	u->plan = *p;
	u->sabotage = sabotage;
	u->story.aloud = aloud;
	u->dice.state = p->seed;
	u->secrets = random_next(&u->dice);
	net_init(u);
	nodes_init(u);
	clients_start(u);
	nemesis_start(u);
	churn_start(u);
	backups_start(u);
	universe_add(u, SECOND, &watch_kind, NOBODY, 0, 0, NULL);
}

void universe_run(struct universe *u, const struct plan *p, enum sabotage sabotage, bool aloud)
{
	struct instant end = { p->length.ns };

	begin(u, p, sabotage, aloud);
	while (!instant_passed(end, u->now))
		step(u);
	end_well(u);
	u->deeds.simulated_ms = (uint64_t)span_to_ms((struct span){ u->now.ns });
}

/* Until somebody leads; the time that it took. */
static struct span until_led(struct universe *u)
{
	struct instant from = u->now;

	while (node_leading(u) == NULL) {
		if (instant_between(from, u->now).ns > RECOVERY.ns)
			universe_fail(u, "nobody leads");
		step(u);
	}
	return instant_between(from, u->now);
}

struct span universe_time_to_leader(struct universe *u, const struct plan *p)
{
	begin(u, p, SABOTAGE_NONE, false);
	u->nemesis.stopped = true;
	until_led(u);
	for (int i = 0; i < p->nodes; i++) {
		node_crash(&u->nodes[i], true);
		node_restart_later(&u->nodes[i], span_ms(1));
	}
	return until_led(u);
}

const char *universe_idle(const struct universe *u)
{
	uint64_t seconds = (uint64_t)span_to_ms(u->plan.length) / 1000;

	if (u->deeds.acked < seconds)
		return "too few writes were acknowledged";
	if (u->deeds.reads == 0)
		return "nothing was read";
	if (u->deeds.elections == 0)
		return "nobody was elected";
	return NULL;
}

void universe_free(struct universe *u)
{
	nodes_fini(u);
	net_fini(u);
	laws_fini(&u->laws);
	clients_fini(u);
	backups_fini(u);
	history_fini(&u->history);
	events_fini(&u->events);
	universe_running = NULL;
}
