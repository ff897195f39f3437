#include <errno.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/addr.h"
#include "common/log.h"
#include "worker/peer/inside.h"

#define NODES_MOST 256
#define LISTEN_BACKLOG 128
#define HUSH_MS 60000

bool hush_allows(struct hush *h, struct instant now, unsigned most)
{
	if (h->lines == 0 || instant_between(h->since, now).ns >= span_ms(HUSH_MS).ns)
		*h = (struct hush){ .since = now };
	return h->lines++ < most;
}

struct node *peer_find(struct peer *p, uint64_t incarnation)
{
	struct node *n;

	TAILQ_FOREACH (n, &p->nodes, entry) {
		if (n->incarnation == incarnation)
			return n;
	}
	return NULL;
}

static void log_refusal(
    struct peer *p, struct hush *hush, const struct peer_hello *h, const char *far, enum hello_verdict v)
{
	if (v == HELLO_SELF || !hush_allows(hush, loop_now(p->loop), HUSH_REFUSALS))
		return;
	(v == HELLO_OLD || v == HELLO_COPY ? log_errorx : log_warnx)(
	    "node %.*s at %s is refused: it %s incarnation=%016" PRIx64 " start=%" PRIu64
	    " cluster=%016" PRIx64,
	    (int)h->id.size, (const char *)h->id.data, far, hello_verdict_text(v), h->incarnation, h->start,
	    h->cluster);
}

enum hello_verdict peer_judge(struct peer *p, const struct peer_hello *hello, const char *far)
{
	struct node *n = peer_find(p, hello->incarnation);
	struct hello_known known = n == NULL ? (struct hello_known){ 0 } : n->known;
	enum hello_verdict v;

	known.lives = n != NULL && n->link != NULL;
	known.connected = n != NULL && n->guest != NULL;
	v = hello_check(&p->hello, hello, known);

	if (v != HELLO_WELCOME)
		log_refusal(p, n == NULL ? &p->refusals : &n->refusals, hello, far, v);
	return v;
}

static void forget_someone(struct peer *p)
{
	struct node *n;

	TAILQ_FOREACH (n, &p->nodes, entry) {
		if (n->guest == NULL && n->link == NULL) {
			TAILQ_REMOVE(&p->nodes, n, entry);
			p->node_count--;
			free(n);
			return;
		}
	}
}

static struct node *add_node(struct peer *p, uint64_t incarnation)
{
	struct node *n = xcalloc(1, sizeof(*n));

	if (p->node_count >= NODES_MOST)
		forget_someone(p);
	n->incarnation = incarnation;
	TAILQ_INSERT_TAIL(&p->nodes, n, entry);
	p->node_count++;
	return n;
}

struct node *peer_learn(struct peer *p, const struct peer_hello *hello)
{
	struct node *n = peer_find(p, hello->incarnation);

	if (n == NULL)
		n = add_node(p, hello->incarnation);
	else if (n->known.start < hello->start) {
		if (n->guest != NULL)
			channel_fail(n->guest->channel, "the node was started anew");
		if (n->link != NULL)
			channel_fail(n->link->channel, "the node was started anew");
	}
	if (n->reached && n->known.boot != hello->boot) {
		n->known.before_start = n->known.start;
		n->known.before_boot = n->known.boot;
		n->reached = false;
	}
	n->known.start = hello->start;
	n->known.boot = hello->boot;
	return n;
}

static struct peer *peer_of(struct transport *t)
{
	return (struct peer *)t;
}

static void set_hello(struct transport *t, const struct peer_hello *hello)
{
	static const char why[] = "this node belongs to a cluster now, or passes requests on to one";
	struct peer *p = peer_of(t);
	bool first = !p->spoken,
	     changed = p->spoken && (p->hello.cluster != hello->cluster || p->hello.visits != hello->visits);
	struct buf bytes = { 0 };
	struct reader r;
	struct link *l;

	peer_hello_put(&bytes, hello);
	buf_free(&p->hello_bytes);
	p->hello_bytes = bytes;
	r = reader_of(buf_bytes(&p->hello_bytes));
	peer_hello_get(&r, &p->hello);
	p->spoken = true;
	if (first)
		guests_welcome(p);
	if (changed)
		guests_dismiss(p, why);
	if (first || changed)
		TAILQ_FOREACH (l, &p->links, entry)
			link_renew(l, why);
}

static struct link *find_link(struct peer *p, struct bytes address)
{
	struct link *l;

	TAILQ_FOREACH (l, &p->links, entry) {
		if (!l->removed && bytes_equal(bytes_text(l->address), address))
			return l;
	}
	return NULL;
}

static bool is_wanted(const struct link *l, const struct bytes *addresses, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		if (bytes_equal(bytes_text(l->address), addresses[i]))
			return true;
	}
	return false;
}

static void set_peers(struct transport *t, const struct bytes *addresses, size_t count)
{
	struct peer *p = peer_of(t);
	struct link *l, *next;

	for (l = TAILQ_FIRST(&p->links); l != NULL; l = next) {
		next = TAILQ_NEXT(l, entry);
		if (!l->removed && !is_wanted(l, addresses, count))
			link_remove(l);
	}
	for (size_t i = 0; i < count; i++) {
		if (find_link(p, addresses[i]) == NULL)
			link_new(p, addresses[i]);
	}
}

static bool send_frame(struct transport *t, uint64_t incarnation, struct bytes frame)
{
	struct peer *p = peer_of(t);
	struct node *n = peer_find(p, incarnation);

	size_t most = frame.data[0] == PEER_TELL ? SIZE_MAX : p->options.queue_bytes_max;

	if (n == NULL || n->link == NULL || !channel_send(n->link->channel, frame, most))
		return false;
	loop_batch_ask(p->flush);
	return true;
}

static size_t unsent(struct transport *t, uint64_t incarnation)
{
	struct node *n = peer_find(peer_of(t), incarnation);

	return n == NULL || n->link == NULL ? 0 : channel_unsent(n->link->channel, WAY_BULK);
}

static const struct transport_ops peer_ops = {
	.set_hello = set_hello,
	.set_peers = set_peers,
	.send = send_frame,
	.unsent = unsent,
};

static void flush(void *arg)
{
	struct peer *p = arg;
	struct link *l;

	TAILQ_FOREACH (l, &p->links, entry) {
		if (l->channel != NULL)
			channel_flush(l->channel);
	}
}

struct peer_options peer_options_preset(void)
{
	return (struct peer_options){
		.hello = span_ms(3000),
		.retry_least = span_ms(10),
		.retry_most = span_ms(1000),
		.queue_bytes_max = 16 * 1024 * 1024,
	};
}

int peer_listen(const struct address *a, int *out)
{
	int fd = socket(a->storage.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), on = 1, error;

	*out = -1;
	if (fd == -1)
		return errno;
	if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) == -1 ||
	    bind(fd, (const struct sockaddr *)&a->storage, a->size) == -1 ||
	    listen(fd, LISTEN_BACKLOG) == -1) {
		error = errno;
		close(fd);
		return error;
	}
	*out = fd;
	return 0;
}

struct transport *peer_open(
    struct loop *l, int listener, const struct peer_options *o, const struct peer_events *events, void *arg)
{
	struct peer *p = xcalloc(1, sizeof(*p));

	p->transport.ops = &peer_ops;
	p->loop = l;
	p->options = *o;
	p->events = events;
	p->arg = arg;
	p->listener = listener;
	p->random.state = o->seed;
	p->names = names_new(l);
	p->flush = loop_batch_new(l, flush, p);
	TAILQ_INIT(&p->links);
	TAILQ_INIT(&p->nodes);
	guests_open(p);
	return &p->transport;
}

void peer_close(struct transport *t)
{
	struct peer *p = peer_of(t);
	struct link *l;
	struct node *n;

	if (t == NULL)
		return;
	guests_close(p);
	while ((l = TAILQ_FIRST(&p->links)) != NULL)
		link_free(l);
	while ((n = TAILQ_FIRST(&p->nodes)) != NULL) {
		TAILQ_REMOVE(&p->nodes, n, entry);
		free(n);
	}
	names_free(p->names);
	loop_batch_free(p->flush);
	buf_free(&p->hello_bytes);
	free(p);
}
