#include <inttypes.h>
#include <stdlib.h>

#include "common/log.h"
#include "worker/replica/inside.h"

#define STEP_MS 20 /* how often what waits is looked at */

void slow_init(struct replica *r)
{
	TAILQ_INIT(&r->slow.forwarded);
}

static void drop(struct replica *r, struct held_write *w)
{
	struct slow *s = &r->slow;

	TAILQ_REMOVE(&s->forwarded, w, link);
	s->count--;
	s->bytes -= w->command->size;
	blob_unref(w->command);
	free(w);
}

void slow_fini(struct replica *r)
{
	while (r->slow.count > 0)
		drop(r, TAILQ_FIRST(&r->slow.forwarded));
}

/* What comes behind what waits must wait as well, also when it is over. */
bool slow_holds(const struct replica *r)
{
	return r->slow.on || r->slow.count > 0 || pending_first(&r->pendings, STAGE_HELD) != NULL;
}

bool slow_hold_forward(struct replica *r, uint64_t from, const struct peer_forward *m, struct span left)
{
	struct slow *s = &r->slow;
	struct held_write *w;

	if (s->count >= r->o.requests_max || s->bytes + m->command.size > r->o.request_bytes_max)
		return false;
	w = xcalloc(1, sizeof(*w));
	*w = (struct held_write){ .from = from,
		.term = m->term,
		.number = m->number,
		.until = instant_add(r->now, left),
		.command = blob_new(m->command) };
	TAILQ_INSERT_TAIL(&s->forwarded, w, link);
	s->count++;
	s->bytes += w->command->size;
	s->held++;
	return true;
}

void slow_leader_changed(struct replica *r)
{
	if (raft_view(r->raft).role != RAFT_LEADER)
		slow_fini(r);
}

/* --- the rate --- */

/* Never stands still, however small a segment is. */
#define RATE_LEAST 1024

/* Bytes a second: from a sixteenth of a segment down to a thousandth, which it reaches when the log is longer by another
 * eighth. */
static int64_t rate(const struct replica *r)
{
	uint64_t bytes = wal_disk_bytes(r->wal), limit = cut_budget_with_images(r);
	uint64_t most = r->o.segment_bytes / 16, least = r->o.segment_bytes / 1024, over;

	if (least < RATE_LEAST)
		least = RATE_LEAST;
	if (bytes <= limit)
		return (int64_t)most;
	over = (bytes - limit) * 1000 / (limit / 8);
	return (int64_t)(over >= 1000 ? least : least + (most - least) * (1000 - over) / 1000);
}

static void refill(struct replica *r)
{
	struct slow *s = &r->slow;
	int64_t per_second = rate(r), most = per_second * STEP_MS / 1000;
	int64_t us = instant_between(s->filled, r->now).ns / 1000;

	s->filled = r->now;
	s->tokens += us < 1000000 ? per_second * us / 1000000 : per_second;
	if (s->tokens > most)
		s->tokens = most;
}

/* --- proposing --- */

/* Whoever asked for them hears so before it gives up; those behind the first may have had less time. */
static void refuse_late(struct replica *r)
{
	struct held_write *w, *next;

	for (w = TAILQ_FIRST(&r->slow.forwarded); w != NULL; w = next) {
		next = TAILQ_NEXT(w, link);
		if (!instant_passed(w->until, r->now))
			continue;
		send_refuse(r, w->from, w->term, w->number, ERR_BUSY);
		drop(r, w);
	}
}

/* False: not now. */
static bool propose_forwarded(struct replica *r)
{
	struct held_write *w = TAILQ_FIRST(&r->slow.forwarded);
	struct raft_pos pos;
	enum err e = raft_propose(r->raft, ENTRY_WRITE, w->command, r->now, &pos);

	if (e == ERR_BUSY)
		return false;
	if (e == ERR_OK)
		r->slow.tokens -= (int64_t)w->command->size;
	else
		send_refuse(r, w->from, w->term, w->number, e);
	drop(r, w);
	return true;
}

static bool propose_own(struct replica *r)
{
	struct pending *p = pending_first(&r->pendings, STAGE_HELD);
	size_t size = p->data->size;

	if (!route_propose(r, p))
		return false;
	r->slow.tokens -= (int64_t)size;
	return true;
}

/* In turns, so that nobody's writes wait for all of another's. */
static void propose(struct replica *r)
{
	bool any = true;

	while (any && (!r->slow.on || r->slow.tokens > 0)) {
		any = r->slow.count > 0 && propose_forwarded(r);
		if (pending_first(&r->pendings, STAGE_HELD) != NULL)
			any = propose_own(r) || any;
	}
}

/* --- beginning and end --- */

static void begin(struct replica *r)
{
	struct slow *s = &r->slow;

	s->on = true;
	s->since = s->filled = r->now;
	s->tokens = 0;
	s->held = 0;
	log_warnx("the log is longer than its budget: writes are slowed until it can be cut bytes=%" PRIu64
		  " budget=%" PRIu64 " image_budget=%" PRIu64,
	    wal_disk_bytes(r->wal), cut_budget(r), cut_budget_with_images(r) - cut_budget(r));
}

static void end(struct replica *r)
{
	struct slow *s = &r->slow;

	s->on = false;
	log_info("writes are not slowed any more bytes=%" PRIu64 " after=%" PRId64 "ms held=%" PRIu64,
	    wal_disk_bytes(r->wal), span_to_ms(instant_between(s->since, r->now)), s->held);
}

void slow_turn(struct replica *r)
{
	bool leads = r->raft != NULL && raft_view(r->raft).role == RAFT_LEADER;
	/* It ends a segment lower than it begins, so that it does not go to and fro. */
	uint64_t limit = cut_budget_with_images(r) - (r->slow.on ? r->o.segment_bytes : 0);
	bool wanted = leads && wal_disk_bytes(r->wal) > limit;

	if (wanted && !r->slow.on)
		begin(r);
	else if (!wanted && r->slow.on)
		end(r);
	if (!leads)
		return;
	if (instant_passed(r->slow.late_at, r->now)) {
		r->slow.late_at = instant_add(r->now, span_ms(STEP_MS));
		refuse_late(r);
	}
	if (r->slow.on)
		refill(r);
	if (r->agreement.disputed == 0)
		propose(r);
}

struct instant slow_deadline(const struct replica *r)
{
	bool waits = r->slow.count > 0 || pending_first(&r->pendings, STAGE_HELD) != NULL;

	struct instant late_at = r->slow.count > 0 ? r->slow.late_at : INSTANT_NEVER;

	return waits && r->slow.on ? instant_add(r->slow.filled, span_ms(STEP_MS)) : late_at;
}
