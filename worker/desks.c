#include "worker/desks.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/log.h"
#include "worker/kv/kv.h"

/* Answers that may wait for one HTTP worker; above, its requests are refused instead of done. */
#define WAITING_BYTES_MAX (64 * 1024 * 1024)
/* A request with its operation, and an answer with its result, are messages between processes. */
_Static_assert(KV_TXN_BYTES_MAX + KV_TOKEN_BYTES_MAX + 1024 <= IPC_STREAM_BYTES_MAX, "a request");
_Static_assert(KV_RESULT_BYTES_MAX + 64 * 1024 <= IPC_STREAM_BYTES_MAX, "an answer");
/* A client's number: which of its desk's visitors it is, and behind that the desk. */
#define DESK_BITS 6
#define DESKS_MAX (1u << DESK_BITS)

struct desk {
	struct desks *all;
	struct ipc *ipc; /* NULL where there is no such HTTP worker */
	uint32_t client; /* the HTTP worker's life that is served here; 0: nobody */
	bool paused; /* it has nothing more for us */
	uint64_t answered,
	    received; /* bytes of results: given to this life, and as far as it has told taken by it */
	uint64_t unsent; /* as it has told: that wait there for clients */
};

struct desks {
	struct worker *worker;
	struct replica *replica;
	void (*drained)(void *arg);
	void *arg;
	struct desk of[DESKS_MAX];
	uint32_t visitors; /* so many came so far */
	bool pausing;
};

struct desks *desks_new(struct worker *w, struct replica *r, void (*drained)(void *arg), void *arg)
{
	struct desks *ds = xcalloc(1, sizeof(*ds));

	ds->worker = w;
	ds->replica = r;
	ds->drained = drained;
	ds->arg = arg;
	for (unsigned i = 0; i < DESKS_MAX; i++)
		ds->of[i].all = ds;
	return ds;
}

/* --- what HTTP workers ask --- */

/* Its HTTP worker does not take the answers that there are. */
static void refuse_another(struct desk *d, uint64_t id)
{
	struct ipc_answer a = { .id = id, .error = ERR_BUSY, .applied = APPLIED_NO };
	char text[128];

	snprintf(text, sizeof(text),
	    "answers of %zu bytes wait for this HTTP worker, the limit is %d; repeat it later",
	    ipc_waiting(d->ipc), WAITING_BYTES_MAX);
	a.text = bytes_text(text);
	ipc_send_answer(d->ipc, &a);
}

static void on_request(void *arg, const struct ipc_request *m)
{
	struct desk *d = arg;

	if (ipc_waiting(d->ipc) > WAITING_BYTES_MAX)
		refuse_another(d, m->id);
	else
		replica_request(d->all->replica, d->client, m, loop_now(d->all->worker->loop));
}

static void on_credit(void *arg, const struct ipc_credit *m)
{
	struct desk *d = arg;

	replica_credit(d->all->replica, d->client, m->id, m->bytes);
}

static void on_cancel(void *arg, const struct ipc_cancel *m)
{
	struct desk *d = arg;

	replica_cancel(d->all->replica, d->client, m->id);
}

static void on_holds(void *arg, const struct ipc_holds *m)
{
	struct desk *d = arg;

	d->received = m->received;
	d->unsent = m->unsent;
}

static void on_paused(void *arg, const struct ipc_paused *m)
{
	struct desk *d = arg;

	(void)m;
	d->paused = true;
}

static void ask_to_pause(struct desk *d)
{
	if (d->client != 0)
		ipc_send_pause(d->ipc, &(struct ipc_pause){});
}

static void leave(struct desk *d)
{
	replica_forget(d->all->replica, d->client);
	d->client = 0;
}

static void on_gone(void *arg)
{
	leave(arg);
}

static void on_here(void *arg, uint64_t generation)
{
	struct desk *d = arg;
	uint32_t number = (uint32_t)(d - d->all->of);

	/* An answer must never come to another life of the HTTP worker: its requests have the same numbers. */
	d->client = ++d->all->visitors << DESK_BITS | number;
	d->paused = false;
	d->answered = d->received = d->unsent = 0;
	if (d->all->pausing)
		ask_to_pause(d);
	log_debug("http worker %u is here generation=%" PRIu64, number, generation);
}

static void on_drained(void *arg)
{
	struct desk *d = arg;

	d->all->drained(d->all->arg);
}

static const struct ipc_handlers handlers = {
	.request = on_request,
	.credit = on_credit,
	.cancel = on_cancel,
	.holds = on_holds,
	.paused = on_paused,
	.here = on_here,
	.gone = on_gone,
	.drained = on_drained,
};

/* --- what becomes of it --- */

void desks_answer(struct desks *ds, uint32_t client, const struct ipc_answer *a)
{
	struct desk *d = &ds->of[client % DESKS_MAX];

	if (d->client != client)
		return;
	d->answered += a->result.size;
	ipc_send_answer(d->ipc, a);
}

/* What the HTTP worker has not told yet may be as good as gone. */
static size_t beyond_step(uint64_t bytes)
{
	return bytes > IPC_HOLDS_STEP ? (size_t)(bytes - IPC_HOLDS_STEP) : 0;
}

void desks_unsent(const struct desks *ds, uint32_t client, struct unsent *out)
{
	const struct desk *d = &ds->of[client % DESKS_MAX];

	if (d->client != client)
		return;
	out->here = beyond_step(d->answered - d->received);
	out->all = out->here + beyond_step(d->unsent);
}

void desks_pause(struct desks *ds)
{
	ds->pausing = true;
	for (unsigned i = 0; i < DESKS_MAX; i++)
		ask_to_pause(&ds->of[i]);
}

static bool is_busy(const struct desk *d)
{
	return d->ipc != NULL && ((d->client != 0 && !d->paused) || ipc_waiting(d->ipc) > 0);
}

bool desks_busy(const struct desks *ds)
{
	for (unsigned i = 0; i < DESKS_MAX; i++) {
		if (is_busy(&ds->of[i]))
			return true;
	}
	return false;
}

/* --- which there are --- */

struct opening {
	struct desk *desk;
	const char *path;
};

static enum err try_desk(void *arg)
{
	struct opening *o = arg;
	struct worker *w = o->desk->all->worker;

	return ipc_listen(&o->desk->ipc, w->loop, o->path, w->generation, &handlers, o->desk);
}

static void open_desk(struct desks *ds, unsigned number)
{
	char *path = conf_socket_path(ds->worker->conf, number);
	struct opening o = { &ds->of[number], path };

	worker_must(worker_take(try_desk, &o), "listen for an http worker on", path);
	free(path);
}

static void close_desk(struct desk *d)
{
	if (d->client != 0)
		leave(d);
	ipc_close(d->ipc);
	d->ipc = NULL;
}

void desks_set(struct desks *ds, uint64_t numbers)
{
	for (unsigned i = 0; i < DESKS_MAX; i++) {
		bool wanted = (numbers >> i & 1) != 0, there = ds->of[i].ipc != NULL;

		if (wanted && !there)
			open_desk(ds, i);
		else if (!wanted && there)
			close_desk(&ds->of[i]);
	}
}
