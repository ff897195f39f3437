#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <sysexits.h>
#include <unistd.h>

#include <nng/nng.h>
#include <nng/protocol/pair0/pair.h>

#include "common/ipc_inside.h"
#include "common/log.h"

/*
 * A connection over NNG between HTTP worker (dials) and consensus worker (listens), one PAIR0 socket at each end.
 *
 * A message is an envelope {from, to, session} and frames. `from` and `to` are the generations of both ends. The
 * session is counted by the dialer, one for each pipe that NNG makes for it, so that what an earlier pipe of the
 * same two lives still delivers is told apart. The dialer greets on each new pipe by a message to 0 without
 * frames; the listener answers with an ordinary message, which may be empty. Whatever is not from this peer, to this life,
 * in this session is dropped in silence.
 *
 * NNG's threads run one function of ours, on_pipe(), which notes what became of a pipe and kicks the loop.
 */
#define ENVELOPE_BYTES 24
/* A batch is closed at this size; what follows waits for the next message. A message over RECVMAXSZ would kill the
 * pipe and the message behind it. */
#define BATCH_BYTES_MAX (8 * 1024 * 1024)
#define RECEIVE_BYTES_MAX (2 * (size_t)IPC_NNG_BYTES_MAX)
#define MESSAGES_PER_TURN 16
/* What was received before a pipe broke is kept for us: the last answers of a peer that dies. */
#define RECEIVE_BUFFER 4
#define PATH_BYTES_MAX 100
/* NNG 1.5.2 accepts nobody any more once a peer has died between its connect and its handshake (NNG's issue 1518).
 * That cannot be seen from outside, so a listener that nobody has come to for so long is made anew. Open pipes
 * cannot be counted for this: one that is refused ends without having begun. Its dialer in turn gives up for good when
 * the other side closes between connect and handshake, as such a listener does: it is made anew likewise, less often,
 * for a dialer closed in its handshake is what makes a listener deaf. Either waits twice as long each time: on a busy
 * machine a handshake lasts, too. */
#define RELISTEN_MS 300
#define REDIAL_MS 1000
#define PATIENCE_DOUBLINGS 3
/* NNG's dialer, left alone, tries again every few milliseconds, each time with a socket that one thread of the
 * process clears away, in two steps. Where processors are scarce that thread falls behind for good: descriptors pile
 * up by the thousand, and what needs it too (the end of a broken pipe, nng_close()) does not happen any more. So it
 * sleeps practically for ever after a try (half of them it repeats at once), and we look for a socket that is new. */
#define NNG_RETRY_MS 60000
#define LOOK_MS 5
/* For one that was refused, or lost its pipe: the same socket may take it now. */
#define AGAIN_MS 50
/* Between bind and listen NNG gives the socket this mode; with another one it refuses yet. */
#define SOCKET_MODE 0600

struct pipe_event {
	nng_pipe pipe;
	nng_pipe_ev what;
};

struct ipc_nng {
	struct ipc ipc;
	nng_socket socket;
	bool listens;
	nng_listener listener;
	nng_dialer dialer;
	bool visited; /* the listener: a pipe came since this was last looked at */
	struct stat dialed; /* the socket file when it was last dialed */
	struct instant again; /* before this, the same file is not dialed again */
	int64_t patience_ms;
	struct loop_timer *repair;
	char url[sizeof("ipc://") + PATH_BYTES_MAX];
	uint64_t self, peer, session;
	nng_pipe pipe; /* the one that there is, greeted on or not */
	nng_pipe ended; /* the last one */
	bool greet; /* a message is owed even if it is empty */
	int send_fd, kick_fd;
	struct loop_io *receivable, *sendable, *kicked;
	pthread_mutex_t lock;
	struct buf events; /* of struct pipe_event; under the lock */
};

static struct ipc_nng *self(struct ipc *i)
{
	return (struct ipc_nng *)(void *)((char *)i - offsetof(struct ipc_nng, ipc));
}

static bool same_pipe(nng_pipe a, nng_pipe b)
{
	return nng_pipe_id(a) == nng_pipe_id(b);
}

static bool is_connected(const struct ipc_nng *n)
{
	return nng_pipe_id(n->pipe) > 0;
}

/* Sending */

static bool can_send(const struct ipc_nng *n)
{
	struct pollfd p = { .fd = n->send_fd, .events = POLLIN };

	return poll(&p, 1, 0) == 1;
}

static bool send_message(struct ipc_nng *n, struct bytes frames)
{
	nng_msg *m;
	uint8_t *to;

	if (nng_msg_alloc(&m, ENVELOPE_BYTES + frames.size) != 0)
		fatalx(EX_OSERR, "out of memory for a message");
	to = nng_msg_body(m);
	wire_store_u64(to, n->self);
	wire_store_u64(to + 8, n->ipc.here ? n->peer : 0);
	wire_store_u64(to + 16, n->session);
	if (frames.size > 0)
		memcpy(to + ENVELOPE_BYTES, frames.data, frames.size);
	if (nng_sendmsg(n->socket, m, NNG_FLAG_NONBLOCK) != 0) {
		nng_msg_free(m);
		return false;
	}
	return true;
}

/* One message is in flight; meanwhile what follows is gathered, so that it costs one message too. */
static void send_gathered(struct ipc *i)
{
	struct ipc_nng *n = self(i);

	while (n->greet || ipc_waiting(i) > 0) {
		struct bytes frames = ipc_next(i, BATCH_BYTES_MAX);

		if (!can_send(n) || !send_message(n, frames)) {
			loop_io_read(n->sendable, true);
			return;
		}
		n->greet = false;
		ipc_left(i, frames.size);
	}
	loop_io_read(n->sendable, false);
}

static void on_sendable(void *arg)
{
	ipc_send_waiting(arg);
}

static void greet(struct ipc_nng *n)
{
	n->greet = true;
	loop_batch_ask(n->ipc.batch);
}

/* Peers that come and go */

static void repair_in(struct ipc_nng *n, int64_t ms)
{
	loop_timer_set(n->repair, instant_add(loop_now(n->ipc.loop), span_ms(ms)));
}

static void lose(struct ipc_nng *n)
{
	n->pipe = (nng_pipe)NNG_PIPE_INITIALIZER;
	n->greet = false;
	if (!n->listens) {
		n->session++;
		repair_in(n, LOOK_MS);
	}
	ipc_lose(&n->ipc);
}

static void welcome(struct ipc_nng *n, uint64_t peer)
{
	n->peer = peer;
	n->ipc.here = true;
	if (n->ipc.handlers->here != NULL)
		n->ipc.handlers->here(n->ipc.arg, peer);
}

/* Of the listener's own user. A pipe that has closed meanwhile knows nothing any more and is no danger. */
static bool is_friend(nng_pipe pipe)
{
	uint64_t uid;

	if (nng_pipe_get_uint64(pipe, NNG_OPT_IPC_PEER_UID, &uid) != 0 || uid == geteuid())
		return true;
	log_warnx("refused a process of another user uid=%llu", (unsigned long long)uid);
	return false;
}

static bool take_greeting(struct ipc_nng *n, nng_pipe pipe, uint64_t from, uint64_t session)
{
	if (!is_friend(pipe))
		return false;
	lose(n);
	n->pipe = pipe;
	n->session = session;
	welcome(n, from);
	greet(n);
	return true;
}

/* False when the sender is not to be trusted. */
static bool take_message(struct ipc_nng *n, nng_pipe pipe, struct bytes message)
{
	struct reader r = reader_of(message);
	uint64_t from = wire_get_u64(&r), to = wire_get_u64(&r), session = wire_get_u64(&r);

	if (r.bad)
		return false;
	if (n->listens && to == 0)
		return r.left == 0 && take_greeting(n, pipe, from, session);
	if (to != n->self || session != n->session)
		return true;
	if (!n->ipc.here && n->listens)
		return true;
	if (!n->ipc.here)
		welcome(n, from);
	return from != n->peer || ipc_dispatch(&n->ipc, bytes_of(r.at, r.left));
}

static void receive(struct ipc_nng *n, unsigned most)
{
	nng_msg *m;

	while (most-- > 0 && nng_recvmsg(n->socket, &m, NNG_FLAG_NONBLOCK) == 0) {
		nng_pipe pipe = nng_msg_get_pipe(m);

		if (!take_message(n, pipe, bytes_of(nng_msg_body(m), nng_msg_len(m)))) {
			nng_pipe_close(pipe);
			if (same_pipe(pipe, n->pipe))
				lose(n);
		}
		nng_msg_free(m);
	}
}

static void on_receivable(void *arg)
{
	receive(arg, MESSAGES_PER_TURN);
}

/* On a thread of NNG. */
static void on_pipe(nng_pipe pipe, nng_pipe_ev what, void *arg)
{
	struct ipc_nng *n = arg;
	struct pipe_event e = { pipe, what };

	pthread_mutex_lock(&n->lock);
	buf_append(&n->events, bytes_of(&e, sizeof(e)));
	pthread_mutex_unlock(&n->lock);
	eventfd_write(n->kick_fd, 1);
}

static void dial_again_in(struct ipc_nng *n, int64_t ms)
{
	n->again = instant_add(loop_now(n->ipc.loop), span_ms(ms));
}

static void on_pipe_ended(struct ipc_nng *n, nng_pipe pipe)
{
	n->ended = pipe;
	if (same_pipe(pipe, n->pipe))
		lose(n);
	if (n->listens)
		return;
	n->patience_ms = REDIAL_MS;
	dial_again_in(n, AGAIN_MS);
}

static void on_pipe_begun(struct ipc_nng *n, nng_pipe pipe)
{
	n->visited = true;
	/* The two come from different threads. */
	if (same_pipe(pipe, n->ended))
		return;
	if (!n->listens) {
		lose(n);
		greet(n);
	}
	/* Of the listener's it may have been greeted on already. */
	if (!n->ipc.here)
		n->pipe = pipe;
}

static void take_event(struct ipc_nng *n, const struct pipe_event *e)
{
	if (e->what == NNG_PIPE_EV_REM_POST)
		on_pipe_ended(n, e->pipe);
	else
		on_pipe_begun(n, e->pipe);
}

static void take_events(struct ipc_nng *n)
{
	struct buf events;

	pthread_mutex_lock(&n->lock);
	events = n->events;
	n->events = (struct buf){ 0 };
	pthread_mutex_unlock(&n->lock);
	/* What the peer said before it went comes before the news that it went. */
	receive(n, MESSAGES_PER_TURN);
	for (size_t at = 0; at < events.size; at += sizeof(struct pipe_event)) {
		struct pipe_event e;

		memcpy(&e, events.data + at, sizeof(e));
		take_event(n, &e);
	}
	buf_free(&events);
}

static void on_kicked(void *arg)
{
	struct ipc_nng *n = arg;
	eventfd_t count;

	if (eventfd_read(n->kick_fd, &count) == 0)
		take_events(n);
}

/* Opening and closing */

static void close_nng(struct ipc *i)
{
	struct ipc_nng *n = self(i);

	/* The first two watch descriptors of NNG's; the third is written to until NNG has closed. */
	loop_io_free(n->receivable);
	loop_io_free(n->sendable);
	loop_io_free(n->kicked);
	loop_timer_free(n->repair);
	nng_close(n->socket);
	close(n->kick_fd);
	pthread_mutex_destroy(&n->lock);
	buf_free(&n->events);
	ipc_fini(i);
	free(n);
}

static const struct ipc_ops nng_ops = { send_gathered, close_nng };

/* Fails only for want of memory, descriptors or threads, or by a mistake of ours. */
static void must(int error)
{
	if (error != 0)
		fatalx(EX_OSERR, "cannot set up NNG: %s", nng_strerror(error));
}

static void open_socket(struct ipc_nng *n)
{
	int receive_fd;

	must(nng_pair0_open(&n->socket));
	must(nng_socket_set_int(n->socket, NNG_OPT_SENDBUF, 0));
	must(nng_socket_set_int(n->socket, NNG_OPT_RECVBUF, RECEIVE_BUFFER));
	must(nng_socket_set_size(n->socket, NNG_OPT_RECVMAXSZ, RECEIVE_BYTES_MAX));
	must(nng_socket_set_ms(n->socket, NNG_OPT_RECONNMINT, NNG_RETRY_MS));
	must(nng_pipe_notify(n->socket, NNG_PIPE_EV_ADD_POST, on_pipe, n));
	must(nng_pipe_notify(n->socket, NNG_PIPE_EV_REM_POST, on_pipe, n));
	must(nng_socket_get_int(n->socket, NNG_OPT_RECVFD, &receive_fd));
	must(nng_socket_get_int(n->socket, NNG_OPT_SENDFD, &n->send_fd));
	n->receivable = loop_io_new(n->ipc.loop, receive_fd, on_receivable, NULL, n);
	/* NNG's descriptor for sending becomes *readable* when something can be sent. */
	n->sendable = loop_io_new(n->ipc.loop, n->send_fd, on_sendable, NULL, n);
	loop_io_read(n->sendable, false);
}

static struct ipc_nng *new_nng(
    struct loop *l, bool listens, uint64_t generation, const struct ipc_handlers *handlers, void *arg)
{
	struct ipc_nng *n = xcalloc(1, sizeof(*n));

	ipc_init(&n->ipc, &nng_ops, l, handlers, arg);
	n->ipc.in = listens ? IPC_HTTP_TO_CONSENSUS : IPC_CONSENSUS_TO_HTTP;
	n->ipc.out = listens ? IPC_CONSENSUS_TO_HTTP : IPC_HTTP_TO_CONSENSUS;
	n->ipc.bytes_max = IPC_NNG_BYTES_MAX;
	n->listens = listens;
	n->self = generation;
	pthread_mutex_init(&n->lock, NULL);
	n->kick_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (n->kick_fd == -1)
		fatal(EX_OSERR, "cannot make an eventfd");
	n->kicked = loop_io_new(l, n->kick_fd, on_kicked, NULL, n);
	open_socket(n);
	return n;
}

static enum err err_from_nng(int error, const char *url)
{
	if (error == 0)
		return ERR_OK;
	log_warnx("cannot use the socket %s: %s", url, nng_strerror(error));
	if (error & NNG_ESYSERR)
		return err_from_errno(error & ~NNG_ESYSERR);
	return error == NNG_EADDRINUSE ? ERR_IN_USE : error == NNG_EPERM ? ERR_PERMISSION : ERR_IO;
}

static const char *path_of(const struct ipc_nng *n)
{
	return n->url + strlen("ipc://");
}

static enum err start_listener(struct ipc_nng *n)
{
	struct stat st;
	int error;

	/* NNG removes whatever stands at its path and does not answer. */
	if (lstat(path_of(n), &st) == 0 && !S_ISSOCK(st.st_mode)) {
		log_warnx("there is something else in place of the socket %s", path_of(n));
		return ERR_EXISTS;
	}
	if ((error = nng_listener_create(&n->listener, n->socket, n->url)) == 0 &&
	    (error = nng_listener_set_int(n->listener, NNG_OPT_IPC_PERMISSIONS, SOCKET_MODE)) == 0)
		error = nng_listener_start(n->listener, 0);
	return err_from_nng(error, n->url);
}

static enum err start_dialer(struct ipc_nng *n)
{
	int error;

	if ((error = nng_dialer_create(&n->dialer, n->socket, n->url)) == 0)
		error = nng_dialer_start(n->dialer, NNG_FLAG_NONBLOCK);
	return err_from_nng(error, n->url);
}

static void be_more_patient(struct ipc_nng *n, int64_t first_ms)
{
	if (n->patience_ms < first_ms << PATIENCE_DOUBLINGS)
		n->patience_ms *= 2;
}

static void listen_again(struct ipc_nng *n)
{
	bool visited = n->visited || is_connected(n);

	n->visited = false;
	if (visited) {
		n->patience_ms = RELISTEN_MS;
	} else {
		be_more_patient(n, RELISTEN_MS);
		nng_listener_close(n->listener);
		if (start_listener(n) != ERR_OK)
			n->patience_ms = RELISTEN_MS * 10; /* it is said in the log each time */
	}
	repair_in(n, n->patience_ms);
}

static bool same_file(const struct stat *a, const struct stat *b)
{
	return a->st_ino == b->st_ino && a->st_ctim.tv_sec == b->st_ctim.tv_sec &&
	       a->st_ctim.tv_nsec == b->st_ctim.tv_nsec;
}

/* Whether the socket is one to dial now: the listener's each time it is made anew, any for so long. */
static bool is_to_be_dialed(struct ipc_nng *n)
{
	struct stat st;

	if (stat(path_of(n), &st) != 0 || !S_ISSOCK(st.st_mode) || (st.st_mode & 0777) != SOCKET_MODE)
		return false;
	if (same_file(&st, &n->dialed) && !instant_passed(n->again, loop_now(n->ipc.loop)))
		return false;
	if (same_file(&st, &n->dialed))
		be_more_patient(n, REDIAL_MS);
	else
		n->patience_ms = REDIAL_MS;
	n->dialed = st;
	return true;
}

/* Nothing rings while there is a pipe. */
static void look_for_listener(struct ipc_nng *n)
{
	if (is_connected(n))
		return;
	repair_in(n, LOOK_MS);
	if (!is_to_be_dialed(n))
		return;
	dial_again_in(n, n->patience_ms);
	nng_dialer_close(n->dialer);
	if (start_dialer(n) != ERR_OK)
		repair_in(n, REDIAL_MS * 10); /* it is said in the log each time */
}

static void on_repair(void *arg)
{
	struct ipc_nng *n = arg;

	/* What has come meanwhile is not to be closed: NNG 1.5.2 does not get over a pipe that is closed on this side
	 * while a message comes in (see docs/decisions/0003). */
	take_events(n);
	if (n->listens)
		listen_again(n);
	else
		look_for_listener(n);
}

static enum err open_nng(struct ipc **out, struct loop *l, bool listens, const char *path,
    uint64_t generation, const struct ipc_handlers *handlers, void *arg)
{
	sigset_t all, before;
	struct ipc_nng *n;
	enum err e = ERR_OK;

	*out = NULL;
	assert(generation != 0);
	if (strlen(path) > PATH_BYTES_MAX)
		return ERR_TOO_LARGE;
	/* The threads that NNG starts inherit the mask: signals are the loop's business. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	n = new_nng(l, listens, generation, handlers, arg);
	snprintf(n->url, sizeof(n->url), "ipc://%s", path);
	n->repair = loop_timer_new(l, on_repair, n);
	n->patience_ms = RELISTEN_MS;
	repair_in(n, listens ? RELISTEN_MS : 0);
	if (listens)
		e = start_listener(n);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (e != ERR_OK) {
		close_nng(&n->ipc);
		return e;
	}
	*out = &n->ipc;
	return ERR_OK;
}

enum err ipc_listen(struct ipc **out, struct loop *l, const char *path, uint64_t generation,
    const struct ipc_handlers *handlers, void *arg)
{
	return open_nng(out, l, true, path, generation, handlers, arg);
}

enum err ipc_dial(struct ipc **out, struct loop *l, const char *path, uint64_t generation,
    const struct ipc_handlers *handlers, void *arg)
{
	return open_nng(out, l, false, path, generation, handlers, arg);
}
