/*
 * A holdfast-worker whose roles do what the tests of the supervisor need, and no more. FAKE_CONSENSUS and FAKE_HTTP
 * say how a role behaves, one word each time:
 *
 *	exit-N	  ends with status N instead of starting
 *	deaf	  starts, then blocks for ever
 *	mute	  never says hello
 *	slow	  never does, but says every 50 ms that its start goes on
 *	stuck	  has a lane that never ends its turn
 *	stubborn  does not stop when asked
 *	leaky	  loses memory
 *
 * The HTTP role answers every connection with its number, its generation, and its share of the sockets.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/lane.h"
#include "worker/worker.h"

static uint64_t share;

static const char *behaviour(const struct worker *w)
{
	const char *word = getenv(w->role->number == IPC_HTTP ? "FAKE_HTTP" : "FAKE_CONSENSUS");

	return word == NULL ? "" : word;
}

static void take_for_ever(void *arg, struct jobs *jobs)
{
	(void)arg;
	(void)jobs;
	for (;;)
		pause();
}

static void get_stuck(struct worker *w)
{
	static struct job job;

	lane_submit(lane_thread_new(w->loop, "stuck", (struct lane_work){ .turn = take_for_ever }), &job);
}

/* In a function of its own, so that nothing on the stack still points to it. */
static __attribute__((noinline)) void lose_memory(void)
{
	char *volatile lost = xmalloc(4711);

	lost = NULL;
	(void)lost;
}

static void on_step(void *arg)
{
	static uint64_t done;
	struct worker *w = arg;
	struct loop_timer *step = w->role_state;

	if (step == NULL)
		w->role_state = step = loop_timer_new(w->loop, on_step, w);
	worker_progress(w, "doing what takes long", done++, 1000);
	loop_timer_set(step, instant_add(loop_now(w->loop), span_ms(50)));
}

static void start(struct worker *w)
{
	if (strcmp(behaviour(w), "leaky") == 0)
		lose_memory();
	if (strncmp(behaviour(w), "exit-", 5) == 0)
		worker_exit(w, atoi(behaviour(w) + 5));
	if (strcmp(behaviour(w), "stuck") == 0)
		get_stuck(w);
	if (strcmp(behaviour(w), "slow") == 0)
		on_step(w);
	else if (strcmp(behaviour(w), "mute") != 0)
		worker_ready(w);
	if (strcmp(behaviour(w), "deaf") == 0) {
		ipc_flush(w->supervisor);
		for (;;)
			pause();
	}
}

static void stop(struct worker *w, struct span idle)
{
	(void)idle;
	if (strcmp(behaviour(w), "stubborn") != 0)
		worker_exit(w, 0);
}

static void answer(struct worker *w, int fd)
{
	char text[128];
	int size = snprintf(text, sizeof(text), "HTTP/1.0 200 OK\r\n\r\n%u %" PRIu64 " %" PRIx64 "\n",
	    (unsigned)w->number, w->generation, share);
	char request[4096];

	if (recv(fd, request, sizeof(request), 0) > 0)
		send(fd, text, (size_t)size, 0);
	close(fd);
}

static void on_readable(void *arg)
{
	struct worker *w = arg;

	for (size_t i = 0; i < w->socket_count; i++) {
		int fd = share & UINT64_C(1) << i ? accept(w->sockets[i], NULL, NULL) : -1;

		if (fd != -1)
			answer(w, fd);
	}
}

static void take_share(struct worker *w, uint64_t sockets)
{
	struct loop_io **io = w->role_state;

	if (io == NULL) {
		w->role_state = io = xcalloc(w->socket_count, sizeof(io[0]));
		for (size_t i = 0; i < w->socket_count; i++)
			io[i] = loop_io_new(w->loop, w->sockets[i], on_readable, NULL, w);
	}
	share = sockets;
	for (size_t i = 0; i < w->socket_count; i++)
		loop_io_read(io[i], share & UINT64_C(1) << i);
}

static const struct worker_role consensus = {
	.name = "consensus",
	.number = IPC_CONSENSUS,
	.start = start,
	.stop = stop,
};
static const struct worker_role http = {
	.name = "http",
	.number = IPC_HTTP,
	.start = start,
	.accept = take_share,
	.stop = stop,
};

int main(void)
{
	static const struct worker_role *const roles[] = { &consensus, &http, NULL };

	worker_run(roles);
}
