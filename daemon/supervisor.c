#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <sysexits.h>
#include <time.h>
#include <unistd.h>

#include "config.h"
#include "common/process.h"
#include "daemon/args.h"
#include "daemon/crew.h"
#include "daemon/notify.h"
#include "daemon/opening.h"
#include "daemon/reload.h"
#include "daemon/spawn.h"
#include "daemon/supervisor.h"

#define CHECK_MAX span_ms(3000)
#define STATUS_BYTES 128
/* What systemd is asked for while a start or a stop goes on, from one check to another. */
#define EXTENSION span_ms(30000)

enum phase { OPENING, RUNNING, STOPPING_HTTP, STOPPING_CONSENSUS, KILLING };

struct supervisor {
	struct conf *conf;
	char **argv;
	struct loop *loop;
	struct child_env env;
	int sockets[LISTEN_MAX];
	struct opening opening;
	struct crew crew;
	bool unsettled; /* a start or a reload is not through */
	bool started; /* the start is */
	bool watched; /* systemd expects a sign of life that often */
	struct span watchdog;

	enum phase phase;
	int status; /* to exit with */
	struct loop_timer *check;
	struct instant check_due;
};

/* What systemd shows of a node that is at work. */
static void put_status(const struct supervisor *s, char out[static STATUS_BYTES])
{
	snprintf(out, STATUS_BYTES, "at work, with %" PRIu64 " http workers", s->conf->http_workers);
}

/* The crew may have come to what was wanted of it. */
static void settle(struct supervisor *s)
{
	char status[STATUS_BYTES];

	if (s->phase != RUNNING || !s->unsettled || !crew_is_settled(&s->crew))
		return;
	s->unsettled = false;
	s->started = true;
	log_info("all workers are at work http_workers=%" PRIu64, s->conf->http_workers);
	put_status(s, status);
	notify_ready(status);
}

static void on_progress(void *arg, struct child *c, struct bytes doing, unsigned percent)
{
	const struct supervisor *s = arg;
	char status[STATUS_BYTES];

	if (s->phase != RUNNING)
		return;
	if (doing.size > 0)
		snprintf(status, sizeof(status), "%s worker: %.*s, %u %%", c->name, (int)doing.size,
		    (const char *)doing.data, percent);
	else
		put_status(s, status);
	if (doing.size > 0 || !s->unsettled)
		notify_status(status);
}

static void on_ready(void *arg, struct child *c)
{
	struct supervisor *s = arg;

	(void)c;
	if (s->phase != RUNNING)
		return;
	crew_balance(&s->crew);
	settle(s);
}

/* --- the end --- */

/* Goes on with stopping as far as the deaths so far allow. */
static void proceed(struct supervisor *s)
{
	if (s->phase == STOPPING_HTTP && crew_alive(&s->crew, IPC_HTTP) == 0) {
		s->phase = STOPPING_CONSENSUS;
		crew_stop(&s->crew, IPC_CONSENSUS);
	}
	if (s->phase > RUNNING && crew_alive(&s->crew, IPC_HTTP) + crew_alive(&s->crew, IPC_CONSENSUS) == 0)
		loop_stop(s->loop);
}

static void begin_stop(struct supervisor *s, int status)
{
	s->status = status;
	s->phase = STOPPING_HTTP;
	notify_stopping(status == EX_OK ? "finishing what is under way" : "stopping; the log says why");
	crew_dismiss(&s->crew);
	crew_stop(&s->crew, IPC_HTTP);
	proceed(s);
}

static void on_stop_signal(void *arg, int number)
{
	struct supervisor *s = arg;

	if (s->phase <= RUNNING) {
		log_info("stopping signal=%d", number);
		begin_stop(s, EX_OK);
	} else if (s->phase != KILLING) {
		log_warnx(
		    "a second signal came while the node was stopping: the workers are killed signal=%d",
		    number);
		s->phase = KILLING;
		crew_kill(&s->crew);
	}
}

/* --- another configuration --- */

/* Takes the configuration, and borrows what it changes. */
static void go_over(struct supervisor *s, struct conf *conf, const struct reload *plan)
{
	conf_free(s->conf);
	s->conf = conf;
	s->env.conf = conf;
	s->unsettled = true;
	log_set_level(conf->log_level);
	if (s->phase == OPENING)
		return; /* whoever is started will have it */
	crew_reload(&s->crew, plan->replace_http, plan->replace_consensus);
	settle(s);
}

static void refuse(struct supervisor *s, struct buf *why)
{
	char *status = xasprintf("the configuration is not reloaded: %s", buf_text(why));

	log_errorx("%s", status);
	if (!s->unsettled)
		notify_ready(status);
	free(status);
}

static void reload(struct supervisor *s)
{
	struct buf told = { 0 };
	struct reload plan;
	struct conf *conf;

	if (s->started)
		notify_reloading();
	if (args_reload(s->argv, &conf, &told) != ERR_OK ||
	    reload_plan(s->conf, conf, &plan, &told) != ERR_OK) {
		refuse(s, &told);
		conf_free(conf);
	} else {
		log_info("the configuration is reloaded changes=%u: %s", plan.changes, buf_text(&told));
		go_over(s, conf, &plan);
	}
	buf_free(&told);
}

static void on_reload_signal(void *arg, int number)
{
	struct supervisor *s = arg;

	(void)number;
	if (s->phase <= RUNNING)
		reload(s);
}

/* --- deaths and silences --- */

/* What a worker found that no other start would change. */
static bool is_permanent(int status)
{
	static const int codes[] = { EX_CANTCREAT, EX_IOERR, EX_TEMPFAIL, EX_NOPERM, EX_CONFIG };

	for (size_t i = 0; i < sizeof(codes) / sizeof(codes[0]); i++)
		if (WIFEXITED(status) && WEXITSTATUS(status) == codes[i])
			return true;
	return false;
}

/* It is gone, and not because it was to be. */
static void restart(struct supervisor *s, struct child *c, bool was_ready)
{
	if (child_restart(c, was_ready))
		return;
	log_errorx("%s worker died %d times within a minute before it was at work, stopping", c->name,
	    RESTART_FAILURES_MAX);
	begin_stop(s, EX_UNAVAILABLE);
}

static void on_death(struct supervisor *s, struct child *c, int status)
{
	enum child_state before = c->state;

	child_reap(c, status);
	if (s->phase != RUNNING) {
		proceed(s);
		return;
	}
	if (is_permanent(status)) {
		log_errorx("%s worker cannot work here, stopping status=%d", c->name, WEXITSTATUS(status));
		begin_stop(s, WEXITSTATUS(status));
		return;
	}
	if (c->wanted && before == CHILD_STOPPING)
		child_start(c);
	else if (c->wanted)
		restart(s, c, before == CHILD_READY);
	if (s->phase == RUNNING)
		crew_balance(&s->crew);
}

static void on_child_signal(void *arg, int number)
{
	struct supervisor *s = arg;
	struct child *c;
	int status;
	pid_t pid;

	(void)number;
	while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
		if ((c = crew_find(&s->crew, pid)) != NULL)
			on_death(s, c, status);
}

static struct span check_every(const struct supervisor *s)
{
	struct span every = { s->conf->supervisor_silence.ns / 5 };

	if (s->watched && s->watchdog.ns / 3 < every.ns)
		every.ns = s->watchdog.ns / 3;
	return every.ns < CHECK_MAX.ns ? every : CHECK_MAX;
}

/* A start may take as long as it goes on, and the watchdog is fed by the progress of the workers, whose silence is
 * otherwise dealt with here: what is left for systemd is what a new worker would not help against, a disk that hangs. */
static void tell_systemd(struct supervisor *s)
{
	bool starting = !s->started && crew_progresses(&s->crew, EXTENSION);

	if (starting || s->phase > RUNNING)
		notify_extend(EXTENSION);
	if (s->watched && crew_progresses(&s->crew, s->watchdog))
		notify_alive();
}

static void check_child(void *arg, struct child *c)
{
	const struct supervisor *s = arg;

	child_check(c, s->conf->supervisor_silence);
}

static void forgive_child(void *arg, struct child *c)
{
	(void)arg;
	child_forgive(c);
}

static void on_check(void *arg)
{
	struct supervisor *s = arg;
	struct span silence = s->conf->supervisor_silence;
	struct instant now = loop_now(s->loop);
	/* Whoever was stopped itself has not heard what was said meanwhile. */
	bool late = instant_between(s->check_due, now).ns > silence.ns / 5;

	if (late)
		crew_each(&s->crew, forgive_child, NULL);
	crew_each(&s->crew, check_child, s);
	tell_systemd(s);
	notify_flush();
	process_measure(s->env.metrics);
	log_tell_lost();
	s->check_due = instant_add(now, check_every(s));
	loop_timer_set(s->check, s->check_due);
}

static void open_metrics(struct supervisor *s)
{
	unsigned slot;

	s->env.board = metric_board_new(&s->env.board_fd);
	if (s->env.board == NULL)
		fatal(EX_OSERR, "cannot make the memory for metrics");
	slot = metric_slot_take(s->env.board);
	metric_slot_name(s->env.board, slot, PROCESS_SUPERVISOR, 0);
	s->env.metrics = metric_slot(s->env.board, slot);
	log_count_lost(s->env.metrics->log_lines_lost_total);
	metric_set(s->env.metrics->build_info, 1);
	metric_set(s->env.metrics->start_time_seconds, (uint64_t)time(NULL));
	process_measure(s->env.metrics);
}

static void log_where(const char *who, const char *listen, const char *advertise)
{
	if (strcmp(listen, advertise) == 0)
		log_info("%s %s", who, listen);
	else
		log_info("%s %s; others are told %s", who, listen, advertise);
}

static void on_opened(void *arg)
{
	struct supervisor *s = arg;
	const struct conf *c = s->conf;

	if (s->phase != OPENING)
		return;
	s->phase = RUNNING;
	log_info("node %s starts version=%s data=%s", c->node_id, PACKAGE_VERSION, c->node_data);
	log_where("clients are served on", c->http_listen, c->http_advertise);
	log_where("other nodes connect to", c->peer_listen, c->peer_advertise);
	crew_start(&s->crew);
}

static void open_node(struct supervisor *s)
{
	spawn_program();
	s->env.user = user_find(s->conf->node_user);
	opening_start(&s->opening, &s->env, s->sockets, on_opened, s);
}

static void close_node(struct supervisor *s)
{
	crew_fini(&s->crew);
	opening_fini(&s->opening);
	close(s->env.board_fd);
	metric_board_free(s->env.board);
}

int supervise(struct conf *conf, char **argv)
{
	struct supervisor s = { .conf = conf, .argv = argv, .loop = loop_new(), .unsettled = true };
	struct loop_signal *signals[] = {
		loop_signal_new(s.loop, SIGTERM, on_stop_signal, &s),
		loop_signal_new(s.loop, SIGINT, on_stop_signal, &s),
		loop_signal_new(s.loop, SIGHUP, on_reload_signal, &s),
		loop_signal_new(s.loop, SIGCHLD, on_child_signal, &s),
	};

	s.env = (struct child_env){ .loop = s.loop,
		.conf = conf,
		.sockets = s.sockets,
		.start = clock_now(),
		.on_ready = on_ready,
		.on_progress = on_progress,
		.arg = &s };
	/* Higher than those of an earlier supervisor, should a word of its workers still be about. */
	s.env.generation = (uint64_t)s.env.start.ns / 1000;
	s.watched = notify_watchdog(&s.watchdog);
	s.check = loop_timer_new(s.loop, on_check, &s);
	crew_init(&s.crew, &s.env);
	open_metrics(&s);
	open_node(&s);
	s.check_due = loop_now(s.loop);
	on_check(&s);
	loop_run(s.loop);
	log_info("stopped status=%d", s.status);
	close_node(&s);
	loop_timer_free(s.check);
	for (size_t i = 0; i < sizeof(signals) / sizeof(signals[0]); i++)
		loop_signal_free(signals[i]);
	loop_free(s.loop);
	conf_free(s.conf);
	return s.status;
}
