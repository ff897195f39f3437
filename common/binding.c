#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

#include "common/addr.h"
#include "common/binding.h"
#include "common/log.h"

#define PAUSE_MIN span_ms(250)
#define PAUSE_MAX span_ms(5000)
#define BUSY_PAUSE span_ms(20)
#define BUSY_MAX span_ms(5000)
#define TOLD_AGAIN span_ms(300000)
#define REASON_BYTES 160

struct binding {
	struct loop *loop;
	char *where, *what;
	const char *option;
	const struct binding_events *events;
	void *arg;
	struct names *names;
	struct lookup *lookup; /* under way, or NULL */
	struct addresses
	    found; /* that the name stands for; none: not known, or it is to be asked for again */
	struct loop_timer *again;
	struct span pause;
	struct instant busy_until; /* once the port was found in use */
	struct instant begun, told_at;
	char told[REASON_BYTES]; /* why it waits, as logged last; empty: it does not */
};

__attribute__((noreturn)) static void refuse(const struct binding *b, int error)
{
	if (error == EADDRINUSE)
		fatalx(EX_TEMPFAIL,
		    "cannot listen on %s (%s): another process has the port; stop it, or choose another port",
		    b->where, b->option);
	errno = error;
	fatal(error == EACCES || error == EPERM ? EX_NOPERM : EX_CONFIG, "cannot listen on %s (%s)", b->where,
	    b->option);
}

static void succeed(struct binding *b)
{
	if (b->told[0] != '\0')
		log_info("listens on %s (%s) now after=%" PRId64 "ms", b->where, b->option,
		    span_to_ms(instant_between(b->begun, loop_now(b->loop))));
	b->events->over(b->arg);
}

/* Once for each reason, and now and then. */
static void tell(struct binding *b, enum log_level level, const char *why)
{
	struct instant now = loop_now(b->loop);

	if (strcmp(b->told, why) == 0 && instant_between(b->told_at, now).ns < TOLD_AGAIN.ns)
		return;
	snprintf(b->told, sizeof(b->told), "%s", why);
	b->told_at = now;
	if (level == LOG_LEVEL_INFO)
		log_info("cannot listen on %s (%s) yet, %s", b->where, b->option, why);
	else
		log_warnx("cannot listen on %s (%s) yet, %s", b->where, b->option, why);
}

static void try_later(struct binding *b, struct span pause)
{
	loop_timer_set(b->again, instant_add(loop_now(b->loop), pause));
}

static void wait_without_end(struct binding *b, const char *why)
{
	struct span pause = b->pause;

	tell(b, LOG_LEVEL_WARN, why);
	b->events->waits(b->arg, b->what);
	b->found.count = 0;
	b->pause = span_times(pause, 2);
	if (b->pause.ns > PAUSE_MAX.ns)
		b->pause = PAUSE_MAX;
	try_later(b, pause);
}

static void wait_for_port(struct binding *b)
{
	struct instant now = loop_now(b->loop);

	if (b->busy_until.ns == INSTANT_NEVER.ns) {
		b->busy_until = instant_add(now, BUSY_MAX);
		tell(b, LOG_LEVEL_INFO, "waiting up to 5 s: another process still has the port");
		b->events->waits(b->arg, b->what);
	}
	if (instant_passed(b->busy_until, now))
		refuse(b, EADDRINUSE);
	else
		try_later(b, BUSY_PAUSE);
}

/* The first that is one of this machine's: of the addresses of "localhost" it may have only one. */
static int attempt_any(const struct binding *b)
{
	int error = EADDRNOTAVAIL;

	for (size_t i = 0; i < b->found.count && (error == EADDRNOTAVAIL || error == EAFNOSUPPORT); i++)
		error = b->events->attempt(b->arg, &b->found.list[i]);
	return error;
}

static void attempt(struct binding *b)
{
	int error = attempt_any(b);

	if (error == 0)
		succeed(b);
	else if (error == EADDRINUSE)
		wait_for_port(b);
	else if (error == EADDRNOTAVAIL)
		wait_without_end(b, "trying again: no interface of this machine has that address");
	else
		refuse(b, error);
}

static void on_addresses(void *arg, const struct addresses *found, const char *problem)
{
	struct binding *b = arg;
	char why[REASON_BYTES];

	b->lookup = NULL;
	if (problem == NULL) {
		b->found = *found;
		try_later(b, span_ms(0)); /* not from within this call: its end may free the names */
		return;
	}
	snprintf(why, sizeof(why), "trying again: its name does not resolve: %s", problem);
	wait_without_end(b, why);
}

/* False when a name has to be looked up first. */
static bool is_known(struct binding *b)
{
	struct address *first = &b->found.list[0];
	struct addr a;
	bool good = addr_parse(bytes_text(b->where), &a);

	assert(good);
	if (b->found.count == 0 &&
	    (a.host[0] == '\0' ? addr_resolve(&a, &first->storage, &first->size) == ERR_OK
			       : address_numeric(b->where, first)))
		b->found.count = 1;
	return b->found.count > 0;
}

static void try_now(void *arg)
{
	struct binding *b = arg;

	if (is_known(b))
		attempt(b);
	else
		b->lookup = names_ask(b->names, b->where, on_addresses, b);
}

struct binding *binding_new(
    struct loop *l, const char *where, const char *option, const struct binding_events *events, void *arg)
{
	struct binding *b = xcalloc(1, sizeof(*b));

	b->loop = l;
	b->where = xstrdup(where);
	b->what = xasprintf("waiting to listen on %s (%s)", where, option);
	b->option = option;
	b->events = events;
	b->arg = arg;
	b->names = names_new(l);
	b->pause = PAUSE_MIN;
	b->busy_until = INSTANT_NEVER;
	b->begun = loop_now(l);
	b->again = loop_timer_new(l, try_now, b);
	loop_timer_set(b->again, b->begun);
	return b;
}

void binding_free(struct binding *b)
{
	if (b == NULL || b->lookup != NULL)
		return;
	names_free(b->names);
	loop_timer_free(b->again);
	free(b->where);
	free(b->what);
	free(b);
}
