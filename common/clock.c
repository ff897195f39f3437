#include <assert.h>
#include <time.h>

#include "common/clock.h"

struct instant clock_now(void)
{
	struct timespec ts;
	int failed = clock_gettime(CLOCK_BOOTTIME, &ts);

	assert(!failed);
	return (struct instant){ (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec };
}

struct span span_ms(int64_t ms)
{
	return (struct span){ ms * 1000000 };
}

struct span span_us(int64_t us)
{
	return (struct span){ us * 1000 };
}

int64_t span_to_ms(struct span s)
{
	return s.ns / 1000000;
}

struct span span_times(struct span s, int64_t factor)
{
	return (struct span){ s.ns * factor };
}

struct instant instant_add(struct instant t, struct span s)
{
	if (s.ns > 0 && t.ns > INT64_MAX - s.ns)
		return INSTANT_NEVER;
	return (struct instant){ t.ns + s.ns };
}

struct span instant_between(struct instant from, struct instant to)
{
	return (struct span){ to.ns - from.ns };
}

bool instant_passed(struct instant t, struct instant now)
{
	return t.ns <= now.ns;
}

struct instant instant_least(struct instant a, struct instant b)
{
	return a.ns <= b.ns ? a : b;
}
