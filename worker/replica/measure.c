#include <stdlib.h>

#include "worker/replica/inside.h"

/* Below, an answer does not tell where its time went: nobody asks. */
#define LONG_MS 5

void measure_init(struct measure *m, struct metrics *metrics)
{
	if (metrics == NULL)
		m->own = metrics = xcalloc(1, sizeof(*m->own));
	m->metrics = metrics;
}

void measure_fini(struct measure *m)
{
	free(m->own);
}

void measure_opened(struct replica *r)
{
	r->measure.seen_term = raft_view(r->raft).term;
}

struct instant measure_now(const struct replica *r)
{
	return r->env.clock == NULL ? (struct instant){ 0 } : r->env.clock();
}

/* --- batches --- */

static struct batch *batch_at(struct measure *m, uint64_t number)
{
	return &m->batches[number % BATCHES];
}

static uint64_t within(const struct measure *m, uint64_t number)
{
	if (number < m->first)
		return m->first;
	return number < m->next ? number : m->next;
}

/* A new leader's entries may take the place of others, and the oldest batch may have to go. */
static void make_room(struct measure *m, uint64_t from)
{
	while (m->next > m->first && batch_at(m, m->next - 1)->last >= from)
		m->next--;
	if (m->next - m->first == BATCHES)
		m->first++;
	m->durable = within(m, m->durable);
	m->committed = within(m, m->committed);
}

void measure_given(struct replica *r, uint64_t from, uint64_t last)
{
	struct measure *m = &r->measure;
	bool led = raft_view(r->raft).role == RAFT_LEADER;

	make_room(m, from);
	*batch_at(m, m->next++) = (struct batch){ .last = last, .led = led, .given = r->now };
}

void measure_durable(struct replica *r, uint64_t index)
{
	struct measure *m = &r->measure;

	for (; m->durable < m->next && batch_at(m, m->durable)->last <= index; m->durable++)
		batch_at(m, m->durable)->durable = r->now;
}

static void count_commits(struct replica *r, uint64_t commit)
{
	struct measure *m = &r->measure;

	for (; m->committed < m->next && batch_at(m, m->committed)->last <= commit; m->committed++) {
		struct batch *b = batch_at(m, m->committed);

		b->committed = r->now;
		if (b->led)
			metric_observe_span(m->metrics->commit_seconds, instant_between(b->given, r->now));
	}
}

/* The batch that this entry came in, or NULL. */
static const struct batch *batch_of(const struct measure *m, uint64_t index)
{
	const struct batch *found = NULL;

	for (uint64_t n = m->next; n > m->first && m->batches[(n - 1) % BATCHES].last >= index; n--)
		found = &m->batches[(n - 1) % BATCHES];
	return found;
}

/* --- the turn --- */

/* Who stands for election votes for itself, in a term of its own. */
static void count_elections(struct replica *r, const struct raft_view *v)
{
	struct measure *m = &r->measure;
	bool leads = v->role == RAFT_LEADER, fresh = v->term != m->seen_term;

	if (fresh && v->vote == r->identity.incarnation)
		metric_add(m->metrics->elections_started_total, 1);
	if (leads && (fresh || !m->led))
		metric_add(m->metrics->elections_won_total, 1);
	m->seen_term = v->term;
	m->led = leads;
}

static void show_place(const struct replica *r, const struct raft_view *v)
{
	struct metrics *m = r->measure.metrics;
	enum node_role role = status_role(r, v);

	for (int i = 0; i < METRIC_CELLS_ROLE; i++)
		metric_set(&m->role[i], i == (int)role);
	metric_set(m->term, v->term);
	metric_set(m->first_index, v->first);
	metric_set(m->last_index, v->last.index);
	metric_set(m->commit_index, v->commit);
	metric_set(m->applied_index, r->meta.applied_index);
	metric_set(m->feature_level, r->meta.level);
	metric_set(m->feature_level_most, r->o.level_most);
}

void measure_turn(struct replica *r)
{
	struct metrics *m = r->measure.metrics;
	struct raft_view v = { 0 };

	if (r->raft != NULL) {
		v = raft_view(r->raft);
		count_elections(r, &v);
		count_commits(r, v.commit);
	}
	show_place(r, &v);
	metric_set(m->requests_in_flight, r->pendings.count);
	metric_set(m->requests_in_flight_bytes, r->pendings.bytes);
	metric_set(m->log_lane_jobs, r->measure.log_jobs);
	metric_set(m->state_lane_jobs, r->measure.state_jobs);
	metric_set(m->log_bytes, log_bytes(r));
	metric_set(m->writes_slowed, r->slow.on);
	metric_set(m->full, r->space.room != RAFT_ROOM_ENOUGH);
	metric_set(m->quarantined, r->distrusted != NULL);
	metric_set(m->agreed_index, points_last(&r->agreement.right).index);
	metric_set(m->disputed_index, r->agreement.disputed);
	metric_set(m->free_bytes, r->env.ballast == NULL ? 0 : r->space.seen.free);
}

/* --- a request --- */

/* 0 where one of the two did not happen. */
static uint32_t us_between(struct instant from, struct instant to)
{
	int64_t us = from.ns == 0 || to.ns == 0 ? 0 : instant_between(from, to).ns / 1000;

	if (us < 0)
		return 0;
	return us < UINT32_MAX ? (uint32_t)us : UINT32_MAX;
}

static void tell_of_write(const struct replica *r, const struct pending *p, struct ipc_answer *a)
{
	const struct batch *b = p->index == 0 ? NULL : batch_of(&r->measure, p->index);
	struct instant committed = b == NULL ? r->now : b->committed;

	a->agree_us = us_between(p->asked, committed);
	if (b == NULL)
		return;
	a->sync_us = us_between(b->given, b->durable);
	a->apply_us = us_between(committed, r->now);
}

void measure_answer(const struct replica *r, const struct pending *p, struct ipc_answer *a)
{
	if (p->begun.ns == 0 || instant_between(p->begun, r->now).ns < span_ms(LONG_MS).ns)
		return;
	a->queue_us = us_between(p->begun, p->asked.ns != 0   ? p->asked
					   : p->known.ns != 0 ? p->known
							      : r->now);
	if (p->kind == REQUEST_WRITE) {
		tell_of_write(r, p, a);
		return;
	}
	a->agree_us = us_between(p->asked, p->known.ns != 0 ? p->known : r->now);
	a->apply_us = us_between(p->known, r->now);
}
