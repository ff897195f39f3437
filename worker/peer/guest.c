#define _GNU_SOURCE
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/log.h"
#include "worker/peer/inside.h"

/* Far more than a cluster has nodes; a flood of strangers ends here. */
#define GUESTS_MOST 256
/* Descriptors do not come back sooner by asking more often. */
#define ACCEPT_PAUSE_MS 100

static void free_guest(struct guest *g)
{
	struct peer *p = g->peer;

	TAILQ_REMOVE(&p->guests, g, entry);
	p->guest_count--;
	channel_close(g->channel);
	free(g->name);
	free(g);
}

static void replace_guest(struct peer *p, struct node *n)
{
	struct guest *old = n->guest;

	n->guest = NULL;
	old->node = NULL;
	channel_fail(old->channel, "replaced by a newer connection");
	p->events->lost(p->arg, n->incarnation);
}

static void nudge_links(struct peer *p, const struct peer_hello *hello)
{
	struct link *l;

	/* It lives, so it can be reached: no need to wait for the next attempt. */
	TAILQ_FOREACH (l, &p->links, entry) {
		if (l->incarnation == hello->incarnation || bytes_equal(bytes_text(l->address), hello->peer))
			link_nudge(l);
	}
}

static void on_hello(void *arg, struct channel *c, const struct peer_hello *hello)
{
	struct guest *g = arg;
	struct peer *p = g->peer;
	enum hello_verdict v = peer_judge(p, hello, channel_far(c));

	g->name = bytes_dup_text(hello->id);
	if (v == HELLO_WELCOME || hello_verdict_shared(v))
		channel_greet(c, &p->hello);
	if (v == HELLO_FOREIGN)
		p->events->stranger(p->arg, hello, NULL);
	if (v != HELLO_WELCOME) {
		channel_fail(c, "refused");
		return;
	}
	g->node = peer_learn(p, hello);
	if (g->node->guest != NULL)
		replace_guest(p, g->node);
	g->node->guest = g;
	log_debug(
	    "node %s connected from %s incarnation=%016" PRIx64, g->name, channel_far(c), hello->incarnation);
	p->events->hello(p->arg, hello, NULL);
	nudge_links(p, hello);
}

static void on_frame(void *arg, struct channel *c, struct bytes frame)
{
	struct guest *g = arg;

	(void)c;
	g->peer->events->frame(g->peer->arg, g->node->incarnation, frame);
}

static void on_over(void *arg, struct channel *c)
{
	struct guest *g = arg;
	struct peer *p = g->peer;
	struct node *n = g->node;

	if (n != NULL) {
		log_debug("node %s from %s is gone: %s", g->name, channel_far(c), channel_reason(c));
		n->guest = NULL;
		p->events->lost(p->arg, n->incarnation);
	} else if (g->name == NULL && hush_allows(&p->refusals, loop_now(p->loop), HUSH_REFUSALS))
		log_info("a connection from %s ended before it said which node it is: %s", channel_far(c),
		    channel_reason(c));
	free_guest(g);
}

static const struct channel_events accepted_events = {
	.hello = on_hello,
	.frame = on_frame,
	.over = on_over,
};

/* The oldest that has not said who it is makes room, or else the oldest of a node that this one does not reach itself:
 * anybody can say a hello. NULL if there is none. */
static struct guest *find_expendable(struct peer *p)
{
	struct guest *g;

	TAILQ_FOREACH (g, &p->guests, entry) {
		if (g->node == NULL)
			return g;
	}
	TAILQ_FOREACH (g, &p->guests, entry) {
		if (g->node->link == NULL)
			return g;
	}
	return NULL;
}

static bool make_room(struct peer *p)
{
	struct guest *g = find_expendable(p);

	if (g == NULL)
		return false;
	if (g->node != NULL) {
		g->node->guest = NULL;
		p->events->lost(p->arg, g->node->incarnation);
	}
	free_guest(g);
	return true;
}

static void add_guest(struct peer *p, int fd)
{
	struct guest *g;

	if (p->guest_count >= GUESTS_MOST && !make_room(p)) {
		close(fd);
		return;
	}
	g = xcalloc(1, sizeof(*g));
	g->peer = p;
	TAILQ_INSERT_TAIL(&p->guests, g, entry);
	p->guest_count++;
	g->channel = channel_accepted(p->loop, fd, p->options.hello, &accepted_events, g);
}

static void on_acceptable(void *arg)
{
	struct peer *p = arg;
	int fd = accept4(p->listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

	if (fd != -1)
		add_guest(p, fd);
	else if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
		if (hush_allows(&p->refusals, loop_now(p->loop), HUSH_REFUSALS))
			log_warn("cannot accept a connection of a peer");
		loop_io_read(p->accept, false);
		loop_timer_set(p->accept_again, instant_add(loop_now(p->loop), span_ms(ACCEPT_PAUSE_MS)));
	}
}

static void accept_again(void *arg)
{
	struct peer *p = arg;

	loop_io_read(p->accept, true);
}

void guests_open(struct peer *p)
{
	TAILQ_INIT(&p->guests);
	p->accept = loop_io_new(p->loop, p->listener, on_acceptable, NULL, p);
	loop_io_read(p->accept, false);
	p->accept_again = loop_timer_new(p->loop, accept_again, p);
}

void guests_close(struct peer *p)
{
	struct guest *g;

	while ((g = TAILQ_FIRST(&p->guests)) != NULL)
		free_guest(g);
	loop_timer_free(p->accept_again);
	loop_io_free(p->accept);
	close(p->listener);
}

void guests_welcome(struct peer *p)
{
	loop_io_read(p->accept, true);
}

void guests_dismiss(struct peer *p, const char *why)
{
	struct guest *g;

	TAILQ_FOREACH (g, &p->guests, entry) {
		if (g->node != NULL)
			channel_fail(g->channel, "%s", why);
	}
}
