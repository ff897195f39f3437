#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>

#include "tests/raft/cluster.h"

/* What is around one core: its disk, and a state that knows no more than what was applied to it. */

void state_free(struct state *s)
{
	blob_unref(s->config);
	*s = (struct state){ 0 };
}

struct state state_of(const struct state *s)
{
	if (s->config != NULL)
		blob_ref(s->config);
	return *s;
}

static void state_set(struct state *to, const struct state *from)
{
	struct state copy = state_of(from);

	state_free(to);
	*to = copy;
}

static uint64_t mix(uint64_t hash, uint64_t value)
{
	return (hash ^ value) * UINT64_C(0x9e3779b97f4a7c15) + (hash >> 29);
}

static void state_apply(struct state *s, const struct entry *e)
{
	assert(!s->frozen && e->pos.index == s->pos.index + 1 && e->pos.term >= s->pos.term);
	s->pos = e->pos;
	s->time_ms = e->time_ms;
	s->hash = mix(mix(s->hash, e->pos.term), e->pos.index);
	for (size_t i = 0; i < e->data->size; i++)
		s->hash = mix(s->hash, e->data->data[i]);
	if (e->type != ENTRY_CONFIG)
		return;
	s->config_index = e->pos.index;
	blob_unref(s->config);
	s->config = blob_ref(e->data);
}

/* ---- the disk ---- */

static void save_free(struct save *s)
{
	entries_free(&s->entries);
	state_free(&s->image);
	for (size_t i = 0; i < s->promise_count; i++)
		buf_free(&s->promises[i].bytes);
	free(s->promises);
}

static void forget_saves(struct node *n)
{
	for (size_t i = 0; i < n->save_count; i++)
		save_free(&n->saves[i]);
	free(n->saves);
	n->saves = NULL;
	n->save_count = 0;
}

static void begin_save(struct node *n, const struct raft_ready *rd)
{
	struct save *s;

	n->saves = xreallocarray(n->saves, n->save_count + 1, sizeof(*n->saves));
	s = &n->saves[n->save_count++];
	*s = (struct save){ .ticket = rd->ticket,
		.hard_changed = rd->hard_changed,
		.hard = rd->hard,
		.install = rd->install,
		.rebase = rd->rebase };
	if (rd->install) {
		assert(raft_pos_equal(rd->base, n->image.pos) && rd->base_time_ms == n->image.time_ms);
		s->image = n->image;
		n->image = (struct state){ 0 };
	}
	for (size_t i = 0; i < rd->entry_count; i++)
		entries_add(&s->entries, &rd->entries[i]);
}

static void drop_from(struct node *n, uint64_t index)
{
	while (n->log.count > 0 && n->base.index + n->log.count >= index)
		blob_unref(n->log.data[--n->log.count].data);
}

static void begin_log(struct node *n, struct raft_pos base)
{
	drop_from(n, 0);
	n->base = base;
}

static void write_entries(struct node *n, const struct save *s)
{
	for (size_t i = 0; i < s->entries.count; i++) {
		drop_from(n, s->entries.data[i].pos.index);
		assert(s->entries.data[i].pos.index == n->base.index + n->log.count + 1);
		entries_add(&n->log, &s->entries.data[i]);
	}
}

static void write_down(struct node *n, const struct save *s)
{
	if (s->hard_changed)
		n->hard = s->hard;
	if (s->install)
		state_set(&n->state_disk, &s->image);
	if (s->rebase)
		begin_log(n, s->image.pos);
	write_entries(n, s);
}

static void drop_first_save(struct node *n)
{
	save_free(&n->saves[0]);
	n->save_count--;
	for (size_t i = 0; i < n->save_count; i++)
		n->saves[i] = n->saves[i + 1];
}

static void look_at(const struct cluster *c, const struct node *n)
{
	if (c->on_state != NULL)
		c->on_state(c->on_state_arg, n);
}

bool node_persist(struct cluster *c, struct node *n)
{
	struct save *s = n->saves;

	if (n->save_count == 0)
		return false;
	write_down(n, s);
	if (s->install) {
		state_set(&n->state, &s->image);
		look_at(c, n);
	}
	for (size_t i = 0; i < s->promise_count; i++) {
		cluster_post(c, s->promises[i]);
		s->promises[i].bytes = (struct buf){ 0 };
	}
	buf_printf(c->out, "  %" PRIu64 " is durable to ticket=%" PRIu64 "\n", n->id, s->ticket);
	if (n->raft != NULL)
		raft_persisted(n->raft, s->ticket, n->now);
	drop_first_save(n);
	return true;
}

void node_crash(struct node *n, size_t keep, bool half)
{
	for (; keep > 0 && n->save_count > 0; keep--) {
		write_down(n, &n->saves[0]);
		drop_first_save(n);
	}
	if (half && n->save_count > 0 && n->saves[0].install) {
		if (n->saves[0].hard_changed)
			n->hard = n->saves[0].hard;
		state_set(&n->state_disk, &n->saves[0].image);
	}
	forget_saves(n);
	state_free(&n->image);
	raft_free(n->raft);
	n->raft = NULL;
	n->fetch_count = 0;
	n->images = 0;
}

void node_fini(struct node *n)
{
	node_crash(n, 0, false);
	entries_free(&n->log);
	state_free(&n->state);
	state_free(&n->state_disk);
}

void node_compact(struct node *n, uint64_t index)
{
	struct raft_view v = raft_view(n->raft);
	uint64_t most = n->state_disk.pos.index;
	size_t gone = 0;

	if (n->state_disk.frozen)
		most = v.commit < v.durable ? v.commit : v.durable;
	if (index > most)
		index = most;
	while (gone < n->log.count && n->log.data[gone].pos.index <= index) {
		n->base = n->log.data[gone].pos;
		blob_unref(n->log.data[gone++].data);
	}
	n->log.count -= gone;
	for (size_t i = 0; i < n->log.count; i++)
		n->log.data[i] = n->log.data[i + gone];
	raft_cut_before(n->raft, n->base);
}

void node_fetch(struct cluster *c, struct node *n)
{
	for (size_t i = 0; i < n->fetch_count; i++) {
		struct entries found = { 0 };
		size_t bytes = 0;

		for (uint64_t at = n->fetches[i].index;
		     at > n->base.index && at <= n->base.index + n->log.count; at++) {
			const struct entry *e = &n->log.data[at - n->base.index - 1];

			bytes += entry_bytes(e);
			if (found.count > 0 && bytes > n->fetches[i].bytes_max)
				break;
			entries_add(&found, e);
		}
		raft_fetched(n->raft, n->fetches[i].peer, &found);
		entries_free(&found);
	}
	n->fetch_count = 0;
	node_ready(c, n);
}

/* ---- the core ---- */

bool node_install(struct node *n, const struct state *image, uint64_t term)
{
	struct raft_image i = {
		.pos = image->pos,
		.time_ms = image->time_ms,
		.config_index = image->config_index,
		.config = image->config,
		.term = term,
	};

	if (!raft_install(n->raft, &i, n->now))
		return false;
	n->image = state_of(image);
	return true;
}

static void hold_promise(struct cluster *c, struct node *n, const struct raft_message *m)
{
	struct save *s;

	if (n->save_count == 0) {
		tell_message(c, "  ", m);
		cluster_post(c, letter_of(m));
		return;
	}
	tell_message(c, "  held: ", m);
	s = &n->saves[n->save_count - 1];
	s->promises = xreallocarray(s->promises, s->promise_count + 1, sizeof(*s->promises));
	s->promises[s->promise_count++] = letter_of(m);
}

static void persist(struct cluster *c, struct node *n, const struct raft_ready *rd)
{
	buf_printf(c->out, "  %" PRIu64 " persists ticket=%" PRIu64, n->id, rd->ticket);
	if (rd->hard_changed)
		buf_printf(c->out, " term=%" PRIu64 " vote=%" PRIu64, rd->hard.term, rd->hard.vote);
	if (rd->install)
		buf_printf(c->out, " image=%" PRIu64 ".%" PRIu64 "%s", rd->base.term, rd->base.index,
		    rd->rebase ? " new log" : "");
	buf_append_text(c->out, rd->entry_count ? " [" : "");
	tell_entries(c->out, rd->entries, rd->entry_count);
	buf_append_text(c->out, rd->entry_count ? "]\n" : "\n");
	begin_save(n, rd);
}

/* D7: what is applied is on this node's own disk. */
static void apply(struct cluster *c, struct node *n, const struct raft_ready *rd)
{
	buf_printf(c->out, "  %" PRIu64 " applies [", n->id);
	tell_entries(c->out, rd->committed, rd->committed_count);
	buf_append_text(c->out, "]\n");
	for (size_t i = 0; i < rd->committed_count; i++) {
		uint64_t index = rd->committed[i].pos.index;

		assert(index > n->base.index && index <= n->base.index + n->log.count);
		assert(raft_pos_equal(n->log.data[index - n->base.index - 1].pos, rd->committed[i].pos));
		state_apply(&n->state, &rd->committed[i]);
		look_at(c, n);
	}
}

static void take_ready(struct cluster *c, struct node *n, const struct raft_ready *rd)
{
	for (size_t i = 0; i < rd->message_count; i++) {
		tell_message(c, "  ", &rd->messages[i]);
		cluster_post(c, letter_of(&rd->messages[i]));
	}
	if (rd->persist)
		persist(c, n, rd);
	for (size_t i = 0; i < rd->promise_count; i++)
		hold_promise(c, n, &rd->promises[i]);
	if (rd->committed_count > 0)
		apply(c, n, rd);
	for (size_t i = 0; i < rd->read_count; i++)
		buf_printf(c->out, "  %" PRIu64 " may read number=%" PRIu64 " index=%" PRIu64 "\n", n->id,
		    rd->reads[i].number, rd->reads[i].index);
	for (size_t i = 0; i < rd->fetch_count && n->fetch_count < NODES_MAX; i++) {
		buf_printf(c->out, "  %" PRIu64 " fetches index=%" PRIu64 " for %" PRIu64 "\n", n->id,
		    rd->fetches[i].index, rd->fetches[i].peer);
		n->fetches[n->fetch_count++] = rd->fetches[i];
	}
	for (size_t i = 0; i < rd->image_count; i++) {
		buf_printf(c->out, "  %" PRIu64 " asks for an image for %" PRIu64 "\n", n->id, rd->images[i]);
		n->images |= 1u << rd->images[i];
	}
}

void node_ready(struct cluster *c, struct node *n)
{
	struct raft_ready rd;

	while (n->raft != NULL && raft_ready(n->raft, &rd)) {
		take_ready(c, n, &rd);
		raft_advance(n->raft);
	}
	if (n->raft != NULL)
		raft_applied(n->raft, n->state.pos.index);
}

static size_t find_runs(const struct entries *log, struct raft_run *runs)
{
	size_t count = 0;

	for (size_t i = 0; i < log->count; i++)
		if (count == 0 || runs[count - 1].term != log->data[i].pos.term)
			runs[count++] = (struct raft_run){ log->data[i].pos.term, log->data[i].pos.index };
	return count;
}

static bool log_has(const struct node *n, struct raft_pos p)
{
	if (p.index <= n->base.index || p.index > n->base.index + n->log.count)
		return raft_pos_equal(p, n->base);
	return raft_pos_equal(p, n->log.data[p.index - n->base.index - 1].pos);
}

/* From the one that the state knows on. */
static void find_configs(const struct node *n, struct entries *configs)
{
	const struct state *s = &n->state_disk;
	struct entry known = { { 0, s->config_index }, 0, ENTRY_CONFIG, s->config };

	if (s->config != NULL)
		entries_add(configs, &known);
	for (size_t i = 0; i < n->log.count; i++)
		if (n->log.data[i].type == ENTRY_CONFIG && n->log.data[i].pos.index > s->config_index)
			entries_add(configs, &n->log.data[i]);
}

void node_start(struct cluster *c, struct node *n)
{
	struct raft_options o = {
		.self = n->id,
		.start = ++n->start,
		.election = span_ms(ELECTION_MS),
		.heartbeat = span_ms(HEARTBEAT_MS),
		.message_bytes_max = c->message_bytes_max,
		.window_bytes_max = 1 << 20,
		.uncommitted_bytes_max = c->uncommitted_bytes_max,
		.cache_bytes = c->cache_bytes,
		.seed = n->id,
	};
	struct raft_run *runs = xreallocarray(NULL, n->log.count + 1, sizeof(*runs));
	struct entries configs = { 0 }, tail = { 0 };
	struct raft_start s = { .hard = n->hard, .configs = &configs, .tail = &tail, .runs = runs };

	state_set(&n->state, &n->state_disk);
	s.frozen = n->state.frozen;
	if (!s.frozen && !log_has(n, n->state.pos)) /* an image came, but the log was not switched */
		begin_log(n, n->state.pos);
	s.base = s.last = n->base;
	s.last_time_ms = n->state.time_ms;
	s.run_count = find_runs(&n->log, runs);
	s.applied = s.frozen ? n->base.index : n->state.pos.index;
	find_configs(n, &configs);
	for (size_t i = 0; i < n->log.count; i++) {
		s.last = n->log.data[i].pos;
		s.last_time_ms = n->log.data[i].time_ms;
		if (s.last.index > s.applied && !s.frozen)
			entries_add(&tail, &n->log.data[i]);
	}
	if (raft_new(&n->raft, &o, &s, n->now) != ERR_OK)
		abort();
	entries_free(&configs);
	entries_free(&tail);
	free(runs);
}
