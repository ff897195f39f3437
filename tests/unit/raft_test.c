/*
 * One core that hears what no honest peer says, and what takes a thousand elections to see. All else is in tests/raft.
 *
 * links: worker/raft/apply.c worker/raft/change.c worker/raft/config.c worker/raft/draft.c worker/raft/election.c worker/raft/entry.c
 *	worker/raft/image.c worker/raft/message.c worker/raft/quorum.c worker/raft/raft.c worker/raft/raft_log.c worker/raft/read.c
 *	worker/raft/replication.c worker/raft/room.c worker/raft/transfer.c common/mem.c common/buf.c common/wire.c
 *	common/random.c common/clock.c common/err.c
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "worker/raft/raft.h"

#define ELECTION_MS 100
#define HEARTBEAT_MS 20
#define NODES 3
#define GIVEN_UP_MS (20 * ELECTION_MS)

static struct instant at_ms(int64_t ms)
{
	return (struct instant){ span_ms(ms).ns };
}

static struct blob *config_of(uint64_t voters)
{
	static const char *const names[] = { "n1", "n2", "n3" };
	struct buf b = { 0 };
	struct blob *blob;

	for (uint64_t i = 0; i < voters; i++)
		raft_member_put(
		    &b, &(struct raft_member){
			    .incarnation = i + 1, .roles = RAFT_VOTER, .id = bytes_text(names[i]) });
	blob = blob_new(buf_bytes(&b));
	buf_free(&b);
	return blob;
}

/* The core of a node that has entries 1 to `last` of term 1, all applied and so none of them in memory; the last one
 * bears the log time 5000 ms. */
static struct raft *new_core(uint64_t self, uint64_t voters, uint64_t last, uint64_t seed, struct instant now)
{
	const struct raft_options o = {
		.self = self,
		.start = 1,
		.election = span_ms(ELECTION_MS),
		.heartbeat = span_ms(HEARTBEAT_MS),
		.message_bytes_max = 1 << 20,
		.window_bytes_max = 1 << 20,
		.uncommitted_bytes_max = 1 << 20,
		.cache_bytes = 1 << 20,
		.seed = seed,
	};
	const struct raft_run run = { 1, 1 };
	struct entry first = { { 1, 1 }, 0, ENTRY_CONFIG, config_of(voters) };
	struct entries configs = { 0 }, none = { 0 };
	const struct raft_start s = {
		.hard = { 1, 0 },
		.last = { 1, last },
		.last_time_ms = 5000,
		.runs = &run,
		.run_count = 1,
		.applied = last,
		.configs = &configs,
		.tail = &none,
	};
	struct raft *r;

	entries_add(&configs, &first);
	blob_unref(first.data);
	assert_int_equal(raft_new(&r, &o, &s, now), ERR_OK);
	entries_free(&configs);
	return r;
}

static void add_entry_to(struct entries *list, uint64_t term, uint64_t index)
{
	struct entry e = { { term, index }, 5000, ENTRY_NOOP, blob_new((struct bytes){ 0 }) };

	entries_add(list, &e);
	blob_unref(e.data);
}

/* What is to be written is durable at once. Returns how many messages and promises came out. */
static size_t drain(struct raft *r, struct instant now)
{
	struct raft_ready rd;
	size_t said = 0;

	while (raft_ready(r, &rd)) {
		said += rd.message_count + rd.promise_count;
		raft_advance(r);
		raft_persisted(r, rd.ticket, now);
	}
	return said;
}

static void c10_commit_beyond_the_log_is_not_believed(void **state)
{
	struct raft *r = new_core(1, NODES, 3, 1, at_ms(1000));
	struct raft_message m = { .type = RAFT_HEARTBEAT, .from = 2, .to = 1, .term = 2 };

	(void)state;
	m.heartbeat.commit = 99;
	raft_receive(r, &m, at_ms(1000));
	assert_int_equal(raft_view(r).commit, 3);
	assert_int_equal(drain(r, at_ms(1000)), 1);
	raft_free(r);
}

/* Appends of term 2 behind 1.3, of two entries each. */
static void c8_entries_that_do_not_follow_each_other_are_not_taken(void **state)
{
	static const struct raft_pos wrong[][2] = {
		{ { 2, 4 }, { 2, 6 } }, /* a gap */
		{ { 2, 5 }, { 2, 6 } }, /* a gap before the first */
		{ { 2, 4 }, { 2, 4 } }, /* one twice */
		{ { 2, 4 }, { 1, 5 } }, /* a term that falls */
		{ { 2, 4 }, { 3, 5 } }, /* one that is not yet */
	};
	struct raft *r = new_core(1, NODES, 3, 1, at_ms(1000));

	(void)state;
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		struct raft_message m = { .type = RAFT_APPEND, .from = 2, .to = 1, .term = 2 };

		m.append.prev_term = 1;
		m.append.prev_index = 3;
		add_entry_to(&m.append.entries, wrong[i][0].term, wrong[i][0].index);
		add_entry_to(&m.append.entries, wrong[i][1].term, wrong[i][1].index);
		raft_receive(r, &m, at_ms(1000));
		raft_message_free(&m);
		assert_int_equal(raft_view(r).last.index, 3);
		assert_int_equal(drain(r, at_ms(1000)), 0);
	}
	raft_free(r);
}

/* 1 leads 2 and 3 in term 2. */
static void elect(struct raft *r, struct instant now)
{
	struct raft_message m = { .type = RAFT_PREVOTE_ANSWER, .from = 2, .to = 1, .term = 2 };

	raft_tick(r, now);
	m.prevote_answer.granted = 1;
	raft_receive(r, &m, now);
	drain(r, now);
	m.type = RAFT_VOTE_ANSWER;
	m.vote_answer.granted = 1;
	raft_receive(r, &m, now);
	drain(r, now);
	assert_int_equal(raft_view(r).role, RAFT_LEADER);
}

/* How many entries 2 is sent when the log on disk is found to hold this one at index 2. */
static size_t sent_of_fetched(uint64_t term)
{
	struct instant now = at_ms(10000);
	struct raft *r = new_core(1, NODES, 5, 1, at_ms(1000));
	struct raft_message m = { .type = RAFT_APPEND_ANSWER, .from = 2, .to = 1, .term = 2 };
	struct entries found = { 0 };
	struct raft_ready rd;
	size_t count = SIZE_MAX;

	elect(r, now);
	m.append_answer = (struct raft_append_answer){ .index = 5, .hint_term = 1, .hint_index = 1 };
	raft_receive(r, &m, now);
	assert_true(raft_ready(r, &rd));
	assert_int_equal(rd.fetch_count, 1);
	assert_int_equal(rd.fetches[0].index, 2);
	raft_advance(r);
	add_entry_to(&found, term, 2);
	raft_fetched(r, 2, &found);
	assert_true(raft_ready(r, &rd));
	for (size_t i = 0; i < rd.message_count; i++)
		if (rd.messages[i].to == 2 && rd.messages[i].type == RAFT_APPEND)
			count = rd.messages[i].append.entries.count;
	raft_advance(r);
	entries_free(&found);
	raft_free(r);
	return count;
}

static void e10_entries_fetched_before_the_log_was_cut_are_not_sent(void **state)
{
	(void)state;
	assert_int_equal(sent_of_fetched(1), 1);
	assert_int_equal(sent_of_fetched(2), 0);
}

/* Whatever the leader's clock shows: time in the log goes on where the log ends, as fast as that clock runs. */
static void d8_log_time_knows_no_clock(void **state)
{
	static const int64_t clocks_ms[] = { 1000, 3600 * 1000 + 1000, INT64_C(1) << 40 };

	(void)state;
	for (size_t i = 0; i < sizeof(clocks_ms) / sizeof(clocks_ms[0]); i++) {
		struct instant now = at_ms(clocks_ms[i]), later = at_ms(clocks_ms[i] + 7);
		struct raft *r = new_core(1, 1, 3, 1, now);
		struct blob *data = blob_new(bytes_text("data"));
		struct raft_pos pos;
		struct raft_ready rd;

		raft_tick(r, now);
		drain(r, now);
		assert_int_equal(raft_view(r).role, RAFT_LEADER);
		assert_int_equal(raft_propose(r, ENTRY_WRITE, data, later, &pos), ERR_OK);
		assert_true(raft_ready(r, &rd));
		assert_int_equal(rd.entries[0].time_ms, 5007);
		raft_advance(r);
		blob_unref(data);
		raft_free(r);
	}
}

/* --- cold starts --- */

/* Three nodes switched on in the same moment; a message takes a millisecond, a disk no time. */
struct boot {
	struct raft *nodes[NODES];
	struct buf letters[NODES]; /* to each, of this millisecond: encoded, one behind the other */
};

static void post(struct boot *b, const struct raft_message *messages, size_t count)
{
	struct buf one = { 0 };

	for (size_t i = 0; i < count; i++) {
		buf_clear(&one);
		raft_message_put(&one, &messages[i]);
		wire_put_bytes(&b->letters[messages[i].to - 1], buf_bytes(&one));
	}
	buf_free(&one);
}

static void pump(struct boot *b, struct raft *r, struct instant now)
{
	struct raft_ready rd;

	while (raft_ready(r, &rd)) {
		post(b, rd.messages, rd.message_count);
		post(b, rd.promises, rd.promise_count);
		raft_advance(r);
		raft_persisted(r, rd.ticket, now);
	}
}

static void receive_all(struct raft *r, struct buf *letters, struct instant now)
{
	struct reader reader = reader_of(buf_bytes(letters));

	while (reader.left > 0) {
		struct raft_message m;

		assert_true(raft_message_get(wire_get_bytes(&reader), &m));
		raft_receive(r, &m, now);
		raft_message_free(&m);
	}
	buf_free(letters);
}

/* Milliseconds until one of them leads. */
static int64_t boot(uint64_t seed)
{
	struct boot b = { 0 };
	int64_t ms = 0;
	bool leads = false;

	for (uint64_t i = 0; i < NODES; i++)
		b.nodes[i] = new_core(i + 1, NODES, 1, seed * NODES + i, at_ms(1000));
	for (; !leads && ms < GIVEN_UP_MS; ms++) {
		struct instant now = at_ms(1000 + ms);
		struct buf letters[NODES];

		for (size_t i = 0; i < NODES; i++) {
			letters[i] = b.letters[i];
			b.letters[i] = (struct buf){ 0 };
		}
		for (size_t i = 0; i < NODES; i++) {
			receive_all(b.nodes[i], &letters[i], now);
			if (instant_passed(raft_deadline(b.nodes[i]), now))
				raft_tick(b.nodes[i], now);
			pump(&b, b.nodes[i], now);
			leads = leads || raft_view(b.nodes[i]).role == RAFT_LEADER;
		}
	}
	for (size_t i = 0; i < NODES; i++) {
		raft_free(b.nodes[i]);
		buf_free(&b.letters[i]);
	}
	return ms;
}

static int compare_ms(const void *a, const void *b)
{
	int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

	return (x > y) - (x < y);
}

/* The first one to stand does so within two election timeouts, and mostly nobody is in its way. */
static void e14_thousand_cold_starts_find_a_leader_soon(void **state)
{
	static int64_t took[1000];

	(void)state;
	for (uint64_t i = 0; i < 1000; i++)
		took[i] = boot(i + 1);
	qsort(took, 1000, sizeof(took[0]), compare_ms);
	print_message("# until somebody leads, in election timeouts: p50 %.2f, p99 %.2f, at most %.2f\n",
	    (double)took[499] / ELECTION_MS, (double)took[989] / ELECTION_MS,
	    (double)took[999] / ELECTION_MS);
	assert_true(took[989] <= 3 * ELECTION_MS);
	assert_true(took[999] <= 10 * ELECTION_MS);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(c8_entries_that_do_not_follow_each_other_are_not_taken),
		cmocka_unit_test(c10_commit_beyond_the_log_is_not_believed),
		cmocka_unit_test(d8_log_time_knows_no_clock),
		cmocka_unit_test(e10_entries_fetched_before_the_log_was_cut_are_not_sent),
		cmocka_unit_test(e14_thousand_cold_starts_find_a_leader_soon),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
