#include <stdlib.h>

#include "worker/replica/inside.h"

/* The other nodes, as their hellos said: who answers at which address. */

static void acquaintance_free(struct acquaintance *a)
{
	free(a->id);
	free(a->peer);
	free(a->http);
	free(a->build);
	free(a->list);
	free(a->dialed);
	free(a->dialed_me);
	*a = (struct acquaintance){ 0 };
}

void acquaintance_fini(struct replica *r)
{
	for (size_t i = 0; i < r->acquaintance_count; i++)
		acquaintance_free(&r->acquaintances[i]);
	free(r->acquaintances);
}

struct acquaintance *acquaintance_find(const struct replica *r, uint64_t incarnation)
{
	for (size_t i = 0; i < r->acquaintance_count; i++)
		if (r->acquaintances[i].incarnation == incarnation)
			return &r->acquaintances[i];
	return NULL;
}

struct acquaintance *acquaintance_at(const struct replica *r, struct bytes address)
{
	for (size_t i = 0; i < r->acquaintance_count; i++) {
		struct acquaintance *a = &r->acquaintances[i];

		if (a->reachable && a->dialed != NULL && bytes_equal(bytes_text(a->dialed), address))
			return a;
	}
	return NULL;
}

/* An address answers with one incarnation at a time: whoever was there before is not any more. */
static void forget_dialed(struct replica *r, struct bytes dialed)
{
	for (size_t i = 0; i < r->acquaintance_count; i++) {
		struct acquaintance *a = &r->acquaintances[i];

		if (a->dialed != NULL && bytes_equal(bytes_text(a->dialed), dialed)) {
			free(a->dialed);
			a->dialed = NULL;
			a->reachable = false;
		}
	}
}

/* Strangers that came by are forgotten for new ones, so that the list cannot grow without bound. */
static struct acquaintance *new_acquaintance(struct replica *r)
{
	if (r->acquaintance_count == RAFT_MEMBERS_MAX * 2) {
		for (size_t i = 0; i < r->acquaintance_count; i++)
			if (r->acquaintances[i].dialed == NULL) {
				acquaintance_free(&r->acquaintances[i]);
				return &r->acquaintances[i];
			}
		acquaintance_free(&r->acquaintances[0]);
		return &r->acquaintances[0];
	}
	r->acquaintances =
	    xreallocarray(r->acquaintances, r->acquaintance_count + 1, sizeof(*r->acquaintances));
	r->acquaintances[r->acquaintance_count] = (struct acquaintance){ 0 };
	return &r->acquaintances[r->acquaintance_count++];
}

static void set_text(char **to, struct bytes text)
{
	free(*to);
	*to = bytes_dup_text(text);
}

void acquaintance_learn(struct replica *r, const struct peer_hello *hello, const struct bytes *dialed)
{
	struct acquaintance *a;

	if (dialed != NULL)
		forget_dialed(r, *dialed);
	if ((a = acquaintance_find(r, hello->incarnation)) == NULL)
		a = new_acquaintance(r);
	a->incarnation = hello->incarnation;
	a->cluster = hello->cluster;
	a->start = hello->start;
	a->level = hello->level;
	set_text(&a->id, hello->id);
	set_text(&a->peer, hello->peer);
	set_text(&a->http, hello->http);
	set_text(&a->build, hello->build);
	set_text(&a->list, hello->list);
	a->visits = hello->visits;
	a->removed = hello->removed != 0;
	if (dialed != NULL) {
		set_text(&a->dialed, *dialed);
		a->reachable = true;
	} else {
		a->guest = true;
		set_text(&a->dialed_me, hello->dialed);
	}
}
