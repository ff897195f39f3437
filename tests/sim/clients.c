#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/sim/universe.h"

/* An ordinary one is patient for at most this much longer than the node. */
#define PATIENCE span_ms(500)
/* How late an answer may be when nothing holds the node up: a wheel's step, a turn, and its clock's drift. */
#define ANSWER_SLACK span_ms(1000)

static const struct event_kind step_kind, request_kind_event, cancel_kind;

static struct client *client_of(struct universe *u, uint64_t number)
{
	return &u->clients.list[number];
}

static bool is_prober(uint64_t number)
{
	return number >= CLIENTS_MAX;
}

static void ring(struct universe *u, uint64_t number, struct span delay)
{
	struct client *c = client_of(u, number);

	universe_add(u, delay, &step_kind, NOBODY, number, ++c->timer, NULL);
}

static struct span short_while(struct universe *u)
{
	return dice_span_skewed(&u->clients.dice, span_ms(2), span_ms(100));
}

/* ---- what to do next ---- */

static void draw_level(struct universe *u, struct op *o)
{
	uint64_t draw = random_below(&u->clients.dice, 10);

	o->level = draw < 6 ? LEVEL_LINEARIZABLE : draw < 8 ? LEVEL_LEADER : LEVEL_STALE;
	if (u->sabotage == SABOTAGE_READ)
		o->level = LEVEL_LINEARIZABLE;
}

static void draw_register_op(struct universe *u, struct client *c, struct op *o)
{
	struct random *r = &u->clients.dice;

	o->on_register = true;
	o->key = (uint32_t)random_below(r, (uint64_t)u->plan.register_keys);
	if (dice_chance(r, u->plan.reads))
		o->kind = OP_READ;
	else if (dice_chance(r, u->plan.deletes))
		o->kind = OP_DELETE;
	o->conditional = o->kind != OP_READ && dice_chance(r, u->plan.conditions);
	o->expected = c->seen_modify[o->key];
	o->limited = o->kind == OP_DELETE && u->plan.limits > 0 && dice_chance(r, u->plan.limits);
	/* Without a key to delete the condition would be that there is none. */
	if (o->kind == OP_DELETE && o->expected == 0)
		o->conditional = false;
}

static uint32_t begin_op(struct universe *u, uint64_t number)
{
	struct random *r = &u->clients.dice;
	struct op o = { .client = (int)number };

	draw_level(u, &o);
	o.token = dice_chance(r, u->plan.tokens);
	o.value_size = (uint32_t)dice_skewed(r, 8, u->plan.value_most);
	if (is_prober(number)) {
		int probe = client_of(u, number)->probes;

		o.token = true;
		o.kind = probe >= PROBES - 1 ? OP_PUT : probe == PROBES - 2 ? OP_DELETE : OP_READ;
		o.on_register = probe != PROBES;
		o.conditional = probe == PROBES - 1; /* that there is none */
		o.level = (enum read_level)(probe % 3);
	} else if (client_of(u, number)->hasty) {
		const struct op *before = &u->history.ops[client_of(u, number)->op];

		o.kind = OP_READ;
		o.on_register = before->on_register;
		o.key = before->key;
		o.level = LEVEL_LINEARIZABLE;
		client_of(u, number)->hasty = false;
	} else if (dice_chance(r, u->plan.registers)) {
		draw_register_op(u, client_of(u, number), &o);
	}
	return history_begin(u, &o);
}

/* ---- asking ---- */

static int choose_node(struct universe *u, uint64_t number)
{
	if (is_prober(number))
		return (int)number - CLIENTS_MAX;
	return (int)random_below(&u->clients.dice, (uint64_t)u->plan.nodes);
}

static uint64_t new_ask(struct universe *u, struct node *n, uint32_t client, uint32_t op)
{
	struct clients *c = &u->clients;

	if (c->ask_count == c->ask_room) {
		c->ask_room = c->ask_room == 0 ? 1024 : c->ask_room * 2;
		c->asks = xreallocarray(c->asks, c->ask_room, sizeof(*c->asks));
	}
	c->asks[c->ask_count++] = (struct ask){
		.op = op, .client = client, .node = n->number, .life = n->life, .due = INSTANT_NEVER
	};
	return c->ask_count;
}

/* A node that is down refuses connections: nothing was asked. */
static void ask(struct universe *u, uint64_t number)
{
	struct client *c = client_of(u, number);
	struct op *o = &u->history.ops[c->op];
	struct node *n = &u->nodes[choose_node(u, number)];
	struct span patience;

	/* Who is out serves as long as it knows somebody: nothing to wait for in the end. */
	if (!node_serves(n) || (u->healed && u->laws.config.data != NULL && !laws_member(u, n))) {
		ring(u, number, short_while(u));
		return;
	}
	u->deeds.asked++;
	u->deeds.retried += o->tries > 0;
	o->tries++;
	c->ask = new_ask(u, n, (uint32_t)number, c->op);
	universe_add(u, dice_span(&u->clients.dice, span_us(10), span_us(200)), &request_kind_event,
	    n->number, c->ask, 0, NULL);
	patience = (struct span){ u->plan.request.ns + PATIENCE.ns };
	if (u->plan.impatient && dice_chance(&u->clients.dice, 200000))
		patience = dice_span_skewed(&u->clients.dice, span_ms(5), patience);
	ring(u, number, patience);
	if (dice_chance(&u->clients.dice, u->plan.cancels))
		universe_add(u, dice_span_skewed(&u->clients.dice, span_us(20), span_ms(200)), &cancel_kind,
		    n->number, c->ask, 0, NULL);
}

static void put_operation(const struct op *o, uint32_t number, struct buf *out)
{
	struct buf key = { 0 }, value = { 0 }, guards = { 0 }, steps = { 0 };

	op_key(o, &key);
	if (o->conditional)
		kv_guard(
		    &guards, o->expected == 0 ? GUARD_ABSENT : GUARD_MODIFY, buf_bytes(&key), o->expected);
	switch (o->kind) {
	case OP_PUT:
		op_value(o, number, &value);
		kv_put_step(&steps, buf_bytes(&key), buf_bytes(&value), (struct bytes){ NULL, 0 });
		break;
	case OP_DELETE:
		if (o->limited)
			kv_delete_first_step(&steps, buf_bytes(&key), 1);
		else
			kv_delete_step(&steps, buf_bytes(&key));
		break;
	case OP_READ:
		kv_get_step(&steps, buf_bytes(&key));
		break;
	}
	kv_txn_put(out, &(struct kv_txn){ .guards = buf_bytes(&guards), .steps = buf_bytes(&steps) });
	buf_free(&key);
	buf_free(&value);
	buf_free(&guards);
	buf_free(&steps);
}

/* For a control: the same once more, under a number whose answer nobody waits for. */
static void ask_twice(struct universe *u, struct node *n, const struct ipc_request *q)
{
	struct ipc_request again = *q;

	if (!dice_chance(&u->clients.dice, 10000))
		return;
	again.id = new_ask(u, n, 0, u->clients.asks[q->id - 1].op);
	replica_request(n->replica, 0, &again, node_now(n));
}

/* The request has reached the node. */
static void on_request(struct universe *u, const struct event *e)
{
	struct ask *a = &u->clients.asks[e->a - 1];
	struct node *n = &u->nodes[e->node];
	const struct op *o = &u->history.ops[a->op];
	struct buf operation = { 0 };
	char token[16];
	struct ipc_request q = { .id = e->a,
		.kind = o->kind == OP_READ ? REQUEST_READ : REQUEST_WRITE,
		.level = (uint8_t)o->level };
	int64_t wait_ms = span_to_ms(u->plan.request);

	if (u->sabotage == SABOTAGE_READ)
		q.level = LEVEL_STALE;
	snprintf(token, sizeof(token), "t%08" PRIu32, a->op);
	if (o->token && o->kind != OP_READ)
		q.token = bytes_text(token);
	q.leader_only =
	    q.level != LEVEL_STALE && !is_prober(a->client) && dice_chance(&u->clients.dice, 100000);
	q.time_ms = (uint32_t)dice_between(&u->clients.dice, (uint64_t)wait_ms / 4, (uint64_t)wait_ms);
	put_operation(o, a->op, &operation);
	q.operation = buf_bytes(&operation);
	a->due = instant_add(instant_add(node_now(n), span_ms(q.time_ms)), ANSWER_SLACK);
	story_note(u, n->number,
	    "is asked request %" PRIu64 ": operation %" PRIu64 ", kind %" PRIu64 ", level %" PRIu64
	    ", within %" PRIu64 " ms",
	    (uint64_t[6]){ e->a, a->op, o->kind, q.level, q.time_ms });
	n->in_request = true;
	if (u->sabotage == SABOTAGE_TWICE && q.kind == REQUEST_WRITE && q.token.size == 0)
		ask_twice(u, n, &q);
	replica_request(n->replica, a->client, &q, node_now(n));
	n->in_request = false;
	buf_free(&operation);
	node_touch(n);
}

/* ---- the end of an attempt ---- */

static void think(struct universe *u, uint64_t number)
{
	ring(u, number, dice_span(&u->clients.dice, span_us(100), u->plan.think_most));
}

static void finish(struct universe *u, uint64_t number)
{
	struct client *c = client_of(u, number);
	const struct op *o = &u->history.ops[c->op];

	c->busy = false;
	c->ask = 0;
	c->hasty = !is_prober(number) && o->kind != OP_READ && o->outcome == OP_DONE &&
		   dice_chance(&u->clients.dice, u->plan.hasty);
	if (c->hasty)
		ring(u, number, span_us(10));
	else
		think(u, number);
}

static void try_again(struct universe *u, uint64_t number)
{
	client_of(u, number)->ask = 0;
	ring(u, number, short_while(u));
}

/* The attempt came to nothing: with a token, or when it certainly had no effect, it may be made again. */
static void fail_attempt(struct universe *u, uint64_t number, bool unsure)
{
	struct op *o = &u->history.ops[client_of(u, number)->op];

	o->unsure = o->unsure || unsure;
	o->ended = u->now;
	if (o->kind != OP_READ && (o->token || !unsure) && (is_prober(number) || o->tries < 50)) {
		try_again(u, number);
		return;
	}
	o->outcome = o->kind != OP_READ && o->unsure ? OP_UNKNOWN : OP_REFUSED;
	u->deeds.unknown += o->outcome == OP_UNKNOWN;
	u->deeds.refused += o->outcome == OP_REFUSED;
	finish(u, number);
}

static bool may_happen(const struct universe *u, const struct node *n, const struct op *o, enum err e)
{
	switch (e) {
	case ERR_NOT_LEADER:
	case ERR_NO_LEADER:
	case ERR_LOST:
	case ERR_BUSY:
	case ERR_STARTING:
	case ERR_TIMEOUT:
		return true;
	case ERR_FOREIGN:
		return u->plan.faults[FAULT_WIPE];
	case ERR_FULL:
		return u->plan.faults[FAULT_FULL];
	case ERR_DISPUTED:
		return u->plan.faults[FAULT_ROT];
	case ERR_VERSION:
		return o->limited && u->plan.faults[FAULT_UPGRADE];
	case ERR_BAD_REQUEST: /* its program has never heard of a limit */
		return o->limited && n->level_most == 0;
	default:
		return false;
	}
}

static void take_result(
    struct universe *u, struct node *n, const struct ask *a, const struct ipc_answer *answer)
{
	struct reader reader = reader_of(answer->result);
	struct op *o = &u->history.ops[a->op];
	struct kv_result r;

	if (!kv_result_get(&reader, &r) || !reader_done(&reader))
		universe_fail(
		    u, "n%d answers request %" PRIu64 " with a malformed result", n->number + 1, answer->id);
	if (r.error != ERR_OK && (r.error != ERR_CONDITION || o->kind == OP_READ))
		universe_fail(u, "n%d answers request %" PRIu64 " with a result %s", n->number + 1,
		    answer->id, err_name((enum err)r.error));
	if (o->limited)
		upgrade_on_limited(u, n, r.revision);
	u->deeds.replayed += r.replayed;
	if (o->kind == OP_READ) {
		u->deeds.reads++;
		history_on_read(u, n, a->op, &r);
	} else {
		u->deeds.acked++;
		history_on_written(u, a->op, &r);
		nemesis_on_moment(u, n, MOMENT_ACKED);
	}
	if (o->on_register && !is_prober(a->client)) {
		uint64_t *seen = &client_of(u, a->client)->seen_modify[o->key];

		*seen = o->kind == OP_READ || o->outcome == OP_CONDITION ? o->modify
			: o->kind == OP_PUT                              ? o->revision
									 : 0;
	}
	story_note(u, n->number, "answers request %" PRIu64 " (operation %" PRIu64 "): done at %" PRIu64,
	    (uint64_t[6]){ answer->id, a->op, r.revision });
}

static void take_error(
    struct universe *u, struct node *n, const struct ask *a, const struct ipc_answer *answer)
{
	if (!may_happen(u, n, &u->history.ops[a->op], (enum err)answer->error))
		universe_fail(u, "n%d answers request %" PRIu64 " with %s: %.*s", n->number + 1, answer->id,
		    err_name((enum err)answer->error), (int)answer->text.size,
		    (const char *)answer->text.data);
	story_tell(u, n->number, "answers request %" PRIu64 " (operation %" PRIu32 "): %s, applied %s",
	    answer->id, a->op, err_name((enum err)answer->error),
	    answer->applied == APPLIED_NO ? "no" : "unknown");
}

/* The answer comes from a state that went wrong, and nobody knows that yet: it counts as none. */
static bool may_be_misled(const struct universe *u, const struct node *n, const struct op *o)
{
	if (node_misleads(n))
		return true;
	for (int i = 0; i < u->plan.nodes; i++)
		if (node_misleads(&u->nodes[i]) && o->kind == OP_READ && o->level == LEVEL_LEADER)
			return true;
	return false;
}

void clients_on_answer(struct universe *u, struct node *n, uint32_t client, const struct ipc_answer *answer)
{
	struct ask *a;
	bool waited_for;

	if (answer->id == 0 || answer->id > u->clients.ask_count)
		universe_fail(
		    u, "n%d answers request %" PRIu64 ", which nobody made", n->number + 1, answer->id);
	a = &u->clients.asks[answer->id - 1];
	if (a->client != client || a->node != n->number || a->life != n->life)
		universe_fail(
		    u, "n%d answers request %" PRIu64 " of somebody else", n->number + 1, answer->id);
	if (a->answered)
		universe_fail(u, "n%d answers request %" PRIu64 " twice", n->number + 1, answer->id);
	a->answered = true;
	waited_for = client_of(u, client)->ask == answer->id;
	if (answer->error == ERR_OK && may_be_misled(u, n, &u->history.ops[a->op])) {
		if (waited_for)
			fail_attempt(u, client, true);
		return;
	}
	if (answer->error == ERR_OK)
		take_result(u, n, a, answer);
	else
		take_error(u, n, a, answer);
	if (!waited_for)
		return;
	if (answer->error != ERR_OK) {
		fail_attempt(u, client, answer->applied != APPLIED_NO);
		return;
	}
	if (is_prober(client))
		client_of(u, client)->probes--;
	finish(u, client);
}

void clients_on_crash(struct universe *u, struct node *n)
{
	for (uint64_t number = 0; number < CLIENTS_MAX + NODES_MAX; number++) {
		struct client *c = client_of(u, number);
		const struct ask *a;

		if (!c->busy || c->ask == 0)
			continue;
		a = &u->clients.asks[c->ask - 1];
		if (a->node == n->number && a->life == n->life)
			fail_attempt(u, number, true);
	}
}

static void on_cancel(struct universe *u, const struct event *e)
{
	struct ask *a = &u->clients.asks[e->a - 1];
	struct node *n = &u->nodes[e->node];

	if (a->answered || client_of(u, a->client)->ask != e->a || a->due.ns == INSTANT_NEVER.ns)
		return;
	nemesis_count(u, FAULT_CANCEL);
	story_note(u, n->number, "is told that request %" PRIu64 " is cancelled", (uint64_t[6]){ e->a });
	a->cancelled = true;
	replica_cancel(n->replica, a->client, e->a);
	fail_attempt(u, a->client, true);
	node_touch(n);
}

/* ---- time ---- */

static void on_step(struct universe *u, const struct event *e)
{
	struct client *c = client_of(u, e->a);

	if (e->b != c->timer)
		return;
	if (c->busy && c->ask != 0) { /* it has waited long enough */
		fail_attempt(u, e->a, true);
		return;
	}
	if (!c->busy) {
		if (is_prober(e->a) ? c->probes == 0 : u->clients.stopped)
			return;
		c->op = begin_op(u, e->a);
		c->busy = true;
	}
	ask(u, e->a);
}

static const struct event_kind step_kind = { "step", on_step },
			       request_kind_event = { "request", on_request },
			       cancel_kind = { "cancel", on_cancel };

void clients_check_waiting(struct universe *u)
{
	struct clients *c = &u->clients;
	bool first = true;

	for (size_t i = c->ask_checked; i < c->ask_count; i++) {
		const struct ask *a = &c->asks[i];
		struct node *n = &u->nodes[a->node];

		if (a->answered || a->cancelled || a->life != n->life) {
			c->ask_checked += first;
			continue;
		}
		first = false;
		if (a->due.ns != INSTANT_NEVER.ns && instant_passed(a->due, node_now(n)) &&
		    n->paused_until.ns + ANSWER_SLACK.ns < u->now.ns && !node_is_slow(n))
			universe_fail(u, "n%d does not answer request %zu (operation %" PRIu32 ")",
			    n->number + 1, i + 1, a->op);
	}
}

void clients_start(struct universe *u)
{
	u->clients.dice = dice_fork(&u->dice);
	for (int i = 0; i < u->plan.clients; i++)
		think(u, (uint64_t)i);
}

void clients_probe(struct universe *u)
{
	for (int i = 0; i < u->plan.nodes; i++) {
		if (!laws_member(u, &u->nodes[i]))
			continue;
		client_of(u, (uint64_t)(CLIENTS_MAX + i))->probes = PROBES;
		think(u, (uint64_t)(CLIENTS_MAX + i));
	}
}

bool clients_probed(const struct universe *u)
{
	for (int i = 0; i < u->plan.nodes; i++)
		if (u->clients.list[CLIENTS_MAX + i].probes > 0)
			return false;
	return true;
}

void clients_stop(struct universe *u)
{
	u->clients.stopped = true;
}

bool clients_quiet(const struct universe *u)
{
	for (int i = 0; i < CLIENTS_MAX + NODES_MAX; i++)
		if (u->clients.list[i].busy)
			return false;
	return u->clients.stopped;
}

void clients_fini(struct universe *u)
{
	free(u->clients.asks);
}
