#include <stdlib.h>
#include <string.h>

#include "tests/sim/names.h"

struct name *names_find(const struct names *names, const char *path)
{
	for (size_t n = 0; n < names->count; n++)
		if (strcmp(names->list[n].path, path) == 0)
			return &names->list[n];
	return NULL;
}

void names_remove(struct names *names, const char *path)
{
	struct name *name = names_find(names, path);

	if (name == NULL)
		return;
	free(name->path);
	inode_unref(name->inode);
	*name = names->list[--names->count];
}

void names_add(struct names *names, const char *path, struct inode *inode)
{
	names_remove(names, path);
	if (names->count == names->room) {
		names->room = names->room == 0 ? 16 : names->room * 2;
		names->list = xreallocarray(names->list, names->room, sizeof(*names->list));
	}
	names->list[names->count++] = (struct name){ xstrdup(path), inode_ref(inode) };
}

void names_fini(struct names *names)
{
	while (names->count > 0)
		names_remove(names, names->list[0].path);
	free(names->list);
	*names = (struct names){ 0 };
}

bool path_lies_in(const char *path, const char *dir)
{
	const char *slash = strrchr(path, '/');
	size_t size = slash == NULL ? 0 : (size_t)(slash - path);

	return strlen(dir) == size && strncmp(path, dir, size) == 0;
}

bool names_have_dir(const struct names *names, const char *dir)
{
	const struct name *name = names_find(names, dir);

	return dir[0] == '\0' || (name != NULL && name->inode == NULL);
}

bool names_have_parent(const struct names *names, const char *path)
{
	for (size_t n = 0; n < names->count; n++)
		if (names->list[n].inode == NULL && path_lies_in(path, names->list[n].path))
			return true;
	return path_lies_in(path, "");
}

void names_remove_orphans(struct names *names)
{
	for (size_t n = 0; n < names->count;) {
		if (names_have_parent(names, names->list[n].path)) {
			n++;
			continue;
		}
		names_remove(names, names->list[n].path);
		n = 0;
	}
}
