#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>
#include <sysexits.h>

#include "common/log.h"
#include "worker/replica/inside.h"
#include "worker/replica/refound.h"
#include "worker/replica/repair.h"

/* A replica's life, its turn, and what comes to it from the network. */

#define RESULT_BYTES (64 * 1024 * 1024)
#define LANE_PART_SHIFT 16 /* the error below, its part above */

static enum replica_part lanes_part(struct replica *r)
{
	return (enum replica_part)(atomic_load(&r->lane_error) >> LANE_PART_SHIFT);
}

void fail_with(struct replica *r, int status, const char *why)
{
	if (r->failed)
		return;
	r->failed = true;
	r->env.fatal(r->env.arg, status, why);
}

/* The next start is to get it back from the others. */
static bool leave_to_repair(struct replica *r, const char *why)
{
	struct repair_note n = { REPAIR_FOUND, lanes_part(r), (char *)why, (char *)"", (char *)"" };

	return r->o.repairs && n.part != PART_NONE && r->raft != NULL &&
	       raft_config(r->raft)->quorum.incoming.count > 1 && repair_write(&n, r->env.disk) == ERR_OK;
}

void fail_by(struct replica *r, enum err e, const char *what)
{
	char *why = xasprintf("%s failed: %s", what, err_text(e));
	int status = EX_OSERR;

	/* Neither goes away by starting again; a failed sync may. */
	if (e == ERR_VERSION)
		status = EX_CONFIG;
	else if (e == ERR_DAMAGED && !r->failed)
		status = leave_to_repair(r, why) ? EX_SOFTWARE : EX_IOERR;
	fail_with(r, status, why);
	free(why);
}

void lanes_note(struct replica *r, enum replica_part part, enum err e)
{
	int none = ERR_OK;

	if (e != ERR_OK)
		atomic_compare_exchange_strong(&r->lane_error, &none, (int)e | (int)part << LANE_PART_SHIFT);
}

enum err lanes_error(struct replica *r)
{
	return (enum err)(atomic_load(&r->lane_error) & ((1 << LANE_PART_SHIFT) - 1));
}

bool send_frame(struct replica *r, uint64_t to)
{
	bool sent = transport_send(r->env.transport, to, buf_bytes(&r->frame));

	buf_clear(&r->frame);
	return sent;
}

static void copy_options(struct replica *r, const struct replica_options *o)
{
	r->o = *o;
	if (r->o.uncommitted_bytes_max == 0)
		r->o.uncommitted_bytes_max = UNCOMMITTED_BYTES_MAX;
	if (r->o.result_bytes == 0)
		r->o.result_bytes = RESULT_BYTES;
	r->o.id = xstrdup(o->id);
	r->o.peer = xstrdup(o->peer);
	r->o.http = xstrdup(o->http);
	r->o.build = xstrdup(o->build);
	r->o.members = xstrdup(o->members);
}

static void free_options(struct replica *r)
{
	free((char *)r->o.id);
	free((char *)r->o.peer);
	free((char *)r->o.http);
	free((char *)r->o.build);
	free((char *)r->o.members);
}

uint64_t replica_ballast_bytes(uint64_t segment_bytes)
{
	return space_marks(segment_bytes).ballast;
}

uint64_t replica_state_log_bytes(uint64_t segment_bytes)
{
	return space_checkpoint_bytes(segment_bytes);
}

static void start_lanes(struct replica *r)
{
	struct lane_maker *m = r->env.lanes;

	r->log_lane = m->make(m, "log", log_lane_work(r));
	r->state_lane = m->make(m, "state", state_lane_work(r));
	r->upkeep_lane = m->make(m, "upkeep", upkeep_lane_work(r));
	image_receive_start(r);
	space_start(r);
}

enum err replica_open(
    struct replica **out, const struct replica_options *o, const struct replica_env *env, struct instant now)
{
	struct replica *r = xcalloc(1, sizeof(*r));
	enum err e;

	*out = NULL;
	if (env->damaged != NULL)
		*env->damaged = PART_NONE;
	r->env = *env;
	r->opened = r->now = r->again_at = now;
	copy_options(r, o);
	STAILQ_INIT(&r->log_out);
	STAILQ_INIT(&r->log_over);
	STAILQ_INIT(&r->state_over);
	pendings_init(&r->pendings, now);
	measure_init(&r->measure, env->metrics);
	STAILQ_INIT(&r->receiving.out);
	STAILQ_INIT(&r->receiving.over);
	reads_init(r);
	slow_init(r);
	upkeep_init(r);
	agreement_init(r);
	image_send_init(r);
	outage_init(r);
	r->changes = kv_changes_new();
	if ((e = space_init(r)) != ERR_OK || (e = refound_check(env->disk)) != ERR_OK ||
	    (e = start_open(r)) != ERR_OK)
		goto out;
	if (r->raft == NULL) {
		formation_say_hello(r);
		formation_set_peers(r);
	}
	start_lanes(r);
	*out = r;
	return ERR_OK;
out:
	replica_close(r);
	return e;
}

void replica_close(struct replica *r)
{
	struct log_job *log;
	struct state_job *state;

	if (r == NULL)
		return;
	lane_free(r->log_lane);
	lane_free(r->state_lane);
	lane_free(r->receiving.lane);
	lane_free(r->upkeep_lane);
	lane_free(r->space.lane);
	while ((log = STAILQ_FIRST(&r->log_out)) != NULL) {
		STAILQ_REMOVE_HEAD(&r->log_out, out);
		log_job_free(log);
	}
	while ((log = STAILQ_FIRST(&r->log_over)) != NULL) {
		STAILQ_REMOVE_HEAD(&r->log_over, over);
		log_job_free(log);
	}
	while ((state = STAILQ_FIRST(&r->state_over)) != NULL) {
		STAILQ_REMOVE_HEAD(&r->state_over, over);
		state_close_switch(r, state);
		state_job_free(state);
	}
	image_send_fini(r);
	image_receive_fini(r);
	raft_free(r->raft);
	wal_close(r->wal);
	scan_fini(r);
	upkeep_fini(r);
	kv_close(r->kv);
	tables_close(r->env.tables, r->table);
	kv_changes_free(r->changes);
	pendings_fini(&r->pendings);
	reads_fini(r);
	slow_fini(r);
	measure_fini(&r->measure);
	formation_fini(r);
	acquaintance_fini(r);
	membership_fini(r);
	agreement_fini(r);
	visit_fini(r);
	strangers_fini(r);
	free(r->removed);
	free(r->level_told);
	identity_free(&r->identity);
	free_options(r);
	prompts_fini(r);
	health_fini(&r->health);
	outage_fini(r);
	free(r->held);
	buf_free(&r->frame);
	free(r);
}

/* A node that was removed keeps its log, and is silent. */
static bool takes_part(const struct replica *r)
{
	return r->raft != NULL && r->removed == NULL;
}

enum err replica_hand_over(struct replica *r, struct instant now)
{
	r->now = now;
	return !takes_part(r) ? ERR_NOT_LEADER : raft_transfer(r->raft, 0, now);
}

void replica_on_hello(
    struct replica *r, const struct peer_hello *hello, const struct bytes *dialed, struct instant now)
{
	r->now = now;
	formation_hello(r, hello, dialed);
	if (r->raft == NULL || dialed == NULL)
		return;
	raft_reachable(r->raft, hello->incarnation);
	route_reconnected(r, hello->incarnation);
	agreement_reconnected(r, hello->incarnation);
	image_send_reconnected(r, hello->incarnation);
}

void replica_on_refused(struct replica *r, const struct bytes *dialed, const char *why, struct instant now)
{
	r->now = now;
	membership_refused(r, *dialed, why);
}

void replica_on_lost(struct replica *r, uint64_t incarnation, struct instant now)
{
	struct acquaintance *a = acquaintance_find(r, incarnation);

	r->now = now;
	if (a != NULL)
		a->guest = false;
	formation_set_peers(r);
	formation_compare(r);
	if (r->raft != NULL)
		raft_lost(r->raft, incarnation, now);
}

void replica_on_unreachable(struct replica *r, uint64_t incarnation, struct instant now)
{
	struct acquaintance *a = acquaintance_find(r, incarnation);

	r->now = now;
	if (a != NULL)
		a->reachable = false;
	formation_compare(r);
	if (r->raft != NULL)
		raft_unreachable(r->raft, incarnation);
}

static void on_raft(struct replica *r, uint64_t from, struct bytes rest)
{
	struct raft_message m;

	if (raft_message_get(rest, &m) && m.from == from) {
		if (removal_is_gone(r, from))
			removal_tell(r, from);
		else if (r->raft != NULL && r->removed == NULL &&
			 (m.type != RAFT_APPEND || level_knows(r, &m.append.entries)))
			raft_receive(r->raft, &m, r->now);
	} else {
		log_warnx("a raft message is malformed from=%016" PRIx64 " size=%zu", from, rest.size);
	}
	raft_message_free(&m);
}

void replica_on_frame(struct replica *r, uint64_t incarnation, struct bytes frame, struct instant now)
{
	struct reader reader = reader_of(frame);
	uint8_t type = wire_get_u8(&reader);

	r->now = now;
	outage_heard(r, incarnation);
	switch ((enum peer_type)type) {
	case PEER_RAFT:
		on_raft(r, incarnation, bytes_of(reader.at, reader.left));
		return;
#define FRAME(NAME, name)                                                                                    \
	case PEER_##NAME: {                                                                                  \
		struct peer_##name m;                                                                        \
                                                                                                             \
		if (!peer_##name##_get(&reader, &m))                                                         \
			break;                                                                               \
		on_##name(r, incarnation, &m);                                                               \
		return;                                                                                      \
	}
		FRAME(FORWARD, forward)
		FRAME(REFUSE, refuse)
		FRAME(ASK, ask)
		FRAME(TELL, tell)
		FRAME(FORM, form)
		FRAME(HAND_OVER, hand_over)
		FRAME(ADOPT, adopt)
		FRAME(CHANGE, change)
		FRAME(CHANGED, changed)
		FRAME(GONE, gone)
		FRAME(CLAIM, claim)
		FRAME(HASH, hash)
		FRAME(AGREED, agreed)
		FRAME(IMAGE, image)
		FRAME(IMAGE_ACK, image_ack)
#undef FRAME
	case PEER_FORM_ASK:
		on_form_ask(r, incarnation);
		return;
	case PEER_HELLO:
	case PEER_PIECE:
		break;
	}
	log_warnx("a frame is malformed from=%016" PRIx64 " type=%u size=%zu", incarnation, type, frame.size);
}

void replica_tick(struct replica *r, struct instant now)
{
	r->now = now;
	log_watch(r);
	if (takes_part(r) && instant_passed(raft_deadline(r->raft), now))
		raft_tick(r->raft, now);
	if (takes_part(r))
		membership_tick(r);
	log_tick(r);
	request_expire(r);
	request_again(r);
	formation_tick(r);
	outage_tick(r);
}

static bool anything_waits(const struct replica *r)
{
	return pending_first(&r->pendings, STAGE_ROUTE) != NULL ||
	       pending_first(&r->pendings, STAGE_ASKED) != NULL ||
	       pending_first(&r->pendings, STAGE_QUEUED) != NULL ||
	       pending_first(&r->pendings, STAGE_INDEX) != NULL ||
	       pending_first(&r->pendings, STAGE_INDEXING) != NULL;
}

struct instant replica_deadline(const struct replica *r)
{
	struct instant at = instant_least(pending_deadline(&r->pendings), upkeep_deadline(r));

	at = instant_least(at, instant_least(space_deadline(r), slow_deadline(r)));
	at = instant_least(at, instant_least(health_deadline(r), outage_deadline(r)));
	if (takes_part(r))
		at = instant_least(at, instant_least(raft_deadline(r->raft),
					   instant_least(agreement_deadline(r), image_send_deadline(r))));
	if (r->settle_due)
		at = instant_least(at, r->settle_at);
	if (anything_waits(r))
		at = instant_least(at, r->again_at);
	if (r->raft == NULL && r->foreign == NULL && (r->list.count > 0 || r->form_wanted || r->claimed != 0))
		at = instant_least(at, r->form_again);
	return at;
}

static void note_change(struct replica *r)
{
	struct raft_view v = raft_view(r->raft);
	struct raft_member leader;

	if (v.term == r->seen_term && v.leader == r->seen_leader && v.role == r->seen_role)
		return;
	if (v.role == RAFT_LEADER)
		r->led_since = r->now;
	if (v.role == RAFT_LEADER)
		log_info("became leader term=%" PRIu64 " log=%" PRIu64 ".%" PRIu64, v.term, v.last.term,
		    v.last.index);
	else if (v.leader != 0 && raft_config_find(raft_config(r->raft), v.leader, &leader))
		log_info(
		    "follows %.*s term=%" PRIu64, (int)leader.id.size, (const char *)leader.id.data, v.term);
	else if (r->seen_leader != 0)
		log_info("knows no leader term=%" PRIu64, v.term);
	r->seen_term = v.term;
	r->seen_leader = v.leader;
	r->seen_role = v.role;
	level_leader_changed(r);
	request_leader_changed(r);
}

static void send_messages(struct replica *r, const struct raft_message *messages, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		wire_put_u8(&r->frame, PEER_RAFT);
		raft_message_put(&r->frame, &messages[i]);
		send_frame(r, messages[i].to);
	}
}

static void hold(struct replica *r, const struct raft_ready *rd)
{
	if (rd->ticket <= r->ticket_durable) {
		send_messages(r, rd->promises, rd->promise_count);
		return;
	}
	if (r->held_count + rd->promise_count > r->held_room) {
		r->held_room = (r->held_count + rd->promise_count) * 2;
		r->held = xreallocarray(r->held, r->held_room, sizeof(*r->held));
	}
	for (size_t i = 0; i < rd->promise_count; i++)
		r->held[r->held_count++] = (struct promise_held){ rd->ticket, rd->promises[i] };
}

static void take_read_index(struct replica *r, const struct raft_read_done *done)
{
	request_read_done(r, done);
	health_read_done(r, done);
}

static void run_raft(struct replica *r)
{
	struct raft_ready rd;

	while (raft_ready(r->raft, &rd)) {
		send_messages(r, rd.messages, rd.message_count);
		if (rd.persist)
			log_persist(r, &rd);
		hold(r, &rd);
		if (rd.committed_count > 0)
			state_apply(r, &rd);
		for (size_t i = 0; i < rd.read_count; i++)
			take_read_index(r, &rd.reads[i]);
		for (size_t i = 0; i < rd.fetch_count; i++)
			log_fetch(r, &rd.fetches[i]);
		for (size_t i = 0; i < rd.image_count; i++)
			image_send_wanted(r, rd.images[i]);
		raft_advance(r->raft);
	}
}

void replica_flush(struct replica *r, struct instant now)
{
	r->now = now;
	log_take_over(r);
	state_take_over(r);
	image_receive_take_over(r);
	space_run(r);
	upkeep_run(r);
	if (r->failed)
		return;
	if (r->raft != NULL)
		note_change(r);
	cut_turn(r);
	slow_turn(r);
	reads_begin_turn(r);
	route_new(r);
	health_question(r);
	/* Who finds itself out in this turn still says what it has to, as that another one should lead. */
	if (takes_part(r)) {
		membership_turn(r);
		agreement_turn(r);
		run_raft(r);
		image_send_turn(r);
	}
	reads_turn(r);
	backup_turn(r);
	health_answer(r);
	answer_prompts(r);
	measure_turn(r);
}

struct replica_view replica_view(const struct replica *r)
{
	struct replica_view view = {
		.incarnation = r->identity.incarnation,
		.cluster = r->identity.phase >= IDENTITY_FORMED ? r->identity.cluster : 0,
		.applied = r->meta.applied_index,
		.level = r->meta.level,
		.visits = r->visit.why != NULL,
		.removed = r->removed != NULL,
		.astray = r->astray.on,
		.quarantined = r->distrusted != NULL,
		.requests = r->pendings.count + r->prompt_count + r->health.count + r->backup.on,
	};
	struct raft_view v;

	if (r->raft == NULL)
		return view;
	v = raft_view(r->raft);
	view.term = v.term;
	view.leader = v.leader;
	view.commit = v.commit;
	view.last = v.last.index;
	view.leads = v.role == RAFT_LEADER;
	return view;
}

const struct raft *replica_raft(const struct replica *r)
{
	return r->raft;
}
