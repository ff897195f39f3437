#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>
#include <sysexits.h>
#include <unistd.h>

#include "daemon/child.h"
#include "daemon/spawn.h"

/* A step of a start that says nothing, a sync of much, takes no longer than so many times what silences one at work. */
#define START_SILENCES 6

static void on_again(void *arg)
{
	child_start(arg);
}

static void on_limit(void *arg)
{
	struct child *c = arg;

	log_warnx("%s worker does not stop in time, killing it pid=%d", c->name, (int)c->pid);
	child_kill(c);
}

void child_init(struct child *c, struct child_env *env, enum ipc_role role, unsigned number)
{
	*c = (struct child){ .env = env, .role = role, .number = number };
	if (role == IPC_HTTP)
		snprintf(c->name, sizeof(c->name), "http %u", number);
	else
		snprintf(c->name, sizeof(c->name), "consensus");
	c->again = loop_timer_new(env->loop, on_again, c);
	c->limit = loop_timer_new(env->loop, on_limit, c);
}

void child_fini(struct child *c)
{
	loop_timer_free(c->again);
	loop_timer_free(c->limit);
	ipc_close(c->ipc);
	c->ipc = NULL;
}

static void on_hello(void *arg, const struct ipc_hello *m)
{
	struct child *c = arg;

	if (m->generation != c->generation || c->state != CHILD_STARTING)
		return;
	c->state = CHILD_READY;
	c->heard = loop_now(c->env->loop);
	log_info("%s worker is at work pid=%d after=%" PRId64 "ms", c->name, (int)c->pid,
	    span_to_ms(instant_between(c->started, c->heard)));
	c->env->on_ready(c->env->arg, c);
}

static void on_progress(void *arg, const struct ipc_progress *m)
{
	struct child *c = arg;

	c->heard = loop_now(c->env->loop);
	c->env->on_progress(c->env->arg, c, m->doing, m->percent);
}

static void on_pong(void *arg, const struct ipc_pong *m)
{
	struct child *c = arg;

	c->heard = loop_now(c->env->loop);
	c->stuck = span_ms(m->stuck_ms);
}

/* Its end of the channel is closed: it is dying, or might as well be. */
static void on_gone(void *arg)
{
	child_kill(arg);
}

static const struct ipc_handlers handlers = {
	.hello = on_hello,
	.progress = on_progress,
	.pong = on_pong,
	.gone = on_gone,
};

static void send_config(struct child *c)
{
	struct buf options = { 0 };
	struct ipc_config m = {
		.generation = c->generation,
		.role = (uint8_t)c->role,
		.number = c->number,
		.start_us = (uint64_t)c->env->start.ns / 1000,
		.slot = c->slot,
	};

	conf_encode(c->env->conf, &options);
	m.options = buf_bytes(&options);
	ipc_send_config(c->ipc, &m);
	buf_free(&options);
}

static pid_t spawn(struct child *c, int channel)
{
	char number[16];
	const char *argv[] = { "holdfast-worker", c->role == IPC_HTTP ? "http" : "consensus",
		c->role == IPC_HTTP ? number : NULL, NULL };
	struct spawn s = { .argv = argv,
		.channel = channel,
		.metrics = c->env->board_fd,
		.lock = -1,
		.user = &c->env->user };

	snprintf(number, sizeof(number), "%u", c->number);
	if (c->role == IPC_HTTP) {
		s.sockets = c->env->sockets;
		s.socket_count = c->env->socket_count;
	} else {
		s.lock = c->env->lock;
	}
	return spawn_worker(&s);
}

void child_start(struct child *c)
{
	int fds[2];

	c->started = c->heard = loop_now(c->env->loop);
	c->share = 0;
	c->stuck = span_ms(0);
	c->version = c->env->version;
	if (ipc_pair(fds) != ERR_OK)
		fatal(EX_OSERR, "cannot make a channel to the %s worker", c->name);
	c->pid = spawn(c, fds[1]);
	close(fds[1]);
	if (c->pid == -1) {
		log_error("cannot start the %s worker", c->name);
		c->pid = 0;
		close(fds[0]);
		if (!child_restart(c, false))
			fatalx(EX_UNAVAILABLE, "the %s worker cannot be started", c->name);
		return;
	}
	c->state = CHILD_STARTING;
	c->slot = metric_slot_take(c->env->board);
	c->generation = ++c->env->generation;
	c->ipc = ipc_open_pair(c->env->loop, fds[0], IPC_SUPERVISOR, &handlers, c);
	send_config(c);
	if (c->role == IPC_CONSENSUS)
		child_set_desks(c);
	log_info("%s worker started pid=%d generation=%" PRIu64, c->name, (int)c->pid, c->generation);
}

void child_stop(struct child *c, struct span idle, struct span limit)
{
	loop_timer_set(c->again, INSTANT_NEVER);
	if (c->state == CHILD_DOWN || (c->state == CHILD_STOPPING && idle.ns > 0))
		return;
	c->state = CHILD_STOPPING;
	ipc_send_stop(c->ipc, &(struct ipc_stop){ .idle_ms = (uint32_t)span_to_ms(idle) });
	loop_timer_set(c->limit, instant_add(loop_now(c->env->loop), limit));
}

void child_kill(struct child *c)
{
	if (c->pid > 0)
		kill(c->pid, SIGKILL);
}

void child_accept(struct child *c, uint64_t share)
{
	if (share == c->share)
		return;
	c->share = share;
	ipc_send_accept(c->ipc, &(struct ipc_accept){ .sockets = share });
}

void child_set_desks(struct child *c)
{
	if (c->ipc == NULL || c->env->desks == c->share)
		return;
	c->share = c->env->desks;
	ipc_send_desks(c->ipc, &(struct ipc_desks){ .numbers = c->share });
}

void child_reload(struct child *c)
{
	struct buf options = { 0 };

	if (c->ipc == NULL)
		return;
	conf_encode(c->env->conf, &options);
	ipc_send_reload(c->ipc, &(struct ipc_reload){ .options = buf_bytes(&options) });
	buf_free(&options);
}

void child_check(struct child *c, struct span silence)
{
	struct instant now = loop_now(c->env->loop);

	if (c->state != CHILD_READY)
		return;
	if (instant_between(c->heard, now).ns > silence.ns) {
		log_errorx("%s worker gives no sign of life, killing it pid=%d silent=%" PRId64 "ms", c->name,
		    (int)c->pid, span_to_ms(instant_between(c->heard, now)));
		child_kill(c);
		return;
	}
	ipc_send_ping(c->ipc, &(struct ipc_ping){ .number = (uint64_t)now.ns });
}

void child_forgive(struct child *c)
{
	c->heard = loop_now(c->env->loop);
}

bool child_progresses(const struct child *c, struct span within)
{
	struct span silent = instant_between(c->heard, loop_now(c->env->loop));

	if (c->state == CHILD_STARTING)
		return silent.ns < span_times(c->env->conf->supervisor_silence, START_SILENCES).ns;
	return c->state != CHILD_READY || (silent.ns < within.ns && c->stuck.ns < within.ns);
}

static void log_death(const struct child *c, int status)
{
	int64_t lived_ms = span_to_ms(instant_between(c->started, loop_now(c->env->loop)));

	if (WIFSIGNALED(status))
		log_warnx("%s worker was killed pid=%d signal=%d lived=%" PRId64 "ms", c->name, (int)c->pid,
		    WTERMSIG(status), lived_ms);
	else if (c->state == CHILD_STOPPING)
		log_info("%s worker stopped pid=%d status=%d", c->name, (int)c->pid, WEXITSTATUS(status));
	else
		log_warnx("%s worker ended pid=%d status=%d lived=%" PRId64 "ms", c->name, (int)c->pid,
		    WEXITSTATUS(status), lived_ms);
}

void child_reap(struct child *c, int status)
{
	log_death(c, status);
	ipc_close(c->ipc);
	c->ipc = NULL;
	c->pid = 0;
	metric_slot_release(c->env->board, c->slot);
	c->state = CHILD_DOWN;
	loop_timer_set(c->limit, INSTANT_NEVER);
}

bool child_restart(struct child *c, bool was_ready)
{
	struct instant when = restart_after(&c->restart, c->started, was_ready, loop_now(c->env->loop));

	loop_timer_set(c->again, when);
	if (when.ns == INSTANT_NEVER.ns)
		return false;
	metric_add(
	    &c->env->metrics->worker_restarts_total[c->role == IPC_HTTP ? METRIC_HTTP : METRIC_CONSENSUS], 1);
	return true;
}
