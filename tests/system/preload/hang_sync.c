#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdlib.h>
#include <unistd.h>

/*
 * Preloaded into a node's processes: while the file named by HANG_SYNC exists, fdatasync() does not come back, as on
 * a disk that hangs.
 */
int fdatasync(int fd)
{
	static int (*real)(int);
	const char *file = getenv("HANG_SYNC");

	if (real == NULL)
		real = (int (*)(int))dlsym(RTLD_NEXT, "fdatasync");
	while (file != NULL && access(file, F_OK) == 0)
		usleep(10000);
	return real(fd);
}
