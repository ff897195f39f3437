#define _GNU_SOURCE
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/mem.h"
#include "tests/common/folder.h"

char *folder_new(const char *name)
{
	const char *top = getenv("TMPDIR");
	char *path = xasprintf("%s/holdfast-%s-XXXXXX", top != NULL ? top : "/tmp", name);

	if (mkdtemp(path) == NULL)
		abort();
	return path;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *at)
{
	(void)st;
	(void)type;
	(void)at;
	return remove(path);
}

void folder_remove(char *path)
{
	if (path != NULL && nftw(path, remove_one, 16, FTW_DEPTH | FTW_PHYS) != 0)
		abort();
	free(path);
}
