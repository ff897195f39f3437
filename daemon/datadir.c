#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sysexits.h>
#include <unistd.h>

#include "common/log.h"
#include "common/mem.h"
#include "daemon/datadir.h"
#include "daemon/patience.h"

/* Others must not read what clients store, nor speak to the sockets. */
static void make_private_dir(const char *path, const char *what)
{
	struct stat st;

	if (mkdir(path, 0700) == -1 && errno != EEXIST)
		fatal(EX_CANTCREAT, "cannot make the %s directory %s", what, path);
	if (stat(path, &st) == -1)
		fatal(EX_CANTCREAT, "cannot use the %s directory %s", what, path);
	if (!S_ISDIR(st.st_mode))
		fatalx(EX_CANTCREAT, "cannot use the %s directory: %s is no directory", what, path);
	if (st.st_uid != geteuid())
		fatalx(EX_CANTCREAT, "the %s directory %s belongs to user %u, not to this one, %u", what,
		    path, (unsigned)st.st_uid, (unsigned)geteuid());
	if ((st.st_mode & 077) != 0 && chmod(path, 0700) == -1)
		fatal(EX_CANTCREAT, "cannot make the %s directory %s private", what, path);
}

static int try_lock(void *arg)
{
	return flock(*(int *)arg, LOCK_EX | LOCK_NB);
}

static void write_pid(int fd)
{
	char text[16];
	int size = snprintf(text, sizeof(text), "%d\n", (int)getpid());

	/* For people only, so a full disk is no reason not to start. */
	if (ftruncate(fd, 0) == -1 || pwrite(fd, text, (size_t)size, 0) != size)
		log_warn("cannot write the pid into the lock file");
}

static int read_pid(int fd)
{
	char text[16] = "";

	return pread(fd, text, sizeof(text) - 1, 0) > 0 ? atoi(text) : 0;
}

int datadir_lock(const char *path)
{
	char *name;
	int fd;

	make_private_dir(path, "data");
	name = xasprintf("%s/lock", path);
	fd = open(name, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd == -1)
		fatal(errno == EACCES ? EX_NOPERM : EX_CANTCREAT, "cannot open %s", name);
	if (patience_try(try_lock, &fd, EWOULDBLOCK, path) == -1) {
		if (errno != EWOULDBLOCK)
			fatal(EX_OSERR, "cannot lock %s", name);
		fatalx(EX_TEMPFAIL, "the data directory %s is in use by process %d; stop that one first",
		    path, read_pid(fd));
	}
	write_pid(fd);
	free(name);
	return fd;
}

void rundir_make(const char *path)
{
	make_private_dir(path, "run");
}

void rundir_clear(const struct conf *c)
{
	for (unsigned i = 0; i < c->http_workers; i++) {
		char *path = conf_socket_path(c, i);

		unlink(path);
		free(path);
	}
	rmdir(c->node_run);
}
