#include "worker/http/pace.h"

/* Over how many times the silence that is allowed the rate is measured. */
#define WINDOW_SILENCES 2

void pace_end(struct pace *p)
{
	p->begun = false;
}

static struct span time_to_count(const struct pace *p, const struct pace_rule *r, struct instant now)
{
	struct span passed = instant_between(p->looked, now);

	return passed.ns < r->look_most.ns ? passed : r->look_most;
}

static bool is_window_over(const struct pace *p, const struct pace_rule *r)
{
	return p->window.ns >= span_times(r->silence, WINDOW_SILENCES).ns;
}

static uint64_t least_bytes(const struct pace *p, const struct pace_rule *r)
{
	return r->rate * (uint64_t)span_to_ms(p->window) / 1000;
}

enum pace_found pace_look(struct pace *p, const struct pace_rule *r, uint64_t bytes, struct instant now)
{
	struct span passed;

	if (!p->begun) {
		*p = (struct pace){ true, now, bytes, { 0 }, bytes, { 0 } };
		return PACE_GOOD;
	}
	passed = time_to_count(p, r, now);
	p->silent.ns = bytes != p->bytes ? 0 : p->silent.ns + passed.ns;
	p->window.ns += passed.ns;
	p->looked = now;
	p->bytes = bytes;
	if (p->silent.ns >= r->silence.ns)
		return PACE_SILENT;
	if (!is_window_over(p, r))
		return PACE_GOOD;
	if (bytes - p->window_bytes < least_bytes(p, r))
		return PACE_SLOW;
	p->window_bytes = bytes;
	p->window.ns = 0;
	return PACE_GOOD;
}
