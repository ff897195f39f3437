#include <stdlib.h>

#include "common/log.h"
#include "worker/replica/inside.h"

/*
 * What nodes ask of each other: a write is passed to the leader, which proposes it or says that it never will; a read of
 * level "leader" is passed to it whole.
 */

#define CLIENT_REMOTE UINT32_MAX

static struct forwarder *forwarder_of(struct replica *r, uint64_t incarnation)
{
	size_t count = sizeof(r->forwarders) / sizeof(r->forwarders[0]);
	struct forwarder *oldest = &r->forwarders[0];

	for (size_t i = 0; i < count; i++) {
		if (r->forwarders[i].incarnation == incarnation)
			return &r->forwarders[i];
		if (r->forwarders[i].term < oldest->term)
			oldest = &r->forwarders[i];
	}
	*oldest = (struct forwarder){ .incarnation = incarnation };
	return oldest;
}

/* Terms and numbers rise within a life of the origin: what is not above the last one seen was here before. It may have
 * been proposed then, so it is not even refused: its origin would try again, and both would be applied (D10). */
static bool is_repetition(const struct forwarder *f, uint64_t start, const struct peer_forward *m)
{
	if (start != f->start)
		return start < f->start; /* of an earlier life: nobody waits for it */
	return m->term < f->term || (m->term == f->term && m->number <= f->number);
}

void send_refuse(struct replica *r, uint64_t to, uint64_t term, uint64_t number, enum err e)
{
	struct peer_refuse answer = { term, number, (uint16_t)e };

	wire_put_u8(&r->frame, PEER_REFUSE);
	peer_refuse_put(&r->frame, &answer);
	send_frame(r, to);
}

/* How long to work on what another node passed on. A part of the time that it said is left for the way back: it must
 * hear of a refusal before it answers by itself that nobody knows. It is a duration, so the nodes' clocks need not
 * agree. 0 says nothing. */
static struct span time_here(const struct replica *r, uint32_t said_ms)
{
	struct span said = span_ms(said_ms);

	if (said_ms == 0 || said.ns > r->o.request.ns)
		said = r->o.request;
	return (struct span){ said.ns / 10 * 9 };
}

void on_forward(struct replica *r, uint64_t from, const struct peer_forward *m)
{
	struct reader reader = reader_of(m->command);
	struct forwarder *f;
	struct kv_command c;
	struct raft_view v;
	struct raft_pos pos;
	struct span left;
	struct blob *data;
	enum err e;

	if (!kv_command_get(&reader, &c) || c.origin_incarnation != from || c.origin_number != m->number) {
		log_warnx("a forwarded write is malformed from=%016llx", (unsigned long long)from);
		return;
	}
	if (r->raft == NULL)
		return;
	/* An earlier version lets more in. */
	if (c.txn.size > KV_TXN_BYTES_MAX) {
		send_refuse(r, from, m->term, m->number, ERR_TOO_LARGE);
		return;
	}
	v = raft_view(r->raft);
	f = forwarder_of(r, from);
	if (is_repetition(f, c.origin_start, m))
		return;
	if (v.role != RAFT_LEADER || v.term != m->term) {
		/* In an older term an earlier life of this node may have led, and proposed it. */
		if (m->term > r->term_opened)
			send_refuse(r, from, m->term, m->number, ERR_NOT_LEADER);
		return;
	}
	*f = (struct forwarder){ from, c.origin_start, m->term, m->number };
	left = time_here(r, m->time_ms);
	if (route_is_vain(r, left)) {
		send_refuse(r, from, m->term, m->number, ERR_BUSY);
		return;
	}
	if (r->agreement.disputed != 0) {
		send_refuse(r, from, m->term, m->number, ERR_DISPUTED);
		return;
	}
	if (level_lacks(r, c.txn)) {
		send_refuse(r, from, m->term, m->number, ERR_VERSION);
		return;
	}
	if (slow_holds(r)) {
		/* Else it comes again, under another number. */
		if (!slow_hold_forward(r, from, m, left))
			send_refuse(r, from, m->term, m->number, ERR_NOT_LEADER);
		return;
	}
	data = blob_new(m->command);
	e = raft_propose(r->raft, ENTRY_WRITE, data, r->now, &pos);
	blob_unref(data);
	if (e != ERR_OK)
		send_refuse(r, from, m->term, m->number, e);
}

/* Of a write by its leader, which says no more than that. */
static const char *refusal_text(enum err e)
{
	if (e == ERR_BUSY)
		return REFUSED_LATE;
	if (e == ERR_FULL)
		return "the leader, or a majority of the nodes, has no room on its disk: /v1/status of each "
		       "node says free_bytes and free_mark; make room on the filesystem of the data "
		       "directory";
	return "";
}

void on_refuse(struct replica *r, uint64_t from, const struct peer_refuse *m)
{
	struct pending *p = pending_find(&r->pendings, m->number);
	enum err e = m->error < ERR_COUNT ? (enum err)m->error : ERR_BUSY;

	(void)from;
	if (p == NULL || p->term != m->term)
		return;
	if (p->stage == STAGE_HANDED)
		handover_refused(r, p, e);
	else if (p->stage == STAGE_WRITTEN && e == ERR_NOT_LEADER)
		pending_move(&r->pendings, p, STAGE_ROUTE);
	else if (p->stage == STAGE_WRITTEN && e == ERR_VERSION)
		route_refuse_level(r, p);
	else if (p->stage == STAGE_WRITTEN)
		answer_error(r, p, e, APPLIED_NO, refusal_text(e));
}

static bool is_passed_on(const struct peer_ask *m)
{
	switch ((enum request_kind)m->kind) {
	case REQUEST_WRITE:
	case REQUEST_READ:
	case REQUEST_TRANSFER:
	case REQUEST_CHANGE:
		return m->level <= LEVEL_STALE;
	case REQUEST_STATUS:
	case REQUEST_PROBE:
	case REQUEST_BACKUP:
		break;
	}
	return false;
}

/* A read may be done twice. */
static bool is_old_ask(struct acquaintance *a, const struct peer_ask *m)
{
	if (m->kind == REQUEST_READ)
		return false;
	if (a->asked_start == a->start && m->number <= a->asked)
		return true;
	a->asked_start = a->start;
	a->asked = m->number;
	return false;
}

/* The asker looks for another: this one was no member when it was asked, so nothing has come of it. */
static void refuse_relayed(struct replica *r, uint64_t from, const struct peer_ask *m, uint64_t start)
{
	struct peer_tell answer = { .start = start,
		.number = m->number,
		.error = ERR_NOT_LEADER,
		.applied = APPLIED_NO,
		.text = bytes_text("the node that it was passed on to is no member either") };

	wire_put_u8(&r->frame, PEER_TELL);
	peer_tell_put(&r->frame, &answer);
	send_frame(r, from);
}

void on_ask(struct replica *r, uint64_t from, const struct peer_ask *m)
{
	struct acquaintance *a = acquaintance_find(r, from);
	struct ipc_request q = { .kind = m->kind,
		.level = m->level,
		.time_ms = (uint32_t)span_to_ms(time_here(r, m->time_ms)),
		.min_revision = m->min_revision,
		.token = m->token,
		.operation = m->operation };
	struct pending *p;
	enum err e;

	/* Not answered, as if lost: the asker tries another one. What was here before may be done already. */
	if (a == NULL || !is_passed_on(m) || is_old_ask(a, m))
		return;
	if (m->relayed != 0 && relay_is_outside(r)) {
		refuse_relayed(r, from, m, a->start);
		return;
	}
	if ((p = request_take(r, CLIENT_REMOTE, r->pendings.next_number, &q, &e)) == NULL)
		return;
	p->remote = from;
	p->remote_start = a->start;
	p->id = m->number;
}

/* A read may be asked again whatever the reason; anything else only where it was certainly not done. */
static bool is_asked_elsewhere(const struct pending *p, const struct peer_tell *m)
{
	if (p->stage == STAGE_ASKED)
		return m->error == ERR_NOT_LEADER || m->error >= ERR_COUNT;
	return m->error == ERR_NOT_LEADER && m->applied == APPLIED_NO;
}

void on_tell(struct replica *r, uint64_t from, const struct peer_tell *m)
{
	struct pending *p = pending_find(&r->pendings, m->number);

	(void)from;
	r->reads.told = r->now;
	if (m->start != r->identity.start || p == NULL ||
	    (p->stage != STAGE_ASKED && p->stage != STAGE_PASSED))
		return;
	if (m->error == ERR_OK) {
		answer_result(r, p, m->result, m->revision);
	} else if (is_asked_elsewhere(p, m)) {
		pending_move(&r->pendings, p, STAGE_ROUTE);
	} else {
		char *text = bytes_dup_text(m->text);

		answer_error(r, p, m->error < ERR_COUNT ? (enum err)m->error : ERR_INTERNAL,
		    m->applied == APPLIED_NO ? APPLIED_NO : APPLIED_UNKNOWN, text);
		free(text);
	}
}
