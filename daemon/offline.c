#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sysexits.h>
#include <time.h>
#include <unistd.h>

#include "common/log.h"
#include "daemon/datadir.h"
#include "daemon/offline.h"
#include "daemon/spawn.h"

/* The backup becomes standard input: the user of the workers need not be able to open it. */
static void open_backup(const char *file)
{
	int fd;

	if (strcmp(file, "-") == 0)
		return;
	fd = open(file, O_RDONLY | O_CLOEXEC);
	if (fd == -1)
		fatal(errno == EACCES ? EX_NOPERM : EX_NOINPUT, "cannot open the backup %s", file);
	if (dup2(fd, STDIN_FILENO) == -1)
		fatal(EX_OSERR, "cannot hand the backup %s over", file);
	close(fd);
}

static int write_conf(const struct conf *c)
{
	struct buf options = { 0 };
	int fd = memfd_create("holdfast-conf", MFD_CLOEXEC);

	conf_encode(c, &options);
	if (fd == -1 || write(fd, options.data, options.size) != (ssize_t)options.size)
		fatal(EX_OSERR, "cannot hand the configuration over");
	buf_free(&options);
	return fd;
}

static int take_lock(const char *data, const struct user *u)
{
	const struct timespec pause = { .tv_nsec = DATADIR_PAUSE.ns };
	struct instant end = instant_add(clock_now(), DATADIR_PATIENCE);
	int fd = datadir_open(data, u);

	while (!datadir_lock(fd, data, instant_passed(end, clock_now())))
		nanosleep(&pause, NULL);
	return fd;
}

void offline_run(struct conf *c, enum args_what what, const struct args_offline *o)
{
	bool restores = what == ARGS_RESTORE;
	const char *argv[] = { "holdfast-worker", restores ? "restore" : "recover-alone",
		restores ? o->file : (o->yes ? "yes" : NULL), NULL };
	struct user user;
	int lock;

	log_open("supervisor");
	log_set_level(c->log_level);
	spawn_program();
	user = user_find(c->node_user);
	if (restores)
		open_backup(o->file);
	else if (access(c->node_data, F_OK) == -1)
		fatal(EX_NOINPUT, "cannot look at the data directory %s", c->node_data);
	lock = take_lock(c->node_data, &user);
	spawn_instead(argv, write_conf(c), lock, &user);
}
