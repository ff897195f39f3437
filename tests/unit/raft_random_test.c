/*
 * links: tests/raft/cluster.c tests/raft/node.c tests/raft/tell.c worker/raft/ common/mem.c common/buf.c common/wire.c
 *	common/random.c common/clock.c common/err.c
 */
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
/* cmocka wants these before it. */
#include <cmocka.h>

#include "common/random.h"
#include "tests/raft/cluster.h"

/*
 * A few cores to which anything happens in any order: letters lost, doubled and late, power cuts that leave part of what was
 * begun, logs cut, states found wrong or lost, images complete, broken off, doubled and late, members added. What
 * Raft promises must hold after each step, and when all is well again all states must become equal, by themselves but
 * for the carrying of images. The environment variable SEED repeats one run, told to the end.
 */

#define RUNS 100
#define STEPS 12000
#define INDEX_MAX 4096
#define FLIGHTS 6
#define HEAL_ROUNDS 400
#define STORY 20000

/* An image on its way. */
struct flight {
	uint64_t from, to; /* 0: none */
	uint64_t term;
	struct state state;
	bool complete; /* on the other side */
};

struct run {
	struct cluster c;
	struct buf story;
	uint64_t seed;
	struct random r;
	/* What is committed, by index, as first seen: its term, and in which term it was known. */
	uint64_t terms[INDEX_MAX], known_in[INDEX_MAX], hashes[INDEX_MAX];
	uint64_t committed;
	uint64_t leaders[INDEX_MAX]; /* by term */
	struct flight flights[FLIGHTS];
	unsigned proposed, crashes, cuts, freezes, installed, installed_frozen, rebased, no_news, fetched;
};

static uint64_t pick(struct run *run, uint64_t limit)
{
	return random_below(&run->r, limit);
}

static bool one_in(struct run *run, uint64_t n)
{
	return pick(run, n) == 0;
}

static void broken(struct run *run, const char *law, uint64_t node, uint64_t index)
{
	struct buf *out = &run->story;

	for (uint64_t i = 1; i <= run->c.count; i++)
		node_show(&run->c, &run->c.nodes[i]);
	fputs(buf_text(out) + (out->size > STORY && getenv("SEED") == NULL ? out->size - STORY : 0), stderr);
	fail_msg("SEED=%" PRIu64 ": %s: node %" PRIu64 " index %" PRIu64, run->seed, law, node, index);
}

/* ---- what must hold ---- */

/* One history of states: everywhere the same one at the same index, in the same order. */
static void on_state(void *arg, const struct node *n)
{
	struct run *run = arg;
	uint64_t index = n->state.pos.index;

	assert_true(index < INDEX_MAX);
	if (run->hashes[index] == 0)
		run->hashes[index] = n->state.hash;
	if (run->hashes[index] != n->state.hash)
		broken(run, "two states at one index", n->id, index);
	if (n->state.config == NULL)
		broken(run, "a state without members", n->id, index);
}

static void look_at_commit(struct run *run, const struct node *n, const struct raft_view *v)
{
	/* One whose log begins later leaves it to the others to say. */
	for (uint64_t i = run->committed + 1; i >= v->first && i <= v->commit; i++) {
		run->terms[i] = raft_term_at(n->raft, i);
		run->known_in[i] = v->term;
		run->committed = i;
	}
	for (uint64_t i = v->first; i <= v->commit; i++)
		if (i <= run->committed && run->terms[i] != raft_term_at(n->raft, i))
			broken(run, "what was committed is another entry", n->id, i);
}

/* §3.6.3: who leads later has it; what its log does not hold any more is in its state. */
static void look_at_leader(struct run *run, const struct node *n, const struct raft_view *v)
{
	if (run->leaders[v->term] == 0)
		run->leaders[v->term] = n->id;
	if (run->leaders[v->term] != n->id)
		broken(run, "two leaders in one term", n->id, v->term);
	for (uint64_t i = v->first; i <= run->committed; i++)
		if (run->known_in[i] < v->term && raft_term_at(n->raft, i) != run->terms[i])
			broken(run, "a leader lacks what is committed", n->id, i);
}

static void look_at_node(struct run *run, const struct node *n)
{
	struct raft_view v;

	if (n->raft == NULL)
		return;
	v = raft_view(n->raft);
	assert_true(v.last.index < INDEX_MAX && v.term < INDEX_MAX);
	look_at_commit(run, n, &v);
	if (v.role == RAFT_LEADER)
		look_at_leader(run, n, &v);
}

static void look(struct run *run)
{
	for (uint64_t i = 1; i <= run->c.count; i++)
		look_at_node(run, &run->c.nodes[i]);
	if (run->story.size > 2 * STORY && getenv("SEED") == NULL)
		buf_clear(&run->story);
}

/* ---- images ---- */

static void flight_end(struct run *run, struct flight *f, uint64_t index)
{
	struct node *from = &run->c.nodes[f->from];

	from->images &= ~(1u << f->to);
	if (from->raft != NULL) {
		raft_image_over(from->raft, f->to, index, from->now);
		node_ready(&run->c, from);
	}
	state_free(&f->state);
	*f = (struct flight){ 0 };
}

static bool is_under_way(const struct run *run, uint64_t from, uint64_t to)
{
	for (size_t i = 0; i < FLIGHTS; i++)
		if (run->flights[i].from == from && run->flights[i].to == to)
			return true;
	return false;
}

static void flight_begin(struct run *run, struct flight *f, struct node *from)
{
	uint64_t to = 1 + pick(run, run->c.count);

	/* Now and then one that nobody asked for. */
	if (from->raft == NULL || raft_is_frozen(from->raft) || from->state.config == NULL ||
	    from->id == to || from->state.frozen || is_under_way(run, from->id, to) ||
	    (!(from->images & 1u << to) && !one_in(run, 20)))
		return;
	*f = (struct flight){ from->id, to, raft_view(from->raft).term, state_of(&from->state), false };
}

static void flight_arrive(struct run *run, struct flight *f)
{
	struct node *to = &run->c.nodes[f->to];
	bool frozen = to->raft != NULL && raft_is_frozen(to->raft);
	uint64_t first;

	if (to->raft == NULL)
		return;
	first = raft_view(to->raft).first;
	if (!node_install(to, &f->state, f->term)) {
		run->no_news++;
		if (frozen ? f->state.pos.index >= first - 1
			   : f->state.pos.index > raft_view(to->raft).applied)
			broken(run, "an image that is news was refused", to->id, f->state.pos.index);
		flight_end(run, f, frozen ? 0 : f->state.pos.index);
		return;
	}
	run->installed++;
	run->installed_frozen += frozen;
	run->rebased += raft_view(to->raft).first == f->state.pos.index + 1;
	node_ready(&run->c, to);
	f->complete = true;
}

static void flight_move(struct run *run, struct flight *f)
{
	struct node *to = &run->c.nodes[f->to];

	if (one_in(run, 12))
		flight_end(run, f, 0);
	else if (!f->complete)
		flight_arrive(run, f);
	else if (!to->state_disk.frozen && to->state_disk.pos.index >= f->state.pos.index)
		flight_end(run, f, f->state.pos.index);
}

static void step_image(struct run *run, struct node *n)
{
	struct flight *f = &run->flights[pick(run, FLIGHTS)];

	if (f->from == 0)
		flight_begin(run, f, n);
	else
		flight_move(run, f);
}

/* ---- what happens ---- */

static void propose(struct run *run, struct node *n)
{
	struct blob *data = blob_alloc(1 + pick(run, 60));
	struct raft_pos pos;

	memset(data->data, (int)('a' + pick(run, 26)), data->size);
	if (raft_propose(n->raft, ENTRY_WRITE, data, n->now, &pos) == ERR_OK)
		run->proposed++;
	blob_unref(data);
}

static void change(struct run *run, struct node *n)
{
	uint64_t id = 1 + pick(run, run->c.count);
	struct raft_member m = { .incarnation = id, .id = cluster_name(id) };
	struct raft_pos pos;

	raft_change(n->raft, RAFT_ADD, &m, n->now, &pos);
}

/* A minority of the voters at most, for nobody repairs more than that. */
static bool may_freeze(const struct run *run, const struct node *n)
{
	size_t frozen = 0;

	for (uint64_t i = 1; i <= run->c.count; i++) {
		const struct node *other = &run->c.nodes[i];

		if (other != n && (other->state_disk.frozen || other->state.frozen ||
				      (other->raft != NULL && raft_is_frozen(other->raft))))
			frozen++;
	}
	return frozen + 1 <= (run->c.count - 2) / 2;
}

static void freeze(struct run *run, struct node *n)
{
	if (!may_freeze(run, n))
		return;
	run->freezes++;
	n->state.frozen = n->state_disk.frozen = true;
	raft_freeze(n->raft, n->now);
}

static void crash(struct run *run, struct node *n)
{
	run->crashes++;
	node_crash(n, (size_t)pick(run, 4), one_in(run, 2));
	if (one_in(run, 6) && may_freeze(run, n)) {
		run->freezes++;
		state_free(&n->state_disk);
		n->state_disk.frozen = true;
	}
}

static void compact(struct run *run, struct node *n)
{
	struct raft_view v = raft_view(n->raft);

	if (one_in(run, 2)) {
		state_free(&n->state_disk);
		n->state_disk = state_of(&n->state);
	}
	node_compact(n, v.first - 1 + pick(run, v.applied + 2 - v.first));
	run->cuts++;
}

static void step_up(struct run *run, struct node *n)
{
	uint64_t peer = 1 + pick(run, run->c.count);

	switch (pick(run, 40)) {
	case 0:
		if (one_in(run, 6)) {
			crash(run, n);
			return;
		}
		break;
	case 1:
		if (one_in(run, 2))
			compact(run, n);
		break;
	case 2:
		if (one_in(run, 6))
			freeze(run, n);
		break;
	case 3:
		if (one_in(run, 10))
			change(run, n);
		break;
	case 4:
		raft_unreachable(n->raft, peer);
		break;
	case 5:
	case 6:
		raft_reachable(n->raft, peer);
		break;
	case 7:
		if (one_in(run, 4))
			raft_transfer(n->raft, one_in(run, 2) ? 0 : peer, n->now);
		break;
	case 8:
		raft_lost(n->raft, peer, n->now);
		break;
	case 9:
	case 10:
	case 11:
	case 12:
		n->now = instant_add(n->now, span_ms((int64_t)pick(run, one_in(run, 60) ? 1500 : 60)));
		raft_tick(n->raft, n->now);
		break;
	case 13:
	case 14:
	case 15:
	case 16:
		for (uint64_t i = pick(run, 8); i > 0; i--)
			propose(run, n);
		break;
	case 17:
	case 18:
	case 19:
	case 20:
		run->fetched += n->fetch_count > 0;
		node_fetch(&run->c, n);
		break;
	default:
		if (!node_persist(&run->c, n))
			step_image(run, n);
		break;
	}
	node_ready(&run->c, n);
}

static void step_net(struct run *run)
{
	uint64_t from = 1 + pick(run, run->c.count), to = 1 + pick(run, run->c.count);

	if (one_in(run, 40))
		cluster_drop(&run->c, from, to, -1);
	else
		cluster_deliver(&run->c, from, to, -1, one_in(run, 10));
}

static void step(struct run *run)
{
	struct node *n = &run->c.nodes[1 + pick(run, run->c.count)];

	if (!one_in(run, 3))
		step_net(run);
	else if (n->raft != NULL)
		step_up(run, n);
	else if (one_in(run, 3))
		node_start(&run->c, n);
	/* Doubled letters stay on their way: not for ever. */
	if (run->c.net_count > 300)
		cluster_drop(&run->c, 0, 0, -1);
}

/* ---- in the end ---- */

static void carry_images(struct run *run)
{
	for (uint64_t from = 1; from <= run->c.count; from++)
		for (uint64_t to = 1; to <= run->c.count; to++) {
			struct node *n = &run->c.nodes[from];
			struct flight f = { .from = from, .to = to, .term = raft_view(n->raft).term };

			if (!(n->images & 1u << to) || raft_is_frozen(n->raft))
				continue;
			f.state = state_of(&n->state);
			flight_arrive(run, &f);
			cluster_settle(&run->c, ~0u);
			if (f.complete)
				flight_end(run, &f, f.state.pos.index);
		}
}

static bool all_are_equal(const struct run *run)
{
	const struct node *first = &run->c.nodes[1];

	for (uint64_t i = 1; i <= run->c.count; i++) {
		const struct node *n = &run->c.nodes[i];

		if (!raft_config_has(raft_config(first->raft), i))
			continue;
		if (raft_is_frozen(n->raft) || n->state.pos.index < run->committed ||
		    n->state.hash != first->state.hash)
			return false;
	}
	return true;
}

static bool somebody_leads(struct run *run)
{
	for (uint64_t i = 1; i <= run->c.count; i++)
		if (raft_view(run->c.nodes[i].raft).role == RAFT_LEADER)
			return true;
	return false;
}

static void heal(struct run *run)
{
	unsigned rounds = 0;

	for (size_t i = 0; i < FLIGHTS; i++)
		if (run->flights[i].from != 0)
			flight_end(run, &run->flights[i], 0);
	for (uint64_t i = 1; i <= run->c.count; i++)
		if (run->c.nodes[i].raft == NULL)
			node_start(&run->c, &run->c.nodes[i]);
	for (uint64_t i = 1; i <= run->c.count; i++)
		for (uint64_t j = 1; j <= run->c.count; j++)
			raft_reachable(run->c.nodes[i].raft, j);
	do {
		if (++rounds > HEAL_ROUNDS)
			broken(run, "it is not well again", 0, run->committed);
		for (uint64_t i = 1; i <= run->c.count; i++) {
			struct node *n = &run->c.nodes[i];

			n->now = instant_add(n->now, span_ms(HEARTBEAT_MS));
			raft_tick(n->raft, n->now);
			node_ready(&run->c, n);
		}
		cluster_settle(&run->c, ~0u);
		carry_images(run);
		look(run);
	} while (!somebody_leads(run) || !all_are_equal(run));
}

static void begin(struct run *run, uint64_t seed)
{
	size_t count;

	*run = (struct run){ .seed = seed, .r = { seed } };
	count = 3 + pick(run, 3);
	cluster_init(&run->c, count, 0, pick(run, 2), &run->story);
	run->c.on_state = on_state;
	run->c.on_state_arg = run;
	run->c.message_bytes_max = 60 + pick(run, 400);
	run->c.cache_bytes = one_in(run, 2) ? 0 : pick(run, 2000);
	run->c.uncommitted_bytes_max = 500 + pick(run, 4000);
	for (uint64_t i = 1; i <= count; i++) {
		node_crash(&run->c.nodes[i], 0, false);
		node_start(&run->c, &run->c.nodes[i]);
	}
}

static void play(struct run *run, uint64_t seed)
{
	begin(run, seed);
	for (unsigned i = 0; i < STEPS; i++) {
		step(run);
		look(run);
	}
	heal(run);
	cluster_fini(&run->c);
	buf_free(&run->story);
}

static void s3_s4_whatever_happens_all_become_equal_again(void **state)
{
	const char *seed = getenv("SEED");
	static struct run run;
	unsigned proposed = 0, crashes = 0, cuts = 0, freezes = 0, installed = 0, frozen = 0, rebased = 0,
		 no_news = 0, fetched = 0;

	(void)state;
	for (uint64_t i = 1; i <= (seed != NULL ? 1 : RUNS); i++) {
		uint64_t which = seed != NULL ? strtoull(seed, NULL, 10) : i;

		play(&run, which);
		proposed += run.proposed;
		crashes += run.crashes;
		cuts += run.cuts;
		freezes += run.freezes;
		installed += run.installed;
		frozen += run.installed_frozen;
		rebased += run.rebased;
		no_news += run.no_news;
		fetched += run.fetched;
	}
	print_message(
	    "# %u proposals, %u crashes, %u cuts, %u frozen, %u images installed, %u of them by frozen "
	    "nodes, %u with a new log, %u no news, %u fetches\n",
	    proposed, crashes, cuts, freezes, installed, frozen, rebased, no_news, fetched);
	assert_true(seed != NULL || (frozen > RUNS && rebased > RUNS && no_news > 0 && fetched > RUNS));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(s3_s4_whatever_happens_all_become_equal_again),
	};

	return cmocka_run_group_tests_name("raft_random", tests, NULL, NULL);
}
