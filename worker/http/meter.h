#ifndef WORKER_HTTP_METER_H
#define WORKER_HTTP_METER_H

#include "common/metric.h"
#include "worker/http/dialect.h"

/*
 * Counts answers by route and status, tells of slow ones, and shows what the whole node counts. Its rows are those of
 * the dialects' tables, and one for what fits none.
 */
struct meter;

/* Borrows all but the version. `own` is this process's slot of the board. */
struct meter *meter_new(const struct dialect *const *dialects, const struct metric_board *board,
    struct metrics *own, const char *version);

/* Accepts NULL. */
void meter_free(struct meter *m);

/* A request was answered so long after it was whole. */
void meter_answered(struct meter *m, const struct match *match, int status, struct span took);
/* One was refused that was not whole, or a connection: it took no time. */
void meter_refused(struct meter *m, const struct match *match, int status);
/* One that was answered late is logged, up to ten a second; but one that had to wait for a leader is no news, since the
 * node says by itself that it has none. `a` may be NULL: it got no answer. */
void meter_slow(struct meter *m, const struct match *match, int status, struct span took,
    const struct ipc_answer *a, struct instant now);

/* The node's metrics as text, METRIC_TEXT_TYPE. */
void meter_put_text(const struct meter *m, struct buf *to);

#endif
