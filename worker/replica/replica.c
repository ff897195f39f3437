#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>
#include <sysexits.h>

#include "common/log.h"
#include "worker/replica/inside.h"
#include "worker/replica/refound.h"
#include "worker/replica/repair.h"

/* A replica's life, its turn, and what comes to it from the network. */

#define MESSAGE_BYTES_MAX (512 * 1024)
#define WINDOW_BYTES_MAX (8 * 1024 * 1024)
#define UNCOMMITTED_BYTES_MAX (64 * 1024 * 1024)
#define TAIL_READ_BYTES (4 * 1024 * 1024)
#define LANE_PART_SHIFT 16 /* the error below, its part above */

static enum replica_part lanes_part(struct replica *r)
{
	return (enum replica_part)(atomic_load(&r->lane_error) >> LANE_PART_SHIFT);
}

static void fail(struct replica *r, int status, const char *why)
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
	bool damaged = e == ERR_DAMAGED || e == ERR_VERSION;
	char *why = xasprintf("%s failed: %s", what, err_text(e));
	int status = EX_OSERR;

	/* Damage does not go away by starting again; a failed sync may. */
	if (damaged && !r->failed)
		status = e == ERR_DAMAGED && leave_to_repair(r, why) ? EX_SOFTWARE : EX_IOERR;
	fail(r, status, why);
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

/* Passes the error on, and remembers of what it is: the first word counts. */
static enum err say_damaged(const struct replica *r, enum replica_part part, enum err e)
{
	if (e == ERR_DAMAGED && r->env.damaged != NULL && *r->env.damaged == PART_NONE)
		*r->env.damaged = part;
	return e;
}

/* The state knows the members as of what it has applied, whatever the log still holds (M5). One that is not trusted is
 * asked only for what the log does not tell. */
static enum err read_members(
    const struct replica *r, const struct wal_found *found, struct entries *configs, uint64_t *index)
{
	struct entry known = { .type = ENTRY_CONFIG };
	struct buf members = { 0 };
	/* Before anything is applied it knows nobody, and may be in use already by who reads from a node without a cluster. */
	enum err e =
	    r->meta.applied_index == 0 ? ERR_NOT_FOUND : kv_members(r->kv, &known.pos.index, &members);

	*index = r->distrusted != NULL ? found->base.index : r->meta.applied_index;
	if (e == ERR_OK && known.pos.index <= *index) {
		known.data = blob_new(buf_bytes(&members));
		entries_add(configs, &known);
		blob_unref(known.data);
	}
	buf_free(&members);
	return e == ERR_NOT_FOUND ? ERR_OK : say_damaged(r, PART_STATE, e);
}

/* The configurations and the unapplied tail of the log are what raft needs of it in memory. Nothing is applied to a state
 * that is not trusted. */
static enum err read_log(
    struct replica *r, const struct wal_found *found, struct entries *configs, struct entries *tail)
{
	uint64_t next = r->meta.applied_index + 1, known;
	enum err e = read_members(r, found, configs, &known);

	for (size_t i = 0; e == ERR_OK && i < found->config_count; i++) {
		struct entries one = { 0 };

		if (found->configs[i] <= known)
			continue;
		e = wal_read(r->wal, found->configs[i], 1, &one);
		if (e == ERR_OK)
			entries_add(configs, &one.data[0]);
		entries_free(&one);
	}
	/* Where the log was cut and the state was lost only those are known who founded the cluster: somebody to talk to. */
	if (e == ERR_OK && configs->count == 0)
		entries_add(configs, &(struct entry){ { 1, 1 }, 0, ENTRY_CONFIG, r->identity.founding });
	while (e == ERR_OK && r->distrusted == NULL && next <= found->last.index) {
		size_t before = tail->count;

		e = wal_read(r->wal, next, TAIL_READ_BYTES, tail);
		next += tail->count - before;
	}
	return e;
}

static uint64_t term_found(const struct wal_found *found, uint64_t index)
{
	uint64_t term = index == found->base.index ? found->base.term : 0;

	for (size_t i = 0; i < found->term_count && found->terms[i].first <= index; i++)
		term = found->terms[i].term;
	return term;
}

/* Does the log hold what the state has applied? */
static bool is_agreed(const struct replica *r, const struct wal_found *found)
{
	uint64_t index = r->meta.applied_index;

	return index >= found->base.index && index <= found->last.index &&
	       term_found(found, index) == r->meta.applied_term;
}

static enum err check_agreement(const struct replica *r, const struct wal_found *found)
{
	uint64_t index = r->meta.applied_index, term = r->meta.applied_term;

	if (is_agreed(r, found))
		return ERR_OK;
	/* Of a state that is behind the log's beginning what it lacks is lost; else the log has lost what it promised. */
	say_damaged(r, index < found->base.index ? PART_STATE : PART_LOG, ERR_DAMAGED);
	log_errorx("the log does not hold what the state has applied applied=%" PRIu64 ".%" PRIu64
		   " log=%" PRIu64 ".%" PRIu64 "-%" PRIu64 ".%" PRIu64,
	    term, index, found->base.term, found->base.index, found->last.term, found->last.index);
	return ERR_DAMAGED;
}

static size_t or_default(size_t given, size_t otherwise)
{
	return given != 0 ? given : otherwise;
}

enum err start_raft(struct replica *r, const struct wal_found *found)
{
	struct raft_options o = {
		.self = r->identity.incarnation,
		.start = r->identity.start,
		.election = r->o.election,
		.heartbeat = r->o.heartbeat,
		.message_bytes_max = or_default(r->o.message_bytes_max, MESSAGE_BYTES_MAX),
		.window_bytes_max = or_default(r->o.window_bytes_max, WINDOW_BYTES_MAX),
		.uncommitted_bytes_max = or_default(r->o.uncommitted_bytes_max, UNCOMMITTED_BYTES_MAX),
		.cache_bytes = r->o.cache_bytes,
		.seed = r->env.seed,
	};
	struct raft_run *runs = xreallocarray(NULL, found->term_count, sizeof(*runs));
	struct entries configs = { 0 }, tail = { 0 };
	struct raft_start s = {
		.hard = found->hard,
		.base = found->base,
		.last = found->last,
		.last_time_ms = found->last_time_ms > r->meta.time_ms ? found->last_time_ms : r->meta.time_ms,
		.runs = runs,
		.run_count = found->term_count,
		.applied = r->distrusted != NULL ? found->base.index : r->meta.applied_index,
		.frozen = r->distrusted != NULL,
		.configs = &configs,
		.tail = &tail,
	};
	enum err e = ERR_OK;

	for (size_t i = 0; i < found->term_count; i++)
		runs[i] = (struct raft_run){ found->terms[i].term, found->terms[i].first };
	if (r->distrusted == NULL)
		e = check_agreement(r, found);
	if (e == ERR_OK && (e = read_log(r, found, &configs, &tail)) == ERR_OK)
		e = raft_new(&r->raft, &o, &s, r->now);
	if (e == ERR_OK) {
		raft_set_room(r->raft, r->space.room, r->now);
		measure_opened(r);
		r->submitted = s.applied;
		r->applied_term = r->meta.applied_term;
		r->term_opened = s.hard.term;
		upkeep_want(r, UPKEEP_FILL, span_ms(0));
		upkeep_want(r, UPKEEP_SWEEP, span_ms(0)); /* the log may have begun anew */
		upkeep_want_checkpoint(r);
		formation_say_hello(r);
		formation_set_peers(r);
		log_info("the log is open term=%" PRIu64 " last=%" PRIu64 ".%" PRIu64 " applied=%" PRIu64,
		    s.hard.term, s.last.term, s.last.index, s.applied);
	}
	entries_free(&configs);
	entries_free(&tail);
	free(runs);
	return e;
}

/* A crash came between the two halves of the switch to an image: the state is in force, the log is still the old one. It
 * reaches less far, or was another leader's, and goes on behind the image. */
static enum err finish_install(struct replica *r, struct wal_found *found)
{
	struct raft_pos base = { r->meta.applied_term, r->meta.applied_index };
	struct raft_hard hard = found->hard;
	enum err e;

	log_warnx(
	    "the state came by image and the log does not reach it: the log begins behind it base=%" PRIu64
	    ".%" PRIu64 " log=%" PRIu64 ".%" PRIu64,
	    base.term, base.index, found->last.term, found->last.index);
	if ((e = wal_reset(r->wal, base, r->meta.time_ms, hard)) != ERR_OK)
		return e;
	wal_found_free(found);
	*found =
	    (struct wal_found){ .hard = hard, .base = base, .last = base, .last_time_ms = r->meta.time_ms };
	return ERR_OK;
}

static void on_log_read(void *arg, uint64_t done, uint64_t total)
{
	struct replica *r = arg;

	if (r->env.progress != NULL)
		r->env.progress(r->env.arg, "reading the log", done, total);
}

/* The state that is there is an empty one, in the place of one that was damaged. */
static enum err set_state_lost(struct replica *r)
{
	enum err e;

	if (r->o.state_lost == NULL)
		return ERR_OK;
	if ((e = kv_quarantine(r->kv, bytes_text(r->o.state_lost))) == ERR_OK)
		agreement_open(r);
	return e;
}

static enum err open_log(struct replica *r)
{
	struct wal_found found = { 0 };
	struct wal_options o;
	enum err e;

	if (r->identity.phase == IDENTITY_UNFORMED) {
		if (r->meta.applied_index == 0)
			return ERR_OK;
		log_errorx("there is a state, but identity names no cluster applied=%" PRIu64,
		    r->meta.applied_index);
		return say_damaged(r, PART_IDENTITY, ERR_DAMAGED);
	}
	if (r->identity.phase == IDENTITY_FORMING && (e = log_make(r, &r->identity)) != ERR_OK)
		return e;
	o = log_options(r, &r->identity);
	o.progress = on_log_read;
	o.progress_arg = r;
	if ((e = wal_open(&r->wal, &o, &found)) == ERR_NOT_FOUND) {
		log_errorx("the log is missing");
		e = ERR_DAMAGED;
	}
	if (e == ERR_OK)
		e = set_state_lost(r);
	if (e == ERR_OK && kv_is_image(r->kv) && !is_agreed(r, &found))
		e = finish_install(r, &found);
	if (e == ERR_OK)
		e = start_raft(r, &found);
	wal_found_free(&found);
	return e;
}

static void copy_options(struct replica *r, const struct replica_options *o)
{
	r->o = *o;
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
	slow_init(r);
	upkeep_init(r);
	agreement_init(r);
	image_send_init(r);
	r->changes = kv_changes_new();
	if ((e = space_init(r)) != ERR_OK || (e = refound_check(env->disk)) != ERR_OK)
		goto out;
	if ((e = identity_open(&r->identity, env->disk, o->id)) != ERR_OK) {
		say_damaged(r, PART_IDENTITY, e);
		goto out;
	}
	if ((e = tables_open(env->tables, &r->table)) != ERR_OK ||
	    (e = kv_open(&r->kv, r->table)) != ERR_OK) {
		say_damaged(r, PART_STATE, e);
		goto out;
	}
	r->meta = *kv_meta(r->kv);
	agreement_open(r);
	if (r->identity.phase == IDENTITY_REMOVED)
		removal_note(r, 0);
	if ((e = formation_init(r)) != ERR_OK || (e = say_damaged(r, PART_LOG, open_log(r))) != ERR_OK)
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
	slow_fini(r);
	measure_fini(&r->measure);
	formation_fini(r);
	acquaintance_fini(r);
	membership_fini(r);
	agreement_fini(r);
	free(r->removed);
	identity_free(&r->identity);
	free_options(r);
	free(r->prompts);
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
	request_reconnected(r, hello->incarnation);
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
	if (r->raft != NULL)
		raft_lost(r->raft, incarnation, now);
}

void replica_on_unreachable(struct replica *r, uint64_t incarnation, struct instant now)
{
	struct acquaintance *a = acquaintance_find(r, incarnation);

	r->now = now;
	if (a != NULL)
		a->reachable = false;
	if (r->raft != NULL)
		raft_unreachable(r->raft, incarnation);
}

static void on_raft(struct replica *r, uint64_t from, struct bytes rest)
{
	struct raft_message m;

	if (raft_message_get(rest, &m) && m.from == from) {
		if (removal_is_gone(r, from))
			removal_tell(r, from);
		else if (r->raft != NULL && r->removed == NULL)
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
}

static bool anything_waits(const struct replica *r)
{
	return pending_first(&r->pendings, STAGE_ROUTE) != NULL ||
	       pending_first(&r->pendings, STAGE_ASKED) != NULL ||
	       pending_first(&r->pendings, STAGE_INDEX) != NULL ||
	       pending_first(&r->pendings, STAGE_INDEXING) != NULL;
}

struct instant replica_deadline(const struct replica *r)
{
	struct instant at = instant_least(pending_deadline(&r->pendings), upkeep_deadline(r));

	at = instant_least(at, instant_least(space_deadline(r), slow_deadline(r)));
	if (takes_part(r))
		at = instant_least(at, instant_least(raft_deadline(r->raft),
					   instant_least(agreement_deadline(r), image_send_deadline(r))));
	if (r->settle_due)
		at = instant_least(at, r->settle_at);
	if (anything_waits(r))
		at = instant_least(at, r->again_at);
	if (r->raft == NULL && r->foreign == NULL &&
	    (r->listed_count > 0 || r->form_wanted || r->claimed != 0))
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
			request_read_done(r, &rd.reads[i]);
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
	request_route(r);
	/* Who finds itself out in this turn still says what it has to, as that another one should lead. */
	if (takes_part(r)) {
		membership_turn(r);
		agreement_turn(r);
		run_raft(r);
		image_send_turn(r);
	}
	state_read(r);
	backup_turn(r);
	answer_prompts(r);
	measure_turn(r);
}

struct replica_view replica_view(const struct replica *r)
{
	struct replica_view view = {
		.incarnation = r->identity.incarnation,
		.cluster = r->identity.phase >= IDENTITY_FORMED ? r->identity.cluster : 0,
		.applied = r->meta.applied_index,
		.removed = r->removed != NULL,
		.quarantined = r->distrusted != NULL,
		.requests = r->pendings.count + r->prompt_count + r->backup.on,
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
