#include "worker/http/flight.h"

#include <assert.h>
#include <stdlib.h>

#include "common/wire.h"

/* Credit is given in no smaller parts. */
#define CREDIT_LEAST (FLIGHT_WINDOW_BYTES / 4)

/* A slot's room for what it keeps that survives its request. */
#define KEPT_ROOM 1024

struct flights {
	struct flight *slots;
	uint32_t *vacant; /* a stack: the slot used last is used next, so that few of them are warm */
	size_t max, touched, vacant_count, count, kept;
};

struct flights *flights_new(size_t max)
{
	struct flights *t = xcalloc(1, sizeof(*t));

	assert(max < UINT32_MAX);
	t->slots = xcalloc(max, sizeof(*t->slots));
	t->vacant = xreallocarray(NULL, max, sizeof(*t->vacant));
	t->max = max;
	return t;
}

void flights_free(struct flights *t)
{
	if (t == NULL)
		return;
	for (size_t i = 0; i < t->touched; i++) {
		note_fini(&t->slots[i].note);
		buf_free(&t->slots[i].kept);
	}
	free(t->slots);
	free(t->vacant);
	free(t);
}

static size_t slot_of(uint64_t id)
{
	return (uint32_t)id;
}

struct flight *flights_add(struct flights *t)
{
	size_t slot = t->vacant_count > 0 ? t->vacant[--t->vacant_count] : t->touched++;
	struct flight *f = &t->slots[slot];
	struct flight fresh = { .used = true, .kept = f->kept };

	assert(slot < t->max);
	fresh.id = ((f->id >> 32) + 1) << 32 | slot;
	*f = fresh;
	t->count++;
	return f;
}

struct flight *flights_find(const struct flights *t, uint64_t id)
{
	struct flight *f = slot_of(id) < t->touched ? &t->slots[slot_of(id)] : NULL;

	return f != NULL && f->used && f->id == id ? f : NULL;
}

void flights_remove(struct flights *t, struct flight *f)
{
	assert(f->used);
	flight_drop_kept(t, f);
	note_fini(&f->note);
	f->used = false;
	f->conn = NULL;
	t->vacant[t->vacant_count++] = (uint32_t)slot_of(f->id);
	t->count--;
}

size_t flights_count(const struct flights *t)
{
	return t->count;
}

struct flight *flights_next(const struct flights *t, size_t *at)
{
	while (*at < t->touched) {
		struct flight *f = &t->slots[(*at)++];

		if (f->used)
			return f;
	}
	return NULL;
}

void flight_keep(struct flights *t, struct flight *f, struct bytes token, struct bytes operation)
{
	buf_append(&f->kept, token);
	buf_append(&f->kept, operation);
	f->token_bytes = token.size;
	t->kept += f->kept.size;
}

void flight_drop_kept(struct flights *t, struct flight *f)
{
	t->kept -= f->kept.size;
	buf_clear(&f->kept);
	if (f->kept.room > KEPT_ROOM)
		buf_free(&f->kept);
}

uint32_t flight_credit(struct flight *f, size_t unsent)
{
	size_t taken = f->owed + unsent;
	size_t room = taken < FLIGHT_WINDOW_BYTES ? FLIGHT_WINDOW_BYTES - taken : 0;

	if (room < CREDIT_LEAST)
		return 0;
	f->owed += room;
	return (uint32_t)room;
}

void flight_received(struct flight *f, size_t size)
{
	f->owed -= size < f->owed ? size : f->owed;
}

size_t flights_kept(const struct flights *t)
{
	return t->kept;
}
