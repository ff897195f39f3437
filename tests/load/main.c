/*
 * holdfast-load: load on a cluster, with figures and a history. Ends after --count operations or --duration seconds
 * or on SIGTERM, once what is under way is answered; a second signal ends it at once. Exit status 1 when an answer
 * came that must not be, or no operation succeeded.
 */
#include <inttypes.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

#include "common/addr.h"
#include "common/log.h"
#include "tests/load/client.h"

#define WRONG_SHOWN_MAX 10

/* How late an operation with --rate may begin, and how old what is written of the history may be. */
#define TICK_MS 1
#define FLUSH_MS 50

struct main {
	struct run run;
	struct loop_timer *tick, *flush, *end, *drain;
	struct loop_batch *begin;
};

static struct main *main_of(struct run *r)
{
	return (struct main *)r;
}

void run_wrong(struct run *r, const char *format, ...)
{
	char text[512];
	va_list args;

	if (r->figures.wrong++ >= WRONG_SHOWN_MAX)
		return;
	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	log_errorx("%s", text);
}

void run_on_idle(struct run *r, struct client *c)
{
	r->idle[(r->idle_first + r->idle_count++) % r->options.connections] = c;
	if (r->ending && r->idle_count == r->options.connections)
		loop_stop(r->loop);
	else
		loop_batch_ask(main_of(r)->begin);
}

static void on_drained(void *arg)
{
	struct main *m = arg;

	log_warnx("giving up what is not answered: %" PRIu64 " operations",
	    m->run.options.connections - m->run.idle_count);
	for (size_t i = 0; i < m->run.options.connections; i++)
		client_give_up(m->run.clients[i]);
	loop_stop(m->run.loop);
}

static void end(struct main *m)
{
	struct run *r = &m->run;

	if (r->ending)
		return;
	r->ending = true;
	figures_end(&r->figures, clock_now());
	loop_timer_set(m->drain, instant_add(clock_now(), span_ms((int64_t)r->options.drain)));
	if (r->idle_count == r->options.connections)
		loop_stop(r->loop);
}

static void on_duration(void *arg)
{
	end(arg);
}

static void on_signal(void *arg, int number)
{
	struct main *m = arg;

	(void)number;
	if (m->run.ending)
		on_drained(m);
	else
		end(m);
}

/* When the next operation is due. */
static struct instant next_due(const struct run *r, struct instant now)
{
	if (r->options.rate == 0)
		return now;
	return instant_add(
	    r->figures.begun, span_us((int64_t)((double)r->work.started * 1e6 / (double)r->options.rate)));
}

static struct client *take_idle(struct run *r)
{
	struct client *c = r->idle[r->idle_first];

	r->idle_first = (r->idle_first + 1) % r->options.connections;
	r->idle_count--;
	return c;
}

static void begin_what_is_due(void *arg)
{
	struct main *m = arg;
	struct run *r = &m->run;

	while (!r->ending && r->idle_count > 0) {
		struct instant now = clock_now();
		struct instant due = next_due(r, now);

		if (r->options.count > 0 && r->work.started == r->options.count) {
			end(m);
			break;
		}
		if (!instant_passed(due, now))
			break;
		client_begin(take_idle(r), due);
	}
}

static void on_tick(void *arg)
{
	struct main *m = arg;

	begin_what_is_due(m);
	loop_timer_set(m->tick, instant_add(clock_now(), span_ms(TICK_MS)));
}

static void on_flush(void *arg)
{
	struct main *m = arg;

	history_flush(m->run.history);
	loop_timer_set(m->flush, instant_add(clock_now(), span_ms(FLUSH_MS)));
}

static void add_target(struct run *r, struct bytes name)
{
	struct target *t;
	struct addr a;

	r->targets = xreallocarray(r->targets, r->target_count + 1, sizeof(*r->targets));
	t = &r->targets[r->target_count++];
	*t = (struct target){ .name = bytes_dup_text(name) };
	if (!addr_parse(name, &a) || addr_resolve(&a, &t->address, &t->address_size) != ERR_OK)
		fatalx(EX_USAGE, "%s: not an address", t->name);
}

static void add_targets(struct run *r)
{
	const char *at = r->options.nodes;

	for (;;) {
		size_t size = strcspn(at, ",");

		add_target(r, bytes_of(at, size));
		if (at[size] == '\0')
			break;
		at += size + 1;
	}
}

static void start(struct main *m)
{
	struct run *r = &m->run;

	r->loop = loop_new();
	add_targets(r);
	work_init(&r->work, &r->options);
	r->history = history_open(r->options.history, &r->options, r->work.prefix);
	m->begin = loop_batch_new(r->loop, begin_what_is_due, m);
	m->tick = loop_timer_new(r->loop, on_tick, m);
	m->flush = loop_timer_new(r->loop, on_flush, m);
	m->end = loop_timer_new(r->loop, on_duration, m);
	m->drain = loop_timer_new(r->loop, on_drained, m);
	r->clients = xcalloc(r->options.connections, sizeof(struct client *));
	r->idle = xcalloc(r->options.connections, sizeof(struct client *));
	for (unsigned i = 0; i < r->options.connections; i++)
		r->clients[i] = client_new(r, i);
	figures_begin(&r->figures, &r->options, clock_now());
	memcpy(r->idle, r->clients, r->options.connections * sizeof(struct client *));
	r->idle_count = r->options.connections;
	loop_batch_ask(m->begin);
	on_flush(m);
	if (r->options.rate > 0)
		on_tick(m);
	if (r->options.duration > 0)
		loop_timer_set(
		    m->end, instant_add(clock_now(), span_ms((int64_t)r->options.duration * 1000)));
}

static void stop(struct main *m)
{
	struct run *r = &m->run;

	for (size_t i = 0; i < r->options.connections; i++)
		client_free(r->clients[i]);
	loop_batch_free(m->begin);
	loop_timer_free(m->tick);
	loop_timer_free(m->flush);
	loop_timer_free(m->end);
	loop_timer_free(m->drain);
	history_close(r->history);
	figures_close(&r->figures);
	work_fini(&r->work);
	for (unsigned i = 0; i < r->target_count; i++)
		free(r->targets[i].name);
	free(r->targets);
	free(r->clients);
	free(r->idle);
	loop_free(r->loop);
}

int main(int argc, char **argv)
{
	struct main *m = xcalloc(1, sizeof(*m));
	struct loop_signal *term, *interrupt;
	bool good;

	log_open("load");
	signal(SIGPIPE, SIG_IGN);
	options_parse(&m->run.options, argc, argv);
	start(m);
	term = loop_signal_new(m->run.loop, SIGTERM, on_signal, m);
	interrupt = loop_signal_new(m->run.loop, SIGINT, on_signal, m);
	loop_run(m->run.loop);
	loop_signal_free(term);
	loop_signal_free(interrupt);
	figures_print(&m->run.figures, &m->run.options);
	good = m->run.figures.wrong == 0 && m->run.figures.writes.ok + m->run.figures.reads.ok > 0;
	stop(m);
	free(m);
	return good ? 0 : 1;
}
