#include <inttypes.h>
#include <stdlib.h>
#include <sysexits.h>

#include "config.h"
#include "common/binding.h"
#include "common/log.h"
#include "common/random.h"
#include "worker/desks.h"
#include "worker/join.h"
#include "worker/kv/feature.h"
#include "worker/peer/channel.h"
#include "worker/peer/peer.h"
#include "worker/raft/raft.h"
#include "worker/repair.h"
#include "worker/replica/replica.h"
#include "worker/store/store.h"
#include "worker/worker.h"

/*
 * The consensus worker: real disk, real network, loop and lanes around one replica, and a desk for each HTTP worker.
 * After the start nothing on the loop's thread touches a disk: log, state and upkeep have their lanes, names too.
 */

struct consensus {
	struct worker *worker;
	struct disk *disk;
	struct ballast *ballast;
	struct tables *tables;
	struct binding *binding; /* NULL once it listens for other nodes */
	int listener;
	struct transport *transport;
	struct replica *replica;
	struct repair repair;
	struct join *join; /* NULL: nobody is asked, or not any more */
	enum join_purpose join_purpose;
	struct loop_timer *begin, *deadline, *stop_limit;
	struct instant armed; /* what `deadline` is set to */
	struct desks *desks; /* NULL before the replica is there */
	uint64_t desk_numbers; /* as the supervisor said last */
	struct channel_traffic traffic; /* as far as it is counted */
	uint64_t replay_from,
	    replay_to; /* what the log had and the state had not at the start; equal: nothing */
	bool stopping;
	struct instant hand_over_until; /* stopping as the leader: until somebody else leads, but no longer */
};

static struct instant now(const struct consensus *c)
{
	return loop_now(c->worker->loop);
}

/* --- the end --- */

static void end(struct consensus *c)
{
	ballast_set_patient(c->ballast, false);
	store_hurry();
	replica_close(c->replica);
	store_free(c->tables);
	worker_exit(c->worker, EX_OK);
}

/* Another leader is heard: this node's vote for it has left, too. */
static bool is_handed_over(const struct consensus *c, const struct replica_view *v)
{
	return instant_passed(c->hand_over_until, now(c)) || (v->leader != 0 && !v->leads);
}

static void end_if_done(void *arg)
{
	struct consensus *c = arg;
	struct replica_view v;

	if (!c->stopping)
		return;
	v = replica_view(c->replica);
	if (is_handed_over(c, &v) && v.requests == 0 && !desks_busy(c->desks))
		end(c);
}

static void on_stop_limit(void *arg)
{
	end(arg);
}

static void end_join(struct consensus *c)
{
	join_end(c->join);
	c->join = NULL;
}

static void stop(struct worker *w, struct span idle)
{
	struct consensus *c = w->role_state;

	(void)idle;
	/* Before the replica is there, nothing is under way. */
	if (c == NULL || c->replica == NULL)
		worker_exit(w, EX_OK);
	c->stopping = true;
	end_join(c);
	desks_pause(c->desks);
	if (replica_hand_over(c->replica, now(c)) == ERR_OK)
		c->hand_over_until = instant_add(now(c), w->conf->raft_election);
	c->stop_limit = loop_timer_new(w->loop, on_stop_limit, c);
	loop_timer_set(c->stop_limit, instant_add(now(c), w->conf->limits_request));
}

static void on_fatal(void *arg, int status, const char *why)
{
	struct consensus *c = arg;

	log_errorx("cannot go on: %s", why);
	worker_exit(c->worker, status);
}

static void on_answer(void *arg, uint32_t client, const struct ipc_answer *answer)
{
	const struct consensus *c = arg;

	desks_answer(c->desks, client, answer);
}

static void on_unsent(void *arg, uint32_t client, struct unsent *out)
{
	const struct consensus *c = arg;

	desks_unsent(c->desks, client, out);
}

/* --- the network --- */

static void on_hello(void *arg, const struct peer_hello *hello, const struct bytes *dialed)
{
	struct consensus *c = arg;

	replica_on_hello(c->replica, hello, dialed, now(c));
}

static void on_refused(void *arg, const struct bytes *dialed, const char *why)
{
	struct consensus *c = arg;

	replica_on_refused(c->replica, dialed, why, now(c));
}

static void on_stranger(void *arg, const struct peer_hello *hello, const struct bytes *dialed)
{
	struct consensus *c = arg;

	replica_on_stranger(c->replica, hello, dialed, now(c));
}

static void on_frame(void *arg, uint64_t incarnation, struct bytes frame)
{
	struct consensus *c = arg;

	replica_on_frame(c->replica, incarnation, frame, now(c));
}

static void on_lost(void *arg, uint64_t incarnation)
{
	struct consensus *c = arg;

	replica_on_lost(c->replica, incarnation, now(c));
}

static void on_unreachable(void *arg, uint64_t incarnation)
{
	struct consensus *c = arg;

	replica_on_unreachable(c->replica, incarnation, now(c));
}

static const struct peer_events network_events = {
	.hello = on_hello,
	.refused = on_refused,
	.stranger = on_stranger,
	.frame = on_frame,
	.lost = on_lost,
	.unreachable = on_unreachable,
};

/* --- time --- */

static void on_deadline(void *arg)
{
	struct consensus *c = arg;

	c->armed = INSTANT_NEVER;
	replica_tick(c->replica, now(c));
}

static void count_traffic(struct consensus *c)
{
	struct channel_traffic t = channel_traffic();

	metric_add(c->worker->metrics->peer_received_bytes_total, t.received - c->traffic.received);
	metric_add(c->worker->metrics->peer_sent_bytes_total, t.sent - c->traffic.sent);
	c->traffic = t;
}

/* The end of the log is applied as it is known to be committed, by and by, and some of it perhaps never. */
static void tell_replay(struct consensus *c)
{
	const struct replica_view v = replica_view(c->replica);
	uint64_t to = v.last < c->replay_to ? v.last : c->replay_to;

	if (v.applied >= to) {
		c->replay_to = c->replay_from;
		worker_progress_end(c->worker);
	} else if (v.applied > c->replay_from) {
		worker_progress(
		    c->worker, "replaying the log", v.applied - c->replay_from, to - c->replay_from);
	}
}

static void ask_about_cluster(struct consensus *c, enum join_purpose purpose, const char *addresses);

/* One that was added since it started asks for the members, too, once it has lost them. */
static void look_for_members(struct consensus *c)
{
	const struct conf *conf = c->worker->conf;
	const struct replica_view v = replica_view(c->replica);

	if (c->join != NULL && c->join_purpose != JOIN_COMPARE && v.cluster != 0)
		end_join(c);
	if (c->join == NULL && v.astray && !v.removed && !c->stopping && conf->cluster_join[0] != '\0')
		ask_about_cluster(c, JOIN_COMPARE, conf->cluster_join);
	if (c->join != NULL)
		join_set_astray(c->join, v.astray);
}

/* Everything that came in during this turn leads to one batch each for the log, the state, the peers and the HTTP
 * workers. What is sent here leaves in the same turn. */
static void on_turn_end(void *arg)
{
	struct consensus *c = arg;
	struct instant next;

	replica_flush(c->replica, now(c));
	count_traffic(c);
	if (c->replay_to > c->replay_from)
		tell_replay(c);
	look_for_members(c);
	next = replica_deadline(c->replica);
	if (next.ns != c->armed.ns) {
		c->armed = next;
		loop_timer_set(c->deadline, next);
	}
	end_if_done(c);
}

/* --- the start --- */

static int try_listen(void *arg, const struct address *a)
{
	struct consensus *c = arg;

	return peer_listen(a, &c->listener);
}

static void on_wait(void *arg, const char *what)
{
	const struct consensus *c = arg;

	worker_waits(c->worker, what);
}

static void open_transport(struct consensus *c)
{
	struct peer_options o = peer_options_preset();

	o.seed = random_secret();
	c->transport = peer_open(c->worker->loop, c->listener, &o, &network_events, c);
}

static void on_recovery(void *arg, uint64_t done, uint64_t total)
{
	const struct consensus *c = arg;

	worker_progress(c->worker, "recovering the state", done, total);
}

static struct tables *make_store(struct consensus *c)
{
	const struct conf *conf = c->worker->conf;

	return store_new(&(struct store_options){
	    .data_dir = conf->node_data,
	    .cache_bytes = conf->state_cache,
	    .log_file_bytes = (uint32_t)replica_state_log_bytes(conf->log_segment),
	    .disk = c->disk,
	    .progress = on_recovery,
	    .progress_arg = c,
	});
}

static void on_progress(void *arg, const char *doing, uint64_t done, uint64_t total)
{
	const struct consensus *c = arg;

	worker_progress(c->worker, doing, done, total);
}

static enum err try_replica(struct consensus *c, enum replica_part *damaged)
{
	const struct conf *conf = c->worker->conf;
	char *http = xasprintf("http://%s", conf->http_advertise);
	enum err e;
	const struct replica_options o = {
		.id = conf->node_id,
		.peer = conf->peer_advertise,
		.http = http,
		.build = PACKAGE_VERSION,
		.members = conf->cluster_members,
		.new_cluster = conf->cluster_new_cluster,
		.replace_after = conf->cluster_replace_after,
		.joins = conf->cluster_join[0] != '\0' || c->repair.join != NULL,
		.repairs = conf->node_repair != REPAIR_NO,
		.state_lost = c->repair.lost,
		.election = conf->raft_election,
		.heartbeat = conf->raft_heartbeat,
		.request = conf->limits_request,
		.segment_bytes = conf->log_segment,
		.log_budget = conf->log_budget,
		.image_budget = conf->log_image_budget,
		.requests_max = (uint32_t)conf->limits_requests,
		.request_bytes_max = conf->limits_request_bytes,
		.result_bytes = conf->limits_result_bytes,
		.cache_bytes = conf->raft_cache,
		.image_rate = conf->raft_image_rate,
		.level_most = FEATURE_LEVEL_MOST,
	};
	const struct replica_env env = {
		.disk = c->disk,
		.ballast = c->ballast,
		.tables = c->tables,
		.transport = c->transport,
		.lanes = loop_lane_maker(c->worker->loop),
		.answer = on_answer,
		.unsent = on_unsent,
		.fatal = on_fatal,
		.progress = on_progress,
		.arg = c,
		.damaged = damaged,
		.seed = random_secret(),
		.metrics = c->worker->metrics,
		.clock = clock_now,
	};

	e = replica_open(&c->replica, &o, &env, clock_now());
	free(http);
	return e;
}

static void open_replica(struct consensus *c)
{
	enum replica_part damaged;
	enum err e;

	repair_begin(&c->repair, c->worker->conf, c->disk, c->tables);
	while ((e = try_replica(c, &damaged)) == ERR_DAMAGED && damaged != PART_NONE)
		repair_damage(&c->repair, damaged);
	if (e == ERR_CONFLICT)
		fatalx(worker_status(e), "cannot start from %s, which is another node's",
		    c->worker->conf->node_data);
	worker_must(e, "start from", c->worker->conf->node_data);
	repair_done(&c->repair);
}

static void set_desks(struct worker *w, uint64_t numbers)
{
	struct consensus *c = w->role_state;

	c->desk_numbers = numbers;
	if (c->desks != NULL)
		desks_set(c->desks, numbers);
}

static void on_join_refused(void *arg, const struct replica_refusal *refusal)
{
	struct consensus *c = arg;

	replica_visit(c->replica, refusal, now(c));
}

static void on_join_alone(void *arg)
{
	struct consensus *c = arg;

	log_info(
	    "no address of [cluster] join belongs to a cluster: this node may found one, as bootstrap says");
	replica_may_found(c->replica, now(c));
	end_join(c);
}

static void on_join_elsewhere(void *arg, const char *address, uint64_t cluster)
{
	struct consensus *c = arg;

	replica_warn_of_cluster(c->replica, address, cluster);
}

static void on_join_told(void *arg, const struct bytes *peers, size_t count)
{
	struct consensus *c = arg;

	replica_hint(c->replica, peers, count, now(c));
}

static void ask_about_cluster(struct consensus *c, enum join_purpose purpose, const char *addresses)
{
	static const struct join_hooks hooks = { on_join_refused, on_join_alone, on_join_elsewhere,
		on_join_told };
	const struct replica_view v = replica_view(c->replica);

	c->join_purpose = purpose;
	c->join = join_start(c->worker->loop, c->worker->conf,
	    &(struct join_wish){ .purpose = purpose,
		.addresses = addresses,
		.incarnation = v.incarnation,
		.cluster = v.cluster,
		.seed = random_secret(),
		.hooks = &hooks,
		.arg = c });
}

/* What a first start is told for the sake of a cluster; a later one looks whether it has become part of that. */
static void find_cluster(struct consensus *c)
{
	const struct conf *conf = c->worker->conf;
	const struct replica_view v = replica_view(c->replica);

	if (conf->cluster_bootstrap && v.cluster != 0)
		log_warnx("bootstrap is ignored: this node belongs to the cluster %016" PRIx64 " already",
		    v.cluster);
	if (c->repair.join != NULL && v.cluster == 0) {
		ask_about_cluster(c, JOIN_ADD, c->repair.join);
		return;
	}
	if (conf->cluster_join[0] == '\0' || v.removed)
		return;
	if (v.cluster != 0)
		log_info("this node belongs to the cluster %016" PRIx64
			 " already: the addresses of [cluster] join are only asked whether they do, too",
		    v.cluster);
	ask_about_cluster(c,
	    v.cluster != 0            ? JOIN_COMPARE
	    : conf->cluster_bootstrap ? JOIN_FOUND
				      : JOIN_ADD,
	    conf->cluster_join);
}

static void say_members(const struct consensus *c, uint64_t cluster)
{
	const struct raft_config *config = raft_config(replica_raft(c->replica));
	struct raft_member m;
	struct buf names = { 0 };

	for (size_t i = 0; i < config->count; i++)
		if (raft_config_find(config, config->members[i], &m))
			buf_printf(&names, "%s%.*s", names.size > 0 ? ", " : "", (int)m.id.size, m.id.data);
	log_info("belongs to the cluster %016" PRIx64 " of %s", cluster, buf_text(&names));
	buf_free(&names);
}

/* The last of the lines that say at a start who this is; that it was removed is said elsewhere. */
static void say_cluster(const struct consensus *c, const struct replica_view *v)
{
	const struct conf *conf = c->worker->conf;

	if (v->removed)
		return;
	if (replica_raft(c->replica) != NULL)
		say_members(c, v->cluster);
	else if (conf->cluster_join[0] != '\0')
		log_info("belongs to no cluster yet, and joins the one at %s", conf->cluster_join);
	else if (conf->cluster_members[0] != '\0')
		log_info("belongs to no cluster yet, and forms one with all of %s", conf->cluster_members);
	else
		log_info("belongs to no cluster yet, and forms one alone at its first write");
}

/* In the turn after the start, which may have taken seconds: so time does not run backwards for the replica. */
static void begin(void *arg)
{
	struct consensus *c = arg;
	const struct replica_view v = replica_view(c->replica);

	c->replay_from = v.applied;
	c->replay_to = v.last;
	loop_timer_free(c->begin);
	loop_at_turn_end(c->worker->loop, on_turn_end, c);
	say_cluster(c, &v);
	find_cluster(c);
	worker_ready(c->worker);
}

static void on_bound(void *arg)
{
	struct consensus *c = arg;
	struct worker *w = c->worker;

	binding_free(c->binding);
	c->binding = NULL;
	worker_progress_end(w);
	open_transport(c);
	c->disk = disk_posix_new(w->conf->node_data);
	if (c->disk == NULL)
		fatalx(EX_CONFIG, "there is no data directory %s", w->conf->node_data);
	worker_must(ballast_open(&c->ballast, c->disk, replica_ballast_bytes(w->conf->log_segment)),
	    "look for the ballast in", w->conf->node_data);
	c->tables = make_store(c);
	open_replica(c);
	c->desks = desks_new(w, c->replica, end_if_done, c);
	desks_set(c->desks, c->desk_numbers);
	/* From here on a write that finds no space and no ballast waits; before, the start says so. */
	ballast_set_patient(c->ballast, true);
	c->begin = loop_timer_new(w->loop, begin, c);
	loop_timer_set(c->begin, loop_now(w->loop));
}

static const struct binding_events binding_events = {
	.attempt = try_listen,
	.waits = on_wait,
	.over = on_bound,
};

static void start(struct worker *w)
{
	struct consensus *c = xcalloc(1, sizeof(*c));

	w->role_state = c;
	c->worker = w;
	c->armed = INSTANT_NEVER;
	c->deadline = loop_timer_new(w->loop, on_deadline, c);
	c->binding = binding_new(w->loop, w->conf->peer_listen, "[peer] listen", &binding_events, c);
}

const struct worker_role consensus_role = {
	.name = "consensus",
	.number = IPC_CONSENSUS,
	.start = start,
	.desks = set_desks,
	.stop = stop,
};
