#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/log.h"
#include "common/mem.h"
#include "worker/store/place.h"

#define PREFIX "state."
#define LINK "state"
#define LINK_NEW "state.new"

static enum err fail(const char *doing, const char *where)
{
	enum err e = err_from_errno(errno);

	log_error("cannot %s %s", doing, where);
	return e;
}

char *place_path(const char *data_dir, uint64_t number)
{
	return xasprintf("%s/" PREFIX "%" PRIu64, data_dir, number);
}

/* Of a name that is state.N and nothing more. */
static bool read_number(const char *name, uint64_t *number)
{
	char again[32];

	if (sscanf(name, PREFIX "%" SCNu64, number) != 1 || *number == PLACE_NONE)
		return false;
	snprintf(again, sizeof(again), PREFIX "%" PRIu64, *number);
	return strcmp(name, again) == 0;
}

enum err place_find(const char *data_dir, uint64_t *number)
{
	char *link = xasprintf("%s/" LINK, data_dir), to[64];
	ssize_t size = readlink(link, to, sizeof(to) - 1);
	enum err e = ERR_OK;

	*number = PLACE_NONE;
	if (size == -1 && errno != ENOENT && errno != EINVAL) {
		e = fail("read", link);
	} else if (size != -1 || errno == EINVAL) {
		to[size > 0 ? size : 0] = '\0';
		if (!read_number(to, number)) {
			log_errorx("the state is damaged file=" LINK
				   " reason=\"it is no link to a directory of a state\"");
			e = ERR_DAMAGED;
		}
	}
	free(link);
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

static bool is_of_a_state(const char *name)
{
	return strcmp(name, "state.db") == 0 || strncmp(name, "log.", 4) == 0 ||
	       strncmp(name, "__db.", 5) == 0;
}

/* Visits the names in a directory. */
static enum err list(const char *path, enum err (*visit)(void *arg, const char *name), void *arg)
{
	DIR *dir = opendir(path);
	struct dirent *entry;
	enum err e = ERR_OK;

	if (dir == NULL)
		return fail("list", path);
	while (e == ERR_OK && (entry = readdir(dir)) != NULL)
		e = visit(arg, entry->d_name);
	closedir(dir);
	return e;
}

static enum err remove_file(void *arg, const char *name)
{
	char *path;
	enum err e = ERR_OK;

	if (!is_of_a_state(name))
		return ERR_OK;
	path = xasprintf("%s/%s", (const char *)arg, name);
	if (unlink(path) == -1 && errno != ENOENT)
		e = fail("remove", path);
	free(path);
	return e;
}

enum err place_remove(const char *data_dir, uint64_t number)
{
	char *path = place_path(data_dir, number);
	enum err e = list(path, remove_file, path);

	if (e == ERR_OK && rmdir(path) == -1 && errno != ENOTEMPTY && errno != EEXIST)
		e = fail("remove", path);
	free(path);
	return e;
}

enum err place_make(const char *data_dir, uint64_t number)
{
	char *path = place_path(data_dir, number);
	enum err e = ERR_OK;

	if (mkdir(path, 0700) == -1)
		e = errno == EEXIST ? list(path, remove_file, path) : fail("make", path);
	if (e == ERR_OK)
		e = place_sync(data_dir);
	free(path);
	return e;
}

struct sweep {
	const char *data_dir;
	uint64_t keep, next;
};

static enum err sweep_one(void *arg, const char *name)
{
	struct sweep *s = arg;
	uint64_t number;

	if (!read_number(name, &number))
		return ERR_OK;
	if (number == s->keep) {
		s->next = number + 1;
		return ERR_OK;
	}
	return place_remove(s->data_dir, number);
}

enum err place_sweep(const char *data_dir, uint64_t number, uint64_t *next)
{
	struct sweep s = { data_dir, number, 0 };
	enum err e = list(data_dir, sweep_one, &s);

	*next = s.next;
	return e;
}

/* The link comes by rename and only after what it points to is durable. */
enum err place_link(const char *data_dir, uint64_t number)
{
	char *link = xasprintf("%s/" LINK, data_dir), *fresh = xasprintf("%s/" LINK_NEW, data_dir), to[64];
	enum err e = ERR_OK;

	snprintf(to, sizeof(to), PREFIX "%" PRIu64, number);
	if (unlink(fresh) == -1 && errno != ENOENT)
		e = fail("remove", fresh);
	else if (symlink(to, fresh) == -1)
		e = fail("make", fresh);
	else if (rename(fresh, link) == -1)
		e = fail("rename", fresh);
	else
		e = place_sync(data_dir);
	free(link);
	free(fresh);
	return e;
}

/* First the directory: a link that names nothing is damage, a directory without a link might be removed. */
enum err place_set_aside(const char *data_dir, uint64_t number, const char *suffix)
{
	char *link = xasprintf("%s/" LINK, data_dir), *from = place_path(data_dir, number);
	char *to = xasprintf("%s.%s", from, suffix);
	enum err e;

	if (rename(from, to) == -1 && errno != ENOENT)
		e = fail("rename", from);
	else if ((e = place_sync(data_dir)) == ERR_OK && unlink(link) == -1)
		e = fail("remove", link);
	else if (e == ERR_OK)
		e = place_sync(data_dir);
	free(link);
	free(from);
	free(to);
	return e;
}
