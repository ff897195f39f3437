#include <inttypes.h>
#include <systemd/sd-daemon.h>
#include <time.h>

#include "daemon/notify.h"

void notify_ready(const char *status)
{
	sd_notifyf(0, "READY=1\nSTATUS=%s", status);
}

void notify_status(const char *status)
{
	sd_notifyf(0, "STATUS=%s", status);
}

void notify_reloading(void)
{
	struct timespec ts;

	/* systemd tells by the time which of several reloads this is; it wants this very clock. */
	clock_gettime(CLOCK_MONOTONIC, &ts);
	sd_notifyf(0, "RELOADING=1\nMONOTONIC_USEC=%" PRIu64 "\nSTATUS=reloading the configuration",
	    (uint64_t)ts.tv_sec * 1000000 + (uint64_t)ts.tv_nsec / 1000);
}

void notify_stopping(const char *status)
{
	sd_notifyf(0, "STOPPING=1\nSTATUS=%s", status);
}

void notify_extend(struct span s)
{
	sd_notifyf(0, "EXTEND_TIMEOUT_USEC=%" PRIi64, s.ns / 1000);
}

bool notify_watchdog(struct span *every)
{
	uint64_t us;

	if (sd_watchdog_enabled(0, &us) <= 0)
		return false;
	*every = span_us((int64_t)us);
	return true;
}

void notify_alive(void)
{
	sd_notify(0, "WATCHDOG=1");
}
