#include <stdlib.h>

#include "worker/replica/pending.h"

void pendings_init(struct pendings *s, struct instant now)
{
	*s =
	    (struct pendings){ .next_number = 1, .wheel_at = span_to_ms((struct span){ now.ns }) / WHEEL_MS };
	for (int i = 0; i < STAGE_COUNT; i++)
		TAILQ_INIT(&s->stages[i]);
	for (int i = 0; i < WHEEL_SLOTS; i++)
		LIST_INIT(&s->wheel[i]);
	TAILQ_INIT(&s->free);
}

void pendings_fini(struct pendings *s)
{
	struct pending *p;

	for (int i = 0; i < STAGE_COUNT; i++)
		while ((p = TAILQ_FIRST(&s->stages[i])) != NULL)
			pending_free(s, p);
	while ((p = TAILQ_FIRST(&s->free)) != NULL) {
		TAILQ_REMOVE(&s->free, p, in_stage);
		free(p);
	}
}

static int64_t slot_time(struct instant t)
{
	return span_to_ms((struct span){ t.ns }) / WHEEL_MS;
}

struct pending *pending_new(
    struct pendings *s, uint32_t client, uint64_t id, struct instant deadline, struct blob *data)
{
	struct pending *p = TAILQ_FIRST(&s->free);

	if (p != NULL)
		TAILQ_REMOVE(&s->free, p, in_stage);
	else
		p = xmalloc(sizeof(*p));
	*p = (struct pending){
		.number = s->next_number++,
		.client_key = { client, id },
		.client = client,
		.id = id,
		.deadline = deadline,
		.data = data,
		.stage = STAGE_NEW,
	};
	TAILQ_INSERT_TAIL(&s->stages[STAGE_NEW], p, in_stage);
	LIST_INSERT_HEAD(&s->wheel[slot_time(deadline) % WHEEL_SLOTS], p, in_wheel);
	HASH_ADD(by_number, s->by_number, number, sizeof(p->number), p);
	HASH_ADD(by_client, s->by_client, client_key, sizeof(p->client_key), p);
	s->count++;
	s->bytes += data->size;
	return p;
}

void pending_renumber(struct pendings *s, struct pending *p)
{
	HASH_DELETE(by_number, s->by_number, p);
	p->number = s->next_number++;
	HASH_ADD(by_number, s->by_number, number, sizeof(p->number), p);
}

void pending_set_deadline(struct pendings *s, struct pending *p, struct instant deadline)
{
	LIST_REMOVE(p, in_wheel);
	p->deadline = deadline;
	LIST_INSERT_HEAD(&s->wheel[slot_time(deadline) % WHEEL_SLOTS], p, in_wheel);
}

/* Also its queue: who is moved has waited. */
static void leave_stage(struct pendings *s, struct pending *p)
{
	TAILQ_REMOVE(&s->stages[p->stage], p, in_stage);
	s->big_asked -= p->big && p->stage == STAGE_ASKED;
	if (p->queued_in != NULL)
		TAILQ_REMOVE(p->queued_in, p, in_queue);
	p->queued_in = NULL;
	p->may_ask = false;
}

void pending_move(struct pendings *s, struct pending *p, enum stage stage)
{
	leave_stage(s, p);
	s->big_asked += p->big && stage == STAGE_ASKED;
	p->stage = stage;
	p->unled = p->unled || stage == STAGE_ROUTE;
	TAILQ_INSERT_TAIL(&s->stages[stage], p, in_stage);
}

void pending_free(struct pendings *s, struct pending *p)
{
	leave_stage(s, p);
	LIST_REMOVE(p, in_wheel);
	HASH_DELETE(by_number, s->by_number, p);
	HASH_DELETE(by_client, s->by_client, p);
	s->count--;
	s->bytes -= p->data->size;
	blob_unref(p->data);
	TAILQ_INSERT_HEAD(&s->free, p, in_stage);
}

struct pending *pending_find(const struct pendings *s, uint64_t number)
{
	struct pending *p;

	HASH_FIND(by_number, s->by_number, &number, sizeof(number), p);
	return p;
}

struct pending *pending_find_client(const struct pendings *s, uint32_t client, uint64_t id)
{
	uint64_t key[2] = { client, id };
	struct pending *p;

	HASH_FIND(by_client, s->by_client, key, sizeof(key), p);
	return p;
}

struct pending *pending_first(const struct pendings *s, enum stage stage)
{
	return TAILQ_FIRST(&s->stages[stage]);
}

/* Slot by slot up to now; one that has a later round of the wheel in mind stays. */
struct pending *pending_expired(struct pendings *s, struct instant now)
{
	int64_t to = slot_time(now);
	struct pending *p;

	if (to - s->wheel_at > WHEEL_SLOTS)
		s->wheel_at = to - WHEEL_SLOTS;
	for (; s->wheel_at < to; s->wheel_at++)
		LIST_FOREACH (p, &s->wheel[s->wheel_at % WHEEL_SLOTS], in_wheel)
			if (slot_time(p->deadline) <= s->wheel_at)
				return p;
	return NULL;
}

struct instant pending_deadline(const struct pendings *s)
{
	if (s->count == 0)
		return INSTANT_NEVER;
	return (struct instant){ span_ms((s->wheel_at + 1) * WHEEL_MS).ns };
}
