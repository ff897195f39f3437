#include <errno.h>
#include <stdbool.h>
#include <time.h>

#include "common/clock.h"
#include "common/log.h"
#include "daemon/patience.h"

int patience_try(int (*try)(void *arg), void *arg, int busy, const char *what)
{
	const struct timespec pause = { .tv_nsec = 20000000 };
	struct instant end = instant_add(clock_now(), span_ms(5000));
	bool told = false;
	int result;

	while ((result = try(arg)) == -1 && errno == busy && !instant_passed(end, clock_now())) {
		if (!told)
			log_info("%s is still held by another process; waiting up to 5 s", what);
		told = true;
		nanosleep(&pause, NULL);
		errno = busy;
	}
	return result;
}
