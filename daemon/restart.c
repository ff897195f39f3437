#include "daemon/restart.h"

#define WAIT_MIN span_ms(100)
#define WAIT_MAX span_ms(5000)
#define GOOD_LIFE span_ms(10000)
#define FAILURE_TIME span_ms(60000)

/* Notes a death before work began; true when that was one too many. */
static bool fail(struct restart *r, struct instant now)
{
	struct instant *place = &r->failures[r->failure_count++ % RESTART_FAILURES_MAX];
	struct instant oldest;

	*place = now;
	if (r->failure_count < RESTART_FAILURES_MAX)
		return false;
	oldest = r->failures[r->failure_count % RESTART_FAILURES_MAX];
	return instant_between(oldest, now).ns < FAILURE_TIME.ns;
}

struct instant restart_after(struct restart *r, struct instant started, bool ready, struct instant now)
{
	if (!ready && fail(r, now))
		return INSTANT_NEVER;
	if (ready && instant_between(started, now).ns >= GOOD_LIFE.ns)
		r->death_count = 0;
	if (r->death_count == 0)
		r->wait = span_ms(0);
	else if (r->wait.ns == 0)
		r->wait = WAIT_MIN;
	else
		r->wait = span_times(r->wait, 2);
	if (r->wait.ns > WAIT_MAX.ns)
		r->wait = WAIT_MAX;
	r->death_count++;
	return instant_add(now, r->wait);
}
