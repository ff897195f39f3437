#include "daemon/crew.h"
#include "daemon/deal.h"

/* Beyond the time in which a worker is to stop by itself. */
#define STOP_EXTRA span_ms(2000)

void crew_init(struct crew *k, struct child_env *env)
{
	k->env = env;
	child_init(&k->consensus, env, IPC_CONSENSUS, 0);
	k->consensus.wanted = true;
	for (unsigned i = 0; i < CREW_HTTP_MAX; i++)
		child_init(&k->http[i], env, IPC_HTTP, i);
}

void crew_fini(struct crew *k)
{
	child_fini(&k->consensus);
	for (unsigned i = 0; i < CREW_HTTP_MAX; i++)
		child_fini(&k->http[i]);
}

void crew_each(struct crew *k, void (*visit)(void *arg, struct child *c), void *arg)
{
	if (k->consensus.pid != 0)
		visit(arg, &k->consensus);
	for (unsigned i = 0; i < CREW_HTTP_MAX; i++)
		if (k->http[i].pid != 0)
			visit(arg, &k->http[i]);
}

size_t crew_alive(const struct crew *k, enum ipc_role role)
{
	size_t alive = 0;

	if (role == IPC_CONSENSUS)
		return k->consensus.pid != 0;
	for (unsigned i = 0; i < CREW_HTTP_MAX; i++)
		alive += k->http[i].pid != 0;
	return alive;
}

struct child *crew_find(struct crew *k, pid_t pid)
{
	if (k->consensus.pid == pid)
		return &k->consensus;
	for (unsigned i = 0; i < CREW_HTTP_MAX; i++)
		if (k->http[i].pid == pid)
			return &k->http[i];
	return NULL;
}

/* --- who is there --- */

static bool is_fresh(const struct child *c)
{
	return c->wanted && c->version == c->env->version;
}

static bool is_outdated(const struct child *c)
{
	return c->wanted && c->version != c->env->version;
}

static bool is_serving(const struct child *c)
{
	return c->wanted && c->state == CHILD_READY;
}

static bool is_fresh_and_serving(const struct child *c)
{
	return is_fresh(c) && is_serving(c);
}

static bool is_free(const struct child *c)
{
	return !c->wanted && c->state == CHILD_DOWN;
}

static size_t count(const struct crew *k, bool (*is)(const struct child *c))
{
	size_t n = 0;

	for (unsigned i = 0; i < CREW_HTTP_MAX; i++)
		n += is(&k->http[i]);
	return n;
}

/* The one with the lowest number, or NULL. */
static struct child *find_first(struct crew *k, bool (*is)(const struct child *c))
{
	for (unsigned i = 0; i < CREW_HTTP_MAX; i++)
		if (is(&k->http[i]))
			return &k->http[i];
	return NULL;
}

/* One that serves nobody yet, before one that does; the one with the highest number then. */
static struct child *find_most_dispensable(struct crew *k, bool (*is)(const struct child *c))
{
	struct child *found = NULL;

	for (unsigned i = 0; i < CREW_HTTP_MAX; i++) {
		struct child *c = &k->http[i];

		if (is(c) && (found == NULL || !is_serving(c) || is_serving(found)))
			found = c;
	}
	return found;
}

bool crew_is_settled(const struct crew *k)
{
	return k->consensus.state == CHILD_READY && count(k, is_outdated) == 0 &&
	       count(k, is_fresh_and_serving) == k->env->conf->http_workers;
}

bool crew_progresses(const struct crew *k, struct span within)
{
	bool all = child_progresses(&k->consensus, within);

	for (unsigned i = 0; i < CREW_HTTP_MAX; i++)
		all = all && child_progresses(&k->http[i], within);
	return all;
}

/* --- coming and going --- */

static void stop_child(struct child *c, struct span idle)
{
	struct span limit = { idle.ns + c->env->conf->limits_request.ns + STOP_EXTRA.ns };

	child_stop(c, idle, limit);
}

static void retire(struct child *c)
{
	c->wanted = false;
	stop_child(c, c->env->conf->http_drain);
}

/* Before an HTTP worker is started its desk is to be there; after its death nobody else needs it. */
static void set_desks(struct crew *k)
{
	k->env->desks = 0;
	for (unsigned i = 0; i < CREW_HTTP_MAX; i++)
		if (!is_free(&k->http[i]))
			k->env->desks |= UINT64_C(1) << i;
	child_set_desks(&k->consensus);
}

static void deal(struct crew *k)
{
	unsigned serving = (unsigned)count(k, is_serving), n = 0;

	for (unsigned i = 0; i < CREW_HTTP_MAX; i++)
		if (is_serving(&k->http[i]))
			child_accept(&k->http[i], deal_share((unsigned)k->env->socket_count, serving, n++));
}

static void start_missing(struct crew *k)
{
	struct child *c;

	while (count(k, is_fresh) < k->env->conf->http_workers && (c = find_first(k, is_free)) != NULL) {
		c->wanted = true;
		c->restart = (struct restart){ 0 };
		set_desks(k);
		child_start(c);
	}
}

static void retire_dispensable(struct crew *k)
{
	struct child *c;

	while (count(k, is_fresh) > k->env->conf->http_workers)
		retire(find_most_dispensable(k, is_fresh));
	while ((c = find_most_dispensable(k, is_outdated)) != NULL) {
		/* Whoever serves stays until the successors do. */
		if (is_serving(c) && count(k, is_serving) <= k->env->conf->http_workers)
			break;
		retire(c);
	}
}

void crew_balance(struct crew *k)
{
	start_missing(k);
	retire_dispensable(k);
	set_desks(k);
	deal(k);
}

void crew_start(struct crew *k)
{
	child_start(&k->consensus);
	crew_balance(k);
}

static void reload_child(void *arg, struct child *c)
{
	(void)arg;
	if (c->state != CHILD_STOPPING)
		child_reload(c);
}

void crew_reload(struct crew *k, bool replace_http, bool replace_consensus)
{
	crew_each(k, reload_child, NULL);
	if (replace_http)
		k->env->version++;
	/* Its successor is started when it is gone: two cannot have the data directory. */
	if (replace_consensus && k->consensus.pid != 0)
		stop_child(&k->consensus, span_ms(0));
	crew_balance(k);
}

/* --- the end --- */

void crew_dismiss(struct crew *k)
{
	k->consensus.wanted = false;
	loop_timer_set(k->consensus.again, INSTANT_NEVER);
	for (unsigned i = 0; i < CREW_HTTP_MAX; i++) {
		k->http[i].wanted = false;
		loop_timer_set(k->http[i].again, INSTANT_NEVER);
	}
}

static void stop_now(void *arg, struct child *c)
{
	if (c->role == *(enum ipc_role *)arg)
		stop_child(c, span_ms(0));
}

void crew_stop(struct crew *k, enum ipc_role role)
{
	crew_each(k, stop_now, &role);
}

static void kill_child(void *arg, struct child *c)
{
	(void)arg;
	child_kill(c);
}

void crew_kill(struct crew *k)
{
	crew_each(k, kill_child, NULL);
}
