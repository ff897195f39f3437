#include <stdlib.h>

#include "worker/replica/inside.h"

#define SHARED_MS 100

void health_fini(struct health *h)
{
	free(h->probes);
}

static struct span limit(const struct replica *r)
{
	return span_times(r->o.election, 2);
}

static bool takes_part(const struct replica *r)
{
	return r->raft != NULL && r->removed == NULL && r->distrusted == NULL;
}

bool health_is_good(const struct replica *r)
{
	const struct health *h = &r->health;

	return h->served.ns != 0 && !instant_passed(instant_add(h->served, limit(r)), r->now);
}

void health_ask(struct replica *r, uint32_t client, uint64_t id, struct instant deadline)
{
	struct health *h = &r->health;

	if (h->count == h->cap) {
		h->cap = h->cap == 0 ? 8 : h->cap * 2;
		h->probes = xreallocarray(h->probes, h->cap, sizeof(*h->probes));
	}
	h->probes[h->count++] = (struct probe){ client, id, deadline };
}

/* Drops those of the client: one of them, or with `all` every one. */
static void drop_probes(struct replica *r, uint32_t client, uint64_t id, bool all)
{
	struct health *h = &r->health;
	size_t kept = 0;

	for (size_t i = 0; i < h->count; i++)
		if (h->probes[i].client != client || (!all && h->probes[i].id != id))
			h->probes[kept++] = h->probes[i];
	h->count = kept;
}

void health_cancel(struct replica *r, uint32_t client, uint64_t id)
{
	drop_probes(r, client, id, false);
}

void health_forget(struct replica *r, uint32_t client)
{
	drop_probes(r, client, 0, true);
}

/* An index given for a later question serves this one too: it was taken after it was asked. */
void health_read_done(struct replica *r, const struct raft_read_done *done)
{
	struct health *h = &r->health;

	if (h->number == 0 || done->number < h->number)
		return;
	h->number = 0;
	h->index = done->index;
}

static void take_applied(struct replica *r)
{
	struct health *h = &r->health;

	if (h->index == 0 || r->meta.applied_index < h->index)
		return;
	h->index = 0;
	h->served = h->asked;
	h->since = (struct instant){ 0 };
}

/* Where nobody asked for a while it is not known how long reads have come to nothing: that begins now. */
static void ask_raft(struct replica *r)
{
	struct health *h = &r->health;
	uint64_t number = r->pendings.next_number;

	if (h->asked.ns != 0 && !instant_passed(instant_add(h->asked, span_ms(SHARED_MS)), r->now))
		return;
	if (h->since.ns == 0 || instant_passed(instant_add(h->asked, limit(r)), r->now))
		h->since = r->now;
	h->asked = r->now;
	h->index = 0;
	h->number = 0;
	if (raft_read(r->raft, number) == ERR_OK) {
		r->pendings.next_number++;
		h->number = number;
	}
}

/* Good or bad, is it known by now? */
static bool is_known(const struct replica *r)
{
	const struct health *h = &r->health;

	return !takes_part(r) || health_is_good(r) ||
	       (h->since.ns != 0 && instant_passed(instant_add(h->since, limit(r)), r->now));
}

void health_question(struct replica *r)
{
	if (r->health.count > 0 && takes_part(r))
		ask_raft(r);
}

void health_answer(struct replica *r)
{
	struct health *h = &r->health;
	size_t kept = 0;
	bool known;

	take_applied(r);
	known = is_known(r);
	for (size_t i = 0; i < h->count; i++)
		if (known || instant_passed(h->probes[i].deadline, r->now))
			answer_at_turn_end(r, h->probes[i].client, h->probes[i].id, ERR_OK, "");
		else
			h->probes[kept++] = h->probes[i];
	h->count = kept;
}

struct instant health_deadline(const struct replica *r)
{
	const struct health *h = &r->health;
	struct instant at = INSTANT_NEVER;

	for (size_t i = 0; i < h->count; i++)
		at = instant_least(at, h->probes[i].deadline);
	if (h->count > 0) {
		at = instant_least(at, instant_add(h->asked, span_ms(SHARED_MS)));
		at = instant_least(at, instant_add(h->since, limit(r)));
	}
	return at;
}
