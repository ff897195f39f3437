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
#include "worker/store/mark.h"
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

static enum err remove_new_link(const char *data_dir)
{
	char *fresh = xasprintf("%s/" LINK_NEW, data_dir);
	enum err e = unlink(fresh) == -1 && errno != ENOENT ? fail("remove", fresh) : ERR_OK;

	free(fresh);
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
	return strcmp(name, "state.db") == 0 || strcmp(name, "synced") == 0 ||
	       strncmp(name, "log.", 4) == 0 || strncmp(name, "__db.", 5) == 0;
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

struct guess {
	const char *data_dir;
	uint64_t number;
	unsigned count;
};

static enum err look_at_one(void *arg, const char *name)
{
	struct guess *g = arg;
	uint64_t number;
	char *path;

	if (!read_number(name, &number))
		return ERR_OK;
	path = place_path(g->data_dir, number);
	if (mark_exists(path)) {
		g->number = number;
		g->count++;
	}
	free(path);
	return ERR_OK;
}

enum err place_guess(const char *data_dir, uint64_t *number)
{
	struct guess g = { data_dir, PLACE_NONE, 0 };
	enum err e = list(data_dir, look_at_one, &g);

	*number = g.number;
	if (e == ERR_OK && g.count > 1) {
		log_errorx("the state is damaged file=" LINK
			   " reason=\"it is missing, and which of several states it named is not known\"");
		e = ERR_DAMAGED;
	}
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

	if (e == ERR_OK)
		e = remove_new_link(data_dir);

	*next = s.next;
	return e;
}

/* The link comes by rename and only after what it points to is durable. */
enum err place_link(const char *data_dir, uint64_t number)
{
	char *link = xasprintf("%s/" LINK, data_dir), *fresh = xasprintf("%s/" LINK_NEW, data_dir), to[64];
	enum err e = remove_new_link(data_dir);

	snprintf(to, sizeof(to), PREFIX "%" PRIu64, number);
	if (e == ERR_OK && symlink(to, fresh) == -1)
		e = fail("make", fresh);
	else if (e == ERR_OK && rename(fresh, link) == -1)
		e = fail("rename", fresh);
	if (e == ERR_OK)
		e = place_sync(data_dir);
	free(link);
	free(fresh);
	return e;
}

struct aside {
	const char *data_dir, *suffix;
	bool found;
};

static enum err set_aside_one(struct aside *a, const char *name)
{
	char *from = xasprintf("%s/%s", a->data_dir, name);
	char *to = xasprintf("%s-%s", from, a->suffix);
	enum err e = ERR_OK;

	if (rename(from, to) == 0)
		a->found = true;
	else if (errno != ENOENT)
		e = fail("rename", from);
	free(from);
	free(to);
	return e;
}

static enum err set_aside_directory(void *arg, const char *name)
{
	uint64_t number;

	return read_number(name, &number) ? set_aside_one(arg, name) : ERR_OK;
}

/* First the directories: a link that names nothing is damage, a directory without a link may be taken for the state. */
enum err place_set_aside(const char *data_dir, const char *suffix)
{
	struct aside a = { data_dir, suffix, false };
	enum err e;

	if ((e = list(data_dir, set_aside_directory, &a)) != ERR_OK || (e = place_sync(data_dir)) != ERR_OK ||
	    (e = set_aside_one(&a, LINK)) != ERR_OK || (e = place_sync(data_dir)) != ERR_OK)
		return e;
	return a.found ? ERR_OK : ERR_NOT_FOUND;
}
