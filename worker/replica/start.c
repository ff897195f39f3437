#include <inttypes.h>
#include <stdlib.h>

#include "common/log.h"
#include "worker/replica/inside.h"

/*
 * What a replica starts from: identity, state and log, which must agree, and what the core is told of them. A log that was
 * just made starts it in the same way.
 */

#define MESSAGE_BYTES_MAX (512 * 1024)
#define WINDOW_BYTES_MAX (8 * 1024 * 1024)
#define TAIL_READ_BYTES (4 * 1024 * 1024)

/* The largest message of each kind fits into a frame; RESERVE is for what stands around it. An append holds one operation,
 * or as much as MESSAGE_BYTES_MAX says; an image's frame holds one record at least, and that of a token holds a result. */
#define RESERVE (64 * 1024)
_Static_assert(KV_TXN_BYTES_MAX + KV_TOKEN_BYTES_MAX + RESERVE <= PEER_FRAME_BYTES_MAX, "a command");
_Static_assert(KV_RESULT_BYTES_MAX + RESERVE <= PEER_FRAME_BYTES_MAX, "an answer");
_Static_assert(MESSAGE_BYTES_MAX + RESERVE <= PEER_FRAME_BYTES_MAX, "entries");
_Static_assert(
    SCAN_SLICE_BYTES + KV_RESULT_BYTES_MAX + RESERVE <= PEER_FRAME_BYTES_MAX, "a piece of an image");
_Static_assert(KV_TXN_BYTES_MAX + KV_TOKEN_BYTES_MAX + RESERVE <= UNCOMMITTED_BYTES_MAX, "a proposal");

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
		.uncommitted_bytes_max = r->o.uncommitted_bytes_max,
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
	if (e == ERR_OK && (e = read_log(r, found, &configs, &tail)) == ERR_OK &&
	    (e = level_check_log(r, &configs)) == ERR_OK)
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

static enum err open_state(struct replica *r)
{
	enum err e = tables_open(r->env.tables, &r->table);

	if (e != ERR_OK || (e = kv_open(&r->kv, r->table)) != ERR_OK)
		return e;
	r->meta = *kv_meta(r->kv);
	agreement_open(r);
	return level_check_state(r, r->meta.level);
}

enum err start_open(struct replica *r)
{
	enum err e = say_damaged(r, PART_IDENTITY, identity_open(&r->identity, r->env.disk, r->o.id));

	if (e != ERR_OK || (e = say_damaged(r, PART_STATE, open_state(r))) != ERR_OK)
		return e;
	if (r->identity.phase == IDENTITY_REMOVED)
		removal_note(r, 0);
	e = formation_init(r);
	return e != ERR_OK ? e : say_damaged(r, PART_LOG, open_log(r));
}
