#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

#include "tests/common/mem_table.h"
#include "tests/sim/sim_disk.h"
#include "tests/sim/universe.h"

static const struct event_kind turn_kind, tick_kind, start_kind;

bool node_up(const struct node *n)
{
	return n->replica != NULL;
}

bool node_is_filled(const struct node *n)
{
	return n->full_until.ns > n->universe->now.ns;
}

/* ---- clock ---- */

static int64_t rate(const struct node *n)
{
	return 1000000 + n->universe->plan.drift_ppm[n->number];
}

struct instant node_now(const struct node *n)
{
	__int128 passed = (__int128)n->universe->now.ns * rate(n) / 1000000;

	return (struct instant){ n->clock_offset_ns + (int64_t)passed };
}

static int64_t by_clock(const struct node *n, struct span s)
{
	return (int64_t)((__int128)s.ns * rate(n) / 1000000);
}

/* From now until the node's clock shows `when`, rounded up; 0 when it does already. */
static struct span until(const struct node *n, struct instant when)
{
	__int128 left = (__int128)when.ns - node_now(n).ns;

	if (left <= 0)
		return span_us(0);
	return (struct span){ (int64_t)(left * 1000000 / rate(n)) + 2 };
}

/* ---- turns ---- */

/* One tick is due at most; one that comes early finds out by itself. */
static void set_tick(struct node *n)
{
	struct universe *u = n->universe;
	struct instant deadline = replica_deadline(n->replica);
	struct instant at;

	if (deadline.ns == INSTANT_NEVER.ns)
		return;
	at = instant_add(u->now, until(n, deadline));
	if (n->tick_at.ns > u->now.ns && n->tick_at.ns <= at.ns)
		return;
	n->tick_at = at;
	universe_add(u, instant_between(u->now, at), &tick_kind, n->number, (uint64_t)at.ns, 0, NULL);
}

/* A replica that says it cannot go on is right only when its disk died or failed a call. */
static bool bury(struct node *n)
{
	bool dead = sim_disk_dead(n->disk);

	if (n->doomed == NULL && !dead)
		return false;
	if (!dead && n->outdated) {
		upgrade_outdated(n);
		return true;
	}
	if (!dead && !sim_disk_failed(n->disk))
		universe_fail(n->universe, "n%d gave up on a sound disk: %s", n->number + 1, n->doomed);
	nemesis_count(n->universe, !dead ? FAULT_DISK_ERROR : n->burning ? FAULT_SWEEP : FAULT_TORN);
	node_crash(n, dice_chance(&n->dice, 500000));
	node_restart_later(n, dice_span_skewed(&n->dice, span_ms(20), span_ms(3000)));
	return true;
}

bool node_dies(const struct node *n)
{
	return sim_disk_dead(n->disk);
}

bool node_is_slow(const struct node *n)
{
	struct instant until = n->slow_until.ns > n->hung_until.ns ? n->slow_until : n->hung_until;

	return until.ns + n->universe->plan.disk_slow_most.ns > n->universe->now.ns;
}

void node_check_disk(struct node *n)
{
	bury(n);
}

static void end_turn(struct node *n)
{
	struct universe *u = n->universe;

	n->turn_open = false;
	moves_tell(u, n);
	replica_flush(n->replica, node_now(n));
	u->deeds.turns++;
	if (bury(n))
		return;
	laws_on_turn(u, n);
	set_tick(n);
}

void node_touch(struct node *n)
{
	if (n->replica == NULL || n->turn_open)
		return;
	n->turn_open = true;
	if (n->universe->plan.turn.ns == 0)
		end_turn(n);
	else
		universe_add(n->universe, dice_span(&n->dice, span_us(0), n->universe->plan.turn), &turn_kind,
		    n->number, 0, 0, NULL);
}

static void on_turn(struct universe *u, const struct event *e)
{
	end_turn(&u->nodes[e->node]);
}

static void on_tick(struct universe *u, const struct event *e)
{
	struct node *n = &u->nodes[e->node];

	if ((int64_t)e->a != n->tick_at.ns)
		return;
	n->tick_at = (struct instant){ 0 };
	if (instant_passed(replica_deadline(n->replica), node_now(n))) {
		replica_tick(n->replica, node_now(n));
		node_touch(n);
	} else {
		set_tick(n);
	}
}

/* ---- life ---- */

/* All clients of a node are those of one HTTP worker, and take what it has for them at one rate. */
static size_t unsent_of(struct node *n)
{
	const struct universe *u = n->universe;
	uint64_t us = (uint64_t)instant_between(n->taken_at, u->now).ns / 1000;
	uint64_t taken = us < 60000000 ? u->plan.taken_per_second * us / 1000000 : UINT64_MAX;

	if (u->plan.taken_per_second == 0)
		return 0;
	if (taken == 0)
		return n->unsent;
	n->unsent -= taken < n->unsent ? taken : n->unsent;
	n->taken_at = u->now;
	return n->unsent;
}

static void on_unsent(void *arg, uint32_t client, struct unsent *out)
{
	(void)client;
	out->all = unsent_of(arg);
	out->here = out->all / 8;
}

static void on_answer(void *arg, uint32_t client, const struct ipc_answer *answer)
{
	struct node *n = arg;

	n->unsent = unsent_of(n) + answer->result.size;
	if (n->in_request)
		universe_fail(n->universe, "n%d answers request %" PRIu64 " from within replica_request()",
		    n->number + 1, answer->id);
	if (client == CHURN_CLIENT) {
		churn_on_answer(n->universe, n, answer);
		return;
	}
	if (client == BACKUP_CLIENT) {
		backups_on_answer(n->universe, n, answer);
		return;
	}
	clients_on_answer(n->universe, n, client, answer);
	if (n->universe->sabotage == SABOTAGE_ANSWER && dice_chance(&n->dice, 10000))
		clients_on_answer(n->universe, n, client, answer);
}

static void on_fatal(void *arg, int status, const char *why)
{
	struct node *n = arg;

	story_tell(n->universe, n->number, "cannot go on (%d): %s", status, why);
	n->doomed = "fatal";
	n->outdated = status == EX_CONFIG;
}

/* Every operator wrote the list in an order of their own. */
static void members_text(const struct node *n, struct buf *out)
{
	const struct universe *u = n->universe;
	int count = u->plan.members;

	for (int i = 0; count > 1 && i < count; i++) {
		const struct node *listed = &u->nodes[(n->number + i) % count];

		buf_printf(out, "%sn%d=%s", i == 0 ? "" : ", ", listed->number + 1, listed->address);
	}
}

/* What worker/repair.c does: the state is set aside, and the replica told so. */
static enum err lose_state(struct node *n)
{
	enum err e;

	if (!n->losing)
		return ERR_OK;
	story_tell(n->universe, n->number, "has lost its state");
	e = tables_set_aside(&n->tables.tables, "lost");
	return e == ERR_NOT_FOUND ? ERR_OK : e;
}

static enum err open_replica(struct node *n, enum replica_part *damaged)
{
	struct universe *u = n->universe;
	const struct plan *p = &u->plan;
	struct buf members = { 0 };
	enum err e = ballast_begin(n);
	struct replica_env env = {
		.disk = n->disk,
		.ballast = n->ballast,
		.tables = &n->tables.tables,
		.transport = &n->transport.transport,
		.lanes = &n->lanes,
		.answer = on_answer,
		.unsent = on_unsent,
		.fatal = on_fatal,
		.arg = n,
		.damaged = damaged,
		.seed = random_next(&n->dice),
	};
	struct replica_options o = {
		.id = n->id,
		.peer = n->address,
		.http = n->http,
		.build = n->level_most > 0 ? "1.1" : "1.0",
		.level_most = n->level_most,
		.election = p->election,
		.heartbeat = p->heartbeat,
		.request = p->request,
		.segment_bytes = p->segment_bytes,
		.log_budget = p->log_budget,
		.image_budget = p->image_budget,
		.requests_max = p->requests_max,
		.request_bytes_max = p->request_bytes_max,
		.cache_bytes = p->cache_bytes,
		.result_bytes = p->result_bytes,
		.lane_bytes = p->lane_bytes,
		.message_bytes_max = p->message_bytes,
		.window_bytes_max = p->window_bytes,
		.uncommitted_bytes_max = p->uncommitted_bytes,
		.hash_every = p->hash_every,
		.state_lost = n->losing ? "the simulation has lost it" : NULL,
	};

	if (e != ERR_OK || (e = lose_state(n)) != ERR_OK)
		return e;
	/* A process that dies before this is noted in the new state leaves one that is empty, as if there had been none. */
	n->losing = false;
	if (!n->unlisted)
		members_text(n, &members);
	o.members = buf_text(&members);
	e = replica_open(&n->replica, &o, &env, node_now(n));
	buf_free(&members);
	return e;
}

static void begin_life(struct node *n)
{
	n->life++;
	n->turn_open = n->in_request = n->in_lane = n->outdated = false;
	n->announced = n->announced > n->level_most ? n->announced : n->level_most;
	n->doomed = NULL;
	n->tick_at = n->paused_until = n->hung_until = (struct instant){ 0 };
	n->first = n->commit = n->applied = n->led_term = n->told_revision = 0;
	n->config = (struct raft_config){ 0 };
	n->clock_offset_ns = (int64_t)dice_between(&n->dice, 1000000000, 1000000000000);
	n->burning = n->fuse > 0;
	sim_disk_set_fuse(n->disk, n->fuse);
	n->fuse = 0;
	memset(n->lane, 0, sizeof(n->lane));
	n->lane_count = 0;
	net_attach(n->universe, n);
}

/* Damage on a disk must be refused. Whoever looks after the node then restores what was there. A log that does not go
 * back to the state that there is leads to that state's loss once more. */
static bool refused_damage(struct node *n, enum err e, enum replica_part damaged)
{
	bool loses = n->lost && damaged == PART_STATE;

	if (e != ERR_DAMAGED || (!loses && !sim_disk_unflip(n->disk)))
		return false;
	n->losing = loses;
	n->universe->deeds.refused_damage++;
	n->replica = NULL;
	node_crash(n, false);
	node_restart_later(n, dice_span_skewed(&n->dice, span_ms(20), span_ms(1000)));
	return true;
}

bool node_start(struct node *n)
{
	struct universe *u = n->universe;
	enum replica_part damaged = PART_NONE;
	enum err e;

	assert(n->replica == NULL);
	begin_life(n);
	u->story.speaker = n->number;
	story_tell(u, n->number, "starts, life %u", n->life);
	if ((e = open_replica(n, &damaged)) != ERR_OK) {
		n->replica = NULL;
		/* Without any room, and nothing put by yet, it says so and ends. */
		if (e == ERR_NO_SPACE && node_is_filled(n)) {
			node_crash(n, false);
			node_restart_later(n, span_ms(500));
			return false;
		}
		if (refused_damage(n, e, damaged))
			return false;
		if (e == ERR_VERSION) {
			upgrade_outdated(n);
			return false;
		}
		if (!sim_disk_dead(n->disk) && !sim_disk_failed(n->disk))
			universe_fail(u, "n%d cannot start on a sound disk: %s", n->number + 1, err_text(e));
		bury(n);
		return false;
	}
	sim_disk_unflip_never(n->disk);
	u->deeds.restarts += n->life > 1;
	node_touch(n);
	return n->replica != NULL;
}

void node_crash(struct node *n, bool power)
{
	struct universe *u = n->universe;
	uint64_t unsynced = sim_disk_volatile(n->disk);

	story_tell(u, n->number, "%s, %" PRIu64 " bytes and %zu commits were not synced",
	    power ? "loses its power" : "is killed", unsynced,
	    mem_table_volatile(sim_tables_look(&n->tables)));
	sim_disk_die(n->disk);
	if (n->replica != NULL)
		replica_close(n->replica);
	n->replica = NULL;
	ballast_end(n);
	clients_on_crash(u, n);
	n->life++; /* whatever is on its way to it does not arrive */
	net_detach(u, n, power);
	sim_disk_revive(n->disk, power);
	sim_tables_crash(&n->tables, power);
	u->deeds.crashes++;
}

static void add_losses(struct node *n)
{
	const struct sim_disk_counts *c = sim_disk_counts(n->disk);

	n->universe->deeds.writes_lost += c->writes.lost;
	n->universe->deeds.writes_torn += c->writes.torn;
	n->universe->deeds.names_lost += c->names_lost;
}

void node_wipe(struct node *n)
{
	if (node_up(n))
		node_crash(n, false);
	story_tell(n->universe, n->number, "gets an empty disk");
	add_losses(n);
	sim_disk_free(n->disk);
	sim_tables_fini(&n->tables);
	n->disk = sim_disk_new(random_next(&n->dice));
	sim_tables_init(&n->tables, n);
	n->incarnation = 0;
	n->announced = 0;
	n->full_until = n->universe->now;
	n->wiped = true;
	n->rotten = false;
	net_forget(n->universe, n);
}

void node_name(struct node *n, const struct node *as)
{
	n->id[0] = 'n';
	n->id[1] = (char)('1' + as->number);
}

bool node_misleads(const struct node *n)
{
	return n->rotten && node_up(n) && !replica_view(n->replica).quarantined;
}

bool node_serves(const struct node *n)
{
	return node_up(n) && (replica_view(n->replica).cluster != 0 || replica_view(n->replica).visits ||
				 (!n->wiped && n->number < n->universe->plan.members));
}

static void on_start(struct universe *u, const struct event *e)
{
	if (u->nodes[e->a].replica == NULL)
		node_start(&u->nodes[e->a]);
}

void node_restart_later(struct node *n, struct span delay)
{
	universe_add(n->universe, delay, &start_kind, NOBODY, (uint64_t)n->number, 0, NULL);
}

/* Nobody sleeps through the healing: what waits for it has been put off until then. */
void node_pause(struct node *n, struct span length, bool clock_too)
{
	struct universe *u = n->universe;
	int64_t left_ns = u->plan.length.ns - u->now.ns;

	if (n->paused_until.ns > u->now.ns || left_ns <= 0)
		return;
	if (length.ns > left_ns)
		length.ns = left_ns;
	n->paused_until = instant_add(u->now, length);
	if (clock_too)
		n->clock_offset_ns -= by_clock(n, length);
	story_note(u, n->number,
	    clock_too ? "is stopped with its clock for %" PRIu64 " ms" : "is stopped for %" PRIu64 " ms",
	    (uint64_t[6]){ (uint64_t)span_to_ms(length) });
}

struct node *node_leading(struct universe *u)
{
	struct node *found = NULL;
	uint64_t term = 0;

	for (int i = 0; i < u->plan.nodes; i++) {
		struct replica_view v;

		if (!node_up(&u->nodes[i]))
			continue;
		v = replica_view(u->nodes[i].replica);
		if (v.leads && v.term > term) {
			found = &u->nodes[i];
			term = v.term;
		}
	}
	return found;
}

static const struct event_kind turn_kind = { "turn", on_turn }, tick_kind = { "tick", on_tick },
			       start_kind = { "start", on_start };

void nodes_init(struct universe *u)
{
	for (int i = 0; i < u->plan.nodes; i++) {
		struct node *n = &u->nodes[i];

		n->universe = u;
		n->number = i;
		n->dice = dice_fork(&u->dice);
		node_name(n, n);
		strcpy(n->address, "n0:9001");
		strcpy(n->http, "http://n0:8001");
		n->address[1] = n->http[8] = n->id[1];
		n->disk = sim_disk_new(random_next(&n->dice));
		if (u->sabotage == SABOTAGE_DISK)
			sim_disk_lie(n->disk);
		sim_tables_init(&n->tables, n);
		n->unlisted = i >= u->plan.members;
		n->level_most = u->plan.faults[FAULT_UPGRADE] ? 0 : FEATURE_LEVEL_MOST;
		lanes_init(n);
		node_restart_later(
		    n, u->plan.together ? span_ms(1) : dice_span_skewed(&n->dice, span_us(1), span_ms(300)));
	}
}

void nodes_fini(struct universe *u)
{
	for (int i = 0; i < u->plan.nodes; i++) {
		struct node *n = &u->nodes[i];

		sim_disk_die(n->disk);
		if (n->replica != NULL)
			replica_close(n->replica);
		ballast_end(n);
		net_detach(u, n, false);
		add_losses(n);
		sim_disk_free(n->disk);
		sim_tables_fini(&n->tables);
	}
}
