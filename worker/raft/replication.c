#include <assert.h>
#include <stdlib.h>

#include "worker/raft/core.h"

/* The leader's log becomes everybody's: §3.5, §3.6.2, §10.2. */

struct progress *progress_of(const struct raft *r, uint64_t id)
{
	for (size_t i = 0; i < r->peer_count; i++)
		if (r->peers[i].id == id)
			return &r->peers[i];
	return NULL;
}

void start_leading(struct raft *r, struct instant now)
{
	struct entry noop = { { r->hard.term, r->log.last.index + 1 }, r->log.last_time_ms, ENTRY_NOOP,
		NULL };

	follow_config(r);
	for (size_t i = 0; i < r->peer_count; i++) {
		r->peers[i].heard = now;
		if (vote_of(r, r->peers[i].id) == VOTE_YES)
			r->peers[i].confirmed = r->stood;
	}
	r->led_since = r->yield_at = now;
	r->roomy = true; /* until they say otherwise */
	r->led_from_ms = r->log.last_time_ms;
	r->round = r->round_confirmed = 0;
	r->heartbeat_at = instant_add(now, r->o.heartbeat);
	r->quorum_check_at = instant_add(now, r->o.election);
	/* §6.4: what was committed before is known once something of this term is. */
	noop.data = blob_new((struct bytes){ NULL, 0 });
	add_entry(r, &noop);
	blob_unref(noop.data);
}

void stop_leading(struct raft *r)
{
	free(r->peers);
	r->peers = NULL;
	r->peer_count = 0;
	r->transfer_to = 0;
	drop_reads(r);
}

/* What is not applied yet stays in memory: a node whose state lags far behind its log takes no more until it has caught up.
 * The bound leaves room for all that a leader may have without a majority, so that can always be settled. */
static bool is_crowded(const struct raft *r)
{
	return r->log.bytes > r->o.cache_bytes + r->o.uncommitted_bytes_max + CROWD_SLACK;
}

enum err raft_propose(
    struct raft *r, enum entry_type type, struct blob *data, struct instant now, struct raft_pos *pos)
{
	int64_t led_ms = span_to_ms(instant_between(r->led_since, now));
	struct entry e = { { r->hard.term, r->log.last.index + 1 }, 0, type, data };

	if (r->role != RAFT_LEADER ||
	    r->transfer_to != 0) /* T1: nothing may be added while the target catches up */
		return ERR_NOT_LEADER;
	if (type == ENTRY_WRITE && !takes_writes(r, now))
		return ERR_FULL;
	if (r->log.unapplied_bytes + entry_bytes(&e) > r->o.uncommitted_bytes_max || is_crowded(r)) /* C14 */
		return ERR_BUSY;
	e.time_ms = r->led_from_ms + (uint64_t)(led_ms > 0 ? led_ms : 0);
	if (e.time_ms < r->log.last_time_ms)
		e.time_ms = r->log.last_time_ms;
	*pos = e.pos;
	add_entry(r, &e);
	return ERR_OK;
}

struct span raft_backlog(const struct raft *r, struct instant now)
{
	uint64_t oldest = r->state_at + 1, since_ms = 0;

	if (r->role != RAFT_LEADER || oldest > r->log.last.index)
		return span_ms(0);
	/* Log time goes on from where it was when this node began to lead, by its own clock. */
	if (oldest >= r->log.first && raft_log_at(&r->log, oldest)->time_ms > r->led_from_ms)
		since_ms = raft_log_at(&r->log, oldest)->time_ms - r->led_from_ms;
	return instant_between(instant_add(r->led_since, span_ms((int64_t)since_ms)), now);
}

static uint64_t match_of(void *arg, uint64_t id)
{
	const struct raft *r = arg;
	const struct progress *p = progress_of(r, id);

	if (id == r->o.self)
		return r->log.durable; /* §10.2.1: our own disk counts when it is done (C2) */
	return p == NULL ? 0 : p->match;
}

/* §3.6.2: only entries of our own term are committed by counting (C1). */
void count_commit(struct raft *r)
{
	uint64_t index = quorum_reached(&config_now(r)->quorum, match_of, r);

	if (index <= r->log.commit || raft_log_term(&r->log, index) != r->hard.term)
		return;
	advance_commit(r, index);
	give_reads_index(r);
}

static void window_clear(struct progress *p)
{
	p->window_count = p->window_bytes = 0;
}

static bool window_full(const struct raft *r, const struct progress *p)
{
	return p->window_count == WINDOW_MESSAGES || p->window_bytes >= r->o.window_bytes_max;
}

static void window_add(struct progress *p, uint64_t index, size_t bytes)
{
	p->window[(p->window_head + p->window_count++) % WINDOW_MESSAGES] =
	    (struct in_flight){ index, bytes };
	p->window_bytes += bytes;
}

static void window_free_to(struct progress *p, uint64_t index)
{
	while (p->window_count > 0 && p->window[p->window_head].index <= index) {
		p->window_bytes -= p->window[p->window_head].bytes;
		p->window_head = (p->window_head + 1) % WINDOW_MESSAGES;
		p->window_count--;
	}
}

void probe(struct progress *p, uint64_t next)
{
	p->state = PROGRESS_PROBE;
	p->next = next;
	p->paused = p->nudge = false;
	window_clear(p);
}

static struct raft_append *new_append(struct raft *r, struct progress *p)
{
	struct raft_append *a = &send_now(r, RAFT_APPEND, p->id)->append;

	a->prev_index = p->next - 1;
	a->prev_term = raft_log_term(&r->log, p->next - 1);
	a->commit = p->commit_sent = r->log.commit;
	return a;
}

static void sent(struct progress *p, const struct raft_append *a, size_t bytes)
{
	p->nudge = false;
	if (p->state == PROGRESS_PROBE) {
		p->paused = true;
	} else if (a->entries.count > 0) {
		p->next += a->entries.count;
		window_add(p, p->next - 1, bytes);
	}
}

void ask_fetch(struct raft *r, uint64_t peer, uint64_t index)
{
	if (r->fetch_count == r->fetch_room) {
		r->fetch_room = r->fetch_room == 0 ? 4 : r->fetch_room * 2;
		r->fetches = xreallocarray(r->fetches, r->fetch_room, sizeof(*r->fetches));
	}
	r->fetches[r->fetch_count++] = (struct raft_fetch){ peer, index, r->o.message_bytes_max };
}

/* One append from memory, with as much as a message may hold; C8: what follows starts behind what was packed. */
static void send_append(struct raft *r, struct progress *p, uint64_t limit)
{
	struct raft_append *a = new_append(r, p);
	size_t bytes = 0;

	for (uint64_t i = p->next; i <= limit; i++) {
		const struct entry *e = raft_log_at(&r->log, i);

		if (bytes > 0 && bytes + entry_bytes(e) > r->o.message_bytes_max)
			break;
		entries_add(&a->entries, e);
		bytes += entry_bytes(e);
	}
	sent(p, a, bytes);
}

static void send_to(struct raft *r, struct progress *p)
{
	if (p->state == PROGRESS_IMAGE)
		return;
	if (p->nudge && p->state == PROGRESS_STREAM)
		sent(p, new_append(r, p), 0);
	while (!(p->state == PROGRESS_PROBE ? p->paused : window_full(r, p))) {
		uint64_t limit = send_limit(r, p);
		bool behind = p->next <= limit;

		/* What it may commit of what it has. */
		if (!behind && p->state == PROGRESS_STREAM &&
		    (p->commit_sent >= r->log.commit || p->commit_sent >= limit))
			break;
		if (behind && p->next < r->log.first) {
			if (!p->fetching)
				ask_fetch(r, p->id, p->next);
			p->fetching = true;
			break;
		}
		send_append(r, p, limit);
	}
}

/* Called once per ready, so that all proposals of a turn share their messages. */
void send_appends(struct raft *r)
{
	for (size_t i = 0; i < r->peer_count; i++)
		if (!r->peers[i].down)
			send_to(r, &r->peers[i]);
}

void raft_fetched(struct raft *r, uint64_t peer, const struct entries *entries)
{
	struct progress *p = r->role == RAFT_LEADER ? progress_of(r, peer) : NULL;
	struct raft_append *a;
	size_t bytes = 0;

	if (peer == r->o.self)
		take_fetched(r, entries);
	if (p == NULL || !p->fetching)
		return;
	p->fetching = false;
	if (entries->count == 0 || entries->data[0].pos.index != p->next || p->down ||
	    p->state == PROGRESS_IMAGE)
		return;
	if (p->state == PROGRESS_PROBE ? p->paused : window_full(r, p))
		return;
	a = new_append(r, p);
	for (size_t i = 0; i < entries->count; i++) {
		/* Read before the log was cut, in an earlier term of ours: not ours any more. */
		if (raft_log_term(&r->log, entries->data[i].pos.index) != entries->data[i].pos.term)
			break;
		entries_add(&a->entries, &entries->data[i]);
		bytes += entry_bytes(&entries->data[i]);
	}
	sent(p, a, bytes);
}

/* Commit no further than what the receiver is known to hold: its tail may still be another leader's (C4). */
void send_heartbeats(struct raft *r)
{
	r->round++;
	r->rounds_sent[r->round % ROUNDS_KEPT] = r->now;
	for (size_t i = 0; i < r->peer_count; i++) {
		struct progress *p = &r->peers[i];
		struct raft_heartbeat *h = &send_now(r, RAFT_HEARTBEAT, p->id)->heartbeat;

		h->commit = p->match < r->log.commit ? p->match : r->log.commit;
		h->round = r->round;
	}
}

struct heard_question {
	const struct raft *r;
	struct instant now;
};

static enum quorum_vote heard_lately(void *arg, uint64_t id)
{
	const struct heard_question *q = arg;
	const struct progress *p = progress_of(q->r, id);

	if (id == q->r->o.self)
		return VOTE_YES;
	return p != NULL && is_heard(q->r, p, q->now) ? VOTE_YES : VOTE_NO;
}

bool is_heard(const struct raft *r, const struct progress *p, struct instant now)
{
	return !instant_passed(instant_add(p->heard, r->o.election), now);
}

bool quorum_is_heard(const struct raft *r, const struct quorum *quorum, struct instant now)
{
	struct heard_question q = { r, now };

	return quorum_decide(quorum, heard_lately, &q) == QUORUM_WON;
}

static void accept_leader(struct raft *r, const struct raft_message *m, struct instant now)
{
	assert(r->role != RAFT_LEADER); /* §3.2, election safety: no other leader has this term */
	become_follower(r, m->term, m->from, now);
	r->heard = now;
	r->lost = false;
	reset_election(r, now);
}

/* The first entry of the append that this log does not hold; C5: a shorter, older append takes nothing away. */
static size_t find_new(const struct raft *r, const struct entries *list)
{
	size_t i = 0;

	while (i < list->count &&
	       (list->data[i].pos.index <= r->log.base.index || raft_log_matches(&r->log, list->data[i].pos)))
		i++;
	return i;
}

static bool entries_are_sound(const struct raft_append *a, uint64_t term)
{
	struct raft_pos at = { a->prev_term, a->prev_index };

	for (size_t i = 0; i < a->entries.count; i++) {
		struct raft_pos next = a->entries.data[i].pos;

		if (next.index != at.index + 1 || next.term < at.term || next.term > term)
			return false;
		at = next;
	}
	return true;
}

static void answer_append(struct raft *r, uint64_t to, uint64_t index)
{
	promise(r, RAFT_APPEND_ANSWER, to)->append_answer =
	    (struct raft_append_answer){ .accepted = 1, .index = index, .room = (uint8_t)r->room };
}

static void refuse_append(struct raft *r, const struct raft_message *m)
{
	struct raft_pos hint = raft_log_back_off(&r->log, m->append.prev_index, m->append.prev_term);

	send_now(r, RAFT_APPEND_ANSWER, m->from)->append_answer =
	    (struct raft_append_answer){ 0, m->append.prev_index, hint.term, hint.index, (uint8_t)r->room };
}

void on_append(struct raft *r, const struct raft_message *m, struct instant now)
{
	const struct raft_append *a = &m->append;
	uint64_t verified = a->prev_index + a->entries.count;
	size_t i, count;

	accept_leader(r, m, now);
	if (!entries_are_sound(a, m->term))
		return;
	if (verified < r->log.commit) { /* old news; what is committed is the leader's */
		answer_append(r, m->from, r->log.commit);
		return;
	}
	/* A prev before our commit is known to agree (§3.6.3), and may be before the log's beginning. */
	if (a->prev_index >= r->log.commit &&
	    !raft_log_matches(&r->log, (struct raft_pos){ a->prev_term, a->prev_index })) {
		refuse_append(r, m);
		return;
	}
	i = find_new(r, &a->entries);
	count = count_acceptable(r, &a->entries, i);
	if (i < count && a->entries.data[i].pos.index <= r->log.last.index)
		cut_log(r, a->entries.data[i].pos.index);
	for (; i < count && !is_crowded(r); i++)
		add_entry(r, &a->entries.data[i]);
	verified = a->prev_index + i;
	advance_commit(r, a->commit < verified ? a->commit : verified); /* C4 */
	answer_append(r, m->from, verified);
}

static void on_accepted(struct raft *r, struct progress *p, uint64_t index)
{
	if (index > r->log.last.index)
		return;
	if (index > p->match) {
		p->match = index;
		count_commit(r);
	}
	if (p->next <= p->match)
		p->next = p->match + 1;
	window_free_to(p, index);
	/* An old answer of one that lacks what the log holds no more leaves it where it is. */
	if (p->state != PROGRESS_STREAM && p->match >= r->log.base.index) {
		p->state = PROGRESS_STREAM;
		p->next = p->match + 1;
		p->fetching = p->paused = false;
	}
}

static void on_refused(struct raft *r, struct progress *p, const struct raft_append_answer *a)
{
	struct raft_pos agree;

	/* C9: an answer to something older than what is known by now. */
	if (a->index <= p->match || (p->state == PROGRESS_PROBE && a->index != p->next - 1))
		return;
	if (p->state == PROGRESS_IMAGE)
		return;
	if (p->match < r->log.base.index &&
	    (a->index <= r->log.base.index || a->hint_index < r->log.base.index)) {
		need_image(p);
		return;
	}
	agree = raft_log_back_off(&r->log, a->hint_index, a->hint_term);
	probe(p, (agree.index > p->match ? agree.index : p->match) + 1);
	p->fetching = false;
}

void on_append_answer(struct raft *r, const struct raft_message *m, struct instant now)
{
	struct progress *p = progress_of(r, m->from);

	if (r->role != RAFT_LEADER || p == NULL || m->term != r->hard.term)
		return;
	p->heard = now;
	note_room(r, p, m->append_answer.room, now);
	if (m->append_answer.accepted)
		on_accepted(r, p, m->append_answer.index);
	else
		on_refused(r, p, &m->append_answer);
}

void on_heartbeat(struct raft *r, const struct raft_message *m, struct instant now)
{
	accept_leader(r, m, now);
	if (m->heartbeat.commit <= r->log.last.index)
		advance_commit(r, m->heartbeat.commit);
	send_now(r, RAFT_HEARTBEAT_ANSWER, m->from)->heartbeat_answer =
	    (struct raft_heartbeat_answer){ m->heartbeat.round, (uint8_t)r->room, r->frozen };
}

/* Also the place to notice that an append or its answer was lost: a whole heartbeat without progress. */
void on_heartbeat_answer(struct raft *r, const struct raft_message *m, struct instant now)
{
	struct progress *p = progress_of(r, m->from);

	if (r->role != RAFT_LEADER || p == NULL || m->term != r->hard.term ||
	    m->heartbeat_answer.round > r->round)
		return;
	p->heard = now;
	note_room(r, p, m->heartbeat_answer.room, now);
	note_frozen(p, m->heartbeat_answer.frozen != 0, m->heartbeat_answer.round);
	if (m->heartbeat_answer.round > p->round) {
		note_round(r, p, m->heartbeat_answer.round);
		confirm_reads(r);
	}
	p->paused = false;
	if (p->window_count > 0 && p->match == p->match_before)
		p->nudge = true;
	p->match_before = p->match;
}

/* What lies before the log's beginning cannot be asked about: whether it lacks that it will say. */
static void start_over(const struct raft *r, struct progress *p)
{
	if (p->state != PROGRESS_IMAGE)
		probe(p, (p->match > r->log.base.index ? p->match : r->log.base.index) + 1);
}

void raft_unreachable(struct raft *r, uint64_t peer)
{
	struct progress *p = progress_of(r, peer);

	if (p == NULL)
		return;
	p->down = true;
	start_over(r, p);
}

void raft_reachable(struct raft *r, uint64_t peer)
{
	struct progress *p = progress_of(r, peer);

	if (p == NULL)
		return;
	p->down = false;
	start_over(r, p);
}

bool raft_peer_view(const struct raft *r, uint64_t peer, struct raft_peer_view *out)
{
	const struct progress *p = progress_of(r, peer);

	if (p == NULL)
		return false;
	*out = (struct raft_peer_view){ p->match, p->next, p->room, p->heard };
	return true;
}
