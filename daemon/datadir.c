#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sysexits.h>
#include <unistd.h>

#include "common/log.h"
#include "common/mem.h"
#include "daemon/crew.h"
#include "daemon/datadir.h"

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

/* What is durable in a directory is worth nothing while its own name is not. A directory that was there may still
 * be that of a start that a power failure ended, so it is tried then too; but its parent need not be readable. */
static void sync_name(const char *path, bool must)
{
	char *copy = xstrdup(path);
	const char *parent = dirname(copy);
	int fd = open(parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if ((fd == -1 || fsync(fd) == -1) && must)
		fatal(EX_IOERR, "cannot sync the directory %s, which holds %s", parent, path);
	if (fd != -1)
		close(fd);
	free(copy);
}

/* As mkdir -p does it. What root makes for another user must let that user through, whatever root's umask is. */
static void make_parents(const char *path, const char *what, const struct user *u)
{
	char *copy = xstrdup(path);
	const char *parent = dirname(copy);

	if (access(parent, F_OK) == -1 && errno == ENOENT) {
		bool as_user;

		make_parents(parent, what, u);
		as_user = !u->drop || controls(parent, u);
		if (as_user)
			user_become(u);
		if (mkdir(parent, 0755) == -1 && errno != EEXIST)
			fatal(EX_CANTCREAT, "cannot make %s for the %s directory %s", parent, what, path);
		if (u->drop && chmod(parent, 0755) == -1)
			fatal(EX_CANTCREAT, "cannot let the user of [node] user through %s", parent);
		if (as_user)
			user_return(u);
		sync_name(parent, true);
	}
	free(copy);
}

/* True when it was not there. */
static bool make_dir(const char *path, const char *what, const struct user *u)
{
	bool as_user, made;
	struct stat st;

	make_parents(path, what, u);
	as_user = !u->drop || controls(path, u);
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

/* What a node keeps in its data directory, up to the first dot or dash (state.0, state-damaged-...), and what a new
 * filesystem has. */
static bool is_own_data(const char *name)
{
	static const char *const own[] = { "lock", "run", "identity", "log", "state", "ballast", "repair",
		"unfinished", "lost+found" };
	size_t size = strcspn(name, ".-");

	for (size_t i = 0; i < sizeof(own) / sizeof(own[0]); i++)
		if (strlen(own[i]) == size && memcmp(own[i], name, size) == 0)
			return true;
	return false;
}

static bool is_own_socket(const char *name)
{
	return fnmatch("http-*.sock", name, 0) == 0;
}

/* A directory that others use must stay as it is: a mistyped path, taken over and made private by root, would break
 * the machine. One that is not there, or may not be read, is for the steps that follow. */
static void refuse_foreign(const char *path, const char *what, bool (*is_own)(const char *name))
{
	DIR *d = opendir(path);
	const struct dirent *e;

	while (d != NULL && (e = readdir(d)) != NULL)
		if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0 && !is_own(e->d_name))
			fatalx(EX_CANTCREAT,
			    "%s cannot be the %s directory: it holds \"%s\", which is not Holdfast's; "
			    "nothing in it was "
			    "touched; name a directory that is empty or does not exist",
			    path, what, e->d_name);
	if (d != NULL)
		closedir(d);
}

__attribute__((noreturn)) static void refuse_owner(
    const char *path, const char *what, uid_t owner, const struct user *u)
{
	char *theirs = user_name(owner), *mine = user_name(u->uid);

	if (u->drop || geteuid() != 0)
		fatalx(EX_CANTCREAT,
		    "the %s directory %s belongs to user %s, and the node runs as %s: run it as the owner, "
		    "or give "
		    "it the directory (chown -R)",
		    what, path, theirs, mine);
	fatalx(EX_CANTCREAT,
	    "the %s directory %s belongs to user %s, and this process runs as %s: run it as the owner "
	    "(runuser -u "
	    "OWNER -- holdfastd ...), or name the owner in [node] user",
	    what, path, theirs, mine);
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
		refuse_owner(path, what, st.st_uid, u);
	if ((st.st_mode & 077) != 0 && chmod(path, 0700) == -1)
		fatal(EX_CANTCREAT, "cannot make the %s directory %s private", what, path);
	user_return(u);
	return made;
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

int datadir_open(const char *path, const struct user *u)
{
	char *identity = xasprintf("%s/identity", path), *name;
	int fd;

	if (access(identity, F_OK) == -1)
		refuse_foreign(path, "data", is_own_data);
	free(identity);
	sync_name(path, make_private_dir(path, "data", u));
	name = xasprintf("%s/lock", path);
	user_become(u);
	fd = open(name, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd == -1)
		fatal(errno == EACCES ? EX_NOPERM : EX_CANTCREAT, "cannot open %s", name);
	user_return(u);
	free(name);
	return fd;
}

bool datadir_lock(int fd, const char *path, bool last)
{
	if (flock(fd, LOCK_EX | LOCK_NB) == 0) {
		write_pid(fd);
		return true;
	}
	if (errno != EWOULDBLOCK)
		fatal(EX_OSERR, "cannot lock %s/lock", path);
	if (last)
		fatalx(EX_TEMPFAIL, "the data directory %s is in use by process %d; stop that one first",
		    path, read_pid(fd));
	return false;
}

bool rundir_make(const char *path, const struct user *u)
{
	refuse_foreign(path, "run", is_own_socket);
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
