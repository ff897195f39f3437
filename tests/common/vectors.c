#include "tests/common/vectors.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

const char *vectors_folder(void)
{
	const char *shared = getenv("SHARED") ? getenv("SHARED") : "../shared";
	char path[512];

	snprintf(path, sizeof(path), "%s/vectors/README.md", shared);
	return access(path, R_OK) == 0 ? shared : NULL;
}
