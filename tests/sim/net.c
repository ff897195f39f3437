#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "tests/sim/universe.h"
#include "worker/peer/hello.h"

#define QUEUE_BYTES_MAX (64 * 1024 * 1024)
/* Before the far end's silence on a connection is noticed (worker/peer/channel.c worker/peer/ways.c). */
#define HALF_OPEN_MOST span_ms(6000)
#define HELD_MAX (sizeof(((struct link *)0)->held) / sizeof(struct blob *))

static const struct event_kind dial_kind, hello_kind, hello_back_kind, frame_kind, lost_kind,
    unreachable_kind, stall_kind;

static struct span sum(struct span a, struct span b)
{
	return (struct span){ a.ns + b.ns };
}

static struct span latency(struct universe *u, int from, int to)
{
	struct span s = dice_span(&u->net.dice, u->plan.latency_least, u->plan.latency_most);

	return sum(s, u->net.lag[from][to]);
}

/* An event's `a` names the link, `b` its generation. */
static uint64_t link_name(int from, int to)
{
	return (uint64_t)(from * NODES_MAX + to);
}

static struct link *link_named(struct universe *u, uint64_t name, int *from, int *to)
{
	*from = (int)name / NODES_MAX;
	*to = (int)name % NODES_MAX;
	return &u->net.links[*from][*to];
}

static void add_for(struct universe *u, const struct event_kind *kind, int node, int from, int to,
    struct span delay, struct blob *data)
{
	universe_add(u, delay, kind, node, link_name(from, to), u->net.links[from][to].generation, data);
}

static void forget_held(struct link *l)
{
	for (size_t i = 0; i < l->held_count; i++)
		blob_unref(l->held[i]);
	l->held_count = 0;
}

static void dial_later(struct universe *u, int from, int to, struct span least, struct span most)
{
	struct link *l = &u->net.links[from][to];

	if (!l->wanted || l->dialing || l->dialed_up)
		return;
	l->dialing = true;
	universe_add(
	    u, dice_span_skewed(&u->net.dice, least, most), &dial_kind, from, link_name(from, to), 0, NULL);
}

/* The dialer's end hears within `most` that the connection is no more, unless it knows already. */
static void tell_dialer(struct universe *u, int from, int to, struct span most)
{
	if (u->net.links[from][to].dialed_up)
		add_for(u, &unreachable_kind, from, from, to,
		    dice_span_skewed(&u->net.dice, span_us(20), most), NULL);
}

/* The acceptor's: behind all that still arrives. */
static void tell_acceptor(struct universe *u, int from, int to, struct span most)
{
	struct link *l = &u->net.links[from][to];
	struct instant when = instant_add(u->now, dice_span_skewed(&u->net.dice, span_us(20), most));

	if (!l->accepted_up || l->accepted != l->generation)
		return;
	if (l->deaf < l->generation && when.ns < l->last.ns)
		when = l->last;
	add_for(u, &lost_kind, to, from, to, instant_between(u->now, when), NULL);
}

/* The connection is no more: nothing is sent on it any more. What is on its way arrives or, by `deaf`, does not. */
static void end_link(struct link *l, bool deaf)
{
	l->broken = true;
	if (deaf)
		l->deaf = l->generation;
	forget_held(l);
}

/* Each end that believes in the connection hears of its end within `most`. */
static void break_link(struct universe *u, int from, int to, struct span most)
{
	struct link *l = &u->net.links[from][to];

	if (l->broken)
		return;
	end_link(l, true);
	tell_dialer(u, from, to, most);
	tell_acceptor(u, from, to, most);
}

/* The dialer died: what its kernel had accepted may arrive all the same. */
static void abandon_link(struct universe *u, int from, int to, struct span most)
{
	struct link *l = &u->net.links[from][to];

	if (l->broken)
		return;
	end_link(l, dice_chance(&u->net.dice, 300000));
	tell_acceptor(u, from, to, most);
}

/* ---- a connection comes about ---- */

static bool wire_whole(const struct universe *u, int a, int b)
{
	return !u->net.cut[a][b] && !u->net.cut[b][a];
}

static struct peer_hello read_hello(struct bytes from)
{
	struct reader r = reader_of(from);
	struct peer_hello h;
	bool whole = peer_hello_get(&r, &h);

	assert(whole);
	return h;
}

static struct blob *hello_to(struct node *near, const struct node *far)
{
	struct peer_hello hello = read_hello(buf_bytes(&near->transport.hello));
	struct buf made = { 0 };
	struct blob *data;

	hello.dialed = bytes_text(far->address);
	peer_hello_put(&made, &hello);
	data = blob_new(buf_bytes(&made));
	buf_free(&made);
	return data;
}

static void on_dial(struct universe *u, const struct event *e)
{
	struct node *near, *far;
	struct link *l;
	int from, to;

	l = link_named(u, e->a, &from, &to);
	near = &u->nodes[from];
	far = &u->nodes[to];
	l->dialing = false;
	if (!l->wanted || l->dialed_up || near->transport.hello.size == 0)
		return;
	if (!node_up(far) || far->transport.hello.size == 0 || !wire_whole(u, from, to)) {
		dial_later(u, from, to, span_ms(5), span_ms(200));
		return;
	}
	l->generation++;
	l->broken = false;
	forget_held(l);
	l->in_flight = 0;
	l->last = u->now;
	l->dialing = true;
	add_for(u, &hello_kind, to, from, to, latency(u, from, to), hello_to(near, far));
	/* Whatever becomes of it, the dialer does not wait for ever. */
	add_for(u, &stall_kind, from, from, to, span_ms(1000), NULL);
}

/* The attempt came to nothing: half-open, or not welcome. */
static void on_stall(struct universe *u, const struct event *e)
{
	struct link *l;
	int from, to;

	l = link_named(u, e->a, &from, &to);
	if (e->b != l->generation || l->dialed_up || !l->dialing)
		return;
	l->dialing = false;
	break_link(u, from, to, span_ms(10));
	l->generation++;
	dial_later(u, from, to, span_ms(5), span_ms(200));
}

static enum hello_verdict judge(struct universe *u, int here, int there, const struct peer_hello *theirs)
{
	struct peer_hello mine = read_hello(buf_bytes(&u->nodes[here].transport.hello));
	enum hello_verdict v = hello_check(&mine, theirs, u->net.known[here][there]);

	if (v != HELLO_WELCOME) {
		story_tell(u, here, "n%d %s", there + 1, hello_verdict_text(v));
		return v;
	}
	u->net.known[here][there] = (struct hello_known){ .start = theirs->start, .boot = theirs->boot };
	return v;
}

static void on_hello(struct universe *u, const struct event *e)
{
	struct peer_hello hello = read_hello(blob_bytes(e->data));
	enum hello_verdict v;
	struct node *here;
	struct link *l;
	int from, to;

	l = link_named(u, e->a, &from, &to);
	here = &u->nodes[to];
	if (e->b != l->generation || l->broken || !wire_whole(u, from, to) || here->transport.hello.size == 0)
		return;
	v = judge(u, to, from, &hello);
	if (v == HELLO_WELCOME || hello_verdict_shared(v))
		add_for(u, &hello_back_kind, from, from, to, latency(u, to, from),
		    blob_new(buf_bytes(&here->transport.hello)));
	if (v != HELLO_WELCOME)
		return;
	if (l->accepted_up) /* it still believed in the one before */
		replica_on_lost(here->replica, l->near, node_now(here));
	l->accepted_up = true;
	l->accepted = l->generation;
	l->near = hello.incarnation;
	replica_on_hello(here->replica, &hello, NULL, node_now(here));
	node_touch(here);
}

static void on_hello_back(struct universe *u, const struct event *e)
{
	struct peer_hello hello = read_hello(blob_bytes(e->data));
	struct bytes address;
	enum hello_verdict v;
	struct node *here;
	struct link *l;
	int from, to;

	l = link_named(u, e->a, &from, &to);
	here = &u->nodes[from];
	if (e->b != l->generation || l->broken || !wire_whole(u, from, to))
		return;
	address = bytes_text(u->nodes[to].address);
	if ((v = judge(u, from, to, &hello)) != HELLO_WELCOME) {
		replica_on_refused(here->replica, &address, hello_verdict_text(v), node_now(here));
		node_touch(here);
		return;
	}
	l->dialing = false;
	l->dialed_up = true;
	l->far = hello.incarnation;
	story_note(u, from, "connected to n%" PRIu64, (uint64_t[6]){ (uint64_t)to + 1 });
	replica_on_hello(here->replica, &hello, &address, node_now(here));
	node_touch(here);
}

/* ---- a connection ends ---- */

static void on_lost(struct universe *u, const struct event *e)
{
	struct node *here;
	struct link *l;
	int from, to;

	l = link_named(u, e->a, &from, &to);
	here = &u->nodes[to];
	if (!l->accepted_up || e->b != l->accepted)
		return;
	l->accepted_up = false;
	story_note(u, to, "lost the connection from n%" PRIu64, (uint64_t[6]){ (uint64_t)from + 1 });
	replica_on_lost(here->replica, l->near, node_now(here));
	node_touch(here);
}

static void on_unreachable(struct universe *u, const struct event *e)
{
	struct node *here;
	struct link *l;
	int from, to;

	l = link_named(u, e->a, &from, &to);
	here = &u->nodes[from];
	if (e->b != l->generation || !l->dialed_up)
		return;
	l->dialed_up = false;
	story_note(u, from, "lost the connection to n%" PRIu64, (uint64_t[6]){ (uint64_t)to + 1 });
	replica_on_unreachable(here->replica, l->far, node_now(here));
	node_touch(here);
	dial_later(u, from, to, span_us(100), span_ms(100));
}

/* ---- frames ---- */

static void deliver_later(
    struct universe *u, int from, int to, struct span delay, struct blob *frame, bool in_order)
{
	struct link *l = &u->net.links[from][to];
	struct instant when = instant_add(u->now, delay);

	if (in_order && when.ns < l->last.ns)
		when = l->last;
	if (when.ns > l->last.ns)
		l->last = when;
	l->in_flight += frame->size;
	add_for(u, &frame_kind, to, from, to, instant_between(u->now, when), frame);
}

/* What a wire that keeps no promises does to a frame. */
static void send_loosely(struct universe *u, int from, int to, struct blob *frame)
{
	struct random *r = &u->net.dice;
	struct span delay = latency(u, from, to);
	bool in_order = true;

	if (dice_chance(r, u->plan.lose)) {
		nemesis_count(u, FAULT_LOSE);
		blob_unref(frame);
		return;
	}
	if (dice_chance(r, u->plan.delay)) {
		nemesis_count(u, FAULT_DELAY);
		delay = sum(delay, dice_span_skewed(r, u->plan.latency_most, u->plan.delay_most));
	}
	if (dice_chance(r, u->plan.reorder)) {
		nemesis_count(u, FAULT_REORDER);
		delay = sum(delay, dice_span_skewed(r, span_us(1), u->plan.overtake_most));
		in_order = false;
	}
	if (dice_chance(r, u->plan.duplicate)) {
		nemesis_count(u, FAULT_DUPLICATE);
		deliver_later(u, from, to,
		    sum(latency(u, from, to), dice_span_skewed(r, span_us(1), u->plan.delay_most)),
		    blob_ref(frame), false);
	}
	deliver_later(u, from, to, delay, frame, in_order);
}

static void send_in_order(struct universe *u, int from, int to, struct blob *frame)
{
	struct span delay = latency(u, from, to);

	if (dice_chance(&u->net.dice, u->plan.delay)) {
		nemesis_count(u, FAULT_DELAY);
		delay = sum(delay, dice_span_skewed(&u->net.dice, u->plan.latency_most, u->plan.delay_most));
	}
	deliver_later(u, from, to, delay, frame, true);
}

/* For a control: a byte of the last entry's data. */
static void spoil(struct universe *u, struct blob *frame)
{
	if (u->sabotage == SABOTAGE_FRAME && frame->size > 200 && dice_chance(&u->net.dice, 20000))
		frame->data[frame->size - 20] ^= 1;
}

/* A cut wire loses what gets to its end, or holds it back where everything keeps its order. */
static bool stays_in_the_wire(struct universe *u, int from, int to, struct blob *frame)
{
	struct link *l = &u->net.links[from][to];

	if (!u->net.cut[from][to])
		return false;
	if (!u->plan.in_order || l->broken)
		return true;
	if (l->held_count < HELD_MAX)
		l->held[l->held_count++] = blob_ref(frame);
	else
		break_link(u, from, to, span_ms(100));
	return true;
}

static void on_frame(struct universe *u, const struct event *e)
{
	struct node *here;
	struct link *l;
	int from, to;

	l = link_named(u, e->a, &from, &to);
	here = &u->nodes[to];
	if (e->b == l->generation)
		l->in_flight -= e->data->size;
	if (!l->accepted_up || e->b != l->accepted || e->b <= l->deaf)
		return;
	if (stays_in_the_wire(u, from, to, e->data))
		return;
	u->deeds.frames++;
	spoil(u, e->data);
	replica_on_frame(here->replica, l->near, blob_bytes(e->data), node_now(here));
	node_touch(here);
}

static const struct event_kind dial_kind = { "dial", on_dial }, hello_kind = { "hello", on_hello },
			       hello_back_kind = { "hello back", on_hello_back },
			       frame_kind = { "frame", on_frame }, lost_kind = { "lost", on_lost },
			       unreachable_kind = { "unreachable", on_unreachable },
			       stall_kind = { "stall", on_stall };

/* ---- a node's end of it ---- */

static struct sim_transport *transport_of(struct transport *t)
{
	return (struct sim_transport *)t;
}

static void sim_set_hello(struct transport *transport, const struct peer_hello *hello)
{
	struct sim_transport *t = transport_of(transport);
	struct universe *u = t->node->universe;
	bool again = t->hello.size > 0 && (t->cluster != hello->cluster || t->visits != hello->visits);

	buf_clear(&t->hello);
	peer_hello_put(&t->hello, hello);
	t->cluster = hello->cluster;
	t->visits = hello->visits;
	t->node->incarnation = hello->incarnation;
	for (int other = 0; other < u->plan.nodes; other++) {
		if (again) {
			break_link(u, t->node->number, other, span_us(500));
			break_link(u, other, t->node->number, span_us(500));
		}
		dial_later(u, t->node->number, other, span_us(10), span_ms(1));
	}
}

static bool is_wanted(const struct sim_transport *t, const char *address)
{
	struct buf line = { 0 };
	bool found;

	buf_printf(&line, "\n%s\n", address);
	found = t->wanted.size > 0 && strstr(buf_text((struct buf *)&t->wanted), buf_text(&line)) != NULL;
	buf_free(&line);
	return found;
}

static void dial_wanted(struct universe *u, const struct node *n)
{
	for (int other = 0; other < u->plan.nodes; other++) {
		struct link *l = &u->net.links[n->number][other];

		l->wanted = other != n->number && is_wanted(&n->transport, u->nodes[other].address);
		if (!l->wanted && l->dialed_up)
			break_link(u, n->number, other, span_us(100));
		dial_later(u, n->number, other, span_us(10), span_ms(1));
	}
}

static void sim_set_peers(struct transport *transport, const struct bytes *addresses, size_t count)
{
	struct sim_transport *t = transport_of(transport);

	buf_clear(&t->wanted);
	buf_append_text(&t->wanted, "\n");
	for (size_t i = 0; i < count; i++) {
		buf_append(&t->wanted, addresses[i]);
		buf_append_text(&t->wanted, "\n");
	}
	dial_wanted(t->node->universe, t->node);
}

void net_readdress(struct universe *u)
{
	for (int i = 0; i < u->plan.nodes; i++)
		if (node_up(&u->nodes[i]))
			dial_wanted(u, &u->nodes[i]);
}

static bool sim_send(struct transport *transport, uint64_t incarnation, struct bytes frame)
{
	struct node *n = transport_of(transport)->node;
	struct universe *u = n->universe;

	for (int to = 0; to < u->plan.nodes; to++) {
		struct link *l = &u->net.links[n->number][to];

		if (!l->dialed_up || l->far != incarnation)
			continue;
		if (l->in_flight + frame.size > QUEUE_BYTES_MAX)
			return false;
		laws_on_frame(u, n, frame);
		if (l->broken || (u->sabotage == SABOTAGE_HASH && frame.data[0] == PEER_HASH))
			return true;
		if (u->plan.in_order)
			send_in_order(u, n->number, to, blob_new(frame));
		else
			send_loosely(u, n->number, to, blob_new(frame));
		return true;
	}
	return false;
}

static const struct transport_ops sim_ops = {
	.set_hello = sim_set_hello, .set_peers = sim_set_peers, .send = sim_send
};

void net_attach(struct universe *u, struct node *n)
{
	n->transport.transport.ops = &sim_ops;
	n->transport.node = n;
	n->transport.cluster = n->transport.visits = 0;
	for (int other = 0; other < u->plan.nodes; other++) {
		u->net.links[n->number][other].wanted = u->net.links[n->number][other].dialing = false;
		u->net.known[n->number][other] = (struct hello_known){ 0 };
	}
}

void net_detach(struct universe *u, struct node *n, bool power)
{
	struct span most = power ? span_ms(3000) : span_ms(2);

	for (int other = 0; other < u->plan.nodes; other++) {
		struct link *out = &u->net.links[n->number][other], *in = &u->net.links[other][n->number];

		out->dialed_up = out->dialing = out->wanted = false;
		in->accepted_up = false;
		abandon_link(u, n->number, other, most);
		break_link(u, other, n->number, most);
	}
	buf_free(&n->transport.hello);
	buf_free(&n->transport.wanted);
}

void net_forget(struct universe *u, const struct node *n)
{
	for (int here = 0; here < u->plan.nodes; here++)
		u->net.known[here][n->number] = (struct hello_known){ 0 };
}

/* ---- what the nemesis does ---- */

/* Its start counter rose once more when it was started, at most to where the original is. */
bool net_present_copy(struct universe *u, const struct node *n)
{
	bool any = false;
	struct peer_hello hello;

	if (n->transport.hello.size == 0)
		return false;
	hello = read_hello(buf_bytes(&n->transport.hello));
	hello.boot ^= 1;
	hello.start = dice_between(&u->net.dice, 1, hello.start);
	for (int here = 0; here < u->plan.nodes; here++) {
		enum hello_verdict v;

		if (u->nodes[here].transport.hello.size == 0 ||
		    u->net.known[here][n->number].start < hello.start)
			continue;
		v = judge(u, here, n->number, &hello);
		if (v != HELLO_OLD && v != HELLO_COPY)
			universe_fail(u, "n%d takes in a copy of n%d", here + 1, n->number + 1);
		any = true;
	}
	return any;
}

void net_cut(struct universe *u, int from, int to)
{
	struct link *l = &u->net.links[from][to];

	if (u->net.cut[from][to])
		return;
	u->net.cut[from][to] = true;
	/* Whoever waits for an acknowledgement gives up some day. */
	if ((l->dialed_up || l->accepted_up) && dice_chance(&u->net.dice, 700000))
		break_link(u, from, to, span_ms(4000));
}

void net_mend(struct universe *u, int from, int to)
{
	struct link *l = &u->net.links[from][to];
	struct instant last = l->last;

	u->net.cut[from][to] = false;
	l->last = u->now;
	for (size_t i = 0; i < l->held_count; i++)
		deliver_later(u, from, to, span_us(0), l->held[i], true);
	if (l->last.ns < last.ns)
		l->last = last;
	l->held_count = 0;
}

void net_mend_all(struct universe *u)
{
	for (int from = 0; from < u->plan.nodes; from++)
		for (int to = 0; to < u->plan.nodes; to++)
			net_mend(u, from, to);
}

void net_lag(struct universe *u, int from, int to, struct span more)
{
	u->net.lag[from][to] = more;
}

void net_heal(struct universe *u)
{
	net_mend_all(u);
	memset(u->net.lag, 0, sizeof(u->net.lag));
	for (int from = 0; from < u->plan.nodes; from++)
		for (int to = 0; to < u->plan.nodes; to++) {
			if (!u->net.links[from][to].broken)
				continue;
			tell_dialer(u, from, to, span_ms(500));
			tell_acceptor(u, from, to, span_ms(500));
		}
}

/* Some connection that is up; NULL when there is none. */
static struct link *any_link(struct universe *u, int *from, int *to)
{
	uint64_t first = random_below(&u->net.dice, NODES_MAX * NODES_MAX);

	for (uint64_t i = 0; i < NODES_MAX * NODES_MAX; i++) {
		struct link *l = link_named(u, (first + i) % (NODES_MAX * NODES_MAX), from, to);

		if (l->dialed_up && l->accepted_up && !l->broken)
			return l;
	}
	return NULL;
}

bool net_break_any(struct universe *u)
{
	int from, to;

	if (any_link(u, &from, &to) == NULL)
		return false;
	break_link(u, from, to, span_ms(dice_chance(&u->net.dice, 500000) ? 1 : 2000));
	return true;
}

bool net_half_open(struct universe *u)
{
	bool dialer_knows = dice_chance(&u->net.dice, 500000);
	int from, to;
	struct link *l = any_link(u, &from, &to);

	if (l == NULL)
		return false;
	end_link(l, true);
	tell_dialer(u, from, to, dialer_knows ? span_ms(1) : HALF_OPEN_MOST);
	tell_acceptor(u, from, to, dialer_knows ? HALF_OPEN_MOST : span_ms(1));
	return true;
}

void net_init(struct universe *u)
{
	u->net.dice = dice_fork(&u->dice);
}

void net_fini(struct universe *u)
{
	for (int from = 0; from < NODES_MAX; from++)
		for (int to = 0; to < NODES_MAX; to++)
			forget_held(&u->net.links[from][to]);
}
