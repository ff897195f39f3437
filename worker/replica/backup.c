#include <inttypes.h>

#include "common/log.h"
#include "worker/replica/inside.h"

/*
 * GET /v1/backup: the state of this node as of one index, by the scan that there is one of (scan.h), answered as a stream
 * (common/ipc.h). A slice is read when there is credit for a byte of it, so one slice at most is under way beyond what
 * the client has made room for.
 */

static bool is_of(const struct backup *b, uint32_t client, uint64_t id)
{
	return b->on && b->client == client && b->id == id;
}

static void read_on(struct replica *r)
{
	struct backup *b = &r->backup;

	if (b->told && b->credit > 0)
		scan_want(r, &b->user, SCAN_SLICE_BYTES);
}

static void tell_end(const struct replica *r, const char *what, const char *why)
{
	const struct backup *b = &r->backup;

	log_info("%s%s revision=%" PRIu64 " bytes=%" PRIu64 " after=%" PRId64 "ms", what, why, b->index,
	    b->bytes, span_to_ms(instant_between(b->begun, r->now)));
}

static void on_slice(struct replica *r, struct scan_user *u, struct bytes frames, bool last)
{
	struct backup *b = &r->backup;
	struct ipc_answer a = { .id = b->id, .more = !last, .revision = b->index, .result = frames };

	(void)u;
	b->bytes += frames.size;
	b->credit -= (int64_t)frames.size;
	b->on = !last;
	if (last)
		tell_end(r, "a backup was read", "");
	r->env.answer(r->env.arg, b->client, &a);
	if (b->on)
		read_on(r);
}

static void on_broken(struct replica *r, struct scan_user *u, const char *why)
{
	struct backup *b = &r->backup;
	struct ipc_answer a = {
		.id = b->id, .error = ERR_BUSY, .revision = b->index, .text = bytes_text(why)
	};

	(void)u;
	b->on = false;
	tell_end(r, "a backup breaks off: ", why);
	r->env.answer(r->env.arg, b->client, &a);
}

static void begin(struct replica *r, uint32_t client, uint64_t id)
{
	r->backup =
	    (struct backup){ .user = { on_slice, on_broken }, .on = true, .client = client, .id = id };
	r->backup.begun = r->now;
}

enum err backup_ask(struct replica *r, uint32_t client, uint64_t id, const char **why)
{
	struct backup *b = &r->backup;

	*why = "this node was removed from its cluster: a member of it has the state";
	if (r->removed != NULL)
		return ERR_FOREIGN;
	*why = "this node belongs to no cluster yet: there is no state";
	if (r->raft == NULL)
		return ERR_CONFLICT;
	*why = "this node is quarantined, as /v1/status says: another node has a state that is trusted";
	if (r->distrusted != NULL)
		return ERR_QUARANTINED;
	*why = "another backup is under way at this node, and there is one at a time";
	if (b->on)
		return ERR_BUSY;
	begin(r, client, id);
	b->on = scan_begin(r, &b->user);
	*why = "this node sends an image of its state to another one; a backup waits until that is over";
	if (!b->on)
		return ERR_BUSY;
	b->index = scan_index(r);
	log_info("a backup begins revision=%" PRIu64, b->index);
	return ERR_OK;
}

void backup_turn(struct replica *r)
{
	struct backup *b = &r->backup;
	struct ipc_answer a = { .id = b->id, .more = 1, .revision = b->index };
	struct buf status = { 0 };

	if (!b->on || b->told)
		return;
	b->told = true;
	status_put(r, &status);
	a.result = buf_bytes(&status);
	r->env.answer(r->env.arg, b->client, &a);
	buf_free(&status);
}

void replica_credit(struct replica *r, uint32_t client, uint64_t id, uint32_t bytes)
{
	if (!is_of(&r->backup, client, id))
		return;
	r->backup.credit += bytes;
	read_on(r);
}

static void give_up(struct replica *r)
{
	r->backup.on = false;
	scan_end(r, &r->backup.user);
	tell_end(r, "a backup was given up by its client", "");
}

void backup_cancel(struct replica *r, uint32_t client, uint64_t id)
{
	if (is_of(&r->backup, client, id))
		give_up(r);
}

void backup_forget(struct replica *r, uint32_t client)
{
	if (r->backup.on && r->backup.client == client)
		give_up(r);
}
