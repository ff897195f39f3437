#ifndef COMMON_METRIC_TEXT_H
#define COMMON_METRIC_TEXT_H

#include "common/buf.h"
#include "common/metric.h"

/*
 * A board as text, in the format of Prometheus 0.0.4: the sums over all slots, row by row of metric.def. A series of a
 * route or of a code is shown from its first request on, every other one always.
 */
#define METRIC_TEXT_TYPE "text/plain; version=0.0.4; charset=utf-8"

/* The words that tell series apart. Those of AXIS_WORKER and AXIS_ROLE are known here. */
struct metric_words;

struct metric_words *metric_words_new(void);
/* Accepts NULL. */
void metric_words_free(struct metric_words *w);
/* The next word of this axis; asserts that it has room. `labels` was made by metric_put_label(); copied. */
void metric_words_add(struct metric_words *w, enum metric_axis axis, struct bytes labels);
/* Appends name="value", behind a comma if there is one already; the value's bytes are escaped. */
void metric_put_label(struct buf *to, const char *name, const char *value);

/* Cells without a word are not shown. */
void metric_put_text(const struct metric_board *b, const struct metric_words *w, struct buf *to);

#endif
