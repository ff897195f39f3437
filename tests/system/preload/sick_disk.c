#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/*
 * Preloaded into a node's processes: fdatasync() on a disk that is not well. The file named by SICK_DISK says how,
 * each time anew:
 *
 *	hang	it does not come back as long as the file says so
 *	slow MS	it takes so much longer
 *	fail	it fails with EIO; the file is gone then, so that this happens once
 *	broken	it fails with EIO each time
 *
 * Without the file all is well.
 */
static int (*real)(int);

/* What the file says; empty without it. */
static const char *illness(char *out, size_t size)
{
	const char *file = getenv("SICK_DISK");
	int fd = file != NULL ? open(file, O_RDONLY | O_CLOEXEC) : -1;
	ssize_t got = fd != -1 ? read(fd, out, size - 1) : 0;

	out[got > 0 ? got : 0] = '\0';
	if (fd != -1)
		close(fd);
	return out;
}

int fdatasync(int fd)
{
	char text[32];

	if (real == NULL)
		real = (int (*)(int))dlsym(RTLD_NEXT, "fdatasync");
	while (strncmp(illness(text, sizeof(text)), "hang", 4) == 0)
		usleep(10000);
	if (strncmp(text, "slow ", 5) == 0)
		usleep((useconds_t)atoi(text + 5) * 1000);
	if (strncmp(text, "broken", 6) == 0 ||
	    (strncmp(text, "fail", 4) == 0 && unlink(getenv("SICK_DISK")) == 0)) {
		errno = EIO;
		return -1;
	}
	return real(fd);
}
