#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "worker/raft/core.h"

/* The core's face: life, inputs, the ready. What they mean is in election.c, replication.c and read.c. */

void add_config(struct raft *r, const struct raft_config *c)
{
	if (r->config_count == r->config_room) {
		r->config_room = r->config_room == 0 ? 4 : r->config_room * 2;
		r->configs = xreallocarray(r->configs, r->config_room, sizeof(*r->configs));
	}
	r->configs[r->config_count++] = *c;
}

bool push_config(struct raft *r, uint64_t index, struct blob *data)
{
	struct raft_config c;

	if (!raft_config_get(&c, index, data))
		return false;
	add_config(r, &c);
	return true;
}

void forget_configs(struct raft *r, uint64_t index)
{
	size_t old = 0;

	while (old + 1 < r->config_count && r->configs[old + 1].index <= index)
		raft_config_free(&r->configs[old++]);
	r->config_count -= old;
	memmove(r->configs, r->configs + old, r->config_count * sizeof(*r->configs));
}

static bool push_configs(struct raft *r, const struct raft_start *s)
{
	const struct entries *known = s->configs;

	/* What comes later may still be cut. */
	if (s->frozen && (known->count == 0 || known->data[0].pos.index > s->applied))
		add_config(r, &(struct raft_config){ .data = blob_new((struct bytes){ 0 }) });
	for (size_t i = 0; i < known->count; i++)
		if (!push_config(r, known->data[i].pos.index, known->data[i].data))
			return false;
	return r->config_count > 0;
}

enum err raft_new(
    struct raft **out, const struct raft_options *o, const struct raft_start *s, struct instant now)
{
	struct raft *r = xcalloc(1, sizeof(*r));

	assert(o->self != 0 && (!s->frozen || (s->applied == s->base.index && s->tail->count == 0)));
	r->o = *o;
	r->random.state = o->seed;
	r->hard = s->hard;
	r->frozen = s->frozen;
	r->state_at = s->applied;
	raft_log_init(&r->log, s);
	if (!push_configs(r, s)) {
		raft_free(r);
		return ERR_DAMAGED;
	}
	r->heartbeat_at = r->quorum_check_at = INSTANT_NEVER;
	reset_election(r, now);
	/* Nobody else can be the leader: do not wait for one. */
	if (is_alone(r))
		r->election_at = now;
	check(r);
	*out = r;
	return ERR_OK;
}

static void messages_clear(struct messages *list)
{
	for (size_t i = 0; i < list->count; i++)
		raft_message_free(&list->data[i]);
	list->count = 0;
}

void raft_free(struct raft *r)
{
	if (r == NULL)
		return;
	messages_clear(&r->messages);
	messages_clear(&r->promises);
	free(r->messages.data);
	free(r->promises.data);
	entries_free(&r->to_persist);
	entries_free(&r->to_apply);
	entries_free(&r->fetched);
	for (size_t i = 0; i < r->config_count; i++)
		raft_config_free(&r->configs[i]);
	free(r->configs);
	raft_log_fini(&r->log);
	free(r->peers);
	free(r->reads);
	free(r->tickets);
	free(r->reads_done);
	free(r->fetches);
	free(r);
}

static struct raft_message *new_message(
    struct raft *r, struct messages *list, enum raft_type type, uint64_t to)
{
	if (list->count == list->room) {
		list->room = list->room == 0 ? 16 : list->room * 2;
		list->data = xreallocarray(list->data, list->room, sizeof(*list->data));
	}
	list->data[list->count] =
	    (struct raft_message){ .type = type, .from = r->o.self, .to = to, .term = r->hard.term };
	return &list->data[list->count++];
}

struct raft_message *send_now(struct raft *r, enum raft_type type, uint64_t to)
{
	return new_message(r, &r->messages, type, to);
}

struct raft_message *promise(struct raft *r, enum raft_type type, uint64_t to)
{
	return new_message(r, &r->promises, type, to);
}

const struct raft_config *config_now(const struct raft *r)
{
	return &r->configs[r->config_count - 1];
}

bool is_voter(const struct raft *r)
{
	return quorum_has(&config_now(r)->quorum, r->o.self);
}

void add_entry(struct raft *r, const struct entry *e)
{
	raft_log_add(&r->log, e);
	if (e->type == ENTRY_CONFIG) {
		/* A leader checks before it proposes, so one that nobody can read is a broken node. */
		bool sound = push_config(r, e->pos.index, e->data);

		assert(sound);
		if (r->role == RAFT_LEADER)
			follow_config(r);
	}
}

/* E10: a completion under way speaks of entries that are no longer these. */
void cut_log(struct raft *r, uint64_t index)
{
	raft_log_cut(&r->log, index);
	for (size_t i = 0; i < r->ticket_count; i++)
		if (r->tickets[i].index >= index)
			r->tickets[i].index = index - 1;
	while (config_now(r)->index >= index) /* M4 */
		raft_config_free(&r->configs[--r->config_count]);
}

void advance_commit(struct raft *r, uint64_t index)
{
	if (index <= r->log.commit)
		return;
	assert(index <= r->log.last.index);
	r->log.commit = index;
}

void check(const struct raft *r)
{
	const struct raft_log *l = &r->log;

	assert(l->base.index <= l->applied && l->applied <= l->commit);
	assert(l->applied <= l->durable || r->install || r->ticket_durable < r->apply_ticket);
	assert(l->commit <= l->last.index && l->durable <= l->handed && l->handed <= l->last.index);
	assert(l->base.index < l->first && l->first <= l->durable + 1);
	assert(l->last.term <= r->hard.term);
	assert(r->config_count > 0 && config_now(r)->index <= l->last.index);
	assert(r->role != RAFT_LEADER || (r->leader == r->o.self && r->hard.vote == r->o.self));
	assert(r->role == RAFT_LEADER || r->leader != r->o.self);
	assert(r->role != RAFT_CANDIDATE || (r->leader == 0 && r->hard.vote == r->o.self));
	assert(r->role != RAFT_PRE_CANDIDATE || r->leader == 0);
	assert((r->role == RAFT_LEADER) == (r->peers != NULL));
	assert(r->ticket_durable <= r->ticket_given);
	for (size_t i = 0; i < r->peer_count; i++)
		assert(r->peers[i].state == PROGRESS_IMAGE || r->peers[i].next > l->base.index);
}

static void tick_leader(struct raft *r, struct instant now)
{
	if (instant_passed(r->quorum_check_at, now)) {
		r->quorum_check_at = instant_add(now, r->o.election);
		if (!quorum_is_heard(r, &config_now(r)->quorum, now)) { /* §6.2 (E7) */
			become_follower(r, r->hard.term, 0, now);
			return;
		}
	}
	if (!tick_transfer(r, now))
		return;
	tick_room(r, now);
	if (instant_passed(r->heartbeat_at, now)) {
		r->heartbeat_at = instant_add(now, r->o.heartbeat);
		send_heartbeats(r);
		confirm_reads(r); /* of a voter without others no answer does it */
	}
}

void raft_tick(struct raft *r, struct instant now)
{
	r->now = now;
	if (r->role == RAFT_LEADER)
		tick_leader(r, now);
	else if (instant_passed(r->election_at, now))
		stand(r, now);
	drive_change(r, now);
	check(r);
}

struct instant raft_deadline(const struct raft *r)
{
	if (r->role == RAFT_LEADER)
		return instant_least(r->heartbeat_at, r->quorum_check_at);
	return r->election_at;
}

/* What a message of a higher term does to this node (§3.3). False: the message is not for it. */
static bool take_term(struct raft *r, const struct raft_message *m, struct instant now)
{
	switch (m->type) {
	case RAFT_PREVOTE:
		return true;
	case RAFT_PREVOTE_ANSWER: /* a grant speaks of the term asked for, a refusal of a term that exists (E3) */
		if (!m->prevote_answer.granted)
			become_follower(r, m->term, 0, now);
		return true;
	case RAFT_VOTE: /* §4.2.3: no disruption while a leader is heard; a leader never grants while it leads */
		if (leader_is_heard(r, now) && !m->vote.transfer)
			return false;
		become_follower(r, m->term, 0, now);
		return true;
	case RAFT_APPEND:
	case RAFT_HEARTBEAT:
		become_follower(r, m->term, m->from, now);
		return true;
	case RAFT_VOTE_ANSWER:
	case RAFT_APPEND_ANSWER:
	case RAFT_HEARTBEAT_ANSWER:
	case RAFT_READ:
	case RAFT_READ_ANSWER:
	case RAFT_TIMEOUT_NOW:
		become_follower(r, m->term, 0, now);
		return true;
	}
	return false;
}

/* A message of a lower term: its sender may be stuck there, so it must learn of ours (E3, E6). */
static void answer_old_term(struct raft *r, const struct raft_message *m, struct instant now)
{
	switch (m->type) {
	case RAFT_APPEND:
	case RAFT_HEARTBEAT:
		send_now(r, RAFT_APPEND_ANSWER, m->from)->append_answer.accepted = 0;
		break;
	case RAFT_PREVOTE:
		on_prevote(r, m, now);
		break;
	case RAFT_VOTE:
		on_vote(r, m, now);
		break;
	case RAFT_READ_ANSWER:
		on_read_answer(r, m);
		break;
	case RAFT_PREVOTE_ANSWER:
	case RAFT_VOTE_ANSWER:
	case RAFT_APPEND_ANSWER:
	case RAFT_HEARTBEAT_ANSWER:
	case RAFT_READ:
	case RAFT_TIMEOUT_NOW:
		break;
	}
}

void raft_receive(struct raft *r, const struct raft_message *m, struct instant now)
{
	if (m->to != r->o.self || m->from == r->o.self || m->from == 0)
		return;
	r->now = now;
	if (m->term > r->hard.term && !take_term(r, m, now))
		return;
	if (m->term < r->hard.term) {
		answer_old_term(r, m, now);
		check(r);
		return;
	}
	switch (m->type) {
	case RAFT_PREVOTE:
		on_prevote(r, m, now);
		break;
	case RAFT_PREVOTE_ANSWER:
		on_prevote_answer(r, m, now);
		break;
	case RAFT_VOTE:
		on_vote(r, m, now);
		break;
	case RAFT_VOTE_ANSWER:
		on_vote_answer(r, m, now);
		break;
	case RAFT_APPEND:
		on_append(r, m, now);
		break;
	case RAFT_APPEND_ANSWER:
		on_append_answer(r, m, now);
		break;
	case RAFT_HEARTBEAT:
		on_heartbeat(r, m, now);
		break;
	case RAFT_HEARTBEAT_ANSWER:
		on_heartbeat_answer(r, m, now);
		break;
	case RAFT_READ:
		on_read(r, m);
		break;
	case RAFT_READ_ANSWER:
		on_read_answer(r, m);
		break;
	case RAFT_TIMEOUT_NOW:
		on_timeout_now(r, m, now);
		break;
	}
	drive_change(r, now);
	check(r);
}

static void complete_tickets(struct raft *r, uint64_t number)
{
	size_t done = 0;

	for (; done < r->ticket_count && r->tickets[done].number <= number; done++)
		if (r->tickets[done].index > r->log.durable)
			r->log.durable = r->tickets[done].index;
	r->ticket_count -= done;
	for (size_t i = 0; i < r->ticket_count; i++)
		r->tickets[i] = r->tickets[i + done];
}

void raft_persisted(struct raft *r, uint64_t ticket, struct instant now)
{
	assert(ticket <= r->ticket_given);
	if (ticket <= r->ticket_durable)
		return;
	r->now = now;
	r->ticket_durable = ticket;
	complete_tickets(r, ticket);
	count_own_vote(r, now);
	if (r->role == RAFT_LEADER)
		count_commit(r);
	drive_change(r, now);
	check(r);
}

static void gather_persist(struct raft *r, struct raft_ready *rd)
{
	rd->hard_changed = r->hard_dirty;
	rd->hard = r->hard;
	for (uint64_t i = r->log.handed + 1; i <= r->log.last.index; i++)
		entries_add(&r->to_persist, raft_log_at(&r->log, i));
	rd->entries = r->to_persist.data;
	rd->entry_count = r->to_persist.count;
	gather_install(r, rd);
	rd->persist = rd->hard_changed || rd->entry_count > 0 || rd->install;
	if (!rd->persist)
		return;
	if (rd->hard_changed || rd->install)
		r->apply_ticket = r->ticket_given + 1;
	r->hard_dirty = false;
	r->log.handed = r->log.last.index;
	if (r->ticket_count == r->ticket_room) {
		r->ticket_room = r->ticket_room == 0 ? TICKETS_MAX_OUT : r->ticket_room * 2;
		r->tickets = xreallocarray(r->tickets, r->ticket_room, sizeof(*r->tickets));
	}
	r->tickets[r->ticket_count++] = (struct ticket){ ++r->ticket_given, r->log.last.index };
}

bool raft_ready(struct raft *r, struct raft_ready *rd)
{
	*rd = (struct raft_ready){ 0 };
	if (r->role == RAFT_LEADER) {
		ask_images(r);
		send_appends(r);
		drive_transfer(r);
		start_read_round(r);
	}
	gather_persist(r, rd);
	gather_committed(r, rd);
	rd->ticket = r->ticket_given;
	rd->messages = r->messages.data;
	rd->message_count = r->messages.count;
	rd->promises = r->promises.data;
	rd->promise_count = r->promises.count;
	rd->reads = r->reads_done;
	rd->read_count = r->read_done_count;
	rd->fetches = r->fetches;
	rd->fetch_count = r->fetch_count;
	rd->images = r->images;
	rd->image_count = r->image_count;
	return rd->persist || rd->message_count + rd->promise_count + rd->committed_count + rd->read_count +
				      rd->fetch_count + rd->image_count >
				  0;
}

void raft_advance(struct raft *r)
{
	messages_clear(&r->messages);
	messages_clear(&r->promises);
	for (size_t i = 0; i < r->to_persist.count; i++)
		blob_unref(r->to_persist.data[i].data);
	for (size_t i = 0; i < r->to_apply.count; i++)
		blob_unref(r->to_apply.data[i].data);
	r->to_persist.count = r->to_apply.count = 0;
	r->read_done_count = r->fetch_count = r->image_count = 0;
	check(r);
}

struct raft_view raft_view(const struct raft *r)
{
	return (struct raft_view){
		.role = r->role,
		.term = r->hard.term,
		.vote = r->hard.vote,
		.leader = r->leader,
		.last = r->log.last,
		.first = r->log.base.index + 1,
		.commit = r->log.commit,
		.applied = r->log.applied,
		.durable = r->log.durable,
		.heard = r->heard,
	};
}

const char *raft_role_name(enum raft_role role)
{
	static const char *const names[] = {
		[RAFT_FOLLOWER] = "follower",
		[RAFT_PRE_CANDIDATE] = "pre-candidate",
		[RAFT_CANDIDATE] = "candidate",
		[RAFT_LEADER] = "leader",
	};

	return names[role];
}

const struct raft_config *raft_config(const struct raft *r)
{
	return config_now(r);
}

const struct raft_config *raft_config_committed(const struct raft *r)
{
	size_t i = r->config_count - 1;

	while (i > 0 && r->configs[i].index > r->log.commit)
		i--;
	return &r->configs[i];
}

uint64_t raft_term_at(const struct raft *r, uint64_t index)
{
	return raft_log_term(&r->log, index);
}
