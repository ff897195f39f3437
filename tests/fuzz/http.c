#include <assert.h>
#include <linux/sockios.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/random.h"
#include "tests/fuzz/common/fuzz.h"
#include "worker/http/dialect.h"
#include "worker/http/server.h"

/*
 * What a client sends, from the connection to the operation. However the bytes are cut, the same requests come out of
 * them. They are those of a second stream that says the same in the plainest way, one request behind the other with
 * a Content-Length: so what the parser took for a body is what the connection skipped, and nothing was smuggled. What a
 * dialect makes of a request, the consensus worker's check passes.
 */
static const struct dialect *const dialects[] = { &native, &m2, &shared_key, &raft_kv_example, NULL };
static const struct limits limits = { 64, 512, 4096 };

#define TURNS_MOST 20000
#define HEAD_BYTES_PLAIN (31 * 1024) /* room for the lines that the plain stream adds */

static struct world {
	struct loop *loop;
	struct loop_timer *tick;
	struct server *server;
	struct operation operation;
	struct response response;
	struct buf seen; /* requests and refusals */
	struct buf plain; /* the requests, said plainly */
	bool in_plain; /* all of them are */
	bool refused;
} world;

/* --- what is seen --- */

static bool is_framing(struct bytes name)
{
	static const char *const names[] = { "host", "content-length", "transfer-encoding" };

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		if (name.size != strlen(names[i]))
			continue;
		for (size_t at = 0; (name.data[at] | 0x20) == names[i][at]; at++)
			if (at + 1 == name.size)
				return true;
	}
	return false;
}

static void put_part(struct buf *to, struct bytes part)
{
	buf_printf(to, "%zu:", part.size);
	buf_append(to, part);
}

static void see(const struct request *q)
{
	struct buf *to = &world.seen;

	buf_printf(to, "\n%s ", method_name(q->method));
	put_part(to, q->path);
	put_part(to, q->query);
	for (size_t i = 0; i < q->header_count; i++) {
		if (is_framing(q->headers[i].name))
			continue;
		put_part(to, q->headers[i].name);
		put_part(to, q->headers[i].value);
	}
	put_part(to, q->body);
}

static void say_plainly(const struct request *q)
{
	struct buf *to = &world.plain;
	size_t began = to->size;

	if (q->method == METHOD_OTHER)
		world.in_plain = false;
	buf_printf(to, "%s ", method_name(q->method));
	buf_append(to, q->path);
	if (q->query.size > 0) {
		buf_append_text(to, "?");
		buf_append(to, q->query);
	}
	buf_printf(to, " HTTP/1.1\r\nHost: h\r\nContent-Length: %zu\r\n", q->body.size);
	for (size_t i = 0; i < q->header_count; i++) {
		if (is_framing(q->headers[i].name))
			continue;
		buf_append(to, q->headers[i].name);
		buf_append_text(to, ": ");
		buf_append(to, q->headers[i].value);
		buf_append_text(to, "\r\n");
	}
	buf_append_text(to, "\r\n");
	if (to->size - began > HEAD_BYTES_PLAIN || q->header_count + 2 > REQUEST_HEADERS_MAX)
		world.in_plain = false;
	buf_append(to, q->body);
}

/* --- the server's handlers --- */

static size_t on_body_max(void *arg, const struct request *q, const char **option)
{
	struct match m = route_find(dialects, DIALECTS_ALL, q->method, q->path);

	(void)arg;
	return route_body_max(&m, &limits, option);
}

static bool on_passes(void *arg, const struct request *q)
{
	(void)arg;
	(void)q;
	return true;
}

static void see_operation(const struct match *m, const struct operation *op)
{
	bool local = (m->route->flags & ROUTE_LOCAL) != 0;
	struct bytes txn = buf_bytes(&op->txn);

	if (!local && (op->kind == REQUEST_WRITE || op->kind == REQUEST_READ))
		assert(kv_txn_check(txn, op->kind == REQUEST_WRITE, FEATURE_LEVEL_MOST) == ERR_OK);
	buf_printf(&world.seen, " kind %d level %d time %llu min %llu", op->kind, op->level,
	    (unsigned long long)op->time_ms, (unsigned long long)op->min_revision);
	put_part(&world.seen, op->token);
	put_part(&world.seen, txn);
}

static void on_request(void *arg, struct conn *c, const struct request *q)
{
	struct match m = route_find(dialects, DIALECTS_ALL, q->method, q->path);
	struct operation *op = &world.operation;
	const char *option;
	enum err e;

	(void)arg;
	assert(q->path.size > 0 && q->path.data[0] == '/' && q->body.size <= on_body_max(NULL, q, &option));
	see(q);
	say_plainly(q);
	op->limits = &limits;
	op->spoken = DIALECTS_ALL;
	e = dialect_parse(&m, q, op);
	if (e == ERR_OK)
		see_operation(&m, op);
	else
		buf_printf(&world.seen, " %s: %s", err_name(e), buf_text(&op->why));
	dialect_refuse(&m, &op->note, e == ERR_OK ? ERR_NO_LEADER : e, APPLIED_NO, buf_bytes(&op->why), 1,
	    &world.response);
	conn_answer(c, &world.response);
}

static void on_gone(void *arg, uint64_t tag)
{
	(void)arg;
	(void)tag;
	assert(!"every request was answered at once");
}

static void on_refuse(void *arg, const struct request *q, enum err e, struct bytes why, struct response *out)
{
	struct match m = route_find(dialects, DIALECTS_ALL, q->method, q->path);

	(void)arg;
	world.refused = true;
	buf_printf(&world.seen, "\nrefused %s: %.*s", err_name(e), (int)why.size, (const char *)why.data);
	dialect_refuse(&m, &(struct note){ 0 }, e, APPLIED_NO, why, 1, out);
}

static const struct server_handlers handlers = { .body_max = on_body_max,
	.passes = on_passes,
	.request = on_request,
	.gone = on_gone,
	.refuse = on_refuse };

/* --- the client --- */

static void on_tick(void *arg)
{
	(void)arg;
	loop_stop(world.loop);
}

static void turn(void)
{
	loop_timer_set(world.tick, (struct instant){ 0 });
	loop_run(world.loop);
}

/* Takes what the server says; false once it has closed. */
static bool drain(int fd)
{
	static char heard[64 * 1024];
	ssize_t got;

	do
		got = recv(fd, heard, sizeof(heard), MSG_DONTWAIT);
	while (got > 0);
	return got == -1;
}

/* Until what was sent has been read and answered. */
static bool settle(int fd)
{
	int unread = 1;

	for (int i = 0; i < TURNS_MOST && unread > 0; i++) {
		turn();
		if (!drain(fd))
			return false;
		assert(ioctl(fd, SIOCOUTQ, &unread) == 0);
	}
	assert(unread == 0);
	turn();
	return true;
}

/* Says it in pieces of at most `most` bytes, closes, and waits for the end. */
static void say(struct bytes what, size_t most)
{
	struct random r = { fuzz_seed(what) };
	bool open = true;
	int fds[2];

	world.refused = false;
	world.in_plain = true;
	buf_clear(&world.seen);
	buf_clear(&world.plain);
	assert(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds) == 0);
	server_take(world.server, fds[0]);
	while (what.size > 0 && open) {
		size_t size = 1 + (size_t)random_below(&r, most);
		ssize_t sent = send(fds[1], what.data, size < what.size ? size : what.size, MSG_NOSIGNAL);

		if (sent > 0)
			what = bytes_of(what.data + sent, what.size - (size_t)sent);
		open = settle(fds[1]);
	}
	shutdown(fds[1], SHUT_WR);
	for (int i = 0; i < TURNS_MOST && drain(fds[1]); i++)
		turn();
	close(fds[1]);
	for (int i = 0; i < TURNS_MOST && server_connections(world.server) > 0; i++)
		turn();
	assert(server_connections(world.server) == 0);
}

static void begin(void)
{
	const struct span calm = span_ms(600000);
	struct server_options o = { 16, calm, calm, calm, 0, 1 << 20 };

	world.loop = loop_new();
	world.tick = loop_timer_new(world.loop, on_tick, NULL);
	world.server = server_new(world.loop, &o, &handlers, NULL);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct bytes input = bytes_of(data, size);
	struct buf first = { 0 }, plain = { 0 };

	if (world.loop == NULL)
		begin();
	say(input, 32 * 1024);
	buf_append(&first, buf_bytes(&world.seen));
	if (world.in_plain && !world.refused)
		buf_append(&plain, buf_bytes(&world.plain));
	say(input, size / 16 + 4);
	assert(bytes_equal(buf_bytes(&first), buf_bytes(&world.seen)));
	if (plain.size > 0) {
		say(buf_bytes(&plain), 32 * 1024);
		assert(bytes_equal(buf_bytes(&first), buf_bytes(&world.seen)));
	}
	buf_free(&first);
	buf_free(&plain);
	return 0;
}
