#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/common/child.h"

static void read_all(int fd, struct buf *out)
{
	ssize_t got;

	while ((got = read(fd, buf_reserve(out, 4096), 4096)) > 0 || (got == -1 && errno == EINTR))
		out->size += got > 0 ? (size_t)got : 0;
	assert(got == 0);
}

int child_run(void (*run)(void *arg), void *arg, struct buf *said)
{
	int ends[2], status;
	int failed = pipe(ends);
	pid_t pid;

	assert(!failed);
	pid = fork();
	assert(pid != -1);
	if (pid == 0) {
		const struct rlimit no_core = { 0, 0 };

		setrlimit(RLIMIT_CORE, &no_core);
		dup2(ends[1], STDERR_FILENO);
		close(ends[0]);
		close(ends[1]);
		run(arg);
		_exit(0);
	}
	close(ends[1]);
	read_all(ends[0], said);
	close(ends[0]);
	while (waitpid(pid, &status, 0) == -1)
		assert(errno == EINTR);
	return status;
}

bool child_dies(void (*run)(void *arg), void *arg)
{
	struct buf said = { 0 };
	int status = child_run(run, arg, &said);

	buf_free(&said);
	return status != 0;
}
