#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "tests/raft/cluster.h"

struct bytes cluster_name(uint64_t id)
{
	static const char *const names[NODES_MAX + 1] = { "n0", "n1", "n2", "n3", "n4", "n5", "n6", "n7",
		"n8" };

	return bytes_text(names[id]);
}

static struct blob *config_of(size_t count, size_t learners)
{
	struct buf b = { 0 };
	struct blob *blob;

	for (size_t i = 1; i <= count; i++) {
		struct raft_member m = { .incarnation = i,
			.roles = i > count - learners ? RAFT_LEARNER : RAFT_VOTER,
			.id = cluster_name(i) };

		raft_member_put(&b, &m);
	}
	blob = blob_new(buf_bytes(&b));
	buf_free(&b);
	return blob;
}

void cluster_init(struct cluster *c, size_t count, size_t learners, size_t outside, struct buf *out)
{
	struct entry first = { { 1, 1 }, 0, ENTRY_CONFIG, config_of(count - outside, learners) };

	*c = (struct cluster){ .out = out,
		.count = count,
		.message_bytes_max = 1 << 20,
		.cache_bytes = 1 << 20,
		.uncommitted_bytes_max = 1 << 20 };
	for (size_t i = 1; i <= count; i++) {
		struct node *n = &c->nodes[i];

		n->id = i;
		n->now = (struct instant){ 1000000000 };
		n->hard = (struct raft_hard){ 1, 0 };
		entries_add(&n->log, &first);
		node_start(c, n);
	}
	blob_unref(first.data);
}

static void save_free(struct save *s)
{
	entries_free(&s->entries);
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

void cluster_fini(struct cluster *c)
{
	for (size_t i = 1; i <= c->count; i++) {
		raft_free(c->nodes[i].raft);
		entries_free(&c->nodes[i].log);
		forget_saves(&c->nodes[i]);
	}
	for (size_t i = 0; i < c->net_count; i++)
		buf_free(&c->net[i].bytes);
	free(c->net);
}

struct node *cluster_node(struct cluster *c, uint64_t id)
{
	if (id < 1 || id > c->count) {
		fprintf(stderr, "there is no node %" PRIu64 "\n", id);
		exit(1);
	}
	return &c->nodes[id];
}

/* ---- telling ---- */

static void tell_entries(struct buf *out, const struct entry *e, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		buf_printf(out, "%s%" PRIu64 ".%" PRIu64, i ? " " : "", e[i].pos.term, e[i].pos.index);
		if (e[i].type == ENTRY_NOOP)
			buf_append_text(out, " noop");
		else if (e[i].type == ENTRY_CONFIG)
			buf_append_text(out, " config");
		else if (e[i].data->size > 8)
			buf_printf(out, " <%zu bytes>", e[i].data->size);
		else
			buf_printf(out, " %.*s", (int)e[i].data->size, (const char *)e[i].data->data);
	}
}

static void tell_room(struct buf *out, uint8_t room)
{
	static const char *const texts[] = { "", " full", " spent" };

	buf_append_text(out, texts[room]);
}

static void tell_fields(struct buf *out, const struct raft_message *m)
{
	switch (m->type) {
	case RAFT_PREVOTE:
		buf_printf(out, " log=%" PRIu64 ".%" PRIu64, m->prevote.last_term, m->prevote.last_index);
		break;
	case RAFT_VOTE:
		buf_printf(out, " log=%" PRIu64 ".%" PRIu64 "%s", m->vote.last_term, m->vote.last_index,
		    m->vote.transfer ? " transfer" : "");
		break;
	case RAFT_PREVOTE_ANSWER:
		buf_append_text(out, m->prevote_answer.granted ? " granted" : " refused");
		break;
	case RAFT_VOTE_ANSWER:
		buf_append_text(out, m->vote_answer.granted ? " granted" : " refused");
		break;
	case RAFT_APPEND:
		buf_printf(out, " prev=%" PRIu64 ".%" PRIu64 " commit=%" PRIu64 " [", m->append.prev_term,
		    m->append.prev_index, m->append.commit);
		tell_entries(out, m->append.entries.data, m->append.entries.count);
		buf_append_text(out, "]");
		break;
	case RAFT_APPEND_ANSWER:
		buf_printf(out, m->append_answer.accepted ? " accepted=%" PRIu64 : " refused=%" PRIu64,
		    m->append_answer.index);
		if (!m->append_answer.accepted)
			buf_printf(out, " hint=%" PRIu64 ".%" PRIu64, m->append_answer.hint_term,
			    m->append_answer.hint_index);
		tell_room(out, m->append_answer.room);
		break;
	case RAFT_HEARTBEAT:
		buf_printf(
		    out, " commit=%" PRIu64 " round=%" PRIu64, m->heartbeat.commit, m->heartbeat.round);
		break;
	case RAFT_HEARTBEAT_ANSWER:
		buf_printf(out, " round=%" PRIu64, m->heartbeat_answer.round);
		tell_room(out, m->heartbeat_answer.room);
		buf_append_text(out, m->heartbeat_answer.frozen ? " frozen" : "");
		break;
	case RAFT_TIMEOUT_NOW:
		break;
	case RAFT_READ:
		buf_printf(out, " start=%" PRIu64 " number=%" PRIu64, m->read.start, m->read.number);
		break;
	case RAFT_READ_ANSWER:
		buf_printf(out, " start=%" PRIu64 " number=%" PRIu64 " index=%" PRIu64, m->read_answer.start,
		    m->read_answer.number, m->read_answer.index);
		break;
	}
}

static void tell_message(struct cluster *c, const char *what, const struct raft_message *m)
{
	buf_printf(c->out, "%s%" PRIu64 ">%" PRIu64 " %s term=%" PRIu64, what, m->from, m->to,
	    raft_type_name(m->type), m->term);
	tell_fields(c->out, m);
	buf_append_text(c->out, "\n");
}

void node_show(struct cluster *c, const struct node *n)
{
	struct raft_view v;

	if (n->raft == NULL) {
		buf_printf(c->out, "%" PRIu64 ": down\n", n->id);
		return;
	}
	v = raft_view(n->raft);
	buf_printf(c->out,
	    "%" PRIu64 ": %s term=%" PRIu64 " vote=%" PRIu64 " leader=%" PRIu64 " last=%" PRIu64 ".%" PRIu64
	    " commit=%" PRIu64 " durable=%" PRIu64 " applied=%" PRIu64 "\n",
	    n->id, raft_role_name(v.role), v.term, v.vote, v.leader, v.last.term, v.last.index, v.commit,
	    v.durable, n->applied);
}

/* ---- moving ---- */

static struct letter new_letter(const struct raft_message *m)
{
	struct letter l = { .from = m->from, .to = m->to, .type = m->type };

	raft_message_put(&l.bytes, m);
	return l;
}

static void post(struct cluster *c, struct letter l)
{
	c->net = xreallocarray(c->net, c->net_count + 1, sizeof(*c->net));
	c->net[c->net_count++] = l;
}

static void begin_save(struct node *n, const struct raft_ready *rd)
{
	struct save *s;

	n->saves = xreallocarray(n->saves, n->save_count + 1, sizeof(*n->saves));
	s = &n->saves[n->save_count++];
	*s = (struct save){ .ticket = rd->ticket, .hard_changed = rd->hard_changed, .hard = rd->hard };
	for (size_t i = 0; i < rd->entry_count; i++)
		entries_add(&s->entries, &rd->entries[i]);
}

static void hold_promise(struct cluster *c, struct node *n, const struct raft_message *m)
{
	struct save *s;

	if (n->save_count == 0) {
		tell_message(c, "  ", m);
		post(c, new_letter(m));
		return;
	}
	tell_message(c, "  held: ", m);
	s = &n->saves[n->save_count - 1];
	s->promises = xreallocarray(s->promises, s->promise_count + 1, sizeof(*s->promises));
	s->promises[s->promise_count++] = new_letter(m);
}

static void take_ready(struct cluster *c, struct node *n, const struct raft_ready *rd)
{
	for (size_t i = 0; i < rd->message_count; i++) {
		tell_message(c, "  ", &rd->messages[i]);
		post(c, new_letter(&rd->messages[i]));
	}
	if (rd->persist) {
		buf_printf(c->out, "  %" PRIu64 " persists ticket=%" PRIu64, n->id, rd->ticket);
		if (rd->hard_changed)
			buf_printf(c->out, " term=%" PRIu64 " vote=%" PRIu64, rd->hard.term, rd->hard.vote);
		buf_append_text(c->out, rd->entry_count ? " [" : "");
		tell_entries(c->out, rd->entries, rd->entry_count);
		buf_append_text(c->out, rd->entry_count ? "]\n" : "\n");
		begin_save(n, rd);
	}
	for (size_t i = 0; i < rd->promise_count; i++)
		hold_promise(c, n, &rd->promises[i]);
	if (rd->committed_count > 0) {
		buf_printf(c->out, "  %" PRIu64 " applies [", n->id);
		tell_entries(c->out, rd->committed, rd->committed_count);
		buf_append_text(c->out, "]\n");
		n->applied = rd->committed[rd->committed_count - 1].pos.index;
	}
	for (size_t i = 0; i < rd->read_count; i++)
		buf_printf(c->out, "  %" PRIu64 " may read number=%" PRIu64 " index=%" PRIu64 "\n", n->id,
		    rd->reads[i].number, rd->reads[i].index);
	for (size_t i = 0; i < rd->fetch_count && n->fetch_count < NODES_MAX; i++) {
		buf_printf(c->out, "  %" PRIu64 " fetches index=%" PRIu64 " for %" PRIu64 "\n", n->id,
		    rd->fetches[i].index, rd->fetches[i].peer);
		n->fetches[n->fetch_count++] = rd->fetches[i];
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
		raft_applied(n->raft, n->applied);
}

static void write_down(struct node *n, const struct save *s)
{
	if (s->hard_changed)
		n->hard = s->hard;
	for (size_t i = 0; i < s->entries.count; i++) {
		while (n->log.count >= s->entries.data[i].pos.index)
			blob_unref(n->log.data[--n->log.count].data);
		entries_add(&n->log, &s->entries.data[i]);
	}
}

static void drop_first_save(struct node *n)
{
	save_free(&n->saves[0]);
	n->save_count--;
	for (size_t i = 0; i < n->save_count; i++)
		n->saves[i] = n->saves[i + 1];
}

bool node_persist(struct cluster *c, struct node *n)
{
	struct save *s = n->saves;

	if (n->save_count == 0)
		return false;
	write_down(n, s);
	for (size_t i = 0; i < s->promise_count; i++) {
		post(c, s->promises[i]);
		s->promises[i].bytes = (struct buf){ 0 };
	}
	buf_printf(c->out, "  %" PRIu64 " is durable to ticket=%" PRIu64 "\n", n->id, s->ticket);
	if (n->raft != NULL)
		raft_persisted(n->raft, s->ticket, n->now);
	drop_first_save(n);
	return true;
}

void node_crash(struct node *n, size_t keep)
{
	for (; keep > 0 && n->save_count > 0; keep--) {
		write_down(n, &n->saves[0]);
		drop_first_save(n);
	}
	forget_saves(n);
	raft_free(n->raft);
	n->raft = NULL;
	n->fetch_count = 0;
}

static size_t find_runs(const struct entries *log, struct raft_run *runs)
{
	size_t count = 0;

	for (size_t i = 0; i < log->count; i++)
		if (count == 0 || runs[count - 1].term != log->data[i].pos.term)
			runs[count++] = (struct raft_run){ log->data[i].pos.term, log->data[i].pos.index };
	return count;
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
	struct raft_run *runs = xreallocarray(NULL, n->log.count, sizeof(*runs));
	struct entries configs = { 0 }, tail = { 0 };
	struct raft_start s = {
		.hard = n->hard,
		.last = n->log.data[n->log.count - 1].pos,
		.last_time_ms = n->log.data[n->log.count - 1].time_ms,
		.runs = runs,
		.run_count = find_runs(&n->log, runs),
		.applied = n->applied_disk,
		.configs = &configs,
		.tail = &tail,
	};

	for (size_t i = 0; i < n->log.count; i++) {
		if (n->log.data[i].type == ENTRY_CONFIG)
			entries_add(&configs, &n->log.data[i]);
		if (n->log.data[i].pos.index > n->applied_disk)
			entries_add(&tail, &n->log.data[i]);
	}
	n->applied = n->applied_disk;
	if (raft_new(&n->raft, &o, &s, n->now) != ERR_OK)
		abort();
	entries_free(&configs);
	entries_free(&tail);
	free(runs);
}

void node_fetch(struct cluster *c, struct node *n)
{
	for (size_t i = 0; i < n->fetch_count; i++) {
		struct entries found = { 0 };
		size_t bytes = 0;

		for (uint64_t at = n->fetches[i].index; at <= n->log.count; at++) {
			bytes += entry_bytes(&n->log.data[at - 1]);
			if (found.count > 0 && bytes > n->fetches[i].bytes_max)
				break;
			entries_add(&found, &n->log.data[at - 1]);
		}
		raft_fetched(n->raft, n->fetches[i].peer, &found);
		entries_free(&found);
	}
	n->fetch_count = 0;
	node_ready(c, n);
}

static bool matches(const struct letter *l, uint64_t from, uint64_t to, int type)
{
	return (from == 0 || l->from == from) && (to == 0 || l->to == to) &&
	       (type < 0 || (int)l->type == type);
}

static void open_letter(struct cluster *c, const struct letter *l)
{
	struct node *n = cluster_node(c, l->to);
	struct raft_message m;

	if (cluster_node(c, l->from)->unheard & 1u << l->to)
		return;
	if (!raft_message_get(buf_bytes(&l->bytes), &m))
		abort();
	if (n->raft != NULL) {
		tell_message(c, "", &m);
		raft_receive(n->raft, &m, n->now);
		raft_message_free(&m);
		node_ready(c, n);
		return;
	}
	raft_message_free(&m);
}

size_t cluster_deliver(struct cluster *c, uint64_t from, uint64_t to, int type, bool keep)
{
	struct letter *old = c->net;
	size_t count = c->net_count, done = 0;

	c->net = NULL;
	c->net_count = 0;
	/* What stays goes first, so that the order of each pair is kept. */
	for (size_t i = 0; i < count; i++)
		if (keep || !matches(&old[i], from, to, type))
			post(c, old[i]);
	for (size_t i = 0; i < count; i++) {
		struct letter copy = { .from = old[i].from, .to = old[i].to, .type = old[i].type };

		if (!matches(&old[i], from, to, type))
			continue;
		buf_append(&copy.bytes, buf_bytes(&old[i].bytes));
		open_letter(c, &copy);
		buf_free(&copy.bytes);
		if (!keep)
			buf_free(&old[i].bytes);
		done++;
	}
	free(old);
	return done;
}

size_t cluster_drop(struct cluster *c, uint64_t from, uint64_t to, int type)
{
	size_t kept = 0, dropped = 0;

	for (size_t i = 0; i < c->net_count; i++) {
		if (!matches(&c->net[i], from, to, type)) {
			c->net[kept++] = c->net[i];
			continue;
		}
		buf_free(&c->net[i].bytes);
		dropped++;
	}
	c->net_count = kept;
	return dropped;
}

void cluster_settle(struct cluster *c, unsigned ids)
{
	for (bool moved = true; moved;) {
		moved = false;
		for (uint64_t id = 1; id <= c->count; id++) {
			struct node *n = &c->nodes[id];

			if (!(ids & 1u << id) || n->raft == NULL)
				continue;
			node_ready(c, n);
			if (n->fetch_count > 0)
				node_fetch(c, n);
			while (!n->stalled && node_persist(c, n)) {
				moved = true;
				node_ready(c, n);
			}
		}
		for (uint64_t from = 1; from <= c->count; from++)
			for (uint64_t to = 1; to <= c->count; to++)
				if ((ids & 1u << from) && (ids & 1u << to) &&
				    cluster_deliver(c, from, to, -1, false) > 0)
					moved = true;
	}
}
