#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sysexits.h>
#include <unistd.h>

#include "common/log.h"
#include "common/mem.h"
#include "daemon/crew.h"
#include "daemon/datadir.h"
#include "daemon/patience.h"

/* May the user put what he likes at this path? */
static bool controls(const char *path, const struct user *u)
{
	char *copy = xstrdup(path);
	bool may;

	user_become(u);
	may = faccessat(AT_FDCWD, dirname(copy), W_OK, AT_EACCESS) == 0;
	user_return(u);
	free(copy);
	return may;
}

/* True when it was not there. */
static bool make_dir(const char *path, const char *what, const struct user *u)
{
	bool as_user = !u->drop || controls(path, u), made;
	struct stat st;

	if (as_user)
		user_become(u);
	made = mkdir(path, 0700) == 0;
	if (!made && errno != EEXIST)
		fatal(EX_CANTCREAT, "cannot make the %s directory %s", what, path);
	if (as_user)
		user_return(u);
	else if ((made || (stat(path, &st) == 0 && st.st_uid == 0)) && chown(path, u->uid, u->gid) == -1)
		fatal(EX_CANTCREAT, "cannot give the %s directory %s away", what, path);
	return made;
}

/* Others must not read what clients store, nor speak to the sockets. True when it was not there. */
static bool make_private_dir(const char *path, const char *what, const struct user *u)
{
	bool made = make_dir(path, what, u);
	struct stat st;

	user_become(u);
	if (stat(path, &st) == -1)
		fatal(EX_CANTCREAT, "cannot use the %s directory %s", what, path);
	if (!S_ISDIR(st.st_mode))
		fatalx(EX_CANTCREAT, "cannot use the %s directory: %s is no directory", what, path);
	if (st.st_uid != u->uid)
		fatalx(EX_CANTCREAT, "the %s directory %s belongs to user %u, not to this one, %u", what,
		    path, (unsigned)st.st_uid, (unsigned)u->uid);
	if ((st.st_mode & 077) != 0 && chmod(path, 0700) == -1)
		fatal(EX_CANTCREAT, "cannot make the %s directory %s private", what, path);
	user_return(u);
	return made;
}

/* What is durable in a directory is worth nothing while its own name is not. A directory that was there may still
 * be that of a start that a power failure ended, so it is tried then too; but its parent need not be readable. */
static void sync_name(const char *path, bool must)
{
	char *copy = xstrdup(path);
	const char *parent = dirname(copy);
	int fd = open(parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if ((fd == -1 || fsync(fd) == -1) && must)
		fatal(EX_IOERR, "cannot sync %s, which the data directory is in", parent);
	if (fd != -1)
		close(fd);
	free(copy);
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

int datadir_lock(const char *path, const struct user *u)
{
	char *name;
	int fd;

	sync_name(path, make_private_dir(path, "data", u));
	name = xasprintf("%s/lock", path);
	user_become(u);
	fd = open(name, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd == -1)
		fatal(errno == EACCES ? EX_NOPERM : EX_CANTCREAT, "cannot open %s", name);
	user_return(u);
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

bool rundir_make(const char *path, const struct user *u)
{
	return make_private_dir(path, "run", u);
}

void rundir_clear(const struct conf *c, bool made, const struct user *u)
{
	user_become(u);
	for (unsigned i = 0; i < CREW_HTTP_MAX; i++) {
		char *path = conf_socket_path(c, i);

		unlink(path);
		free(path);
	}
	user_return(u);
	if (made)
		rmdir(c->node_run);
}
