#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sysexits.h>
#include <time.h>
#include <unistd.h>

#include "common/process.h"
#include "worker/worker.h"

#define FIRST_INHERITED 3 /* SD_LISTEN_FDS_START */
#define SOCKETS_MAX 64 /* the bits of ACCEPT */
#define PROGRESS_TOLD_MS 250
#define PROGRESS_LOGGED_MS 3000
#define TAKE_MS 5000
#define TAKE_STEP_MS 20

/* The one worker of this process. */
static struct {
	struct worker worker;
	struct conf *conf; /* the worker's */
	const struct worker_role *const *roles;
	int sockets[SOCKETS_MAX];
	int board; /* the descriptor of the board of metrics, or -1 */
	bool stopping, hurried;
	struct {
		const char *doing; /* NULL: nothing was said */
		struct instant told, logged; /* to the supervisor; in the log */
	} progress;
} life;

/* The number in an environment variable; -1 where there is none. */
static long number_in(const char *name)
{
	const char *text = getenv(name);
	char *end;
	long number;

	if (text == NULL || text[0] == '\0')
		return -1;
	number = strtol(text, &end, 10);
	return *end == '\0' ? number : -1;
}

static void keep_to_ourselves(int fd)
{
	int flags = fcntl(fd, F_GETFD);

	if (flags == -1 || fcntl(fd, F_SETFD, flags | FD_CLOEXEC) == -1)
		fatal(
		    EX_USAGE, "descriptor %d was not handed on; workers are started by holdfastd alone", fd);
}

static void take_sockets(struct worker *w)
{
	long count = number_in("LISTEN_FDS");

	if (number_in("LISTEN_PID") != getpid() || count < 0 || count > SOCKETS_MAX)
		fatalx(EX_USAGE, "workers are started by holdfastd alone");
	for (int i = 0; i < count; i++) {
		life.sockets[i] = FIRST_INHERITED + i;
		keep_to_ourselves(life.sockets[i]);
	}
	w->sockets = life.sockets;
	w->socket_count = (size_t)count;
}

/* Without the board of the node, or a slot on it, this worker counts for itself. */
static void take_metrics(struct worker *w, unsigned slot)
{
	w->board = life.board == -1 ? NULL : metric_board_map(life.board);
	if (life.board != -1)
		close(life.board);
	w->metrics = w->board == NULL ? NULL : metric_slot(w->board, slot);
	if (w->metrics == NULL) {
		log_warnx("this worker has no place in the memory for metrics: /metrics does not count what "
			  "it does");
		w->board = metric_board_new(NULL);
		if (w->board == NULL)
			fatal(EX_OSERR, "cannot make the memory for metrics");
		slot = metric_slot_take(w->board);
		w->metrics = metric_slot(w->board, slot);
	}
	metric_slot_name(
	    w->board, slot, w->role->number == IPC_HTTP ? PROCESS_HTTP : PROCESS_CONSENSUS, w->number);
	log_count_lost(w->metrics->log_lines_lost_total);
	process_measure(w->metrics);
	metric_set(&w->metrics->workers[w->role->number == IPC_HTTP ? METRIC_HTTP : METRIC_CONSENSUS], 1);
}

static int take_channel(void)
{
	int fd = (int)number_in("HOLDFAST_CHANNEL");

	keep_to_ourselves(fd);
	life.board = (int)number_in("HOLDFAST_METRICS");
	if (life.board != -1)
		keep_to_ourselves(life.board);
	unsetenv("HOLDFAST_CHANNEL");
	unsetenv("HOLDFAST_METRICS");
	unsetenv("LISTEN_PID");
	unsetenv("LISTEN_FDS");
	return fd;
}

/* Ten thousand connections do not fit into the usual soft limit. */
static void raise_descriptor_limit(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) == -1 || limit.rlim_cur == limit.rlim_max)
		return;
	limit.rlim_cur = limit.rlim_max;
	if (setrlimit(RLIMIT_NOFILE, &limit) == -1)
		log_warn("cannot raise the limit of open files");
}

static void stop(struct worker *w, struct span idle)
{
	/* Before a role is there, nothing is under way. */
	if (w->role == NULL)
		worker_exit(w, EX_OK);
	if (life.stopping && (life.hurried || idle.ns > 0))
		return;
	life.stopping = true;
	life.hurried = idle.ns == 0;
	w->role->stop(w, idle);
}

static const struct worker_role *find_role(unsigned number)
{
	const struct worker_role *const *r = life.roles;

	while (*r != NULL && (*r)->number != number)
		r++;
	if (*r == NULL)
		fatalx(EX_SOFTWARE, "there is no role %u", number);
	return *r;
}

static void name_process(const struct worker *w)
{
	char name[24];

	if (w->role->number == IPC_HTTP)
		snprintf(name, sizeof(name), "%s %u", w->role->name, (unsigned)w->number);
	else
		snprintf(name, sizeof(name), "%s", w->role->name);
	log_open(name);
}

static void take_conf(struct worker *w, struct bytes options)
{
	if (conf_decode(options, &life.conf) != ERR_OK)
		fatalx(EX_SOFTWARE,
		    "the configuration cannot be read; supervisor and worker are of different builds");
	w->conf = life.conf;
	log_set_level(w->conf->log_level);
}

static void on_config(void *arg, const struct ipc_config *m)
{
	struct worker *w = arg;

	if (w->role != NULL)
		fatalx(EX_SOFTWARE, "a second configuration came");
	take_conf(w, m->options);
	w->generation = m->generation;
	w->number = m->number;
	w->started = (struct instant){ (int64_t)m->start_us * 1000 };
	w->role = find_role(m->role);
	name_process(w);
	take_metrics(w, m->slot);
	w->role->start(w);
}

static void on_reload(void *arg, const struct ipc_reload *m)
{
	struct worker *w = arg;
	struct conf *before = life.conf;

	if (w->role == NULL || life.stopping)
		return;
	take_conf(w, m->options);
	if (w->role->reload != NULL)
		w->role->reload(w);
	conf_free(before);
}

static void on_accept(void *arg, const struct ipc_accept *m)
{
	struct worker *w = arg;

	if (w->role == NULL || w->role->accept == NULL || life.stopping)
		return;
	w->role->accept(w, m->sockets);
}

static void on_desks(void *arg, const struct ipc_desks *m)
{
	struct worker *w = arg;

	if (w->role != NULL && w->role->desks != NULL && !life.stopping)
		w->role->desks(w, m->numbers);
}

static void on_ping(void *arg, const struct ipc_ping *m)
{
	struct worker *w = arg;
	int64_t stuck_ms = span_to_ms(lane_thread_stuck(loop_now(w->loop)));

	ipc_send_pong(w->supervisor, &(struct ipc_pong){
					 .number = m->number,
					 .stuck_ms = stuck_ms > UINT32_MAX ? UINT32_MAX : (uint32_t)stuck_ms,
				     });
	if (w->metrics != NULL)
		process_measure(w->metrics);
	log_tell_lost();
}

static void on_stop(void *arg, const struct ipc_stop *m)
{
	stop(arg, span_ms(m->idle_ms));
}

static void on_gone(void *arg)
{
	(void)arg;
	log_warnx("the supervisor is gone: this worker ends");
	_exit(EX_UNAVAILABLE);
}

static const struct ipc_handlers handlers = {
	.config = on_config,
	.accept = on_accept,
	.desks = on_desks,
	.reload = on_reload,
	.ping = on_ping,
	.stop = on_stop,
	.gone = on_gone,
};

static void on_term(void *arg, int number)
{
	(void)number;
	stop(arg, span_ms(0));
}

void worker_ready(struct worker *w)
{
	ipc_send_hello(w->supervisor, &(struct ipc_hello){ .generation = w->generation });
}

/* The loop may be blocked by what goes on: so it is sent from here. */
static void tell_progress(struct worker *w, const char *doing, uint64_t percent)
{
	ipc_send_progress(
	    w->supervisor, &(struct ipc_progress){ .doing = bytes_text(doing), .percent = (uint8_t)percent });
	ipc_flush(w->supervisor);
}

void worker_progress(struct worker *w, const char *doing, uint64_t done, uint64_t total)
{
	uint64_t percent = total == 0 ? 0 : done * 100 / total;
	struct instant now = clock_now();
	bool begins = doing != life.progress.doing;

	if (begins)
		life.progress.logged = now;
	if (!begins && instant_between(life.progress.told, now).ns < span_ms(PROGRESS_TOLD_MS).ns)
		return;
	life.progress.doing = doing;
	life.progress.told = now;
	tell_progress(w, doing, percent);
	if (instant_between(life.progress.logged, now).ns < span_ms(PROGRESS_LOGGED_MS).ns)
		return;
	life.progress.logged = now;
	log_info("%s: %" PRIu64 " of %" PRIu64 ", %" PRIu64 " %%", doing, done, total, percent);
}

void worker_waits(struct worker *w, const char *what)
{
	life.progress.doing = what;
	tell_progress(w, what, 0);
}

void worker_progress_end(struct worker *w)
{
	if (life.progress.doing != NULL)
		tell_progress(w, "", 100);
	life.progress.doing = NULL;
}

/* Is there in the build with the sanitizers; without exit handlers nobody else asks it. Reports and ends the process
 * where something is lost. */
void __lsan_do_leak_check(void) __attribute__((weak));

void worker_exit(struct worker *w, int status)
{
	ipc_flush(w->supervisor);
	if (__lsan_do_leak_check != NULL)
		__lsan_do_leak_check();
	_exit(status);
}

int worker_status(enum err e)
{
	static const struct {
		enum err err;
		int status;
	} lasting[] = {
		{ ERR_DAMAGED, EX_IOERR },
		{ ERR_VERSION, EX_CONFIG },
		{ ERR_IN_USE, EX_TEMPFAIL },
		{ ERR_PERMISSION, EX_NOPERM },
		{ ERR_CONFLICT, EX_CONFIG },
		{ ERR_BAD_REQUEST, EX_CONFIG },
		{ ERR_NOT_FOUND, EX_CONFIG },
		{ ERR_TOO_LARGE, EX_CONFIG },
		{ ERR_EXISTS, EX_CANTCREAT },
	};

	for (size_t i = 0; i < sizeof(lasting) / sizeof(lasting[0]); i++) {
		if (lasting[i].err == e)
			return lasting[i].status;
	}
	return EX_OSERR;
}

void worker_must(enum err e, const char *what, const char *which)
{
	if (e != ERR_OK)
		fatalx(worker_status(e), "cannot %s %s: %s", what, which, err_text(e));
}

enum err worker_take(enum err (*attempt)(void *arg), void *arg)
{
	const struct timespec step = { .tv_nsec = TAKE_STEP_MS * 1000000 };
	struct instant until = instant_add(clock_now(), span_ms(TAKE_MS));
	enum err e;

	while ((e = attempt(arg)) == ERR_IN_USE && !instant_passed(until, clock_now()))
		nanosleep(&step, NULL);
	return e;
}

void worker_run(const struct worker_role *const *roles)
{
	struct worker *w = &life.worker;

	log_open("worker");
	life.roles = roles;
	take_sockets(w);
	/* A terminal sends these to every process of the group; the supervisor decides what they mean. */
	signal(SIGINT, SIG_IGN);
	signal(SIGHUP, SIG_IGN);
	signal(SIGPIPE, SIG_IGN);
	raise_descriptor_limit();
	w->loop = loop_new();
	w->supervisor = ipc_open_pair(w->loop, take_channel(), IPC_HTTP, &handlers, w);
	loop_signal_new(w->loop, SIGTERM, on_term, w);
	loop_run(w->loop);
	worker_exit(w, EX_SOFTWARE); /* roles end by worker_exit() */
}
