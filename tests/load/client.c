#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "tests/load/client.h"
#include "tests/load/conn.h"

/* Between two attempts when every node has been asked in vain. */
#define PAUSE_MS 20

/* An answer that shall not be waited for is waited for so long at most. */
#define HASTE_US_MAX 4000

enum phase {
	PHASE_IDLE,
	PHASE_FIRST, /* until it is answered */
	PHASE_AGAIN, /* it is answered, and sent once more */
};

struct client {
	struct run *run;
	struct conn *conn;
	struct loop_timer *timeout; /* of the attempt under way; or the pause before the next one */
	unsigned target;
	unsigned failures; /* in a row, of whatever operation */
	uint64_t process;
	enum phase phase;
	bool reads_only;
	bool pausing, hasty; /* hasty: the timeout is a forced one */
	bool force_again; /* when it is answered it is sent once more */
	struct op op;
	struct buf key, word, request;
	struct instant due;
	uint64_t revision; /* of the answer, for PHASE_AGAIN */
	int status;
};

static void fail_over(struct client *c);

static void record(struct client *c, const char *event, const char *value, uint64_t revision,
    uint64_t version, const struct answer *a)
{
	struct run *r = c->run;

	history_add(r->history, &(struct history_event){
				    .process = c->process,
				    .event = event,
				    .op = op_name(c->op.kind),
				    .key = buf_text(&c->key),
				    .value = value,
				    .revision = revision,
				    .version = version,
				    .token = *c->op.token != '\0' ? c->op.token : NULL,
				    .node = r->targets[c->target].name,
				    .status = a != NULL ? a->status : 0,
				});
}

static struct figures_kind *figures_of(struct client *c)
{
	struct figures *f = &c->run->figures;

	return op_is_write(c->op.kind) ? &f->writes : &f->reads;
}

static void attempt(struct client *c)
{
	const struct target *t = &c->run->targets[c->target];
	struct span patience = span_ms((int64_t)c->run->options.timeout);

	c->pausing = false;
	if (c->hasty)
		patience = span_us((int64_t)random_below(&c->run->work.random, HASTE_US_MAX));
	loop_timer_set(c->timeout, instant_add(clock_now(), patience));
	conn_send(c->conn, &t->address, t->address_size, buf_bytes(&c->request));
}

static void pause_then_attempt(struct client *c)
{
	c->pausing = true;
	loop_timer_set(c->timeout, instant_add(clock_now(), span_ms(PAUSE_MS)));
}

static void next_target(struct client *c)
{
	if (!c->run->options.stay)
		c->target = (c->target + 1) % c->run->target_count;
}

/* The next thing to do is to be tried at once, unless all nodes that it may ask have failed in turn. */
static void attempt_or_pause(struct client *c)
{
	if (c->failures >= (c->run->options.stay ? 1 : c->run->target_count))
		pause_then_attempt(c);
	else
		attempt(c);
}

void client_begin(struct client *c, struct instant due)
{
	struct run *r = c->run;
	bool forced;

	work_next(&r->work, c->reads_only, &c->op);
	work_key(&r->work, &c->op, &c->key);
	buf_clear(&c->request);
	work_request(&r->work, &c->op, &c->request);
	forced = op_is_write(c->op.kind) && work_chance(&r->work, r->options.retry);
	c->hasty = forced && work_chance(&r->work, 50);
	c->force_again = forced && !c->hasty;
	c->phase = PHASE_FIRST;
	c->due = due;
	history_add(r->history, &(struct history_event){
				    .process = c->process,
				    .event = "invoke",
				    .op = op_name(c->op.kind),
				    .key = buf_text(&c->key),
				    .value = *c->op.value != '\0' ? c->op.value : NULL,
				    .revision = c->op.expected,
				    .token = *c->op.token != '\0' ? c->op.token : NULL,
				    .node = r->targets[c->target].name,
				    .status = -1,
				});
	attempt_or_pause(c);
}

static void finish(struct client *c)
{
	loop_timer_set(c->timeout, INSTANT_NEVER);
	c->phase = PHASE_IDLE;
	run_on_idle(c->run, c);
}

static void finish_failed(struct client *c, const struct answer *a)
{
	figures_of(c)->failed++;
	record(c, "fail", NULL, a != NULL ? a->etag : 0, 0, a);
	finish(c);
}

static void finish_unknown(struct client *c, const struct answer *a)
{
	figures_of(c)->unknown++;
	record(c, "info", NULL, 0, 0, a);
	c->process = ++c->run->processes;
	finish(c);
}

/* No answer, or one that settles nothing. */
static void on_bad_attempt(struct client *c, const struct answer *a, bool no_effect)
{
	bool goes_on = *c->op.token != '\0' && !c->run->ending;
	bool again = c->phase == PHASE_AGAIN;

	c->failures++;
	if (goes_on || (*c->op.token != '\0' && c->phase == PHASE_FIRST)) {
		c->run->figures.repeated++;
		fail_over(c);
		return;
	}
	if (again)
		finish(c);
	else if (no_effect || c->op.kind == OP_GET)
		finish_failed(c, a);
	else
		finish_unknown(c, a);
	next_target(c);
}

static void fail_over(struct client *c)
{
	conn_drop(c->conn);
	next_target(c);
	attempt_or_pause(c);
}

static void send_again(struct client *c)
{
	c->run->figures.forced++;
	c->phase = PHASE_AGAIN;
	next_target(c);
	attempt(c);
}

/* {"revision":N...}: what an answer to a DELETE has instead of an ETag. */
static uint64_t revision_of(const struct answer *a)
{
	static const char begin[] = "{\"revision\":";

	if (a->etag != 0)
		return a->etag;
	if (!bytes_begins(a->body, bytes_text(begin)) || a->body.size < sizeof(begin))
		return 0;
	return strtoull((const char *)a->body.data + sizeof(begin) - 1, NULL, 10);
}

static void on_again_answered(struct client *c, const struct answer *a, uint64_t revision)
{
	struct run *r = c->run;

	record(c, "again", NULL, revision, 0, a);
	if (revision != c->revision || a->status != c->status || !a->replayed)
		run_wrong(r,
		    "%s %s token %s: answered %d revision %" PRIu64 ", and repeated %d revision %" PRIu64
		    "%s",
		    op_name(c->op.kind), buf_text(&c->key), c->op.token, c->status, c->revision, a->status,
		    revision, a->replayed ? "" : " as if it were new");
	finish(c);
}

static void on_written(struct client *c, const struct answer *a)
{
	struct run *r = c->run;
	uint64_t revision = revision_of(a);

	if (c->phase == PHASE_AGAIN) {
		on_again_answered(c, a, revision);
		return;
	}
	if (revision == 0 && a->status != 412)
		run_wrong(
		    r, "%s %s: %d without a revision", op_name(c->op.kind), buf_text(&c->key), a->status);
	work_heard(&r->work, &c->op, revision);
	figures_on_ok(&r->figures, true, instant_between(c->due, clock_now()), clock_now());
	record(c, a->status == 412 ? "fail" : "ok",
	    a->status == 412 || *c->op.value == '\0' ? NULL : c->op.value, revision, 0, a);
	c->revision = revision;
	c->status = a->status;
	if (c->force_again)
		send_again(c);
	else
		finish(c);
}

static void on_read(struct client *c, const struct answer *a)
{
	struct run *r = c->run;

	figures_on_ok(&r->figures, false, instant_between(c->due, clock_now()), clock_now());
	if (a->status == 404) {
		record(c, "ok", NULL, 0, 0, a);
	} else {
		if (!work_word(&r->work, a->body, &c->word))
			run_wrong(r, "get %s: %zu bytes that nobody wrote", buf_text(&c->key), a->body.size);
		work_heard(&r->work, &c->op, a->etag);
		record(c, "ok", buf_text(&c->word), a->etag, a->version, a);
	}
	finish(c);
}

static bool is_settled(const struct client *c, const struct answer *a)
{
	if (a->status == 200 || (a->status == 201 && c->op.kind != OP_GET))
		return true;
	return (a->status == 404 && c->op.kind == OP_GET) ||
	       (a->status == 412 && op_has_condition(c->op.kind));
}

static void on_answer(void *arg, const struct answer *a)
{
	struct client *c = arg;

	loop_timer_set(c->timeout, INSTANT_NEVER);
	c->hasty = false;
	c->run->figures.replayed += a->replayed;
	if (is_settled(c, a)) {
		c->failures = 0;
		if (c->op.kind == OP_GET)
			on_read(c, a);
		else
			on_written(c, a);
	} else if (a->status >= 500) {
		on_bad_attempt(c, a, a->applied == APPLIED_NO);
	} else {
		run_wrong(c->run, "%s %s: %d %.*s", op_name(c->op.kind), buf_text(&c->key), a->status,
		    (int)a->body.size, (const char *)a->body.data);
		finish_failed(c, a);
	}
}

static void on_lost(void *arg, bool sent)
{
	struct client *c = arg;

	loop_timer_set(c->timeout, INSTANT_NEVER);
	c->hasty = false;
	on_bad_attempt(c, NULL, !sent);
}

static void on_timeout(void *arg)
{
	struct client *c = arg;

	if (c->pausing) {
		attempt(c);
		return;
	}
	if (c->hasty) {
		c->hasty = false;
		c->run->figures.forced++;
		fail_over(c);
		return;
	}
	conn_drop(c->conn);
	on_bad_attempt(c, NULL, false);
}

static const struct conn_handlers handlers = { .on_answer = on_answer, .on_lost = on_lost };

struct client *client_new(struct run *r, unsigned number)
{
	struct client *c = xcalloc(1, sizeof(*c));

	c->run = r;
	c->conn = conn_new(r->loop, &handlers, c);
	c->timeout = loop_timer_new(r->loop, on_timeout, c);
	c->target = number % r->target_count;
	c->reads_only = number >= r->options.connections - r->options.readers;
	c->process = ++r->processes;
	return c;
}

void client_free(struct client *c)
{
	if (c == NULL)
		return;
	conn_free(c->conn);
	loop_timer_free(c->timeout);
	buf_free(&c->key);
	buf_free(&c->word);
	buf_free(&c->request);
	free(c);
}

void client_give_up(struct client *c)
{
	if (c->phase == PHASE_IDLE)
		return;
	conn_drop(c->conn);
	if (c->phase == PHASE_AGAIN)
		finish(c);
	else if (c->op.kind == OP_GET)
		finish_failed(c, NULL);
	else
		finish_unknown(c, NULL);
}
