#include <assert.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <sysexits.h>
#include <unistd.h>

#include <nng/nng.h>
#include <nng/transport/ipc/ipc.h>

#include "common/ipc_link.h"
#include "common/log.h"

#define SOCKET_MODE 0600
/* A dialer tries again after an eighth of the time for which it has been without a peer, within these bounds: an outage
 * lasts an eighth longer than it must, and a long one costs few tries. Each takes a socket and some turns of NNG's threads. */
#define REDIAL_PART 8
#define REDIAL_LEAST_MS 1
#define REDIAL_MOST_MS 50
/* After an error that is not the peer's absence, such as a lack of descriptors. */
#define RETRY_MS 500

/* An operation that wakes the loop when it is over. `over` is set by NNG's thread; the loop clears it. */
struct operation {
	struct ipc_link *link;
	nng_aio *aio;
	bool under_way;
	atomic_bool over;
};

struct ipc_link {
	struct loop *loop;
	const struct ipc_link_events *events;
	void *arg;
	nng_stream_listener *listener; /* one of these two is NULL */
	nng_stream_dialer *dialer;
	nng_stream *stream; /* NULL while there is no connection */
	struct operation meet, receive, send;
	nng_aio *send_now; /* has no callback */
	uint8_t *into; /* where `receive` receives to */
	size_t into_size;
	bool heard; /* the peer has sent something */
	bool ending; /* `receive` has failed once */
	bool broken; /* sending failed, and not because the peer has gone */
	struct instant alone_since;
	struct loop_timer *retry;
	int wake_fd;
	struct loop_io *woken;
	char url[sizeof("ipc://") + IPC_LINK_PATH_BYTES_MAX];
};

/* --- operations --- */

/* On a thread of NNG. */
static void on_over(void *arg)
{
	struct operation *o = arg;

	atomic_store(&o->over, true);
	eventfd_write(o->link->wake_fd, 1);
}

/* Fails only for want of memory, descriptors or threads, or by a mistake of ours. */
static void nng_must(int error)
{
	if (error != 0)
		fatalx(EX_OSERR, "cannot set up NNG: %s", nng_strerror(error));
}

static void init_operation(struct operation *o, struct ipc_link *k)
{
	o->link = k;
	nng_must(nng_aio_alloc(&o->aio, on_over, o));
}

static nng_aio *begin_operation(struct operation *o)
{
	assert(!o->under_way);
	o->under_way = true;
	return o->aio;
}

/* True once for each operation, when it is over. */
static bool end_operation(struct operation *o)
{
	if (!atomic_exchange(&o->over, false))
		return false;
	o->under_way = false;
	return true;
}

/* Waits for one whose stream, listener or dialer is closed. Afterwards it can begin again. */
static void abandon_operation(struct operation *o)
{
	nng_aio_wait(o->aio);
	atomic_store(&o->over, false);
	o->under_way = false;
}

static void set_memory(nng_aio *aio, uint8_t *data, size_t size)
{
	nng_iov iov = { .iov_buf = data, .iov_len = size };

	nng_must(nng_aio_set_iov(aio, 1, &iov));
}

/* --- connections that begin and end --- */

static void on_retry(void *arg)
{
	struct ipc_link *k = arg;

	if (k->listener != NULL)
		nng_stream_listener_accept(k->listener, begin_operation(&k->meet));
	else
		nng_stream_dialer_dial(k->dialer, begin_operation(&k->meet));
}

static void retry_in(struct ipc_link *k, struct span s)
{
	loop_timer_set(k->retry, instant_add(loop_now(k->loop), s));
}

static void dial_again(struct ipc_link *k)
{
	int64_t ms = span_to_ms(instant_between(k->alone_since, loop_now(k->loop))) / REDIAL_PART;

	if (ms < REDIAL_LEAST_MS)
		ms = REDIAL_LEAST_MS;
	if (ms > REDIAL_MOST_MS)
		ms = REDIAL_MOST_MS;
	retry_in(k, span_ms(ms));
}

static void meet_again(struct ipc_link *k)
{
	if (k->listener != NULL)
		on_retry(k);
	else
		dial_again(k);
}

static void free_stream(struct ipc_link *k)
{
	nng_stream_close(k->stream);
	abandon_operation(&k->receive);
	abandon_operation(&k->send);
	nng_stream_free(k->stream);
	k->stream = NULL;
}

void ipc_link_hang_up(struct ipc_link *k)
{
	free_stream(k);
	k->events->down(k->arg);
	meet_again(k);
}

static bool is_friend(nng_stream *s)
{
	uint64_t uid;
	int error = nng_stream_get_uint64(s, NNG_OPT_IPC_PEER_UID, &uid);

	if (error == 0 && uid == geteuid())
		return true;
	if (error == 0)
		log_warnx("refused a process of another user uid=%llu", (unsigned long long)uid);
	else
		log_warnx("refused a process whose user is not known: %s", nng_strerror(error));
	return false;
}

static void take_connection(struct ipc_link *k, nng_stream *s)
{
	k->stream = s;
	k->heard = k->ending = k->broken = false;
	if (is_friend(s)) {
		k->events->up(k->arg);
	} else {
		free_stream(k);
		meet_again(k);
	}
}

static bool is_absence(int error)
{
	return error == NNG_ECONNREFUSED || error == NNG_EAGAIN;
}

static void on_met(struct ipc_link *k)
{
	int error = nng_aio_result(k->meet.aio);

	if (error == 0) {
		take_connection(k, nng_aio_get_output(k->meet.aio, 0));
	} else if (k->dialer != NULL && is_absence(error)) {
		dial_again(k);
	} else {
		log_warnx(
		    "cannot connect to another process of this node at %s: %s", k->url, nng_strerror(error));
		retry_in(k, span_ms(RETRY_MS));
	}
}

/* --- receiving --- */

static void begin_receiving(struct ipc_link *k)
{
	set_memory(k->receive.aio, k->into, k->into_size);
	nng_stream_recv(k->stream, begin_operation(&k->receive));
}

void ipc_link_receive(struct ipc_link *k, uint8_t *into, size_t size)
{
	k->into = into;
	k->into_size = size;
	begin_receiving(k);
}

static void on_received(struct ipc_link *k)
{
	int error = nng_aio_result(k->receive.aio);

	if (error == 0) {
		k->heard = true;
		k->ending = false;
		if (!k->events->received(k->arg, nng_aio_count(k->receive.aio)))
			ipc_link_hang_up(k);
	} else if (!k->ending) {
		/* NNG reports that a peer has gone before what that had sent last is received. Then it can still be. */
		k->ending = true;
		begin_receiving(k);
	} else {
		/* One that comes and says nothing is as good as absent. */
		if (k->heard)
			k->alone_since = loop_now(k->loop);
		ipc_link_hang_up(k);
	}
}

/* --- sending --- */

/* How much was sent. */
static size_t sent_by(struct ipc_link *k, nng_aio *aio)
{
	int error = nng_aio_result(aio);

	if (error == 0)
		return nng_aio_count(aio);
	if (error != NNG_ECANCELED && error != NNG_ECLOSED && error != NNG_ECONNRESET &&
	    error != NNG_ECONNSHUT) {
		log_warnx("cannot send to another process of this node: %s", nng_strerror(error));
		k->broken = true;
		eventfd_write(k->wake_fd, 1);
	}
	return 0;
}

size_t ipc_link_send(struct ipc_link *k, struct bytes what)
{
	assert(!k->send.under_way);
	set_memory(k->send_now, (uint8_t *)(uintptr_t)what.data, what.size);
	nng_stream_send(k->stream, k->send_now);
	/* It is over, unless there is no room for a single byte. */
	nng_aio_cancel(k->send_now);
	nng_aio_wait(k->send_now);
	return sent_by(k, k->send_now);
}

void ipc_link_send_rest(struct ipc_link *k, struct bytes what)
{
	set_memory(k->send.aio, (uint8_t *)(uintptr_t)what.data, what.size);
	nng_stream_send(k->stream, begin_operation(&k->send));
}

static void on_sent(struct ipc_link *k)
{
	size_t size = sent_by(k, k->send.aio);

	if (size > 0)
		k->events->sent(k->arg, size);
}

/* --- the loop --- */

static void on_woken(void *arg)
{
	struct ipc_link *k = arg;
	eventfd_t count;

	eventfd_read(k->wake_fd, &count);
	if (end_operation(&k->meet))
		on_met(k);
	if (end_operation(&k->send))
		on_sent(k);
	if (end_operation(&k->receive))
		on_received(k);
	if (k->stream != NULL && k->broken)
		ipc_link_hang_up(k);
}

/* --- opening and closing --- */

static struct ipc_link *new_link(
    struct loop *l, const char *path, const struct ipc_link_events *events, void *arg)
{
	struct ipc_link *k = xcalloc(1, sizeof(*k));

	k->loop = l;
	k->events = events;
	k->arg = arg;
	snprintf(k->url, sizeof(k->url), "ipc://%s", path);
	k->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (k->wake_fd == -1)
		fatal(EX_OSERR, "cannot make an eventfd");
	k->woken = loop_io_new(l, k->wake_fd, on_woken, NULL, k);
	k->retry = loop_timer_new(l, on_retry, k);
	k->alone_since = loop_now(l);
	return k;
}

/* The first use of NNG starts its threads, which inherit the mask: signals are the loop's business. */
static void start_nng(struct ipc_link *k)
{
	sigset_t all, before;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	init_operation(&k->meet, k);
	init_operation(&k->receive, k);
	init_operation(&k->send, k);
	nng_must(nng_aio_alloc(&k->send_now, NULL, NULL));
	pthread_sigmask(SIG_SETMASK, &before, NULL);
}

void ipc_link_close(struct ipc_link *k)
{
	if (k == NULL)
		return;
	if (k->listener != NULL)
		nng_stream_listener_close(k->listener);
	if (k->dialer != NULL)
		nng_stream_dialer_close(k->dialer);
	nng_aio_wait(k->meet.aio);
	if (k->meet.under_way && nng_aio_result(k->meet.aio) == 0)
		k->stream = nng_aio_get_output(k->meet.aio, 0);
	if (k->stream != NULL)
		free_stream(k);
	nng_stream_listener_free(k->listener);
	nng_stream_dialer_free(k->dialer);
	nng_aio_free(k->meet.aio);
	nng_aio_free(k->receive.aio);
	nng_aio_free(k->send.aio);
	nng_aio_free(k->send_now);
	loop_io_free(k->woken);
	loop_timer_free(k->retry);
	close(k->wake_fd);
	free(k);
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

static enum err start_listening(struct ipc_link *k, const char *path)
{
	struct stat st;
	int error;

	/* NNG removes whatever stands at its path and does not answer. */
	if (lstat(path, &st) == 0 && !S_ISSOCK(st.st_mode)) {
		log_warnx("there is something else in place of the socket %s", path);
		return ERR_EXISTS;
	}
	nng_must(nng_stream_listener_alloc(&k->listener, k->url));
	nng_must(nng_stream_listener_set_int(k->listener, NNG_OPT_IPC_PERMISSIONS, SOCKET_MODE));
	if ((error = nng_stream_listener_listen(k->listener)) == 0)
		meet_again(k);
	return err_from_nng(error, k->url);
}

static enum err start_dialing(struct ipc_link *k, const char *path)
{
	(void)path;
	nng_must(nng_stream_dialer_alloc(&k->dialer, k->url));
	retry_in(k, span_ms(0));
	return ERR_OK;
}

static enum err open_link(struct ipc_link **out, struct loop *l, const char *path,
    enum err (*start)(struct ipc_link *k, const char *path), const struct ipc_link_events *events, void *arg)
{
	struct ipc_link *k;
	enum err e;

	*out = NULL;
	if (strlen(path) > IPC_LINK_PATH_BYTES_MAX)
		return ERR_TOO_LARGE;
	k = new_link(l, path, events, arg);
	start_nng(k);
	if ((e = start(k, path)) == ERR_OK)
		*out = k;
	else
		ipc_link_close(k);
	return e;
}

enum err ipc_link_listen(
    struct ipc_link **out, struct loop *l, const char *path, const struct ipc_link_events *events, void *arg)
{
	return open_link(out, l, path, start_listening, events, arg);
}

enum err ipc_link_dial(
    struct ipc_link **out, struct loop *l, const char *path, const struct ipc_link_events *events, void *arg)
{
	return open_link(out, l, path, start_dialing, events, arg);
}
