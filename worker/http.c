#include <stdio.h>
#include <stdlib.h>
#include <sysexits.h>

#include "config.h"
#include "common/log.h"
#include "worker/http/flight.h"
#include "worker/http/meter.h"
#include "worker/worker.h"

/*
 * The role of an HTTP worker: connections on one side, the consensus worker on the other, the dialects between them.
 * It decides nothing but what becomes of a request when the consensus worker is late or gone: every request gets one
 * answer, and a write is handed over once.
 */

/* Reading stops while more than this waits to be sent to the consensus worker. */
#define WAITING_BYTES_MAX ((size_t)8 * 1024 * 1024)

/* What requests may keep while there is no consensus worker. */
#define KEPT_BYTES_MAX ((size_t)32 * 1024 * 1024)

/* The consensus worker answers in time by itself; this is how much later its silence is noticed. */
#define SLACK_MS 500
#define SWEEP_MS 100

/* Connections beyond the limit live for a moment too. */
#define CONNECTIONS_SPARE 256

struct http {
	struct worker *worker;
	struct server *server;
	struct ipc *ipc;
	struct flights *flights;
	struct meter *meter;
	struct server_traffic traffic; /* as far as it is counted */
	struct loop_timer *sweep, *drain_over, *last_moment;
	struct limits limits;
	struct operation operation; /* one for all, one after the other */
	struct response response;
	uint64_t received; /* bytes of results, since the consensus worker came */
	struct ipc_holds told; /* to it, last */
	uint64_t revision; /* the latest applied index heard of */
	size_t streams; /* answers that have begun and go on */
	bool here; /* the consensus worker is there, and takes requests */
};

static const struct dialect *const dialects[] = { &native, &m2, &shared_key, &raft_kv_example, NULL };

static struct instant now(const struct http *h)
{
	return loop_now(h->worker->loop);
}

static struct about about_this(const struct http *h)
{
	return (struct about){
		.version = PACKAGE_VERSION,
		.build = "a C compiler of version " __VERSION__,
		.uptime_ms = (uint64_t)span_to_ms(instant_between(h->worker->started, now(h))),
		.meter = h->meter,
		.dialects = dialects,
		.spoken = h->operation.spoken,
	};
}

/* Before the flight ends: counts the response that stands ready. `a` is NULL without an answer to it. */
static void count(struct http *h, const struct flight *f, const struct ipc_answer *a)
{
	struct span took = instant_between(f->begun, now(h));

	meter_answered(h->meter, &f->match, h->response.status, took);
	if (took.ns >= h->worker->conf->log_slow.ns)
		meter_slow(h->meter, &f->match, h->response.status, took, a, now(h));
}

/* `text`: more than err_text(), or empty. */
static void answer_error(struct http *h, struct flight *f, enum err e, enum applied applied, const char *text)
{
	struct conn *conn = f->conn;

	dialect_refuse(&f->match, &f->note, e, applied, bytes_text(text), h->revision, &h->response);
	count(h, f, NULL);
	flights_remove(h->flights, f);
	conn_answer(conn, &h->response);
}

/* What is left of the time that the client waits. */
static uint32_t time_left_ms(const struct http *h, const struct flight *f)
{
	int64_t ms = span_to_ms(instant_between(now(h), f->until));

	return ms < 1 ? 1 : (uint32_t)ms;
}

static void hand_over(struct http *h, struct flight *f, struct bytes token, struct bytes operation)
{
	struct ipc_request q = {
		.id = f->id,
		.kind = (uint8_t)f->kind,
		.level = (uint8_t)f->level,
		.time_ms = time_left_ms(h, f),
		.min_revision = f->min_revision,
		.leader_only = f->leader_only,
		.token = token,
		.operation = operation,
	};

	ipc_send_request(h->ipc, &q);
	f->handed_over = true;
	if (ipc_waiting(h->ipc) > WAITING_BYTES_MAX)
		server_pause(h->server, true);
}

/* What changes nothing may be asked again. */
static bool is_handed_over_once(const struct flight *f)
{
	switch (f->kind) {
	case REQUEST_READ:
	case REQUEST_STATUS:
	case REQUEST_PROBE:
	case REQUEST_BACKUP:
		return false;
	case REQUEST_WRITE:
	case REQUEST_TRANSFER:
	case REQUEST_CHANGE:
		break;
	}
	return true;
}

static void hand_over_kept(struct http *h, struct flight *f)
{
	struct bytes kept = buf_bytes(&f->kept);

	hand_over(h, f, bytes_of(kept.data, f->token_bytes),
	    bytes_of(kept.data + f->token_bytes, kept.size - f->token_bytes));
	if (is_handed_over_once(f))
		flight_drop_kept(h->flights, f);
}

static struct flight *add_flight(struct http *h, struct conn *c, const struct match *m, struct operation *op)
{
	uint64_t most = (uint64_t)span_to_ms(h->worker->conf->limits_request);
	uint64_t time_ms = op->time_ms != 0 && op->time_ms < most ? op->time_ms : most;
	struct flight *f = flights_add(h->flights);

	f->conn = c;
	f->match = *m;
	f->note = op->note;
	op->note = (struct note){ 0 };
	f->kind = op->kind;
	f->level = op->level;
	f->min_revision = op->min_revision;
	f->leader_only = op->leader_only;
	f->begun = now(h);
	f->until = instant_add(f->begun, span_ms((int64_t)time_ms));
	conn_tag(c, f->id);
	if (flights_count(h->flights) == 1)
		loop_timer_set(h->sweep, instant_add(now(h), span_ms(SWEEP_MS)));
	return f;
}

static void refuse_to_keep(struct http *h, struct flight *f, size_t bytes)
{
	char text[192];

	snprintf(text, sizeof(text),
	    "requests of %zu bytes wait here for the consensus worker, and this one has %zu, the limit is "
	    "%zu; repeat it later",
	    flights_kept(h->flights), bytes, KEPT_BYTES_MAX);
	answer_error(h, f, ERR_BUSY, APPLIED_NO, text);
}

/* A read is kept, so that it can be asked again; a write only until it can be handed over. */
static void submit(
    struct http *h, struct conn *c, const struct match *m, enum method method, struct operation *op)
{
	struct flight *f = add_flight(h, c, m, op);
	struct bytes txn = buf_bytes(&op->txn);

	f->head_only = method == METHOD_HEAD;
	if (h->here && is_handed_over_once(f))
		hand_over(h, f, op->token, txn);
	else if (flights_kept(h->flights) + op->token.size + txn.size > KEPT_BYTES_MAX)
		refuse_to_keep(h, f, op->token.size + txn.size);
	else {
		flight_keep(h->flights, f, op->token, txn);
		if (h->here)
			hand_over_kept(h, f);
	}
}

static size_t on_body_max(void *arg, const struct request *q, const char **option)
{
	struct http *h = arg;
	struct match m = route_find(dialects, h->operation.spoken, q->method, q->path);

	return route_body_max(&m, &h->limits, option);
}

static bool is_local(const struct match *m)
{
	return m->route != NULL && (m->route->flags & ROUTE_LOCAL) != 0;
}

/* However late the consensus worker is, this process can say that it lives. */
static bool on_passes(void *arg, const struct request *q)
{
	struct http *h = arg;
	struct match m = route_find(dialects, h->operation.spoken, q->method, q->path);

	return is_local(&m);
}

static void on_request(void *arg, struct conn *c, const struct request *q)
{
	struct http *h = arg;
	struct about about = about_this(h);
	struct match m = route_find(dialects, h->operation.spoken, q->method, q->path);
	struct operation *op = &h->operation;
	enum err e = dialect_parse(&m, q, op);

	if (e == ERR_OK && !is_local(&m)) {
		submit(h, c, &m, q->method, op);
		return;
	}
	if (e == ERR_OK)
		dialect_render_local(&m, &op->note, h->revision, &about, &h->response);
	else
		dialect_refuse(&m, &op->note, e, APPLIED_NO, buf_bytes(&op->why), h->revision, &h->response);
	meter_answered(h->meter, &m, h->response.status, span_ms(0));
	conn_answer(c, &h->response);
}

static void cancel(struct http *h, const struct flight *f)
{
	ipc_send_cancel(h->ipc, &(struct ipc_cancel){ .id = f->id });
}

/* --- answers that are streams --- */

static void end_stream(struct http *h, struct flight *f, bool whole)
{
	h->streams--;
	if (!whole)
		metric_add(h->worker->metrics->http_broken_streams_total, 1);
	flights_remove(h->flights, f);
}

/* Credit for what the client has made room for. A client that takes nothing is the server's business; what there is
 * credit for comes in the time that any answer has. */
static void feed(struct http *h, struct flight *f)
{
	uint32_t bytes = flight_credit(f, conn_unsent(f->conn));

	f->until = f->owed > 0 ? instant_add(now(h), h->worker->conf->limits_request) : INSTANT_NEVER;
	if (bytes > 0)
		ipc_send_credit(h->ipc, &(struct ipc_credit){ f->id, bytes });
}

static void begin_stream(struct http *h, struct flight *f)
{
	h->streams++;
	f->streams = true;
	if (conn_begin(f->conn, &h->response)) {
		feed(h, f);
		return;
	}
	cancel(h, f);
	end_stream(h, f, false);
}

static void break_stream(struct http *h, struct flight *f, struct bytes why)
{
	struct conn *conn = f->conn;

	log_warnx("an answer ends before it is whole route=%s: %.*s", f->match.route->pattern, (int)why.size,
	    (const char *)why.data);
	end_stream(h, f, false);
	conn_break(conn);
}

static void finish_stream(struct http *h, struct flight *f)
{
	struct conn *conn = f->conn;

	end_stream(h, f, true);
	conn_finish(conn);
}

static void take_piece(struct http *h, struct flight *f, const struct ipc_answer *a)
{
	flight_received(f, a->result.size);
	if (a->error != ERR_OK) {
		break_stream(h, f, a->text.size > 0 ? a->text : bytes_text(err_text((enum err)a->error)));
	} else if (a->result.size > 0 && !conn_piece(f->conn, a->result)) {
		cancel(h, f);
		end_stream(h, f, false);
	} else if (a->more != 0) {
		feed(h, f);
	} else
		finish_stream(h, f);
}

static void on_flows(void *arg, uint64_t tag)
{
	struct http *h = arg;

	feed(h, flights_find(h->flights, tag));
}

static void on_client_gone(void *arg, uint64_t tag)
{
	struct http *h = arg;
	struct flight *f = flights_find(h->flights, tag);

	if (f->handed_over)
		cancel(h, f);
	if (f->streams)
		end_stream(h, f, false);
	else
		flights_remove(h->flights, f);
}

static void on_refuse(void *arg, const struct request *q, enum err e, struct bytes why, struct response *out)
{
	struct http *h = arg;
	struct match m = route_find(dialects, h->operation.spoken, q->method, q->path);
	struct note note = { .write = match_is_write(&m, q->method) };

	dialect_refuse(&m, &note, e, APPLIED_NO, why, h->revision, out);
	meter_refused(h->meter, &m, out->status);
}

static bool differs_much(uint64_t a, uint64_t b)
{
	return (a > b ? a - b : b - a) >= IPC_HOLDS_STEP;
}

/* As long as clients do not take their answers, the consensus worker makes no more for us than we have room for. */
static void tell_holds(struct http *h)
{
	struct ipc_holds m = { h->received, server_unsent(h->server) };

	if (!differs_much(m.received, h->told.received) && !differs_much(m.unsent, h->told.unsent))
		return;
	ipc_send_holds(h->ipc, &m);
	h->told = m;
}

/* What is counted once for all that came in during a turn. */
static void count_turn(void *arg)
{
	struct http *h = arg;
	struct metrics *m = h->worker->metrics;
	struct server_traffic t = server_traffic(h->server);

	metric_add(m->http_accepted_total, t.accepted - h->traffic.accepted);
	metric_add(m->http_slow_clients_total, t.cut_off - h->traffic.cut_off);
	metric_add(m->http_received_bytes_total, t.received - h->traffic.received);
	metric_add(m->http_sent_bytes_total, t.sent - h->traffic.sent);
	metric_set(m->http_connections, server_connections(h->server));
	metric_set(m->http_requests_in_flight, flights_count(h->flights));
	metric_set(m->http_streams, h->streams);
	metric_set(m->http_waiting_bytes, ipc_waiting(h->ipc));
	h->traffic = t;
	tell_holds(h);
}

static void on_empty(void *arg)
{
	struct http *h = arg;

	count_turn(h);
	worker_exit(h->worker, 0);
}

static const struct server_handlers server_handlers = {
	.body_max = on_body_max,
	.passes = on_passes,
	.request = on_request,
	.gone = on_client_gone,
	.flows = on_flows,
	.refuse = on_refuse,
	.empty = on_empty,
};

/* The first answer, and mostly the only one. */
static void take_answer(struct http *h, struct flight *f, const struct ipc_answer *a)
{
	struct about about = about_this(h);
	struct conn *conn = f->conn;

	dialect_render(&f->match, f->kind, &f->note, a, &about, &h->response);
	count(h, f, a);
	if (h->response.stream && !f->head_only) {
		begin_stream(h, f);
		return;
	}
	if (a->more != 0)
		cancel(h, f);
	/* The slot is free before the connection's next request wants one. */
	flights_remove(h->flights, f);
	conn_answer(conn, &h->response);
}

static void on_answer(void *arg, const struct ipc_answer *a)
{
	struct http *h = arg;
	struct flight *f = flights_find(h->flights, a->id);

	h->received += a->result.size;
	if (f == NULL)
		return;
	if (a->revision > h->revision)
		h->revision = a->revision;
	if (f->streams)
		take_piece(h, f, a);
	else
		take_answer(h, f, a);
}

static void on_consensus_here(void *arg, uint64_t generation)
{
	struct http *h = arg;
	struct flight *f;
	size_t at = 0;

	log_info("the consensus worker is there generation=%llu waiting=%zu", (unsigned long long)generation,
	    flights_count(h->flights));
	h->here = true;
	h->received = 0;
	h->told = (struct ipc_holds){ 0 };
	while ((f = flights_next(h->flights, &at)) != NULL)
		if (!f->handed_over)
			hand_over_kept(h, f);
}

static void on_consensus_gone(void *arg)
{
	struct http *h = arg;
	struct flight *f;
	size_t at = 0, lost = 0;

	h->here = false;
	while ((f = flights_next(h->flights, &at)) != NULL) {
		if (f->streams) {
			break_stream(h, f, bytes_text("the consensus worker is gone"));
		} else if (f->handed_over && is_handed_over_once(f)) {
			answer_error(h, f, ERR_RESTARTED, APPLIED_UNKNOWN, "");
			lost++;
		} else
			f->handed_over = false;
	}
	log_warnx("the consensus worker is gone unknown=%zu waiting=%zu", lost, flights_count(h->flights));
	server_pause(h->server, false);
}

/* What was handed over is still answered; what comes from now on waits for the successor. */
static void on_pause(void *arg, const struct ipc_pause *m)
{
	struct http *h = arg;

	(void)m;
	h->here = false;
	ipc_send_paused(h->ipc, &(struct ipc_paused){});
}

static void on_drained(void *arg)
{
	struct http *h = arg;

	server_pause(h->server, false);
}

static const struct ipc_handlers consensus_handlers = {
	.answer = on_answer,
	.pause = on_pause,
	.here = on_consensus_here,
	.gone = on_consensus_gone,
	.drained = on_drained,
};

static void expire(struct http *h, struct flight *f)
{
	if (!f->handed_over) {
		answer_error(h, f, ERR_STARTING, APPLIED_NO, "");
		return;
	}
	cancel(h, f);
	if (f->streams)
		break_stream(h, f, bytes_text("nothing more came of it in time"));
	else
		answer_error(h, f, ERR_TIMEOUT, APPLIED_UNKNOWN, "");
}

static void on_sweep(void *arg)
{
	struct http *h = arg;
	struct flight *f;
	size_t at = 0;

	while ((f = flights_next(h->flights, &at)) != NULL) {
		struct span slack = span_ms(f->handed_over ? SLACK_MS : 0);

		if (instant_passed(instant_add(f->until, slack), now(h)))
			expire(h, f);
	}
	if (flights_count(h->flights) > 0)
		loop_timer_set(h->sweep, instant_add(now(h), span_ms(SWEEP_MS)));
}

static size_t least(uint64_t a, size_t b)
{
	return a < b ? (size_t)a : b;
}

static struct server_options options_of(const struct conf *conf)
{
	return (struct server_options){
		.connections_max = (size_t)conf->http_connections_max,
		.header = conf->http_header_timeout,
		.idle = conf->http_idle_timeout,
		.silence = conf->http_body_timeout,
		.rate = conf->http_min_rate,
		.buffered_max = (size_t)conf->limits_request_bytes,
	};
}

static void set_limits(struct http *h, const struct conf *conf)
{
	h->limits.key_bytes = least(conf->limits_key, KV_KEY_BYTES_MAX);
	h->limits.value_bytes = least(conf->limits_value, KV_VALUE_BYTES_MAX);
	h->limits.body_bytes = (size_t)conf->http_body_max;
	h->operation.on_follower = conf->http_on_follower;
	h->operation.spoken = conf->http_dialects;
}

static void open_server(struct http *h, const struct conf *conf)
{
	struct server_options o = options_of(conf);

	h->server = server_new(h->worker->loop, &o, &server_handlers, h);
	server_listen(h->server, h->worker->sockets, h->worker->socket_count);
}

static void start(struct worker *w)
{
	struct http *h = xcalloc(1, sizeof(*h));
	char *path = conf_socket_path(w->conf, w->number);
	enum err e;

	w->role_state = h;
	h->worker = w;
	set_limits(h, w->conf);
	h->operation.limits = &h->limits;
	h->flights = flights_new((size_t)w->conf->http_connections_max + CONNECTIONS_SPARE);
	h->meter = meter_new(dialects, w->board, w->metrics, PACKAGE_VERSION);
	h->sweep = loop_timer_new(w->loop, on_sweep, h);
	if ((e = ipc_dial(&h->ipc, w->loop, path, w->generation, &consensus_handlers, h)) != ERR_OK)
		fatalx(EX_CONFIG, "cannot dial the consensus worker at %s: %s", path, err_text(e));
	free(path);
	open_server(h, w->conf);
	loop_at_turn_end(w->loop, count_turn, h);
	worker_ready(w);
}

static void accept_from(struct worker *w, uint64_t sockets)
{
	struct http *h = w->role_state;

	server_accept(h->server, sockets);
}

/* The connections that could not be served in time go without a word. */
static void on_last_moment(void *arg)
{
	struct http *h = arg;

	log_info("stopped with connections open connections=%zu", server_connections(h->server));
	worker_exit(h->worker, 0);
}

static void on_drain_over(void *arg)
{
	struct http *h = arg;

	server_stop(h->server);
}

static void stop(struct worker *w, struct span idle)
{
	struct http *h = w->role_state;
	struct instant drained = instant_add(now(h), idle);

	if (h->last_moment == NULL)
		h->last_moment = loop_timer_new(w->loop, on_last_moment, h);
	loop_timer_set(
	    h->last_moment, instant_add(instant_add(drained, w->conf->limits_request), span_ms(SLACK_MS)));
	if (idle.ns == 0) {
		server_stop(h->server);
		return;
	}
	h->drain_over = loop_timer_new(w->loop, on_drain_over, h);
	loop_timer_set(h->drain_over, drained);
	server_drain(h->server);
}

static void reload(struct worker *w)
{
	struct http *h = w->role_state;
	struct server_options o = options_of(w->conf);

	set_limits(h, w->conf);
	server_set_times(h->server, &o);
}

const struct worker_role http_role = {
	.name = "http",
	.number = IPC_HTTP,
	.start = start,
	.accept = accept_from,
	.reload = reload,
	.stop = stop,
};
