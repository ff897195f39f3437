#include <unistd.h>

#include "common/log.h"
#include "daemon/datadir.h"
#include "daemon/notify.h"
#include "daemon/opening.h"
#include "daemon/spawn.h"

static int open_sockets(void *arg, const struct address *a)
{
	struct opening *o = arg;
	int error = listen_open(a, o->sockets);

	o->env->socket_count = error == 0 ? LISTEN_SOCKETS : 0;
	return error;
}

static void say_waiting(void *arg, const char *what)
{
	(void)arg;
	notify_status(what);
}

static void on_bound(void *arg)
{
	struct opening *o = arg;

	binding_free(o->binding);
	o->binding = NULL;
	o->over(o->arg);
}

static const struct binding_events events = {
	.attempt = open_sockets,
	.waits = say_waiting,
	.over = on_bound,
};

static void get_sockets(struct opening *o)
{
	o->env->socket_count = listen_take_over(o->sockets);
	if (o->env->socket_count == 0) {
		o->binding =
		    binding_new(o->env->loop, o->env->conf->http_listen, "[http] listen", &events, o);
		return;
	}
	log_info(
	    "http clients are served on sockets that were handed over sockets=%zu", o->env->socket_count);
	o->over(o->arg);
}

static void try_lock(void *arg)
{
	struct opening *o = arg;
	struct instant now = loop_now(o->env->loop);

	if (!datadir_lock(o->env->lock, o->env->conf->node_data, instant_passed(o->until, now))) {
		if (!o->told)
			log_info("%s is still held by another process; waiting up to 5 s",
			    o->env->conf->node_data);
		o->told = true;
		loop_timer_set(o->again, instant_add(now, DATADIR_PAUSE));
		return;
	}
	o->locked = true;
	o->run_made = rundir_make(o->env->conf->node_run, &o->env->user);
	get_sockets(o);
}

void opening_start(struct opening *o, struct child_env *env, int *sockets, void (*over)(void *arg), void *arg)
{
	struct instant now = loop_now(env->loop);

	*o = (struct opening){ .env = env, .sockets = sockets, .over = over, .arg = arg };
	env->lock = datadir_open(env->conf->node_data, &env->user);
	o->until = instant_add(now, DATADIR_PATIENCE);
	o->again = loop_timer_new(env->loop, try_lock, o);
	loop_timer_set(o->again, now);
}

void opening_fini(struct opening *o)
{
	struct child_env *env = o->env;

	binding_free(o->binding);
	loop_timer_free(o->again);
	if (o->locked)
		rundir_clear(env->conf, o->run_made, &env->user);
	for (size_t i = 0; i < env->socket_count; i++)
		close(o->sockets[i]);
	close(env->lock);
}
