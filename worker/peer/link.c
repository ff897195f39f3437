#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "common/log.h"
#include "worker/peer/inside.h"

static void wait_again(struct link *l)
{
	int64_t ns = l->retry.ns * 4 / 5;

	ns += (int64_t)random_below(&l->peer->random, (uint64_t)(l->retry.ns * 2 / 5) + 1);
	loop_timer_set(l->again, instant_add(loop_now(l->peer->loop), (struct span){ ns }));
	l->retry.ns *= 2;
	if (l->retry.ns > l->peer->options.retry_most.ns)
		l->retry = l->peer->options.retry_most;
}

/* Says why an address cannot be reached: once, until the reason changes. */
static void complain(struct link *l, const char *why)
{
	bool allowed;

	if (l->lost == NULL && l->complaint != NULL && strcmp(l->complaint, why) == 0)
		return;
	free(l->complaint);
	l->complaint = xstrdup(why);
	allowed = hush_allows(&l->changes, loop_now(l->peer->loop), HUSH_CHANGES);
	if (allowed && l->lost != NULL)
		log_warnx("lost node %s at %s: %s; dialing again: %s", l->name, l->address, l->lost, why);
	else if (allowed)
		log_info("cannot reach %s, dialing again: %s", l->address, why);
	free(l->lost);
	l->lost = NULL;
}

/* Connections are dialed again for many reasons, at a start most of all: that is no news of a node that is still the same. */
static void say_connected(struct link *l, const struct peer_hello *hello)
{
	bool again = l->lost != NULL && l->name != NULL && bytes_equal(bytes_text(l->name), hello->id) &&
		     l->start == hello->start;

	free(l->lost);
	l->lost = NULL;
	free(l->name);
	l->name = bytes_dup_text(hello->id);
	l->start = hello->start;
	if (again)
		log_debug("connected to node %s at %s again", l->name, l->address);
	else if (hush_allows(&l->changes, l->up_since, HUSH_CHANGES))
		log_info("connected to node %s at %s incarnation=%016" PRIx64 " start=%" PRIu64, l->name,
		    l->address, hello->incarnation, hello->start);
}

static void on_connected(void *arg, struct channel *c)
{
	struct link *l = arg;

	struct peer_hello hello = l->peer->hello;

	l->greeted = true;
	hello.dialed = bytes_text(l->address);
	channel_greet(c, &hello);
}

static void replace_link(struct peer *p, struct node *n)
{
	struct link *old = n->link;

	n->link = NULL;
	old->node = NULL;
	channel_fail(old->channel, "another address leads to the same node");
	p->events->unreachable(p->arg, n->incarnation);
}

static void on_hello(void *arg, struct channel *c, const struct peer_hello *hello)
{
	struct link *l = arg;
	struct peer *p = l->peer;
	struct bytes dialed = bytes_text(l->address);
	enum hello_verdict v;

	l->incarnation = hello->incarnation;
	v = peer_judge(p, hello, l->address);
	if (v != HELLO_WELCOME) {
		/* Nothing there changes soon. */
		l->retry = p->options.retry_most;
		l->refused = true;
		p->events->refused(p->arg, &dialed, hello_verdict_text(v));
		if (v == HELLO_FOREIGN)
			p->events->stranger(p->arg, hello, &dialed);
		channel_fail(c, "refused");
		return;
	}
	l->node = peer_learn(p, hello);
	if (l->node->link != NULL)
		replace_link(p, l->node);
	l->node->link = l;
	l->node->reached = true;
	l->up_since = loop_now(p->loop);
	/* This one of its addresses is good: it is the first to be tried again. */
	l->next = (l->next + l->addresses.count - 1) % l->addresses.count;
	free(l->complaint);
	l->complaint = NULL;
	say_connected(l, hello);
	p->events->hello(p->arg, hello, &dialed);
}

static void go_down(struct link *l)
{
	struct peer *p = l->peer;
	struct instant now = loop_now(p->loop);
	struct node *n = l->node;

	l->node = NULL;
	/* A connection that ends soon after its hello is no reason to come back quickly. */
	if (instant_between(l->up_since, now).ns >= p->options.retry_most.ns)
		l->retry = p->options.retry_least;
	log_debug(
	    "the connection to node %s at %s ended: %s", l->name, l->address, channel_reason(l->channel));
	free(l->lost);
	l->lost = xstrdup(channel_reason(l->channel));
	n->link = NULL;
	p->events->unreachable(p->arg, n->incarnation);
}

static void on_over(void *arg, struct channel *c)
{
	struct link *l = arg;

	if (l->node != NULL)
		go_down(l);
	else if (!l->removed && !l->refused)
		complain(l, channel_reason(c));
	channel_close(c);
	l->channel = NULL;
	if (l->removed)
		link_free(l);
	else
		wait_again(l);
}

static const struct channel_events dialed_events = {
	.connected = on_connected,
	.hello = on_hello,
	.over = on_over,
};

static void dial(struct link *l)
{
	const struct address *to = &l->addresses.list[l->next];

	l->next++;
	l->greeted = l->refused = false;
	l->channel = channel_dial(l->peer->loop, to, l->peer->options.hello, &dialed_events, l);
}

static void on_addresses(void *arg, const struct addresses *found, const char *problem)
{
	struct link *l = arg;

	l->lookup = NULL;
	/* A resolver that is gone does not make the addresses wrong that it told before. */
	if (problem == NULL)
		l->addresses = *found;
	l->next = 0;
	if (l->addresses.count > 0)
		dial(l);
	else {
		complain(l, problem);
		wait_again(l);
	}
}

/* Another address leads to the same node and stands: two connections would take turns in replacing each other. */
static bool is_twin(const struct link *l)
{
	struct node *n = l->incarnation == 0 ? NULL : peer_find(l->peer, l->incarnation);

	return n != NULL && n->link != NULL && n->link != l;
}

static void try_again(void *arg)
{
	struct link *l = arg;

	if (l->channel != NULL || l->lookup != NULL || !l->peer->spoken)
		return;
	if (is_twin(l)) {
		l->retry = l->peer->options.retry_most;
		wait_again(l);
		return;
	}
	if (l->numeric)
		l->next = 0;
	if (l->next < l->addresses.count)
		dial(l);
	else
		l->lookup = names_ask(l->peer->names, l->address, on_addresses, l);
}

struct link *link_new(struct peer *p, struct bytes address)
{
	struct link *l = xcalloc(1, sizeof(*l));

	l->peer = p;
	l->address = bytes_dup_text(address);
	l->numeric = address_numeric(l->address, &l->addresses.list[0]);
	l->addresses.count = l->numeric ? 1 : 0;
	l->retry = p->options.retry_least;
	l->again = loop_timer_new(p->loop, try_again, l);
	loop_timer_set(l->again, loop_now(p->loop));
	TAILQ_INSERT_TAIL(&p->links, l, entry);
	return l;
}

void link_free(struct link *l)
{
	TAILQ_REMOVE(&l->peer->links, l, entry);
	if (l->node != NULL)
		l->node->link = NULL;
	lookup_forget(l->lookup);
	channel_close(l->channel);
	loop_timer_free(l->again);
	free(l->address);
	free(l->name);
	free(l->complaint);
	free(l->lost);
	free(l);
}

void link_remove(struct link *l)
{
	if (l->channel == NULL) {
		link_free(l);
		return;
	}
	l->removed = true;
	channel_fail(l->channel, "no longer wanted");
}

void link_nudge(struct link *l)
{
	if (l->channel == NULL && l->lookup == NULL && !is_twin(l))
		loop_timer_set(l->again, loop_now(l->peer->loop));
}

void link_renew(struct link *l, const char *why)
{
	l->retry = l->peer->options.retry_least;
	if (l->channel == NULL)
		link_nudge(l);
	else if (l->greeted)
		channel_fail(l->channel, "%s", why);
}
