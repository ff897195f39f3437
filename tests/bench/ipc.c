#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <sysexits.h>
#include <time.h>
#include <unistd.h>

#include "common/ipc.h"
#include "common/log.h"

/*
 * What it costs that an HTTP worker and a consensus worker speak to each other, and nothing else of either: this program
 * is the one, and starts itself as the other, which sends each operation back.
 *
 *	ipc [SECONDS]
 *
 * `depth` requests are under way at any time: each answer is followed by the next request.
 */
#define OPERATION_BYTES 256
#define DEPTH_MAX 64
#define SAMPLES_MAX 1000000

struct asking {
	struct loop *loop;
	struct ipc *ipc;
	unsigned depth;
	struct instant until, sent[DEPTH_MAX];
	uint64_t asked, answered;
	uint32_t *ns; /* of each round trip */
	uint8_t operation[OPERATION_BYTES];
};

static void ask(struct asking *a)
{
	a->sent[a->asked % a->depth] = clock_now();
	ipc_send_request(a->ipc,
	    &(struct ipc_request){ .id = a->asked++, .operation = bytes_of(a->operation, OPERATION_BYTES) });
}

static void on_here(void *arg, uint64_t generation)
{
	struct asking *a = arg;

	(void)generation;
	loop_stop(a->loop);
}

static void on_answer(void *arg, const struct ipc_answer *m)
{
	struct asking *a = arg;
	struct instant now = clock_now();

	if (a->answered < SAMPLES_MAX)
		a->ns[a->answered] = (uint32_t)instant_between(a->sent[m->id % a->depth], now).ns;
	a->answered++;
	if (!instant_passed(a->until, now))
		ask(a);
	else if (a->answered == a->asked)
		loop_stop(a->loop);
}

static const struct ipc_handlers http_handlers = { .here = on_here, .answer = on_answer };

static void on_request(void *arg, const struct ipc_request *m)
{
	ipc_send_answer(*(struct ipc **)arg, &(struct ipc_answer){ .id = m->id, .result = m->operation });
}

static const struct ipc_handlers consensus_handlers = { .request = on_request };

static void be_consensus(const char *path)
{
	struct loop *l = loop_new();
	struct ipc *i;

	if (ipc_listen(&i, l, path, 1, &consensus_handlers, &i) != ERR_OK)
		_exit(EX_OSERR);
	loop_run(l);
}

static double cpu_us(pid_t pid)
{
	clockid_t id;
	struct timespec t;

	if (clock_getcpuclockid(pid, &id) != 0 || clock_gettime(id, &t) != 0)
		fatal(EX_OSERR, "cannot read the processor time of a process");
	return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

static int compare_ns(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return x < y ? -1 : x > y;
}

static double percentile_us(const struct asking *a, double part)
{
	uint64_t count = a->answered < SAMPLES_MAX ? a->answered : SAMPLES_MAX;

	return a->ns[(size_t)((double)(count - 1) * part)] / 1e3;
}

static void measure(struct asking *a, pid_t other, unsigned depth, double seconds)
{
	double http = cpu_us(getpid()), consensus = cpu_us(other), took;
	struct instant start = clock_now();

	a->depth = depth;
	a->asked = a->answered = 0;
	a->until = instant_add(start, span_ms((int64_t)(seconds * 1000)));
	for (unsigned n = 0; n < depth; n++)
		ask(a);
	loop_run(a->loop);
	took = (double)instant_between(start, clock_now()).ns / 1e3;
	http = (cpu_us(getpid()) - http) / (double)a->answered;
	consensus = (cpu_us(other) - consensus) / (double)a->answered;
	qsort(a->ns, a->answered < SAMPLES_MAX ? a->answered : SAMPLES_MAX, sizeof(*a->ns), compare_ns);
	printf("%5u  %12.0f  %8.1f  %8.1f  %8.2f  %10.2f\n", depth, (double)a->answered / took * 1e6,
	    percentile_us(a, 0.5), percentile_us(a, 0.99), http, consensus);
	fflush(stdout);
}

static void run(const char *path, const char *self, double seconds)
{
	struct asking a = { .ns = xcalloc(SAMPLES_MAX, sizeof(*a.ns)) };
	pid_t other = fork();

	if (other == 0) {
		execl("/proc/self/exe", self, "--consensus", path, (char *)NULL);
		_exit(EX_OSERR);
	}
	a.loop = loop_new();
	if (ipc_dial(&a.ipc, a.loop, path, 2, &http_handlers, &a) != ERR_OK)
		fatalx(EX_OSERR, "cannot dial %s", path);
	loop_run(a.loop);
	printf("depth    requests/s    p50 us    p99 us  CPU us: http  consensus\n");
	measure(&a, other, 1, seconds);
	measure(&a, other, DEPTH_MAX, seconds);
	kill(other, SIGKILL);
	waitpid(other, NULL, 0);
	ipc_close(a.ipc);
	loop_free(a.loop);
	free(a.ns);
}

int main(int argc, char **argv)
{
	char folder[] = "/tmp/holdfast-bench-XXXXXX", path[64];

	if (argc == 3 && strcmp(argv[1], "--consensus") == 0)
		be_consensus(argv[2]);
	if (mkdtemp(folder) == NULL)
		fatal(EX_OSERR, "cannot make a directory in /tmp");
	snprintf(path, sizeof(path), "%s/http-0.sock", folder);
	run(path, argv[0], argc > 1 ? atof(argv[1]) : 2);
	unlink(path);
	rmdir(folder);
	return 0;
}
