#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <sysexits.h>
#include <time.h>
#include <unistd.h>

#include "daemon/child.h"
#include "daemon/datadir.h"
#include "daemon/deal.h"
#include "daemon/listen.h"
#include "daemon/spawn.h"
#include "daemon/supervisor.h"

#define CHECK_MAX span_ms(3000)
#define STOP_EXTRA span_ms(2000)

enum phase { RUNNING, STOPPING_HTTP, STOPPING_CONSENSUS, KILLING };

struct supervisor {
	const struct conf *conf;
	struct loop *loop;
	struct child_env env;
	int sockets[LISTEN_SOCKETS];
	struct child *children; /* the consensus worker, then the HTTP workers */
	size_t count;
	bool rundir_made;

	enum phase phase;
	int status; /* to exit with */
	struct loop_timer *check, *deadline;
	struct instant check_due;
};

/* Each worker of the role that is a process. */
static size_t count_alive(const struct supervisor *s, enum ipc_role role)
{
	size_t alive = 0;

	for (size_t i = 0; i < s->count; i++)
		alive += s->children[i].role == role && s->children[i].pid != 0;
	return alive;
}

static void deal(struct supervisor *s)
{
	unsigned ready = 0, n = 0;

	for (size_t i = 0; i < s->count; i++)
		ready += s->children[i].role == IPC_HTTP && s->children[i].state == CHILD_READY;
	for (size_t i = 0; i < s->count; i++)
		if (s->children[i].role == IPC_HTTP && s->children[i].state == CHILD_READY)
			child_accept(&s->children[i], deal_share(LISTEN_SOCKETS, ready, n++));
}

static void on_ready(void *arg, struct child *c)
{
	struct supervisor *s = arg;

	if (c->role == IPC_HTTP && s->phase == RUNNING)
		deal(s);
}

static void stop_role(struct supervisor *s, enum ipc_role role)
{
	for (size_t i = 0; i < s->count; i++)
		if (s->children[i].role == role)
			child_stop(&s->children[i]);
	loop_timer_set(
	    s->deadline, instant_add(instant_add(loop_now(s->loop), s->conf->limits_request), STOP_EXTRA));
}

/* Goes on with stopping as far as the deaths so far allow. */
static void proceed(struct supervisor *s)
{
	if (s->phase == STOPPING_HTTP && count_alive(s, IPC_HTTP) == 0) {
		s->phase = STOPPING_CONSENSUS;
		stop_role(s, IPC_CONSENSUS);
	}
	if (s->phase != RUNNING && count_alive(s, IPC_HTTP) + count_alive(s, IPC_CONSENSUS) == 0)
		loop_stop(s->loop);
}

static void begin_stop(struct supervisor *s, int status)
{
	s->status = status;
	s->phase = STOPPING_HTTP;
	for (size_t i = 0; i < s->count; i++)
		loop_timer_set(s->children[i].again, INSTANT_NEVER);
	stop_role(s, IPC_HTTP);
	proceed(s);
}

static void kill_role(struct supervisor *s, enum ipc_role role)
{
	for (size_t i = 0; i < s->count; i++)
		if (s->children[i].role == role)
			child_kill(&s->children[i]);
}

static void on_deadline(void *arg)
{
	struct supervisor *s = arg;
	enum ipc_role role = s->phase == STOPPING_HTTP ? IPC_HTTP : IPC_CONSENSUS;

	log_warnx(
	    "%s worker does not stop in time, killing it", role == IPC_HTTP ? "an http" : "the consensus");
	kill_role(s, role);
}

static void on_stop_signal(void *arg, int number)
{
	struct supervisor *s = arg;

	if (s->phase == RUNNING) {
		log_info("stopping signal=%d", number);
		begin_stop(s, EX_OK);
	} else if (s->phase != KILLING) {
		log_warnx("told twice, killing the workers signal=%d", number);
		s->phase = KILLING;
		loop_timer_set(s->deadline, INSTANT_NEVER);
		kill_role(s, IPC_HTTP);
		kill_role(s, IPC_CONSENSUS);
	}
}

/* What a worker found that no other start would change. */
static bool is_permanent(int status)
{
	static const int codes[] = { EX_CANTCREAT, EX_IOERR, EX_TEMPFAIL, EX_NOPERM, EX_CONFIG };

	for (size_t i = 0; i < sizeof(codes) / sizeof(codes[0]); i++)
		if (WIFEXITED(status) && WEXITSTATUS(status) == codes[i])
			return true;
	return false;
}

static void on_death(struct supervisor *s, struct child *c, int status)
{
	bool was_ready = c->state == CHILD_READY;

	child_reap(c, status);
	if (s->phase != RUNNING) {
		proceed(s);
	} else if (is_permanent(status)) {
		log_errorx("%s worker cannot work here, stopping status=%d", c->name, WEXITSTATUS(status));
		begin_stop(s, WEXITSTATUS(status));
	} else if (!child_restart(c, was_ready)) {
		log_errorx("%s worker died %d times within a minute before it was at work, stopping", c->name,
		    RESTART_FAILURES_MAX);
		begin_stop(s, EX_UNAVAILABLE);
	} else {
		deal(s);
	}
}

static void on_child_signal(void *arg, int number)
{
	struct supervisor *s = arg;
	int status;
	pid_t pid;

	(void)number;
	while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
		for (size_t i = 0; i < s->count; i++)
			if (s->children[i].pid == pid) {
				on_death(s, &s->children[i], status);
				break;
			}
}

static struct span check_every(const struct supervisor *s)
{
	struct span fifth = { s->conf->supervisor_silence.ns / 5 };

	return fifth.ns < CHECK_MAX.ns ? fifth : CHECK_MAX;
}

static void on_check(void *arg)
{
	struct supervisor *s = arg;
	struct span silence = s->conf->supervisor_silence;
	struct instant now = loop_now(s->loop);
	/* Whoever was stopped itself has not heard what was said meanwhile. */
	bool late = instant_between(s->check_due, now).ns > silence.ns / 5;

	for (size_t i = 0; i < s->count; i++) {
		if (late)
			child_forgive(&s->children[i]);
		child_check(&s->children[i], silence);
	}
	s->check_due = instant_add(now, check_every(s));
	loop_timer_set(s->check, s->check_due);
}

static void make_children(struct supervisor *s)
{
	s->count = 1 + (size_t)s->conf->http_workers;
	s->children = xcalloc(s->count, sizeof(s->children[0]));
	child_init(&s->children[0], &s->env, IPC_CONSENSUS, 0);
	for (size_t i = 1; i < s->count; i++)
		child_init(&s->children[i], &s->env, IPC_HTTP, (unsigned)(i - 1));
}

static void open_metrics(struct supervisor *s)
{
	s->env.board = metric_board_new(&s->env.board_fd);
	if (s->env.board == NULL)
		fatal(EX_OSERR, "cannot make the memory for metrics");
	s->env.metrics = metric_slot(s->env.board, metric_slot_take(s->env.board));
	metric_set(s->env.metrics->build_info, 1);
	metric_set(s->env.metrics->start_time_seconds, (uint64_t)time(NULL));
}

static void open_node(struct supervisor *s)
{
	const struct conf *c = s->conf;

	spawn_program();
	s->env.lock = datadir_lock(c->node_data);
	s->rundir_made = rundir_make(c->node_run);
	listen_open(c->http_listen, s->sockets);
	log_info("node %s started http=%s peer=%s data=%s", c->node_id, c->http_listen, c->peer_listen,
	    c->node_data);
}

static void close_node(struct supervisor *s)
{
	for (size_t i = 0; i < s->count; i++)
		child_fini(&s->children[i]);
	free(s->children);
	rundir_clear(s->conf, s->rundir_made);
	for (size_t i = 0; i < LISTEN_SOCKETS; i++)
		close(s->sockets[i]);
	close(s->env.lock);
	close(s->env.board_fd);
	metric_board_free(s->env.board);
}

int supervise(const struct conf *conf)
{
	struct supervisor s = { .conf = conf, .loop = loop_new() };
	struct loop_signal *signals[] = {
		loop_signal_new(s.loop, SIGTERM, on_stop_signal, &s),
		loop_signal_new(s.loop, SIGINT, on_stop_signal, &s),
		loop_signal_new(s.loop, SIGCHLD, on_child_signal, &s),
	};

	s.env = (struct child_env){ .loop = s.loop,
		.conf = conf,
		.sockets = s.sockets,
		.start = clock_now(),
		.socket_count = LISTEN_SOCKETS,
		.on_ready = on_ready,
		.arg = &s };
	/* Higher than those of an earlier supervisor, should a word of its workers still be about. */
	s.env.generation = (uint64_t)s.env.start.ns / 1000;
	s.check = loop_timer_new(s.loop, on_check, &s);
	s.deadline = loop_timer_new(s.loop, on_deadline, &s);
	make_children(&s);
	open_metrics(&s);
	open_node(&s);
	for (size_t i = 0; i < s.count; i++)
		child_start(&s.children[i]);
	s.check_due = loop_now(s.loop);
	on_check(&s);
	loop_run(s.loop);
	log_info("stopped status=%d", s.status);
	close_node(&s);
	loop_timer_free(s.check);
	loop_timer_free(s.deadline);
	for (size_t i = 0; i < sizeof(signals) / sizeof(signals[0]); i++)
		loop_signal_free(signals[i]);
	loop_free(s.loop);
	return s.status;
}
