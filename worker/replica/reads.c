#include <stdio.h>
#include <stdlib.h>

#include "worker/replica/inside.h"

/* Results that the lane has made and the loop has not taken. */
#define LANE_BYTES_MAX ((size_t)4 * 1024 * 1024)
/* Big reads in one job: what does not fit comes back. */
#define JOB_READS_MAX 64
/* Big reads that other nodes are asked for at a time. */
#define ASKS_MAX 16
/* Of the budget, so much may wait in this process; the rest is with the HTTP workers. */
#define HERE_PART 4
/* Small reads may go so much of an account beyond its end. */
#define SMALL_PART 4

void reads_init(struct replica *r)
{
	TAILQ_INIT(&r->reads.accounts);
	atomic_init(&r->reads.lane_bytes, 0);
}

static void free_account(struct replica *r, struct read_account *a)
{
	TAILQ_REMOVE(&r->reads.accounts, a, entry);
	free(a);
}

void reads_fini(struct replica *r)
{
	struct read_account *a;

	while ((a = TAILQ_FIRST(&r->reads.accounts)) != NULL)
		free_account(r, a);
}

static struct read_account *find_account(struct replica *r, uint32_t client, uint64_t remote)
{
	struct read_account *a;

	TAILQ_FOREACH (a, &r->reads.accounts, entry)
		if (a->remote == remote && (remote != 0 || a->client == client))
			return a;
	return NULL;
}

static struct read_account *account_of(struct replica *r, const struct pending *p)
{
	struct read_account *a = find_account(r, p->client, p->remote);

	if (a != NULL)
		return a;
	a = xcalloc(1, sizeof(*a));
	a->client = p->client;
	a->remote = p->remote;
	a->takes_small = a->takes_big = true;
	for (int i = 0; i < QUEUE_COUNT; i++)
		TAILQ_INIT(&a->queues[i]);
	TAILQ_INSERT_TAIL(&r->reads.accounts, a, entry);
	return a;
}

void reads_forget(struct replica *r, uint32_t client)
{
	struct read_account *a = find_account(r, client, 0);

	if (a != NULL)
		free_account(r, a);
}

bool reads_is_big(struct bytes txn)
{
	struct reader whole = reader_of(txn), steps;
	struct kv_txn t;
	struct kv_step s;

	if (!kv_txn_get(&whole, &t))
		return true;
	steps = reader_of(t.steps);
	return !kv_step_get(&steps, &s) || s.kind != STEP_GET || steps.left > 0 || t.otherwise.size > 0;
}

/* --- accounts --- */

static bool is_waited_in(const struct read_account *a)
{
	for (int i = 0; i < QUEUE_COUNT; i++)
		if (!TAILQ_EMPTY(&a->queues[i]))
			return true;
	return false;
}

/* Of an HTTP worker also what it holds for its clients, which is `here` of no process but that one. */
static struct unsent unsent_of(const struct replica *r, const struct read_account *a)
{
	struct unsent u = { 0 };

	if (a->remote != 0)
		u.here = u.all = transport_unsent(r->env.transport, a->remote);
	else if (r->env.unsent != NULL)
		r->env.unsent(r->env.arg, a->client, &u);
	return u;
}

static void judge(struct read_account *a, struct unsent u, size_t all, size_t here)
{
	a->takes_big = u.all < all && u.here < here;
	a->takes_small = u.all < all + all / SMALL_PART && u.here < here + here / SMALL_PART;
}

static void look_at_accounts(struct replica *r)
{
	struct read_account *a, *next;
	size_t count = 0;

	for (a = TAILQ_FIRST(&r->reads.accounts); a != NULL; a = next) {
		bool waits = is_waited_in(a);

		next = TAILQ_NEXT(a, entry);
		a->unsent = unsent_of(r, a).all;
		count += waits || a->unsent > 0;
		if (a->remote != 0 && !waits && a->unsent == 0)
			free_account(r, a);
	}
	if (count == 0)
		count = 1;
	TAILQ_FOREACH (a, &r->reads.accounts, entry)
		judge(a, unsent_of(r, a), r->o.result_bytes / count, r->o.result_bytes / HERE_PART / count);
}

static void enqueue(struct pending_list *q, struct pending *p)
{
	p->queued_in = q;
	TAILQ_INSERT_TAIL(q, p, in_queue);
}

/* One of each in turn; NULL: nobody may. */
static struct pending *next_of(struct replica *r, enum read_queue queue)
{
	struct read_account *a;

	TAILQ_FOREACH (a, &r->reads.accounts, entry) {
		struct pending *p = TAILQ_FIRST(&a->queues[queue]);

		if (p == NULL || !(p->big ? a->takes_big : a->takes_small))
			continue;
		TAILQ_REMOVE(&r->reads.accounts, a, entry);
		TAILQ_INSERT_TAIL(&r->reads.accounts, a, entry);
		return p;
	}
	return NULL;
}

void reads_refuse_waiting(struct replica *r, struct pending *p)
{
	const struct read_account *a = account_of(r, p);
	bool takes = p->big ? a->takes_big : a->takes_small;
	char text[256];

	if (takes)
		snprintf(text, sizeof(text),
		    "other reads with large results came before this one, which share the %llu bytes of "
		    "[limits] result_bytes: try again",
		    (unsigned long long)r->o.result_bytes);
	else
		snprintf(text, sizeof(text),
		    "clients have not taken the results of their reads, %zu bytes here, and the limit of all "
		    "is %llu ([limits] result_bytes): try again",
		    a->unsent, (unsigned long long)r->o.result_bytes);
	answer_error(r, p, ERR_BUSY, APPLIED_NO, text);
}

/* --- those that other nodes are asked for --- */

static bool may_ask_more(const struct replica *r)
{
	return r->pendings.big_asked + r->reads.asks < ASKS_MAX;
}

void reads_begin_turn(struct replica *r)
{
	struct pending *p;

	look_at_accounts(r);
	r->reads.asks = 0;
	while (may_ask_more(r) && (p = next_of(r, QUEUE_ASK)) != NULL) {
		r->reads.asks += p->big;
		pending_move(&r->pendings, p, STAGE_NEW);
		p->may_ask = true;
	}
}

bool reads_may_ask(struct replica *r, struct pending *p)
{
	struct read_account *a = account_of(r, p);
	bool takes = p->big ? a->takes_big && may_ask_more(r) : a->takes_small;

	if (p->may_ask || (takes && TAILQ_EMPTY(&a->queues[QUEUE_ASK]))) {
		r->reads.asks -= p->may_ask && p->big;
		return true;
	}
	pending_move(&r->pendings, p, STAGE_QUEUED);
	enqueue(&a->queues[QUEUE_ASK], p);
	return false;
}

/* --- those that this node's own state answers --- */

static void gather_ready(struct replica *r)
{
	struct pending *p, *next;

	for (p = pending_first(&r->pendings, STAGE_APPLIED); p != NULL; p = next) {
		next = TAILQ_NEXT(p, in_stage);
		if (p->index > r->submitted || p->min_revision > r->submitted)
			continue;
		pending_move(&r->pendings, p, STAGE_QUEUED);
		enqueue(&account_of(r, p)->queues[p->big ? QUEUE_BIG : QUEUE_SMALL], p);
	}
}

static void submit(struct replica *r, enum read_queue queue, size_t most)
{
	struct state_job *j = NULL;
	struct pending *p;

	for (size_t i = 0; i < most && (p = next_of(r, queue)) != NULL; i++) {
		if (j == NULL)
			j = state_job_new(r, STATE_READ);
		state_job_read(j, p);
	}
	if (j == NULL)
		return;
	j->big = queue == QUEUE_BIG;
	r->reads.big_out |= j->big;
	state_job_submit(j);
}

void reads_turn(struct replica *r)
{
	gather_ready(r);
	submit(r, QUEUE_SMALL, SIZE_MAX);
	if (!r->reads.big_out)
		submit(r, QUEUE_BIG, JOB_READS_MAX);
}

bool reads_lane_has_room(struct replica *r)
{
	size_t most = r->o.lane_bytes != 0 ? r->o.lane_bytes : LANE_BYTES_MAX;

	return atomic_load(&r->reads.lane_bytes) < most;
}

void reads_put_back(struct replica *r, struct pending *p)
{
	struct pending_list *q = &account_of(r, p)->queues[p->big ? QUEUE_BIG : QUEUE_SMALL];

	pending_move(&r->pendings, p, STAGE_QUEUED);
	p->queued_in = q;
	TAILQ_INSERT_HEAD(q, p, in_queue);
}

void reads_take_job(struct replica *r, const struct state_job *j)
{
	atomic_fetch_sub(&r->reads.lane_bytes, j->results.size);
	if (j->big)
		r->reads.big_out = false;
}
