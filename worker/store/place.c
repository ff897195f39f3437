#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/log.h"
#include "common/mem.h"
#include "worker/store/place.h"

#define FIRST "state.0"
#define LINK "state"
#define LINK_NEW "state.new"

static enum err fail(const char *doing, const char *where)
{
	enum err e = err_from_errno(errno);

	log_error("cannot %s %s", doing, where);
	return e;
}

enum err place_sync(const char *dir)
{
	int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC), bad;
	enum err e;

	if (fd == -1)
		return fail("open", dir);
	bad = fsync(fd);
	e = bad == 0 ? ERR_OK : fail("sync", dir);
	close(fd);
	return e;
}

/* The link comes by rename and only after what it points to is durable. */
static enum err make_link(int data, const char *data_dir)
{
	if (mkdirat(data, FIRST, 0700) == -1 && errno != EEXIST)
		return fail("make " FIRST " in", data_dir);
	if (fsync(data) == -1)
		return fail("sync", data_dir);
	if (unlinkat(data, LINK_NEW, 0) == -1 && errno != ENOENT)
		return fail("remove " LINK_NEW " in", data_dir);
	if (symlinkat(FIRST, data, LINK_NEW) == -1)
		return fail("make " LINK_NEW " in", data_dir);
	if (renameat(data, LINK_NEW, data, LINK) == -1)
		return fail("rename " LINK_NEW " in", data_dir);
	if (fsync(data) == -1)
		return fail("sync", data_dir);
	return ERR_OK;
}

enum err place_make(const char *data_dir, char **home)
{
	int data = open(data_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct stat st;
	enum err e = ERR_OK;

	*home = NULL;
	if (data == -1)
		return fail("open", data_dir);
	if (fstatat(data, LINK, &st, AT_SYMLINK_NOFOLLOW) == -1)
		e = errno == ENOENT ? make_link(data, data_dir) : fail("look at " LINK " in", data_dir);
	close(data);
	if (e == ERR_OK)
		*home = xasprintf("%s/" LINK, data_dir);
	return e;
}
