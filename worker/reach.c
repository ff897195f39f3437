#include <stdlib.h>

#include "common/random.h"
#include "worker/peer/channel.h"
#include "worker/reach.h"

struct reach {
	struct loop *loop;
	struct names *names;
	struct span patience;
	size_t left; /* names and connections that are under way */
};

/* A name, then each of the addresses that it stands for. */
struct attempt {
	struct reach *reach;
	struct reached *to;
};

/* Of a stranger without a cluster and without a past, which no member takes for anybody. */
static const struct peer_hello stranger = {
	.version_least = PEER_VERSION_LEAST,
	.version_most = PEER_VERSION_MOST,
	.start = 1,
	.id = { (const uint8_t *)"visitor", 7 },
};

static struct attempt *begin(struct reach *r, struct reached *to)
{
	struct attempt *a = xmalloc(sizeof(*a));

	*a = (struct attempt){ r, to };
	r->left++;
	return a;
}

static void end(struct attempt *a)
{
	if (--a->reach->left == 0)
		loop_stop(a->reach->loop);
	free(a);
}

static void set_reason(struct reached *to, const char *why)
{
	free(to->why);
	to->why = xstrdup(why);
}

static void on_connected(void *arg, struct channel *c)
{
	struct attempt *a = arg;
	struct peer_hello hello = stranger;

	a->to->connected = true;
	hello.incarnation = (random_secret() >> 1) | 1;
	hello.boot = random_secret();
	channel_greet(c, &hello);
}

static void on_hello(void *arg, struct channel *c, const struct peer_hello *hello)
{
	struct reached *to = ((struct attempt *)arg)->to;

	to->greeted = true;
	to->cluster = hello->cluster;
	to->incarnation = hello->incarnation;
	free(to->id);
	to->id = bytes_dup_text(hello->id);
	channel_fail(c, "it is known who is there");
}

static void on_over(void *arg, struct channel *c)
{
	struct attempt *a = arg;

	if (!a->to->greeted)
		set_reason(a->to, channel_reason(c));
	channel_close(c);
	end(a);
}

static const struct channel_events events = {
	.connected = on_connected,
	.hello = on_hello,
	.over = on_over,
};

static void on_found(void *arg, const struct addresses *found, const char *problem)
{
	struct attempt *a = arg;

	if (problem != NULL)
		set_reason(a->to, problem);
	for (size_t i = 0; problem == NULL && i < found->count; i++)
		channel_dial(
		    a->reach->loop, &found->list[i], a->reach->patience, &events, begin(a->reach, a->to));
	end(a);
}

void reach(struct reached *list, size_t count, struct span patience)
{
	struct reach r = { .loop = loop_new(), .patience = patience };

	r.names = names_new(r.loop);
	for (size_t i = 0; i < count; i++)
		names_ask(r.names, list[i].address, on_found, begin(&r, &list[i]));
	if (r.left > 0)
		loop_run(r.loop);
	names_free(r.names);
	loop_free(r.loop);
}

void reached_free(struct reached *list, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		free(list[i].id);
		free(list[i].why);
	}
}
