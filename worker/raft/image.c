#include <assert.h>
#include <stdlib.h>

#include "worker/raft/core.h"

/*
 * Logs that have lost their beginning, and the images of the state that stand in for it, §5; and nodes whose state is not
 * to be trusted until an image replaces it.
 */

void raft_cut_before(struct raft *r, struct raft_pos base)
{
	if (base.index <= r->log.base.index)
		return;
	assert(base.index <= r->log.durable && base.index <= r->log.commit);
	/* Nothing will be applied to this state any more: the image that takes its place is of a later index. */
	if (r->frozen && r->log.applied < base.index)
		raft_log_set_applied(&r->log, base.index);
	raft_log_cut_before(&r->log, base);
	forget_configs(r, base.index);
	/* Whether those that lag hold what is gone they tell themselves. */
	for (size_t i = 0; i < r->peer_count; i++)
		if (r->peers[i].state != PROGRESS_IMAGE && r->peers[i].next <= base.index)
			probe(&r->peers[i], base.index + 1);
	check(r);
}

/* ---- the node that needs one ---- */

void raft_freeze(struct raft *r, struct instant now)
{
	if (r->frozen)
		return;
	r->frozen = true;
	r->now = now;
	entries_free(&r->fetched);
	if (r->role == RAFT_LEADER)
		raft_transfer(r, 0, now); /* refused: tick_transfer() ends it */
	else if (r->role != RAFT_FOLLOWER)
		become_follower(r, r->hard.term, 0, now);
	check(r);
}

bool raft_is_frozen(const struct raft *r)
{
	return r->frozen;
}

/* M5: in force at pos, whatever came later; M4: what came later in the log can still be cut. */
static void adopt_config(struct raft *r, const struct raft_image *image)
{
	struct raft_config *later = r->configs;
	size_t count = r->config_count, first = 0;
	bool sound;

	while (first < count && (r->rebase || later[first].index <= image->pos.index))
		raft_config_free(&later[first++]);
	r->configs = NULL;
	r->config_count = r->config_room = 0;
	sound = push_config(r, image->config_index, image->config);
	assert(sound);
	while (first < count)
		add_config(r, &later[first++]);
	free(later);
}

static void begin_anew(struct raft *r, const struct raft_image *image)
{
	assert(image->pos.index > r->log.commit);
	raft_log_rebase(&r->log, image->pos, image->time_ms);
	/* E10: completions under way speak of entries that are gone. */
	for (size_t i = 0; i < r->ticket_count; i++)
		if (r->tickets[i].index > image->pos.index)
			r->tickets[i].index = image->pos.index;
}

/*
 * Acknowledgements of entries that go may still be held, or on their way. They do no harm: what lies at or before pos is in
 * the image; where the log conflicts with what is committed, a later leader than the one they are for was elected
 * without these entries, so that one can commit nothing there any more (§3.6.3).
 */
bool raft_install(struct raft *r, const struct raft_image *image, struct instant now)
{
	assert(image->term >= image->pos.term && !r->install);
	if (image->pos.index < r->log.base.index ||
	    (!r->frozen && image->pos.index <= r->log.applied)) /* S1 */
		return false;
	r->now = now;
	r->rebase = !raft_log_matches(&r->log, image->pos);
	if (image->term > r->hard.term)
		become_follower(r, image->term, 0, now);
	else if (r->rebase && r->role != RAFT_FOLLOWER) /* votes were asked for with the log that goes */
		become_follower(r, r->hard.term, 0, now);
	adopt_config(r, image);
	if (r->rebase)
		begin_anew(r, image);
	advance_commit(r, image->pos.index);
	raft_log_set_applied(&r->log, image->pos.index);
	r->install = true;
	r->install_pos = image->pos;
	r->install_time_ms = image->time_ms;
	r->state_at = image->pos.index;
	r->frozen = false;
	check(r);
	return true;
}

void gather_install(struct raft *r, struct raft_ready *rd)
{
	if (!r->install)
		return;
	rd->install = true;
	rd->rebase = r->rebase;
	rd->base = r->install_pos;
	rd->base_time_ms = r->install_time_ms;
	r->install = false;
}

/* ---- the leader ---- */

void need_image(struct progress *p)
{
	probe(p, p->match + 1);
	p->state = PROGRESS_IMAGE;
}

void ask_images(struct raft *r)
{
	for (size_t i = 0; i < r->peer_count && !r->frozen; i++) {
		struct progress *p = &r->peers[i];

		if (p->down || p->image_asked || (p->state != PROGRESS_IMAGE && !p->frozen))
			continue;
		p->image_asked = true;
		r->images[r->image_count++] = p->id;
	}
}

/* What was said before the image was over says nothing of the state that it brought. */
void note_frozen(struct progress *p, bool frozen, uint64_t round)
{
	if (round > p->image_round)
		p->frozen = frozen;
}

void raft_image_over(struct raft *r, uint64_t peer, uint64_t index, struct instant now)
{
	struct progress *p = progress_of(r, peer);

	if (p == NULL || !p->image_asked)
		return;
	r->now = now;
	p->image_asked = p->frozen = false;
	p->image_round = r->round;
	if (p->state != PROGRESS_IMAGE)
		return;
	if (index > r->log.last.index)
		index = r->log.last.index;
	probe(p, (index > r->log.base.index ? index : r->log.base.index) + 1);
	p->paused = index == 0; /* it is tried again when the peer is next heard */
	check(r);
}
