#ifndef DAEMON_NOTIFY_H
#define DAEMON_NOTIFY_H

#include "common/clock.h"

/*
 * What systemd is told (sd_notify(3)). Where nobody listens ($NOTIFY_SOCKET), nothing is said. Nothing of this waits:
 * what there is no room for is said later.
 */

/* At work, for the first time or again after notify_reloading(). `status` is a line for people. */
void notify_ready(const char *status) __attribute__((nonnull));
void notify_reloading(void);
/* What goes on, a line for people. */
void notify_status(const char *status) __attribute__((nonnull));
void notify_stopping(const char *status) __attribute__((nonnull));
/* A start or a stop goes on, and may take so long from now on. */
void notify_extend(struct span s);

/* How often a sign of life is expected at least ($WATCHDOG_USEC); false: never. */
bool notify_watchdog(struct span *every);
void notify_alive(void);
/* Says what there was no room for, if there is now. To be called now and then. */
void notify_flush(void);

#endif
