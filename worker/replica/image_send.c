#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>

#include "common/log.h"
#include "worker/replica/inside.h"

#define PIECE_BYTES (64 * 1024)
#define WINDOW_BYTES (8 * PIECE_BYTES)
/* Nothing was heard from the receiver for so long: it may have another one later. */
#define SILENCE_MS 30000
#define SILENT_ELECTIONS 10 /* election timeouts of silence, where another node waits for an image */
/* It answers, and writes nothing. */
#define STANDSTILL_MS 600000
#define AGAIN_MS 2000
/* So long a backup that is read at the leader may hold it up. */
#define HELD_UP_MS 60000
#define TELL_MS 5000

static void on_slice(struct replica *r, struct scan_user *u, struct bytes frames, bool last);
static void on_broken(struct replica *r, struct scan_user *u, const char *why);

void image_send_init(struct replica *r)
{
	struct sending *s = &r->sending;

	s->user = (struct scan_user){ on_slice, on_broken };
	STAILQ_INIT(&s->pieces);
	s->held_up = INSTANT_NEVER;
}

static void free_first(struct sending *s)
{
	struct image_piece *p = STAILQ_FIRST(&s->pieces);

	STAILQ_REMOVE_HEAD(&s->pieces, link);
	s->waiting_bytes -= p->frames.size;
	buf_free(&p->frames);
	free(p);
}

void image_send_fini(struct replica *r)
{
	while (!STAILQ_EMPTY(&r->sending.pieces))
		free_first(&r->sending);
}

static void stop(struct replica *r)
{
	struct sending *s = &r->sending;

	if (s->peer == 0)
		return;
	scan_end(r, &s->user);
	image_send_fini(r);
	s->peer = 0;
}

/* ---- who needs one ---- */

/* A leader whose state is not trusted sends none of it, and not what it has read of it before. */
static void follow_term(struct replica *r)
{
	struct sending *s = &r->sending;
	struct raft_view v = raft_view(r->raft);
	bool sends = v.role == RAFT_LEADER && r->distrusted == NULL;

	if (sends && v.term == s->term)
		return;
	stop(r);
	s->wanted_count = s->behind_count = 0;
	s->held_up = INSTANT_NEVER;
	s->term = sends ? v.term : 0;
}

static bool is_wanted(const struct sending *s, uint64_t peer)
{
	for (size_t i = 0; i < s->wanted_count; i++)
		if (s->wanted[i] == peer)
			return true;
	return s->peer == peer;
}

void image_send_wanted(struct replica *r, uint64_t peer)
{
	struct sending *s = &r->sending;

	follow_term(r);
	if (!is_wanted(s, peer) && s->wanted_count < RAFT_MEMBERS_MAX)
		s->wanted[s->wanted_count++] = peer;
}

static void unqueue(struct sending *s, uint64_t peer)
{
	size_t kept = 0;

	for (size_t i = 0; i < s->wanted_count; i++)
		if (s->wanted[i] != peer)
			s->wanted[kept++] = s->wanted[i];
	s->wanted_count = kept;
}

static bool is_there(const struct replica *r, uint64_t peer)
{
	const struct acquaintance *a = acquaintance_find(r, peer);
	struct raft_peer_view v;

	return a != NULL && a->reachable && raft_peer_view(r->raft, peer, &v) && v.heard.ns != 0 &&
	       !instant_passed(instant_add(v.heard, r->o.election), r->now);
}

static void begin(struct replica *r, uint64_t peer)
{
	struct sending *s = &r->sending;

	s->peer = peer;
	s->number = r->identity.start << 32 | ++s->images;
	s->index = scan_index(r);
	s->read = s->sent = s->acked = s->asked = 0;
	s->complete = false;
	s->bytes = 0;
	s->begun = s->heard = s->progressed = s->rate_at = r->now;
	s->ask_at = instant_add(r->now, r->o.election);
	s->tell_at = instant_add(r->now, span_ms(TELL_MS));
	log_info("sends an image of the state to=%016" PRIx64 " index=%" PRIu64, peer, s->index);
}

/* The first that is there; who is no member any more leaves the queue. */
static uint64_t next_peer(struct replica *r)
{
	struct sending *s = &r->sending;
	struct raft_peer_view v;
	size_t place = 0;

	while (place < s->wanted_count) {
		if (!raft_peer_view(r->raft, s->wanted[place], &v))
			unqueue(s, s->wanted[place]);
		else if (is_there(r, s->wanted[place]))
			return s->wanted[place];
		else
			place++;
	}
	return 0;
}

/* Somebody reads a backup. A node that lags is of no use to its cluster, and a backup can be read of another one. */
static void wait_for_scan(struct replica *r)
{
	struct sending *s = &r->sending;

	if (s->held_up.ns == INSTANT_NEVER.ns)
		s->held_up = r->now;
	else if (instant_passed(instant_add(s->held_up, span_ms(HELD_UP_MS)), r->now))
		scan_break(
		    r, "a node that is behind needs the state of this one: ask another node for a backup");
}

static void begin_next(struct replica *r)
{
	struct sending *s = &r->sending;
	uint64_t peer;

	if (s->wanted_count == 0 || !instant_passed(s->again_at, r->now))
		return;
	s->again_at = instant_add(r->now, r->o.heartbeat);
	if (r->submitted == 0)
		return; /* after a start it may not know yet what is committed, and has no state either */
	if ((peer = next_peer(r)) == 0) {
		s->held_up = INSTANT_NEVER;
	} else if (scan_begin(r, &s->user)) {
		s->held_up = INSTANT_NEVER;
		unqueue(s, peer);
		begin(r, peer);
	} else
		wait_for_scan(r);
}

/* ---- one image ---- */

static void fail(struct replica *r, const char *why)
{
	struct sending *s = &r->sending;
	uint64_t peer = s->peer;

	log_warnx("gave up the image of the state to=%016" PRIx64 ": %s bytes=%" PRIu64, peer, why, s->bytes);
	stop(r);
	s->again_at = instant_add(r->now, span_ms(AGAIN_MS));
	image_send_wanted(r, peer);
}

static void on_broken(struct replica *r, struct scan_user *u, const char *why)
{
	(void)u;
	fail(r, why);
}

static void on_slice(struct replica *r, struct scan_user *u, struct bytes frames, bool last)
{
	struct sending *s = &r->sending;
	struct image_piece *p = xcalloc(1, sizeof(*p));

	assert(u == &s->user && s->peer != 0);
	p->sequence = s->read++;
	p->last = s->complete = last;
	buf_append(&p->frames, frames);
	STAILQ_INSERT_TAIL(&s->pieces, p, link);
	s->waiting_bytes += frames.size;
	s->bytes += frames.size;
	if (r->o.image_rate > 0)
		s->rate_at = instant_add(s->rate_at.ns > r->now.ns ? s->rate_at : r->now,
		    (struct span){ (int64_t)(frames.size * 1000000000ULL / r->o.image_rate) });
	metric_add(r->measure.metrics->image_sent_bytes_total, frames.size);
}

static bool send_piece(struct replica *r, uint64_t sequence, bool last, struct bytes frames)
{
	const struct sending *s = &r->sending;
	struct peer_image m = { s->term, s->number, sequence, last, frames };

	wire_put_u8(&r->frame, PEER_IMAGE);
	peer_image_put(&r->frame, &m);
	return send_frame(r, s->peer);
}

static void send_pieces(struct replica *r)
{
	struct sending *s = &r->sending;
	struct image_piece *p;

	STAILQ_FOREACH (p, &s->pieces, link) {
		if (p->sequence < s->sent)
			continue;
		if (!send_piece(r, p->sequence, p->last, buf_bytes(&p->frames)))
			return;
		s->sent = p->sequence + 1;
	}
}

/* What the receiver did not take (it knew no leader, or was at the end of another image) it will not ask for. */
static void ask_how_far(struct replica *r)
{
	struct sending *s = &r->sending;

	if (!instant_passed(s->ask_at, r->now))
		return;
	s->ask_at = instant_add(r->now, r->o.election);
	if (s->asked == s->acked && s->sent > s->acked)
		s->sent = s->acked;
	s->asked = s->acked;
	send_piece(r, s->read, false, (struct bytes){ NULL, 0 });
}

static void tell_progress(struct replica *r)
{
	struct sending *s = &r->sending;

	if (!instant_passed(s->tell_at, r->now))
		return;
	s->tell_at = instant_add(r->now, span_ms(TELL_MS));
	log_info("the image of the state is under way to=%016" PRIx64 " bytes=%" PRIu64 " after=%" PRId64 "s",
	    s->peer, s->bytes, span_to_ms(instant_between(s->begun, r->now)) / 1000);
}

/* Who was wiped comes back as another node, which waits behind its own former life. */
static struct span patience(struct replica *r)
{
	struct sending *s = &r->sending;

	for (size_t i = 0; i < s->wanted_count; i++)
		if (is_there(r, s->wanted[i]))
			return span_times(r->o.election, SILENT_ELECTIONS);
	return span_ms(SILENCE_MS);
}

static void go_on(struct replica *r)
{
	struct sending *s = &r->sending;
	struct raft_peer_view v;

	if (!raft_peer_view(r->raft, s->peer, &v)) {
		stop(r); /* it is no member any more */
		return;
	}
	if (instant_passed(instant_add(s->heard, patience(r)), r->now)) {
		fail(r, "nothing was heard of the receiver");
		return;
	}
	if (instant_passed(instant_add(s->progressed, span_ms(STANDSTILL_MS)), r->now)) {
		fail(r, "the receiver does not get on");
		return;
	}
	if (!s->complete && s->waiting_bytes < WINDOW_BYTES && instant_passed(s->rate_at, r->now))
		scan_want(r, &s->user, PIECE_BYTES);
	send_pieces(r);
	ask_how_far(r);
	tell_progress(r);
}

static void acknowledged(struct replica *r, uint64_t next)
{
	struct sending *s = &r->sending;

	if (next <= s->acked || next > s->read)
		return;
	while (!STAILQ_EMPTY(&s->pieces) && STAILQ_FIRST(&s->pieces)->sequence < next)
		free_first(s);
	s->acked = next;
	if (s->sent < next)
		s->sent = next;
	s->progressed = r->now;
}

static void finished(struct replica *r, uint64_t index)
{
	struct sending *s = &r->sending;
	uint64_t peer = s->peer;

	log_info("an image of the state was taken over by=%016" PRIx64 " index=%" PRIu64 " bytes=%" PRIu64
		 " after=%" PRId64 "ms",
	    peer, index, s->bytes, span_to_ms(instant_between(s->begun, r->now)));
	metric_add(r->measure.metrics->images_sent_total, 1);
	stop(r);
	if (s->behind_count < RAFT_MEMBERS_MAX)
		s->behind[s->behind_count++] =
		    (struct catching_up){ peer, index, raft_view(r->raft).last.index };
	raft_image_over(r->raft, peer, index, r->now);
}

void on_image_ack(struct replica *r, uint64_t from, const struct peer_image_ack *m)
{
	struct sending *s = &r->sending;

	if (s->peer == 0 || from != s->peer || m->number != s->number)
		return;
	s->heard = r->now;
	s->ask_at = instant_add(r->now, r->o.election);
	switch ((enum image_state)m->state) {
	case IMAGE_UNDER_WAY:
		acknowledged(r, m->next);
		return;
	case IMAGE_DONE:
		finished(r, m->index);
		return;
	case IMAGE_REFUSED:
		fail(r, "the receiver refused it");
		return;
	}
}

void image_send_reconnected(struct replica *r, uint64_t peer)
{
	struct sending *s = &r->sending;

	if (s->peer == peer)
		s->sent = s->acked;
}

/* ---- who catches up ---- */

/* One that is away is not waited for: it may need another image. */
static void look_after(struct replica *r)
{
	struct sending *s = &r->sending;
	size_t kept = 0;

	for (size_t i = 0; i < s->behind_count; i++) {
		struct catching_up c = s->behind[i];
		struct raft_peer_view v;

		if (!raft_peer_view(r->raft, c.peer, &v) ||
		    instant_passed(instant_add(v.heard, span_ms(SILENCE_MS)), r->now))
			continue;
		if (v.match > c.from)
			c.from = v.match;
		if (c.from < c.to && !is_wanted(s, c.peer))
			s->behind[kept++] = c;
	}
	s->behind_count = kept;
}

uint64_t image_send_keeps(const struct replica *r)
{
	const struct sending *s = &r->sending;
	uint64_t from = s->peer != 0 ? s->index + 1 : UINT64_MAX;

	for (size_t i = 0; i < s->behind_count; i++)
		if (s->behind[i].from + 1 < from)
			from = s->behind[i].from + 1;
	return from;
}

/* ---- turns ---- */

void image_send_turn(struct replica *r)
{
	follow_term(r);
	if (r->sending.term == 0)
		return;
	look_after(r);
	if (r->sending.peer == 0)
		begin_next(r);
	if (r->sending.peer != 0)
		go_on(r);
}

struct instant image_send_deadline(const struct replica *r)
{
	const struct sending *s = &r->sending;
	struct instant at = INSTANT_NEVER;

	if (s->peer == 0)
		return s->wanted_count > 0 ? s->again_at : at;
	at = s->ask_at;
	if (!s->complete && s->waiting_bytes < WINDOW_BYTES && s->rate_at.ns > r->now.ns)
		at = instant_least(at, s->rate_at);
	return at;
}
