/* links: worker/http.c worker/http/flight.c worker/http/server.c worker/http/conn.c worker/http/conn_input.c worker/http/conn_io.c worker/http/conn_pieces.c worker/http/pace.c worker/http/compose.c worker/http/head.c worker/http/chunk.c worker/http/message.c worker/http/text.c worker/http/plain.c worker/http/m2.c worker/http/key.c worker/http/hraft.c worker/http/raftdb.c worker/http/raft_kv_demo.c worker/http/raft_kv_example.c worker/http/native.c worker/http/native_json.c worker/http/json_body.c worker/http/native_node.c worker/http/native_members.c worker/http/native_backup.c worker/http/native_index.c worker/http/meter.c worker/http/dialect.c worker/http/route.c worker/http/operation.c worker/http/meaning.c worker/kv/op.c common/conf.c common/conf_type.c common/conf_file.c common/conf_complete.c common/memory.c common/addr.c common/ipc.c common/ipc_stream.c common/ipc_link.c common/metric.c common/metric_text.c common/status.c common/member.c  common/loop.c common/lane.c common/lane_thread.c common/clock.c common/wire.c common/crc.c common/buf.c common/mem.c common/err.c common/log.c -levent_core -lhttp_parser -ljansson -lnng -linih */
#include <errno.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/log.h"
#include "common/status.h"
#include "worker/http/flight.h"
#include "worker/kv/kv.h"
#include "worker/worker.h"

/*
 * The role of an HTTP worker, between a client and a consensus worker that this test plays, all on one loop. What a
 * worker's life provides is played too: worker_exit() comes back here.
 */
struct fixture {
	struct worker worker;
	struct loop_timer *tick;
	struct ipc *consensus;
	uint64_t generation;
	char *directory, *path;
	int listener;
	struct sockaddr_in address;
	struct buf seen; /* "WRITE ", "READ ", "CANCEL " ... as the consensus worker got them */
	uint64_t ids[16];
	size_t count;
	uint32_t time_ms;
	bool leader_only; /* the last one */
	uint64_t credit; /* given in all */
	struct ipc_holds holds; /* as it said last */
	bool ready;
	struct fixture *before;
};

/* A role has no end but that of its process: what each case started stays reachable from here. */
static struct fixture *volatile all;

static bool exited;

/* What a request has that does not say how long: nothing here is to end by it. */
#define LIMIT_MS 60000

void worker_ready(struct worker *w)
{
	((struct fixture *)w)->ready = true;
}

/* The real one does not return; what the role does behind it here is nothing. */
void worker_exit(struct worker *w, int status)
{
	assert_int_equal(status, 0);
	exited = true;
	loop_stop(w->loop);
	longjmp(*(jmp_buf *)w->supervisor, 1);
}

/* --- the consensus worker --- */

static void on_consensus_request(void *arg, const struct ipc_request *q)
{
	static const char *const kinds[] = { "WRITE", "READ", "STATUS", "PROBE", "TRANSFER", "CHANGE",
		"BACKUP" };
	struct fixture *f = arg;

	buf_printf(&f->seen, "%s ", kinds[q->kind]);
	assert_true(f->count < 16);
	f->ids[f->count++] = q->id;
	f->time_ms = q->time_ms;
	f->leader_only = q->leader_only != 0;
}

static void on_consensus_credit(void *arg, const struct ipc_credit *m)
{
	struct fixture *f = arg;

	assert_int_equal(m->id, f->ids[f->count - 1]);
	f->credit += m->bytes;
}

static void on_consensus_cancel(void *arg, const struct ipc_cancel *m)
{
	struct fixture *f = arg;

	assert_int_equal(m->id, f->ids[f->count - 1]);
	buf_append_text(&f->seen, "CANCEL ");
}

static void on_consensus_paused(void *arg, const struct ipc_paused *m)
{
	struct fixture *f = arg;

	(void)m;
	buf_append_text(&f->seen, "PAUSED ");
}

static void on_consensus_holds(void *arg, const struct ipc_holds *m)
{
	struct fixture *f = arg;

	f->holds = *m;
}

static const struct ipc_handlers consensus_handlers = {
	.request = on_consensus_request,
	.credit = on_consensus_credit,
	.cancel = on_consensus_cancel,
	.paused = on_consensus_paused,
	.holds = on_consensus_holds,
};

static void start_consensus(struct fixture *f)
{
	assert_int_equal(
	    ipc_listen(&f->consensus, f->worker.loop, f->path, ++f->generation, &consensus_handlers, f),
	    ERR_OK);
}

static void kill_consensus(struct fixture *f)
{
	ipc_close(f->consensus);
	f->consensus = NULL;
}

static void answer_put(struct fixture *f, uint64_t id)
{
	struct kv_step_result step = { .kind = STEP_PUT, .count = 1 };
	struct kv_result result = { .revision = 7 };
	struct buf steps = { 0 }, encoded = { 0 };

	kv_step_result_put(&steps, &step);
	result.steps = buf_bytes(&steps);
	kv_result_put(&encoded, &result);
	ipc_send_answer(
	    f->consensus, &(struct ipc_answer){ .id = id, .revision = 7, .result = buf_bytes(&encoded) });
	buf_free(&steps);
	buf_free(&encoded);
}

static void begin_backup(struct fixture *f, uint64_t id)
{
	struct status_node node = { .cluster = 0x1234 };
	struct buf encoded = { 0 };

	status_node_put(&encoded, &node);
	ipc_send_answer(f->consensus,
	    &(struct ipc_answer){ .id = id, .more = 1, .revision = 7, .result = buf_bytes(&encoded) });
	buf_free(&encoded);
}

static void give_piece(struct fixture *f, uint64_t id, struct bytes piece, bool more)
{
	ipc_send_answer(
	    f->consensus, &(struct ipc_answer){ .id = id, .more = more, .revision = 7, .result = piece });
}

/* --- the fixture --- */

static void on_tick(void *arg)
{
	struct fixture *f = arg;

	loop_stop(f->worker.loop);
}

/* A millisecond each: the end of any waiting, on a machine that is busy with other things too. */
#define PATIENCE_TURNS 60000

static void turn(struct fixture *f)
{
	jmp_buf out;

	f->worker.supervisor = (struct ipc *)(void *)&out;
	if (setjmp(out) != 0)
		return;
	loop_timer_set(f->tick, instant_add(clock_now(), span_ms(1)));
	loop_run(f->worker.loop);
}

static void listen_somewhere(struct fixture *f)
{
	socklen_t size = sizeof(f->address);

	f->address = (struct sockaddr_in){ .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	f->listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(f->listener, (struct sockaddr *)&f->address, size), 0);
	assert_int_equal(listen(f->listener, 10), 0);
	assert_int_equal(getsockname(f->listener, (struct sockaddr *)&f->address, &size), 0);
}

static int open_fixture(void **state)
{
	struct fixture *f = xcalloc(1, sizeof(*f));
	struct conf *conf = conf_new();
	struct buf why = { 0 };
	char directory[] = "/tmp/http_role_XXXXXX";

	*state = f;
	f->before = all;
	all = f;
	exited = false;
	log_set_level(LOG_LEVEL_ERROR);
	f->directory = xstrdup(mkdtemp(directory));
	assert_int_equal(conf_set(conf, "node", "run", f->directory, &why), ERR_OK);
	assert_int_equal(conf_set(conf, "limits", "request", "60s", &why), ERR_OK);
	f->path = conf_socket_path(conf, 0);
	listen_somewhere(f);
	f->worker = (struct worker){ .loop = loop_new(),
		.conf = conf,
		.generation = 1,
		.started = clock_now(),
		.sockets = &f->listener,
		.socket_count = 1,
		.board = metric_board_new(NULL) };
	f->worker.metrics = metric_slot(f->worker.board, metric_slot_take(f->worker.board));
	f->tick = loop_timer_new(f->worker.loop, on_tick, f);
	f->generation = 100;
	http_role.start(&f->worker);
	http_role.accept(&f->worker, 1);
	assert_true(f->ready);
	buf_free(&why);
	return 0;
}

static int close_fixture(void **state)
{
	struct fixture *f = *state;

	ipc_close(f->consensus);
	close(f->listener);
	unlink(f->path);
	rmdir(f->directory);
	free(f->directory);
	metric_board_free(f->worker.board);
	free(f->path);
	buf_free(&f->seen);
	return 0;
}

/* --- a client --- */

static int ask(struct fixture *f, const char *line)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	char text[512];
	int size = snprintf(text, sizeof(text), "%s HTTP/1.1\r\nHost: h\r\n\r\n", line);

	assert_int_equal(connect(fd, (struct sockaddr *)&f->address, sizeof(f->address)), 0);
	assert_int_equal(send(fd, text, (size_t)size, MSG_NOSIGNAL), size);
	return fd;
}

/* Goes away for good: a FIN alone would only say that no other request comes. */
static void reset(int fd)
{
	const struct linger now = { .l_onoff = 1, .l_linger = 0 };

	assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now)), 0);
	close(fd);
}

/* Turns until this was seen by the consensus worker. */
static void expect_seen(struct fixture *f, const char *wanted)
{
	for (int i = 0; i < PATIENCE_TURNS && strcmp(buf_text(&f->seen), wanted) != 0; i++)
		turn(f);
	assert_string_equal(buf_text(&f->seen), wanted);
}

/* Turns until an answer has come that has all of these in it, and closes. */
static void expect(struct fixture *f, int fd, const char *first, const char *second)
{
	struct buf heard = { 0 };

	for (int i = 0; i < PATIENCE_TURNS && strstr(buf_text(&heard), "\r\n\r\n") == NULL; i++) {
		ssize_t n = recv(fd, buf_reserve(&heard, 4096), 4096, MSG_DONTWAIT);

		heard.size += n > 0 ? (size_t)n : 0;
		turn(f);
	}
	if (strstr(buf_text(&heard), first) == NULL || strstr(buf_text(&heard), second) == NULL)
		fail_msg("neither %s nor %s in %s", first, second, buf_text(&heard));
	buf_free(&heard);
	close(fd);
}

/* Turns until the client has heard all of this, date aside, behind what it had heard; `closed`, and then the end. */
static void expect_heard(struct fixture *f, int fd, struct buf *heard, const char *last, bool closed)
{
	size_t size = strlen(last);
	ssize_t n = -1;

	for (int i = 0; i < PATIENCE_TURNS; i++) {
		bool there = heard->size >= size && memcmp(heard->data + heard->size - size, last, size) == 0;

		if (there && (!closed || n == 0))
			return;
		n = recv(fd, buf_reserve(heard, 65536), 65536, MSG_DONTWAIT);
		heard->size += n > 0 ? (size_t)n : 0;
		turn(f);
	}
	fail_msg("%s is not the end of %s", last, buf_text(heard));
}

static void expect_credit(struct fixture *f, uint64_t wanted)
{
	for (int i = 0; i < PATIENCE_TURNS && f->credit < wanted; i++)
		turn(f);
	assert_int_equal(f->credit, wanted);
}

static void a_backup_comes_as_a_stream(void **state)
{
	struct fixture *f = *state;
	struct buf heard = { 0 };
	int fd;

	start_consensus(f);
	fd = ask(f, "GET /v1/backup");
	expect_seen(f, "BACKUP ");
	begin_backup(f, f->ids[0]);
	expect_heard(f, fd, &heard, "\r\n\r\n", false);
	assert_non_null(strstr(buf_text(&heard), "Transfer-Encoding: chunked\r\n"));
	assert_non_null(strstr(buf_text(&heard), "Holdfast-Revision: 7\r\n"));
	assert_non_null(strstr(buf_text(&heard), "Holdfast-Cluster: 0000000000001234\r\n"));
	expect_credit(f, FLIGHT_WINDOW_BYTES);
	give_piece(f, f->ids[0], bytes_text("one"), true);
	expect_heard(f, fd, &heard, "\r\n3\r\none", false);
	give_piece(f, f->ids[0], bytes_text("two"), false);
	expect_heard(f, fd, &heard, "\r\n3\r\ntwo\r\n0\r\n\r\n", false);
	assert_int_equal(f->worker.metrics->http_broken_streams_total[0].value, 0);
	buf_free(&heard);
	close(fd);
}

static void head_of_a_backup_reads_none(void **state)
{
	struct fixture *f = *state;
	int fd;

	start_consensus(f);
	fd = ask(f, "HEAD /v1/backup");
	expect_seen(f, "BACKUP ");
	begin_backup(f, f->ids[0]);
	expect(f, fd, "Transfer-Encoding: chunked\r\n", "Holdfast-Cluster: 0000000000001234\r\n");
	expect_seen(f, "BACKUP CANCEL ");
	assert_int_equal(f->credit, 0);
}

/* As long as the client takes nothing, no more than the window comes, however long it is given the time. */
static void credit_waits_for_the_client(void **state)
{
	struct fixture *f = *state;
	struct buf piece = { 0 }, heard = { 0 };
	uint64_t given = 0;
	int fd;

	start_consensus(f);
	memset(buf_extend(&piece, 65536), 'x', 65536);
	fd = ask(f, "GET /v1/backup");
	expect_seen(f, "BACKUP ");
	begin_backup(f, f->ids[0]);
	expect_credit(f, FLIGHT_WINDOW_BYTES);
	/* Until the sockets are full. */
	while (given < f->credit) {
		while (given < f->credit) {
			give_piece(f, f->ids[0], buf_bytes(&piece), true);
			given += piece.size;
		}
		for (int turns = 0; turns < 50 && given == f->credit; turns++)
			turn(f);
	}
	assert_int_equal(given, f->credit);
	/* Then as much as the client takes. */
	for (int i = 0; i < PATIENCE_TURNS && heard.size < given; i++) {
		ssize_t n = recv(fd, buf_reserve(&heard, 65536), 65536, MSG_DONTWAIT);

		heard.size += n > 0 ? (size_t)n : 0;
		turn(f);
	}
	/* Credit is not given in small parts. */
	for (int i = 0; i < PATIENCE_TURNS && f->credit < given + FLIGHT_WINDOW_BYTES / 4 * 3; i++)
		turn(f);
	assert_in_range(f->credit, given + FLIGHT_WINDOW_BYTES / 4 * 3, given + FLIGHT_WINDOW_BYTES);
	buf_free(&piece);
	buf_free(&heard);
	reset(fd);
	expect_seen(f, "BACKUP CANCEL ");
}

static void a_backup_whose_consensus_worker_dies_has_no_end(void **state)
{
	struct fixture *f = *state;
	struct buf heard = { 0 };
	int fd;

	start_consensus(f);
	fd = ask(f, "GET /v1/backup");
	expect_seen(f, "BACKUP ");
	begin_backup(f, f->ids[0]);
	give_piece(f, f->ids[0], bytes_text("one"), true);
	expect_heard(f, fd, &heard, "3\r\none", false);
	kill_consensus(f);
	expect_heard(f, fd, &heard, "3\r\none", true);
	assert_int_equal(f->worker.metrics->http_broken_streams_total[0].value, 1);
	buf_free(&heard);
	close(fd);
}

static void one_that_has_not_begun_is_asked_for_again(void **state)
{
	struct fixture *f = *state;
	int fd;

	start_consensus(f);
	fd = ask(f, "GET /v1/backup");
	expect_seen(f, "BACKUP ");
	kill_consensus(f);
	start_consensus(f);
	expect_seen(f, "BACKUP BACKUP ");
	ipc_send_answer(f->consensus,
	    &(struct ipc_answer){ .id = f->ids[1], .error = ERR_BUSY, .text = bytes_text("one at a time") });
	expect(f, fd, "503 Service Unavailable", "{\"error\":\"one at a time\",\"code\":\"busy\"}");
}

static void a_backup_that_fails_has_no_end(void **state)
{
	struct fixture *f = *state;
	struct buf heard = { 0 };
	int fd;

	start_consensus(f);
	fd = ask(f, "GET /v1/backup");
	expect_seen(f, "BACKUP ");
	begin_backup(f, f->ids[0]);
	give_piece(f, f->ids[0], bytes_text("one"), true);
	ipc_send_answer(f->consensus, &(struct ipc_answer){ .id = f->ids[0], .error = ERR_BUSY });
	expect_heard(f, fd, &heard, "3\r\none", true);
	buf_free(&heard);
	close(fd);
}

static void a_client_that_leaves_its_backup_cancels_it(void **state)
{
	struct fixture *f = *state;
	int fd;

	start_consensus(f);
	fd = ask(f, "GET /v1/backup");
	expect_seen(f, "BACKUP ");
	begin_backup(f, f->ids[0]);
	expect_credit(f, FLIGHT_WINDOW_BYTES);
	close(fd);
	expect_seen(f, "BACKUP CANCEL ");
	/* What was under way finds nobody. */
	give_piece(f, f->ids[0], bytes_text("one"), true);
	for (int i = 0; i < 5; i++)
		turn(f);
}

static void a_request_is_handed_over_and_answered(void **state)
{
	struct fixture *f = *state;
	int fd;

	start_consensus(f);
	fd = ask(f, "PUT /v1/kv/a?timeout=30s");
	expect_seen(f, "WRITE ");
	assert_in_range(f->time_ms, 1, 30000);
	answer_put(f, f->ids[0]);
	expect(f, fd, "201 Created", "{\"revision\":7}");
}

#define VALUE_BYTES ((size_t)16 * 1024 * 1024)

static size_t answer_get(struct fixture *f, uint64_t id, size_t value_bytes)
{
	struct buf value = { 0 }, record = { 0 }, step = { 0 }, result = { 0 };
	struct kv_record r = { .key = bytes_text("k"), .create = 1, .modify = 1, .version = 1 };
	size_t size;

	memset(buf_extend(&value, value_bytes), 'x', value_bytes);
	r.value = buf_bytes(&value);
	kv_record_put(&record, &r);
	kv_step_result_put(
	    &step, &(struct kv_step_result){ .kind = STEP_GET, .count = 1, .records = buf_bytes(&record) });
	kv_result_put(&result, &(struct kv_result){ .revision = 5, .steps = buf_bytes(&step) });
	ipc_send_answer(
	    f->consensus, &(struct ipc_answer){ .id = id, .revision = 5, .result = buf_bytes(&result) });
	size = result.size;
	buf_free(&value);
	buf_free(&record);
	buf_free(&step);
	buf_free(&result);
	return size;
}

/* So that the consensus worker makes no more of them than there is room for. */
static void what_a_client_has_not_taken_is_told_until_it_has(void **state)
{
	struct fixture *f = *state;
	struct buf heard = { 0 };
	size_t given;
	int fd;

	start_consensus(f);
	fd = ask(f, "GET /v1/kv/k?level=stale");
	expect_seen(f, "READ ");
	given = answer_get(f, f->ids[0], VALUE_BYTES);
	for (int i = 0; i < PATIENCE_TURNS && f->holds.unsent == 0; i++)
		turn(f);
	assert_int_equal(f->holds.received, given);
	assert_in_range(f->holds.unsent, IPC_HOLDS_STEP, VALUE_BYTES + 1000);
	for (int i = 0; i < PATIENCE_TURNS && heard.size < VALUE_BYTES; i++) {
		ssize_t n = recv(fd, buf_reserve(&heard, 65536), 65536, MSG_DONTWAIT);

		heard.size += n > 0 ? (size_t)n : 0;
		if (n <= 0)
			turn(f);
	}
	for (int i = 0; i < PATIENCE_TURNS && f->holds.unsent > 0; i++)
		turn(f);
	assert_int_equal(f->holds.unsent, 0);
	buf_free(&heard);
	close(fd);
}

static void a_request_waits_for_the_consensus_worker(void **state)
{
	struct fixture *f = *state;
	int fd = ask(f, "PUT /v1/kv/a");

	for (int i = 0; i < 20; i++)
		turn(f);
	start_consensus(f);
	expect_seen(f, "WRITE ");
	assert_in_range(f->time_ms, 1, LIMIT_MS - 20);
	answer_put(f, f->ids[0]);
	expect(f, fd, "201 Created", "{\"revision\":7}");
}

static void a_request_for_the_leader_is_sent_there(void **state)
{
	struct fixture *f = *state;
	int fd = ask(f, "DELETE /key/a%20b?x=y"), get;

	start_consensus(f);
	expect_seen(f, "WRITE ");
	assert_true(f->leader_only);
	ipc_send_answer(f->consensus,
	    &(struct ipc_answer){
		.id = f->ids[0], .error = ERR_NOT_LEADER, .result = bytes_text("http://n2:8080") });
	expect(f, fd, "307 Temporary Redirect",
	    "Location: http://n2:8080/key/a%20b?x=y\r\nHoldfast-Applied: no\r\n");
	get = ask(f, "GET /key/a");
	expect_seen(f, "WRITE READ ");
	assert_false(f->leader_only);
	ipc_send_answer(f->consensus, &(struct ipc_answer){ .id = f->ids[1], .error = ERR_NO_LEADER });
	expect(f, get, "503 Service Unavailable", "node is not the leader");
}

static void but_no_longer_than_its_time(void **state)
{
	struct fixture *f = *state;
	int put = ask(f, "PUT /v1/kv/a?timeout=100ms"), get = ask(f, "GET /v1/kv/a?timeout=100ms");

	expect(f, put, "503 Service Unavailable", "Holdfast-Applied: no");
	expect(f, get, "503 Service Unavailable", "\"code\":\"starting\"");
}

#define WAITING_MOST 31 /* values of 1 MiB, which fit into the 32 MiB that may wait */

static int put_large(struct fixture *f)
{
	static const uint8_t value[1024 * 1024];
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	char text[128];
	int size = snprintf(text, sizeof(text),
	    "PUT /v1/kv/a HTTP/1.1\r\nHost: h\r\nContent-Length: %zu\r\n\r\n", sizeof(value));
	size_t sent = 0;

	assert_int_equal(connect(fd, (struct sockaddr *)&f->address, sizeof(f->address)), 0);
	assert_int_equal(send(fd, text, (size_t)size, MSG_NOSIGNAL), size);
	for (int i = 0; i < PATIENCE_TURNS && sent < sizeof(value); i++) {
		ssize_t n = send(fd, value + sent, sizeof(value) - sent, MSG_NOSIGNAL | MSG_DONTWAIT);

		sent += n > 0 ? (size_t)n : 0;
		turn(f);
	}
	assert_int_equal(sent, sizeof(value));
	return fd;
}

static void too_much_that_waits_for_the_consensus_worker_is_refused_without_a_number(void **state)
{
	struct fixture *f = *state;
	int fds[WAITING_MOST];

	for (size_t i = 0; i < WAITING_MOST; i++)
		fds[i] = put_large(f);
	expect(f, put_large(f), "503 Service Unavailable", "the limit is 33554432; repeat it later");
	for (size_t i = 0; i < WAITING_MOST; i++)
		close(fds[i]);
}

static void live_is_said_without_the_consensus_worker(void **state)
{
	struct fixture *f = *state;

	expect(f, ask(f, "GET /livez"), "200 OK", "live");
}

static void a_write_is_handed_over_once_and_a_read_again(void **state)
{
	struct fixture *f = *state;
	int put, get;

	start_consensus(f);
	put = ask(f, "PUT /v1/kv/a");
	expect_seen(f, "WRITE ");
	get = ask(f, "GET /v1/kv/a");
	expect_seen(f, "WRITE READ ");
	kill_consensus(f);
	expect(f, put, "503 Service Unavailable", "Holdfast-Applied: unknown");
	start_consensus(f);
	expect_seen(f, "WRITE READ READ ");
	/* What the dead one would still have said finds nobody. */
	answer_put(f, f->ids[0]);
	ipc_send_answer(f->consensus, &(struct ipc_answer){ .id = f->ids[2], .error = ERR_NO_LEADER });
	expect(f, get, "503 Service Unavailable", "\"code\":\"no_leader\"");
}

static void what_comes_while_the_consensus_worker_ends_waits_for_its_successor(void **state)
{
	struct fixture *f = *state;
	int first, second;

	start_consensus(f);
	first = ask(f, "PUT /v1/kv/a");
	expect_seen(f, "WRITE ");
	ipc_send_pause(f->consensus, &(struct ipc_pause){});
	expect_seen(f, "WRITE PAUSED ");
	second = ask(f, "PUT /v1/kv/b");
	answer_put(f, f->ids[0]);
	expect(f, first, "201 Created", "{\"revision\":7}");
	kill_consensus(f);
	start_consensus(f);
	expect_seen(f, "WRITE PAUSED WRITE ");
	answer_put(f, f->ids[1]);
	expect(f, second, "201 Created", "{\"revision\":7}");
}

static void silence_ends_in_unknown(void **state)
{
	struct fixture *f = *state;
	int fd;

	/* That the two know each other takes its time. */
	start_consensus(f);
	fd = ask(f, "PUT /v1/kv/a");
	expect_seen(f, "WRITE ");
	answer_put(f, f->ids[0]);
	expect(f, fd, "201 Created", "{\"revision\":7}");
	fd = ask(f, "PUT /v1/kv/a?timeout=10ms");
	expect_seen(f, "WRITE WRITE ");
	expect_seen(f, "WRITE WRITE CANCEL ");
	expect(f, fd, "504 Gateway Timeout", "Holdfast-Applied: unknown");
	answer_put(f, f->ids[1]);
	for (int i = 0; i < 5; i++)
		turn(f);
}

static void a_client_that_leaves_cancels_its_request(void **state)
{
	struct fixture *f = *state;
	int fd;

	start_consensus(f);
	fd = ask(f, "PUT /v1/kv/a");
	expect_seen(f, "WRITE ");
	reset(fd);
	expect_seen(f, "WRITE CANCEL ");
}

static void a_stream_of_which_nothing_comes_ends(void **state)
{
	struct fixture *f = *state;
	struct buf heard = { 0 }, why = { 0 };
	int fd;

	start_consensus(f);
	fd = ask(f, "GET /v1/backup");
	expect_seen(f, "BACKUP ");
	assert_int_equal(
	    conf_set((struct conf *)(uintptr_t)f->worker.conf, "limits", "request", "50ms", &why), ERR_OK);
	begin_backup(f, f->ids[0]);
	expect_heard(f, fd, &heard, "\r\n\r\n", true);
	expect_seen(f, "BACKUP CANCEL ");
	buf_free(&heard);
	buf_free(&why);
	close(fd);
}

static void a_stop_waits_for_what_is_under_way(void **state)
{
	struct fixture *f = *state;
	int fd;

	start_consensus(f);
	fd = ask(f, "PUT /v1/kv/a");
	expect_seen(f, "WRITE ");
	http_role.stop(&f->worker, span_ms(0));
	turn(f);
	assert_false(exited);
	answer_put(f, f->ids[0]);
	expect(f, fd, "Connection: close", "{\"revision\":7}");
	for (int i = 0; i < PATIENCE_TURNS && !exited; i++)
		turn(f);
	assert_true(exited);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, open_fixture, close_fixture)
	const struct CMUnitTest tests[] = {
		CASE(a_request_is_handed_over_and_answered),
		CASE(what_a_client_has_not_taken_is_told_until_it_has),
		CASE(a_request_waits_for_the_consensus_worker),
		CASE(a_request_for_the_leader_is_sent_there),
		CASE(but_no_longer_than_its_time),
		CASE(too_much_that_waits_for_the_consensus_worker_is_refused_without_a_number),
		CASE(live_is_said_without_the_consensus_worker),
		CASE(a_write_is_handed_over_once_and_a_read_again),
		CASE(what_comes_while_the_consensus_worker_ends_waits_for_its_successor),
		CASE(silence_ends_in_unknown),
		CASE(a_client_that_leaves_cancels_its_request),
		CASE(a_stop_waits_for_what_is_under_way),
		CASE(a_backup_comes_as_a_stream),
		CASE(head_of_a_backup_reads_none),
		CASE(credit_waits_for_the_client),
		CASE(a_backup_whose_consensus_worker_dies_has_no_end),
		CASE(one_that_has_not_begun_is_asked_for_again),
		CASE(a_backup_that_fails_has_no_end),
		CASE(a_client_that_leaves_its_backup_cancels_it),
		CASE(a_stream_of_which_nothing_comes_ends),
	};

	return cmocka_run_group_tests_name("http_role", tests, NULL, NULL);
}
