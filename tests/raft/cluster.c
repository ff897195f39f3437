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

void cluster_fini(struct cluster *c)
{
	for (size_t i = 1; i <= c->count; i++)
		node_fini(&c->nodes[i]);
	for (size_t i = 0; i < c->net_count; i++)
		buf_free(&c->net[i].bytes);
	free(c->net);
	for (size_t i = 0; i < IMAGES_MAX; i++)
		state_free(&c->images[i].state);
}

struct node *cluster_node(struct cluster *c, uint64_t id)
{
	if (id < 1 || id > c->count) {
		fprintf(stderr, "there is no node %" PRIu64 "\n", id);
		exit(1);
	}
	return &c->nodes[id];
}

struct letter letter_of(const struct raft_message *m)
{
	struct letter l = { .from = m->from, .to = m->to, .type = m->type };

	raft_message_put(&l.bytes, m);
	return l;
}

void cluster_post(struct cluster *c, struct letter l)
{
	c->net = xreallocarray(c->net, c->net_count + 1, sizeof(*c->net));
	c->net[c->net_count++] = l;
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
			cluster_post(c, old[i]);
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
