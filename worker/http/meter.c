#include <inttypes.h>
#include <stdlib.h>

#include "common/log.h"
#include "common/metric_text.h"
#include "worker/http/meter.h"

/* Lines about slow requests in a second; what is over is counted. When everything is slow, a few tell as much. */
#define SLOW_LINES_MAX 10

struct meter {
	const struct dialect *const *dialects;
	const struct metric_board *board;
	struct metrics *own;
	struct metric_words *words;
	struct instant second; /* since when lines are counted */
	unsigned lines, unlogged;
};

/* The numbers that cells have for codes: their order in the table; behind the last those that are not in it. */
enum code {
#define CODE(status, reason) CODE_##status,
#include "worker/http/code.def"
#undef CODE
	CODE_OTHER
};

static enum code code_of(int status)
{
	switch (status) {
#define CODE(number, reason)                                                                                 \
	case number:                                                                                         \
		return CODE_##number;
#include "worker/http/code.def"
#undef CODE
	}
	return CODE_OTHER;
}

static void add_words(struct meter *m, enum metric_axis axis, const char *const pairs[][2], size_t count)
{
	struct buf labels = { 0 };

	for (size_t i = 0; i < count; i++)
		metric_put_label(&labels, pairs[i][0], pairs[i][1]);
	metric_words_add(m->words, axis, buf_bytes(&labels));
	buf_free(&labels);
}

static void add_route(struct meter *m, const char *method, const char *pattern)
{
	const char *const pairs[][2] = { { "method", method }, { "route", pattern } };

	add_words(m, AXIS_ROUTE, pairs, 2);
}

static void add_code(struct meter *m, const char *code)
{
	const char *const pairs[][2] = { { "code", code } };

	add_words(m, AXIS_CODE, pairs, 1);
}

struct meter *meter_new(const struct dialect *const *dialects, const struct metric_board *board,
    struct metrics *own, const char *version)
{
	const char *const versions[][2] = { { "version", version } };
	struct meter *m = xcalloc(1, sizeof(*m));

	*m = (struct meter){ .dialects = dialects, .board = board, .own = own, .words = metric_words_new() };
	add_words(m, AXIS_VERSION, versions, 1);
	add_route(m, "other", "none");
	for (; *dialects != NULL; dialects++)
		for (const struct route *r = (*dialects)->routes; r->pattern != NULL; r++)
			add_route(m, method_name(r->method), r->pattern);
#define CODE(status, reason) add_code(m, #status);
#include "worker/http/code.def"
#undef CODE
	add_code(m, "other");
	return m;
}

void meter_free(struct meter *m)
{
	if (m == NULL)
		return;
	metric_words_free(m->words);
	free(m);
}

/* 0: none; else as they were added. */
static size_t route_number(const struct meter *m, const struct match *match)
{
	size_t before = 1;

	if (match->route == NULL)
		return 0;
	for (const struct dialect *const *d = m->dialects; *d != match->dialect; d++)
		for (const struct route *r = (*d)->routes; r->pattern != NULL; r++)
			before++;
	return before + (size_t)(match->route - match->dialect->routes);
}

void meter_refused(struct meter *m, const struct match *match, int status)
{
	size_t cell = route_number(m, match) * METRIC_CODES + code_of(status);

	metric_add(&m->own->http_requests_total[cell], 1);
}

void meter_answered(struct meter *m, const struct match *match, int status, struct span took)
{
	meter_refused(m, match, status);
	metric_observe_span(&m->own->http_request_seconds[route_number(m, match)], took);
}

static bool may_log(struct meter *m, struct instant now)
{
	if (instant_passed(instant_add(m->second, span_ms(1000)), now)) {
		m->second = now;
		m->lines = 0;
	}
	return m->lines++ < SLOW_LINES_MAX;
}

static double ms_of(uint64_t us)
{
	return (double)us / 1000;
}

void meter_slow(struct meter *m, const struct match *match, int status, struct span took,
    const struct ipc_answer *a, struct instant now)
{
	static const struct ipc_answer none;
	const char *method = match->route == NULL ? "other" : method_name(match->route->method);
	const char *pattern = match->route == NULL ? "none" : match->route->pattern;
	uint64_t took_us = (uint64_t)took.ns / 1000, known_us;

	metric_add(m->own->http_slow_requests_total, 1);
	if (a != NULL && (a->unled != 0 || a->error == ERR_NO_LEADER)) {
		log_debug("a request waited for a leader method=%s route=%s status=%d total=%.1fms", method,
		    pattern, status, ms_of((uint64_t)took.ns / 1000));
		return;
	}
	if (!may_log(m, now)) {
		m->unlogged++;
		return;
	}
	if (a == NULL)
		a = &none;
	known_us = (uint64_t)a->queue_us + a->agree_us + a->apply_us;
	log_warnx(
	    "a request was slow method=%s route=%s status=%d total=%.1fms queue=%.1fms replicate=%.1fms "
	    "sync=%.1fms apply=%.1fms elsewhere=%.1fms unlogged=%u",
	    method, pattern, status, ms_of(took_us), ms_of(a->queue_us), ms_of(a->agree_us),
	    ms_of(a->sync_us), ms_of(a->apply_us), ms_of(took_us > known_us ? took_us - known_us : 0),
	    m->unlogged);
	m->unlogged = 0;
}

void meter_put_text(const struct meter *m, struct buf *to)
{
	metric_put_text(m->board, m->words, to);
}
