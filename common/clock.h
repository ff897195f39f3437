#ifndef COMMON_CLOCK_H
#define COMMON_CLOCK_H

#include <stdbool.h>
#include <stdint.h>

/*
 * Time as it passes, suspension included (CLOCK_BOOTTIME); never the time of day. Two types, so that the compiler
 * tells a moment from a duration. Only roles and the loop read the clock; everything below is handed `now`.
 */
struct instant {
	int64_t ns;
};

struct span {
	int64_t ns;
};

/* A moment that never comes. */
#define INSTANT_NEVER ((struct instant){ INT64_MAX })

struct instant clock_now(void);

struct span span_ms(int64_t ms);
struct span span_us(int64_t us);
/* Whole milliseconds; the rest is dropped, towards zero. */
int64_t span_to_ms(struct span s);
struct span span_times(struct span s, int64_t factor);

/* Saturates at INSTANT_NEVER. */
struct instant instant_add(struct instant t, struct span s);
/* From `from` to `to`; negative when `to` is earlier. */
struct span instant_between(struct instant from, struct instant to);
/* True when `t` is at or before `now`. */
bool instant_passed(struct instant t, struct instant now);
struct instant instant_least(struct instant a, struct instant b);

#endif
