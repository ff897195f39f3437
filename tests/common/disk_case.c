#include <stdlib.h>

#include "tests/common/disk_case.h"
#include "tests/common/folder.h"

int disk_case_setup(void **state)
{
	struct disk_case *c = xcalloc(1, sizeof(*c));

	c->dir = folder_new("disk");
	c->disk = disk_posix_new(c->dir);
	*state = c;
	return c->disk == NULL;
}

int disk_case_teardown(void **state)
{
	struct disk_case *c = *state;

	disk_posix_free(c->disk);
	folder_remove(c->dir);
	free(c);
	return 0;
}
