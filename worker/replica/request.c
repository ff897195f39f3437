#include <assert.h>
#include <stdlib.h>

#include "common/member.h"
#include "worker/replica/inside.h"

/*
 * The way of a request through the replica.
 *
 * A write is an entry that names its origin: this node, this start of it, a number. Whoever leads proposes it; the
 * origin answers when it applies the entry itself. So one rule tells the outcome on every node, leader or not: the
 * attempt is stamped with the term that it was made for and can only be proposed in that term. Once an entry of a
 * later term was applied here and the attempt was not, it never will be: it is certainly not applied, and is tried
 * again under a new number (decisions/0001).
 */

/* Encoded straight into the blob that log, peers and state will share. */
static struct blob *make_command(const struct kv_command *c)
{
	struct blob *blob = blob_alloc(1 + 4 * 8 + 4 + c->token.size + 4 + c->txn.size);
	struct buf b = { .data = blob->data, .room = blob->size };

	kv_command_put(&b, c);
	assert(b.data == blob->data && b.size == blob->size);
	return blob;
}

static struct blob *make_write(struct replica *r, const struct ipc_request *q)
{
	struct kv_command c = {
		.origin_incarnation = r->identity.incarnation,
		.origin_start = r->identity.start,
		.origin_number = r->pendings.next_number,
		.token = q->token,
		.txn = q->operation,
	};

	return make_command(&c);
}

/* The next attempt of a write is another command: the number of the last one may have been seen. */
static void renew(struct replica *r, struct pending *p)
{
	struct reader reader = reader_of(blob_bytes(p->data));
	struct kv_command c;
	struct blob *old = p->data;

	pending_renumber(&r->pendings, p);
	if (p->kind != REQUEST_WRITE)
		return;
	kv_command_get(&reader, &c);
	assert(reader_done(&reader));
	c.origin_number = p->number;
	p->data = make_command(&c);
	blob_unref(old);
}

static void try_again(struct replica *r, struct pending *p)
{
	renew(r, p);
	pending_move(&r->pendings, p, STAGE_NEW);
}

static bool is_change(struct bytes operation)
{
	struct reader reader = reader_of(operation);
	struct member_change c;

	return member_change_get(&reader, &c); /* what a later version appends is left unread */
}

/* What the state's feature level does not know may be known where this operation gets to (route_write()). */
static enum err check_operation(const struct replica *r, const struct ipc_request *q, unsigned *needs)
{
	bool writes = q->kind == REQUEST_WRITE;
	enum err e = kv_txn_check(q->operation, writes, r->meta.level);
	unsigned level;

	if (e != ERR_BAD_REQUEST)
		return e;
	level = kv_txn_level(q->operation, writes, r->meta.level, r->o.level_most);
	if (level == r->meta.level)
		return e;
	*needs = level;
	return kv_txn_check(q->operation, writes, level);
}

static enum err admit(const struct replica *r, const struct ipc_request *q, unsigned *needs)
{
	if (r->pendings.count >= r->o.requests_max ||
	    r->pendings.bytes + q->operation.size > r->o.request_bytes_max)
		return ERR_BUSY;
	if (q->token.size > KV_TOKEN_BYTES_MAX)
		return ERR_TOO_LARGE;
	if (q->kind == REQUEST_TRANSFER)
		return ERR_OK;
	if (q->kind == REQUEST_CHANGE)
		return is_change(q->operation) ? ERR_OK : ERR_BAD_REQUEST;
	return check_operation(r, q, needs);
}

static struct instant deadline_of(const struct replica *r, const struct ipc_request *q)
{
	struct span time = span_ms(q->time_ms);

	return instant_add(r->now, time.ns > r->o.request.ns ? r->o.request : time);
}

struct pending *request_take(
    struct replica *r, uint32_t client, uint64_t id, const struct ipc_request *q, enum err *e)
{
	struct pending *p;
	unsigned needs = 0;

	if ((*e = admit(r, q, &needs)) != ERR_OK)
		return NULL;
	p = pending_new(&r->pendings, client, id, deadline_of(r, q),
	    q->kind == REQUEST_WRITE ? make_write(r, q) : blob_new(q->operation));
	p->begun = r->now;
	p->needs = needs;
	p->kind = (enum request_kind)q->kind;
	p->level = (enum read_level)q->level;
	p->min_revision = q->min_revision;
	p->big = p->kind == REQUEST_READ && reads_is_big(q->operation);
	if (q->leader_only != 0)
		elsewhere_begin(r, p);
	return p;
}

/* Why admit() said so, where it is a limit. */
static void explain(const struct replica *r, const struct ipc_request *q, enum err e, struct buf *why)
{
	bool writes = q->kind == REQUEST_WRITE;

	if (e == ERR_BUSY && q->kind == REQUEST_PROBE)
		buf_printf(why,
		    "%zu questions for the health of this node wait, the limit is %u ([limits] requests); "
		    "repeat it later",
		    r->health.count, (unsigned)r->o.requests_max);
	else if (e == ERR_BUSY && r->pendings.count >= r->o.requests_max)
		buf_printf(why,
		    "%u requests are in flight at this node, the limit is %u ([limits] requests); repeat it "
		    "later",
		    (unsigned)r->pendings.count, (unsigned)r->o.requests_max);
	else if (e == ERR_BUSY)
		buf_printf(why,
		    "requests of %llu bytes are in flight at this node, and this one has %zu, the limit is "
		    "%llu ([limits] request_bytes); repeat it later",
		    (unsigned long long)r->pendings.bytes, q->operation.size,
		    (unsigned long long)r->o.request_bytes_max);
	else if (e == ERR_TOO_LARGE && q->token.size > KV_TOKEN_BYTES_MAX)
		buf_printf(
		    why, "the token has %zu bytes, the limit is %d", q->token.size, KV_TOKEN_BYTES_MAX);
	else if (e == ERR_TOO_LARGE || e == ERR_KEY_TOO_LONG)
		kv_txn_excess(q->operation, writes,
		    kv_txn_level(q->operation, writes, r->meta.level, r->o.level_most), why);
}

void replica_request(struct replica *r, uint32_t client, const struct ipc_request *q, struct instant now)
{
	struct buf text = { 0 };
	const char *why = "";
	enum err e = ERR_OK;

	r->now = now;
	if (q->kind == REQUEST_PROBE && r->health.count < r->o.requests_max) {
		health_ask(r, client, q->id, deadline_of(r, q));
		return;
	}
	if (q->kind == REQUEST_BACKUP && (e = backup_ask(r, client, q->id, &why)) == ERR_OK)
		return;
	if (q->kind == REQUEST_PROBE)
		e = ERR_BUSY;
	if (q->kind == REQUEST_BACKUP || q->kind == REQUEST_STATUS || q->kind == REQUEST_PROBE ||
	    request_take(r, client, q->id, q, &e) == NULL) {
		if (q->kind != REQUEST_BACKUP)
			explain(r, q, e, &text);
		answer_at_turn_end(r, client, q->id, e, text.size > 0 ? buf_text(&text) : why);
	}
	buf_free(&text);
}

void replica_cancel(struct replica *r, uint32_t client, uint64_t id)
{
	struct pending *p = pending_find_client(&r->pendings, client, id);

	if (p != NULL)
		pending_free(&r->pendings, p);
	backup_cancel(r, client, id);
	health_cancel(r, client, id);
}

void replica_forget(struct replica *r, uint32_t client)
{
	struct pending *p, *next;

	for (int stage = 0; stage < STAGE_COUNT; stage++)
		for (p = pending_first(&r->pendings, (enum stage)stage); p != NULL; p = next) {
			next = TAILQ_NEXT(p, in_stage);
			if (p->client == client)
				pending_free(&r->pendings, p);
		}
	prompts_forget(r, client);
	reads_forget(r, client);
	backup_forget(r, client);
	health_forget(r, client);
}

/* An index given for a later question serves the earlier ones too: it was taken after they were asked. */
void request_read_done(struct replica *r, const struct raft_read_done *done)
{
	struct pending *p;

	while ((p = pending_first(&r->pendings, STAGE_INDEXING)) != NULL && p->batch <= done->number) {
		p->index = done->index;
		p->known = r->now;
		/* While this node is full it may not be sent what it lacks. */
		if (r->space.room != RAFT_ROOM_ENOUGH && done->index > raft_view(r->raft).last.index)
			answer_error(r, p, ERR_FULL, APPLIED_NO,
			    "this node has no room on its disk, as /v1/status says, and lacks what was "
			    "written last: ask another");
		else
			pending_move(&r->pendings, p, STAGE_APPLIED);
	}
}

bool request_may_answer(struct replica *r, struct pending *p)
{
	if (p->kind == REQUEST_READ && r->distrusted != NULL) {
		try_again(r, p);
		return false;
	}
	if (p->kind != REQUEST_READ || p->level != LEVEL_LEADER || r->raft == NULL)
		return true;
	/* In another term of its own this node knows no more what was written in between. */
	if (raft_confirmed(r->raft, r->now) && raft_view(r->raft).term == p->term)
		return true;
	pending_move(&r->pendings, p, STAGE_ROUTE);
	return false;
}

static void move_all(struct replica *r, enum stage from, enum stage to)
{
	struct pending *p;

	while ((p = pending_first(&r->pendings, from)) != NULL) {
		if (to == STAGE_NEW)
			renew(r, p);
		pending_move(&r->pendings, p, to);
	}
}

/* Without a leader nothing finds a way, and a write must not be copied for each attempt at that. */
static void try_routes(struct replica *r)
{
	if (r->raft == NULL || r->removed != NULL || raft_view(r->raft).leader != 0)
		move_all(r, STAGE_ROUTE, STAGE_NEW);
}

/* What they wait for may be cut from the log before it is committed. */
static void recall_leader_reads(struct replica *r)
{
	struct pending *p, *next;

	for (p = pending_first(&r->pendings, STAGE_APPLIED); p != NULL; p = next) {
		next = TAILQ_NEXT(p, in_stage);
		if (p->level == LEVEL_LEADER)
			try_again(r, p);
	}
}

void request_leader_changed(struct replica *r)
{
	handover_leader_changed(r);
	slow_leader_changed(r);
	move_all(r, STAGE_HELD, STAGE_NEW);
	try_routes(r);
	move_all(r, STAGE_ASKED, STAGE_NEW);
	move_all(r, STAGE_INDEXING, STAGE_INDEX);
	recall_leader_reads(r);
}

void request_lose_state(struct replica *r, const char *why)
{
	struct pending *p;

	while ((p = pending_first(&r->pendings, STAGE_WRITTEN)) != NULL)
		answer_error(r, p, ERR_LOST, APPLIED_UNKNOWN, why);
	move_all(r, STAGE_INDEX, STAGE_NEW);
	move_all(r, STAGE_INDEXING, STAGE_NEW);
	move_all(r, STAGE_APPLIED, STAGE_NEW);
	move_all(r, STAGE_QUEUED, STAGE_NEW);
}

void request_removed(struct replica *r)
{
	request_lose_state(r, "this node was removed from its cluster meanwhile");
	membership_removed(r);
	move_all(r, STAGE_CHANGING, STAGE_NEW);
	move_all(r, STAGE_HANDED, STAGE_NEW);
}

static void retry_indexing(struct replica *r)
{
	struct pending *p = pending_first(&r->pendings, STAGE_INDEXING);

	if (p != NULL && instant_passed(instant_add(p->asked, r->o.election), r->now))
		move_all(r, STAGE_INDEXING, STAGE_INDEX);
}

/* While answers come, those that are not there yet are behind them: asked again, they would only take longer. */
#define PATIENCE_WHILE_TOLD 4

static void retry_asked(struct replica *r)
{
	bool told = !instant_passed(instant_add(r->reads.told, r->o.election), r->now);
	struct span patience = span_times(r->o.election, told ? PATIENCE_WHILE_TOLD : 1);
	struct pending *p, *next;

	for (p = pending_first(&r->pendings, STAGE_ASKED); p != NULL; p = next) {
		next = TAILQ_NEXT(p, in_stage);
		if (!instant_passed(instant_add(p->asked, patience), r->now))
			return; /* in the order in which they were asked */
		try_again(r, p);
	}
}

/* Messages may be lost without a sign: what found no way or no answer tries once more. */
void request_again(struct replica *r)
{
	if (!instant_passed(r->again_at, r->now))
		return;
	r->again_at = instant_add(r->now, r->o.heartbeat);
	try_routes(r);
	retry_indexing(r);
	retry_asked(r);
}

/* The log's terms never fall: behind an entry of this term no attempt of an earlier term can follow. */
void request_applied(struct replica *r, uint64_t term)
{
	struct pending *p, *next;

	if (term == r->applied_term)
		return;
	r->applied_term = term;
	for (p = pending_first(&r->pendings, STAGE_WRITTEN); p != NULL; p = next) {
		next = TAILQ_NEXT(p, in_stage);
		if (p->term < term)
			try_again(r, p);
	}
}

void request_skipped(struct replica *r, uint64_t term)
{
	struct pending *p, *next;

	for (p = pending_first(&r->pendings, STAGE_WRITTEN); p != NULL; p = next) {
		next = TAILQ_NEXT(p, in_stage);
		if (p->term <= term)
			answer_error(r, p, ERR_LOST, APPLIED_UNKNOWN,
			    "this node was far behind and took over the state of another meanwhile");
	}
}

/* Why no leader was known to a request that waited for one. */
static const char *miss_leader(const struct replica *r, const struct pending *p)
{
	if (r->visit.why != NULL)
		return "no member of the cluster answers this node, which is none itself";
	if (r->raft == NULL && r->o.joins)
		return "this node is not in the cluster yet that it was told to join";
	if (p->kind == REQUEST_CHANGE)
		return "no leader is known, and without one no member is added, replaced or removed: start "
		       "enough "
		       "members for a majority of the voters, or where that is lost for good make one "
		       "survivor a "
		       "cluster of its own (holdfastd --recover-alone)";
	return "";
}

static void expire(struct replica *r, struct pending *p)
{
	bool leaderless = r->raft == NULL || raft_view(r->raft).leader == 0;

	if (p->leader_only) {
		answer_error(r, p, ERR_NOT_LEADER, APPLIED_NO, "");
		return;
	}
	switch (p->stage) {
	case STAGE_WRITTEN:
	case STAGE_HANDED:
	case STAGE_PASSED:
	case STAGE_CHANGING:
		answer_error(r, p, ERR_TIMEOUT, APPLIED_UNKNOWN, "");
		break;
	case STAGE_NEW:
	case STAGE_ROUTE:
		if (p->kind == REQUEST_CHANGE && p->term != 0) { /* a leader that fell may have begun it */
			answer_error(r, p, ERR_TIMEOUT, APPLIED_UNKNOWN, "");
			break;
		}
		/* fall through */
	case STAGE_HELD:
	case STAGE_ASKED:
	case STAGE_INDEX:
	case STAGE_INDEXING:
		answer_error(r, p, leaderless ? ERR_NO_LEADER : ERR_TIMEOUT, APPLIED_NO,
		    leaderless ? miss_leader(r, p) : "the leader did not answer in time");
		break;
	case STAGE_QUEUED:
		reads_refuse_waiting(r, p);
		break;
	case STAGE_APPLIED:
	case STAGE_READING:
		answer_error(r, p, ERR_TIMEOUT, APPLIED_NO, "this node did not reach the revision in time");
		break;
	case STAGE_COUNT:
		assert(false);
	}
}

void request_expire(struct replica *r)
{
	struct pending *p;

	while ((p = pending_expired(&r->pendings, r->now)) != NULL)
		expire(r, p);
}
