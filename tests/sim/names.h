#ifndef TESTS_SIM_NAMES_H
#define TESTS_SIM_NAMES_H

#include "tests/sim/inode.h"

/* The paths of a simulated disk, and what they name. */
struct name {
	char *path;
	struct inode *inode; /* NULL: a directory */
};

struct names {
	struct name *list;
	size_t count, room;
};

/* NULL when there is none; valid until the next change. */
struct name *names_find(const struct names *names, const char *path);
/* Replaces; copies the path, takes a reference to the inode. */
void names_add(struct names *names, const char *path, struct inode *inode);
void names_remove(struct names *names, const char *path);
void names_fini(struct names *names);

/* "log/x" lies in "log", "x" in "". */
bool path_lies_in(const char *path, const char *dir);
bool names_have_dir(const struct names *names, const char *dir);
/* The directory that this path lies in. */
bool names_have_parent(const struct names *names, const char *path);
/* What lies in a directory that is gone is gone. */
void names_remove_orphans(struct names *names);

#endif
