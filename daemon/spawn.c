#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sysexits.h>
#include <unistd.h>

#include "common/log.h"
#include "common/mem.h"
#include "daemon/spawn.h"

#ifndef LIBEXECDIR
#define LIBEXECDIR "/usr/libexec/holdfast"
#endif

#define FIRST_INHERITED 3 /* SD_LISTEN_FDS_START */
#define INHERITED_MAX 67

const char *spawn_program(void)
{
	static char path[PATH_MAX];
	ssize_t size;
	char *slash;

	if (path[0] != '\0')
		return path;
	size = readlink("/proc/self/exe", path, sizeof(path) - 1);
	path[size > 0 ? size : 0] = '\0';
	slash = strrchr(path, '/');
	if (slash != NULL)
		snprintf(slash, sizeof(path) - (size_t)(slash - path), "/holdfast-worker");
	if (slash == NULL || access(path, X_OK) == -1)
		snprintf(path, sizeof(path), LIBEXECDIR "/holdfast-worker");
	if (access(path, X_OK) == -1)
		fatal(EX_UNAVAILABLE, "holdfast-worker is neither beside this program nor at %s", path);
	return path;
}

/* Before exec: no way but down. */
__attribute__((noreturn)) static void die(const char *what)
{
	log_error("cannot start a worker: %s", what);
	_exit(EX_OSERR);
}

/* Moves the descriptors to 3, 4, ... in their order and lets them through exec. They are lifted first, over where
 * any will stand, since they may stand in each other's place now. */
static void place_descriptors(const int *fds, size_t count)
{
	int lifted[INHERITED_MAX];

	for (size_t i = 0; i < count; i++)
		if ((lifted[i] = fcntl(fds[i], F_DUPFD_CLOEXEC, FIRST_INHERITED + INHERITED_MAX)) == -1)
			die("cannot duplicate a descriptor");
	for (size_t i = 0; i < count; i++)
		if (dup2(lifted[i], FIRST_INHERITED + (int)i) == -1)
			die("cannot place a descriptor");
}

static void reset_signals(void)
{
	sigset_t none;

	for (int number = 1; number < NSIG; number++)
		signal(number, SIG_DFL); /* fails for some, which have no other state */
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
}

static void set_number(const char *name, long number)
{
	char text[24];

	snprintf(text, sizeof(text), "%ld", number);
	setenv(name, text, 1);
}

static void set_environment(const struct spawn *s)
{
	unsetenv("NOTIFY_SOCKET"); /* the supervisor speaks for the node */
	unsetenv("WATCHDOG_USEC");
	unsetenv("WATCHDOG_PID");
	unsetenv("LISTEN_FDNAMES");
	set_number("LISTEN_PID", getpid());
	set_number("LISTEN_FDS", (long)s->socket_count);
	set_number("HOLDFAST_CHANNEL", FIRST_INHERITED + (long)s->socket_count);
	if (s->metrics != -1)
		set_number("HOLDFAST_METRICS", FIRST_INHERITED + (long)s->socket_count + 1);
}

static void become_worker(const struct spawn *s, const char *program, pid_t parent)
{
	int fds[INHERITED_MAX];
	size_t count = 0;

	while (count < s->socket_count) {
		fds[count] = s->sockets[count];
		count++;
	}
	fds[count++] = s->channel;
	if (s->metrics != -1)
		fds[count++] = s->metrics;
	if (s->lock != -1)
		fds[count++] = s->lock;
	place_descriptors(fds, count);
	set_environment(s);
	if (!user_drop(s->user))
		die("cannot become the user of the workers");
	/* The second belt; the first is the end of the channel. Becoming another user takes it off. */
	if (prctl(PR_SET_PDEATHSIG, SIGKILL) == -1)
		die("cannot ask for a signal when the supervisor dies");
	if (getppid() != parent)
		_exit(EX_UNAVAILABLE);
	reset_signals();
	execv(program, (char *const *)s->argv);
	die(program);
}

void spawn_instead(const char *const *argv, int conf, int lock, const struct user *user)
{
	const char *program = spawn_program();

	place_descriptors((int[]){ conf, lock }, 2);
	set_number("HOLDFAST_CONF", FIRST_INHERITED);
	if (!user_drop(user))
		die("cannot become the user of the workers");
	reset_signals();
	execv(program, (char *const *)argv);
	die(program);
}

pid_t spawn_worker(const struct spawn *s)
{
	const char *program = spawn_program();
	sigset_t all, before;
	pid_t parent = getpid(), pid;
	int error;

	/* A signal that meets the child before exec would be handled there, and the loop's handler writes into a
	 * pipe that parent and child share. */
	sigfillset(&all);
	sigprocmask(SIG_BLOCK, &all, &before);
	pid = fork();
	if (pid == 0)
		become_worker(s, program, parent);
	error = errno;
	sigprocmask(SIG_SETMASK, &before, NULL);
	errno = error;
	return pid;
}
