/*
 * States are compared: what a replica says of its own, what it makes of what others say of theirs, and how it serves when its
 * own must not be used.
 *
 * links: worker/replica/ worker/raft/ worker/log/ worker/kv/ tests/common/replica_alone.c
 *	tests/common/fake_disk.c tests/common/mem_table.c tests/common/mem_tables.c common/ballast.c common/buf.c
 *	common/clock.c common/crc.c common/disk.c common/err.c common/lane.c common/log.c common/mem.c common/member.c
 *	common/metric.c common/random.c common/random_secret.c common/status.c common/wire.c -lxxhash
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "common/log.h"
#include "common/status.h"
#include "tests/common/mem_table.h"
#include "tests/common/mem_tables.h"
#include "tests/common/replica_alone.h"
#include "worker/replica/inside.h"

#define LIST "n1=n1:1, n2=n2:1, n3=n3:1"
#define EVERY ALONE_HASH_EVERY
#define ELECTION_MS 500
#define PATIENCE_MS (10 * ELECTION_MS)
#define TERM 2

/* --- what it says, and hears --- */

static size_t count_to(const struct alone *a, enum peer_type type, uint64_t to)
{
	size_t count = 0;

	for (size_t i = 0; i < a->frame_count; i++)
		count += a->frames[i].to == to && a->frames[i].bytes->data[0] == (uint8_t)type;
	return count;
}

/* The last frame of this type to this node, behind its type. */
static struct reader last_to(const struct alone *a, enum peer_type type, uint64_t to)
{
	for (size_t i = a->frame_count; i > 0; i--) {
		struct bytes frame = blob_bytes(a->frames[i - 1].bytes);

		if (a->frames[i - 1].to == to && frame.data[0] == (uint8_t)type)
			return reader_of(bytes_of(frame.data + 1, frame.size - 1));
	}
	fail();
	return reader_of((struct bytes){ NULL, 0 });
}

static struct peer_hash last_hash(const struct alone *a, uint64_t to)
{
	struct reader r = last_to(a, PEER_HASH, to);
	struct peer_hash m;

	assert_true(peer_hash_get(&r, &m));
	return m;
}

static struct peer_agreed last_agreed(const struct alone *a, uint64_t to)
{
	struct reader r = last_to(a, PEER_AGREED, to);
	struct peer_agreed m;

	assert_true(peer_agreed_get(&r, &m));
	return m;
}

static void receive(struct alone *a, uint64_t from, struct buf *frame)
{
	replica_on_frame(a->replica, from, buf_bytes(frame), a->now);
	alone_pass(a, 0);
	buf_free(frame);
}

static void hear_agreed(struct alone *a, uint64_t from, struct peer_agreed m)
{
	struct buf frame = { 0 };

	wire_put_u8(&frame, PEER_AGREED);
	peer_agreed_put(&frame, &m);
	receive(a, from, &frame);
}

/* `wrong` is what the sender's state differs by. */
static void hear_hash(struct alone *a, uint64_t from, struct peer_hash m, uint64_t wrong)
{
	struct buf frame = { 0 };

	m.low += wrong;
	wire_put_u8(&frame, PEER_HASH);
	peer_hash_put(&frame, &m);
	receive(a, from, &frame);
}

static void expect(const struct alone *a, uint64_t id, enum err e, enum applied applied)
{
	assert_non_null(alone_answered(a, id));
	assert_int_equal(alone_answered(a, id)->error, e);
	assert_int_equal(alone_answered(a, id)->applied, applied);
}

/* --- what it says of itself, as GET /v1/status --- */

struct told {
	uint64_t agreed, disputed;
	bool distrusted;
};

static struct told status_of(struct alone *a)
{
	static uint64_t id = 1000;
	struct ipc_request q = { .id = ++id, .kind = REQUEST_STATUS };
	struct status_node s;
	struct reader r;

	replica_request(a->replica, 1, &q, a->now);
	alone_pass(a, 0);
	r = reader_of(blob_bytes(alone_answered(a, id)->result));
	assert_true(status_node_get(&r, &s));
	return (struct told){ s.agreed, s.disputed, s.distrusted.size > 0 };
}

/* --- a follower of 2 --- */

static struct alone *new_follower(void)
{
	struct alone *a = alone_follower_of(LIST, 2);

	for (uint64_t other = 2; other <= 3; other++)
		alone_hello(a, other, replica_view(a->replica).cluster, true);
	alone_append(a, 2, TERM, alone_view(a).last, 0);
	alone_clear(a);
	return a;
}

static void apply(struct alone *a, size_t count)
{
	alone_append(a, 2, TERM, alone_view(a).last, count);
}

static struct alone *follower_at(uint64_t index)
{
	struct alone *a = new_follower();

	apply(a, index - alone_view(a).last.index);
	return a;
}

static struct peer_agreed right_at(struct peer_hash mine, uint64_t wrong)
{
	return (struct peer_agreed){ TERM, mine.index, mine.high, mine.low + wrong, 0 };
}

/* One that had a write and reads under way is told that its state at 4 is not what it should be. */
static struct alone *quarantined(void)
{
	struct alone *a = follower_at(EVERY);
	struct peer_hash mine = last_hash(a, 2);

	alone_clear(a);
	hear_agreed(a, 2, right_at(mine, 1));
	return a;
}

static void point_is_said_to_the_leader_until_it_is_settled(void **state)
{
	struct alone *a = follower_at(EVERY - 1);
	struct peer_hash first;

	(void)state;
	assert_int_equal(alone_sent(a, PEER_HASH), 0);
	apply(a, 1);
	assert_int_equal(count_to(a, PEER_HASH, 2), 1);
	first = last_hash(a, 2);
	assert_int_equal(first.index, EVERY);
	assert_true(first.high != 0 || first.low != 0);
	alone_clear(a);
	alone_pass(a, ELECTION_MS - 1);
	assert_int_equal(alone_sent(a, PEER_HASH), 0);
	alone_append(a, 2, TERM, alone_view(a).last, 0); /* the leader is heard */
	alone_pass(a, 1);
	assert_int_equal(count_to(a, PEER_HASH, 2), 1);
	hear_agreed(a, 2, right_at(first, 0));
	alone_clear(a);
	for (int i = 0; i < 5; i++) {
		alone_append(a, 2, TERM, alone_view(a).last, 0);
		alone_pass(a, ELECTION_MS);
	}
	assert_int_equal(alone_sent(a, PEER_HASH), 0);
	assert_int_equal(status_of(a).agreed, EVERY);
	assert_false(status_of(a).distrusted);
	alone_free(a);
}

/* The leader commits a write of somebody's. */
static void apply_write(struct alone *a, const char *key)
{
	struct buf steps = { 0 }, txn = { 0 }, command = { 0 };

	kv_put_step(&steps, bytes_text(key), bytes_text("value"), (struct bytes){ NULL, 0 });
	kv_txn_put(&txn, &(struct kv_txn){ .steps = buf_bytes(&steps) });
	kv_command_put(&command, &(struct kv_command){ .txn = buf_bytes(&txn) });
	alone_append_one(a, 2, ENTRY_WRITE, blob_new(buf_bytes(&command)));
	buf_free(&steps);
	buf_free(&txn);
	buf_free(&command);
}

/* A turn of the lane goes by several points: each is as of its own index. The second time they are applied in one turn. */
static void points_are_as_of_their_index(void **state)
{
	struct alone *a = new_follower();
	struct peer_hash first[3];
	size_t said = 0;

	(void)state;
	for (char key[] = "a"; said < 3; key[0]++) {
		apply_write(a, key);
		if (alone_view(a).last.index % EVERY == 0)
			first[said++] = last_hash(a, 2);
	}
	assert_true(first[0].low != first[1].low && first[1].low != first[2].low);
	mem_tables_crash(a->tables, mem_table_volatile(mem_tables_in_force(a->tables)));
	alone_kill(a);
	assert_true(replica_view(a->replica).applied < EVERY);
	for (uint64_t other = 2; other <= 3; other++)
		alone_hello(a, other, replica_view(a->replica).cluster, true);
	alone_clear(a);
	apply(a, 0);
	assert_int_equal(count_to(a, PEER_HASH, 2), 3);
	for (said = 0; said < 3; said++) {
		assert_int_equal(last_hash(a, 2).index, first[2 - said].index);
		assert_int_equal(last_hash(a, 2).low, first[2 - said].low);
		blob_unref(a->frames[--a->frame_count].bytes);
	}
	alone_free(a);
}

static void point_is_said_again_to_another_leader(void **state)
{
	struct alone *a = follower_at(EVERY);
	struct raft_message m = { .type = RAFT_HEARTBEAT, .from = 3, .term = TERM + 1 };

	(void)state;
	hear_agreed(a, 2, right_at(last_hash(a, 2), 0));
	alone_clear(a);
	alone_raft(a, &m);
	assert_int_equal(count_to(a, PEER_HASH, 3), 1);
	alone_free(a);
}

static void point_is_said_again_when_the_leader_is_back(void **state)
{
	struct alone *a = follower_at(EVERY);

	(void)state;
	alone_clear(a);
	replica_on_unreachable(a->replica, 2, a->now);
	alone_pass(a, 1);
	assert_int_equal(alone_sent(a, PEER_HASH), 0);
	alone_hello(a, 2, replica_view(a->replica).cluster, true);
	assert_int_equal(count_to(a, PEER_HASH, 2), 1);
	alone_free(a);
}

static void only_its_leader_tells_it_what_is_right(void **state)
{
	struct alone *a = follower_at(EVERY);
	struct peer_agreed m = right_at(last_hash(a, 2), 1);

	(void)state;
	hear_agreed(a, 3, m);
	m.term = TERM - 1;
	hear_agreed(a, 2, m);
	m.term = TERM + 1;
	hear_agreed(a, 2, m);
	assert_false(status_of(a).distrusted);
	assert_false(raft_is_frozen(replica_raft(a->replica)));
	m.term = TERM;
	hear_agreed(a, 2, m);
	assert_true(status_of(a).distrusted);
	assert_true(raft_is_frozen(replica_raft(a->replica)));
	alone_free(a);
}

/* It lags, and is told before it gets there. Entries without changes leave the state as it was. */
static void what_is_known_to_be_right_is_compared_on_the_way(void **state)
{
	struct alone *a = follower_at(EVERY);
	struct peer_hash right = last_hash(a, 2);

	(void)state;
	right.index = 2 * EVERY;
	hear_agreed(a, 2, right_at(right, 0));
	right.index = 3 * EVERY;
	hear_agreed(a, 2, right_at(right, 1));
	apply(a, EVERY);
	assert_false(status_of(a).distrusted);
	apply(a, EVERY + 1);
	assert_true(status_of(a).distrusted);
	alone_free(a);
}

/* Raft goes on with the old state until the mark is durable, and nobody is answered from it. */
static void mark_comes_before_the_freeze(void **state)
{
	struct alone *a = follower_at(EVERY);
	struct peer_agreed m = right_at(last_hash(a, 2), 1);

	(void)state;
	a->state_waits = true;
	hear_agreed(a, 2, m);
	assert_false(raft_is_frozen(replica_raft(a->replica)));
	assert_true(status_of(a).distrusted);
	alone_read(a, 1, LEVEL_STALE, "key");
	assert_int_equal(count_to(a, PEER_ASK, 2), 1);
	alone_state_turn(a);
	assert_true(raft_is_frozen(replica_raft(a->replica)));
	alone_free(a);
}

static void quarantine_outlives_the_process(void **state)
{
	struct alone *a = quarantined();
	uint64_t applied = replica_view(a->replica).applied;

	(void)state;
	alone_kill(a);
	assert_true(raft_is_frozen(replica_raft(a->replica)));
	assert_true(status_of(a).distrusted);
	for (uint64_t other = 2; other <= 3; other++)
		alone_hello(a, other, replica_view(a->replica).cluster, true);
	alone_clear(a);
	apply(a, 2 * EVERY);
	assert_int_equal(replica_view(a->replica).applied, applied);
	assert_int_equal(alone_sent(a, PEER_HASH), 0);
	alone_read(a, 1, LEVEL_STALE, "key");
	assert_null(alone_answered(a, 1));
	assert_int_equal(count_to(a, PEER_ASK, 2), 1);
	alone_free(a);
}

static void tell(struct alone *a, const struct peer_ask *asked, enum err e)
{
	struct peer_tell m = {
		.start = 1, .number = asked->number, .error = (uint16_t)e, .result = bytes_text("it")
	};
	struct buf frame = { 0 };

	wire_put_u8(&frame, PEER_TELL);
	peer_tell_put(&frame, &m);
	receive(a, 2, &frame);
}

static struct peer_ask last_ask(const struct alone *a)
{
	struct reader r = last_to(a, PEER_ASK, 2);
	struct peer_ask m;

	assert_true(peer_ask_get(&r, &m));
	return m;
}

static void quarantined_node_passes_on_what_it_is_asked(void **state)
{
	static const enum read_level levels[] = { LEVEL_STALE, LEVEL_LEADER, LEVEL_LINEARIZABLE };
	struct alone *a = quarantined();

	(void)state;
	for (uint64_t i = 0; i < 3; i++) {
		alone_read(a, i, levels[i], "key");
		assert_int_equal(last_ask(a).kind, REQUEST_READ);
		assert_int_equal(last_ask(a).level, LEVEL_LINEARIZABLE);
		struct peer_ask asked = last_ask(a);
		tell(a, &asked, ERR_OK);
		expect(a, i, ERR_OK, APPLIED_NO);
		assert_true(bytes_equal(blob_bytes(alone_answered(a, i)->result), bytes_text("it")));
	}
	alone_write(a, 3, "key");
	assert_int_equal(last_ask(a).kind, REQUEST_WRITE);
	assert_int_equal(alone_sent(a, PEER_FORWARD), 0);
	alone_free(a);
}

/* Without a leader they wait for one, or for their time. */
static void quarantined_node_without_a_leader_waits(void **state)
{
	struct alone *a = quarantined();
	struct raft_message m = { .type = RAFT_HEARTBEAT, .from = 3, .term = TERM + 2 };

	(void)state;
	alone_pass(a, 3 * ELECTION_MS);
	assert_int_equal(alone_view(a).leader, 0);
	alone_clear(a);
	alone_read(a, 1, LEVEL_STALE, "key");
	alone_write(a, 2, "key");
	assert_int_equal(alone_sent(a, PEER_ASK), 0);
	alone_raft(a, &m);
	assert_int_equal(count_to(a, PEER_ASK, 3), 2);
	alone_free(a);
}

static void what_waited_for_its_own_state_does_so_no_more(void **state)
{
	struct alone *a = follower_at(EVERY);
	struct peer_agreed m = right_at(last_hash(a, 2), 1);

	(void)state;
	a->state_waits = true;
	alone_write(a, 1, "key"); /* forwarded */
	alone_read(a, 2, LEVEL_LINEARIZABLE, "key"); /* asks for an index */
	alone_read(a, 3, LEVEL_STALE, "key"); /* with the lane */
	alone_clear(a);
	hear_agreed(a, 2, m);
	expect(a, 1, ERR_LOST, APPLIED_UNKNOWN);
	assert_null(alone_answered(a, 2));
	assert_int_equal(count_to(a, PEER_ASK, 2), 1);
	a->state_waits = false;
	alone_pass(a, 0);
	assert_null(alone_answered(a, 3));
	assert_int_equal(count_to(a, PEER_ASK, 2), 2);
	alone_free(a);
}

static void be_broken(struct replica *r, struct scan_user *u, const char *why)
{
	(void)r;
	assert_non_null(strstr(why, "not trusted"));
	*u = (struct scan_user){ 0 };
}

/* Neither a backup nor an image for another node. */
static void state_is_not_handed_on_any_more(void **state)
{
	struct alone *a = follower_at(EVERY);
	struct peer_agreed m = right_at(last_hash(a, 2), 1);
	struct scan_user user = { .broken = be_broken };

	(void)state;
	assert_true(scan_begin(a->replica, &user));
	hear_agreed(a, 2, m);
	assert_null(user.broken);
	alone_free(a);
}

static void dispute_is_told_by_the_leader_and_ends_with_it(void **state)
{
	struct alone *a = follower_at(EVERY);
	struct raft_message m = { .type = RAFT_HEARTBEAT, .from = 3, .term = TERM + 1 };

	(void)state;
	hear_agreed(a, 2, (struct peer_agreed){ .term = TERM, .disputed = EVERY });
	assert_int_equal(status_of(a).disputed, EVERY);
	alone_write(a, 1, "key");
	expect(a, 1, ERR_DISPUTED, APPLIED_NO);
	alone_read(a, 2, LEVEL_LINEARIZABLE, "key");
	expect(a, 2, ERR_DISPUTED, APPLIED_NO);
	alone_read(a, 3, LEVEL_STALE, "key");
	expect(a, 3, ERR_OK, APPLIED_NO);
	alone_raft(a, &m);
	assert_int_equal(status_of(a).disputed, 0);
	alone_write(a, 4, "key");
	assert_null(alone_answered(a, 4));
	/* What another leader found is over. */
	hear_agreed(a, 2, (struct peer_agreed){ .term = TERM, .disputed = EVERY });
	assert_int_equal(status_of(a).disputed, 0);
	alone_free(a);
}

/* --- the leader --- */

static void accept_all(struct alone *a)
{
	alone_accept(a, 2);
	alone_accept(a, 3);
}

/* Its log is at EVERY, and so is its state; *mine is what that has. */
static struct alone *leader_at_point(struct peer_hash *mine)
{
	struct alone *a = follower_at(EVERY);

	*mine = last_hash(a, 2);
	alone_elect(a); /* its no-op follows */
	accept_all(a);
	assert_true(alone_view(a).commit > EVERY);
	alone_clear(a);
	return a;
}

static void leader_tells_all_what_is_right(void **state)
{
	struct peer_hash mine;
	struct alone *a = leader_at_point(&mine);

	(void)state;
	hear_hash(a, 2, mine, 0);
	for (uint64_t other = 2; other <= 3; other++) {
		assert_int_equal(count_to(a, PEER_AGREED, other), 1);
		assert_int_equal(last_agreed(a, other).term, alone_view(a).term);
		assert_int_equal(last_agreed(a, other).index, EVERY);
		assert_int_equal(last_agreed(a, other).low, mine.low);
		assert_int_equal(last_agreed(a, other).disputed, 0);
	}
	assert_int_equal(status_of(a).agreed, EVERY);
	alone_clear(a);
	/* Whoever says something else, or has not heard it, is told again. */
	hear_hash(a, 3, mine, 1);
	assert_int_equal(count_to(a, PEER_AGREED, 3), 1);
	assert_int_equal(count_to(a, PEER_AGREED, 2), 0);
	assert_int_equal(last_agreed(a, 3).low, mine.low);
	alone_free(a);
}

static void strangers_count_nothing(void **state)
{
	struct peer_hash mine;
	struct alone *a = leader_at_point(&mine);

	(void)state;
	hear_hash(a, 9, mine, 0);
	assert_int_equal(alone_sent(a, PEER_AGREED), 0);
	assert_int_equal(status_of(a).agreed, 0);
	alone_free(a);
}

/* It hands over, and then does as any other. */
static void leader_with_the_wrong_state_hands_over(void **state)
{
	struct peer_hash mine;
	struct alone *a = leader_at_point(&mine);
	struct raft_message told = { 0 };

	(void)state;
	hear_hash(a, 2, mine, 1);
	assert_int_equal(alone_sent(a, PEER_AGREED), 0);
	assert_false(status_of(a).distrusted);
	hear_hash(a, 3, mine, 1);
	assert_true(status_of(a).distrusted);
	assert_true(raft_is_frozen(replica_raft(a->replica)));
	assert_int_equal(last_agreed(a, 2).low, mine.low + 1);
	assert_int_equal(alone_sent_raft(a, RAFT_TIMEOUT_NOW, &told), 1);
	alone_read(a, 1, LEVEL_STALE, "key");
	alone_read(a, 2, LEVEL_LEADER, "key");
	alone_write(a, 3, "key");
	for (uint64_t id = 1; id <= 3; id++)
		assert_null(alone_answered(a, id));
	alone_free(a);
}

static void voters_without_a_majority_stop_writes(void **state)
{
	struct peer_hash mine;
	struct alone *a = leader_at_point(&mine);

	(void)state;
	hear_hash(a, 2, mine, 1);
	hear_hash(a, 3, mine, 2);
	assert_int_equal(status_of(a).disputed, EVERY);
	assert_false(status_of(a).distrusted);
	for (uint64_t other = 2; other <= 3; other++)
		assert_int_equal(last_agreed(a, other).disputed, EVERY);
	alone_write(a, 1, "key");
	expect(a, 1, ERR_DISPUTED, APPLIED_NO);
	alone_read(a, 2, LEVEL_LINEARIZABLE, "key");
	expect(a, 2, ERR_DISPUTED, APPLIED_NO);
	alone_read(a, 3, LEVEL_LEADER, "key");
	expect(a, 3, ERR_DISPUTED, APPLIED_NO);
	alone_read(a, 4, LEVEL_STALE, "key");
	expect(a, 4, ERR_OK, APPLIED_NO);
	/* Who comes again hears it again. */
	alone_clear(a);
	hear_hash(a, 2, mine, 1);
	assert_int_equal(last_agreed(a, 2).disputed, EVERY);
	/* It was a mistake of the other: it says so. */
	hear_hash(a, 2, mine, 0);
	assert_int_equal(status_of(a).disputed, 0);
	assert_int_equal(last_agreed(a, 3).disputed, 0);
	alone_write(a, 5, "key");
	alone_accept(a, 2);
	expect(a, 5, ERR_OK, APPLIED_NO);
	alone_free(a);
}

static void forwarded_write_is_refused_in_a_dispute(void **state)
{
	struct peer_hash mine;
	struct alone *a = leader_at_point(&mine);
	struct peer_refuse refused;
	uint64_t last;
	struct reader r;

	(void)state;
	hear_hash(a, 2, mine, 1);
	hear_hash(a, 3, mine, 2);
	last = alone_view(a).last.index;
	alone_forward(a, 2, 1, alone_view(a).term, 5);
	r = last_to(a, PEER_REFUSE, 2);
	assert_true(peer_refuse_get(&r, &refused));
	assert_int_equal(refused.error, ERR_DISPUTED);
	assert_int_equal(alone_view(a).last.index, last);
	alone_free(a);
}

/* The third is down: it might say who of the two is right, but for how long is one to wait? */
static void voters_that_differ_wait_for_the_others_for_a_while(void **state)
{
	struct peer_hash mine;
	struct alone *a = leader_at_point(&mine);

	(void)state;
	hear_hash(a, 2, mine, 1);
	assert_int_equal(status_of(a).disputed, 0);
	for (int64_t ms = 0; ms < PATIENCE_MS; ms += 100) {
		assert_int_equal(status_of(a).disputed, 0);
		accept_all(a); /* a majority is heard */
		alone_clear(a);
		alone_pass(a, 100);
	}
	assert_int_equal(status_of(a).disputed, EVERY);
	assert_true(replica_deadline(a->replica).ns > a->now.ns);
	alone_write(a, 1, "key");
	expect(a, 1, ERR_DISPUTED, APPLIED_NO);
	hear_hash(a, 3, mine, 0);
	assert_int_equal(status_of(a).disputed, 0);
	assert_int_equal(status_of(a).agreed, EVERY);
	alone_free(a);
}

/* The third was started anew since then and does not know any more what it had there; no write takes them to the next
 * point. But all of them come to rest at one index. */
static void what_they_hold_at_rest_settles_a_dispute(void **state)
{
	struct peer_hash mine, rest;
	struct alone *a = leader_at_point(&mine);

	(void)state;
	alone_write(a, 1, "behind the point");
	accept_all(a);
	hear_hash(a, 2, mine, 1);
	for (int64_t ms = 0; ms < PATIENCE_MS; ms += 100) {
		accept_all(a);
		alone_pass(a, 100);
	}
	assert_int_equal(status_of(a).disputed, EVERY);
	rest = (struct peer_hash){ a->replica->meta.applied_index, a->replica->meta.hash.high,
		a->replica->meta.hash.low };
	assert_true(rest.index > EVERY);
	hear_hash(a, 2, rest, 1);
	assert_int_equal(status_of(a).disputed, EVERY);
	/* The third may not have heard of it. */
	alone_clear(a);
	for (int64_t ms = 0; ms <= ELECTION_MS; ms += 100) {
		accept_all(a);
		alone_pass(a, 100);
	}
	assert_int_equal(last_agreed(a, 3).disputed, EVERY);
	hear_hash(a, 3, rest, 0);
	assert_int_equal(status_of(a).disputed, 0);
	assert_int_equal(last_agreed(a, 2).index, rest.index);
	assert_int_equal(last_agreed(a, 2).low, rest.low);
	assert_false(status_of(a).distrusted);
	alone_free(a);
}

static void follower_started_anew_says_what_it_holds_in_a_dispute(void **state)
{
	struct alone *a = follower_at(EVERY + 1);
	struct peer_hash at_point = last_hash(a, 2);

	(void)state;
	alone_kill(a);
	for (uint64_t other = 2; other <= 3; other++)
		alone_hello(a, other, replica_view(a->replica).cluster, true);
	apply(a, 0);
	alone_clear(a);
	alone_pass(a, 0);
	assert_int_equal(alone_sent(a, PEER_HASH), 0);
	hear_agreed(a, 2, (struct peer_agreed){ .term = TERM, .disputed = EVERY });
	assert_int_equal(count_to(a, PEER_HASH, 2), 1);
	assert_int_equal(last_hash(a, 2).index, EVERY + 1);
	assert_int_equal(last_hash(a, 2).low, at_point.low); /* it was an entry that does nothing */
	alone_free(a);
}

static void later_leader_judges_anew(void **state)
{
	struct peer_hash mine;
	struct alone *a = leader_at_point(&mine);
	struct raft_message m = { .type = RAFT_HEARTBEAT, .from = 3 };

	(void)state;
	hear_hash(a, 2, mine, 1);
	m.term = alone_view(a).term + 1;
	alone_raft(a, &m);
	alone_elect(a);
	accept_all(a);
	hear_hash(a, 3, mine, 1); /* 2 has said nothing in this term */
	assert_false(status_of(a).distrusted);
	hear_hash(a, 2, mine, 0);
	assert_int_equal(status_of(a).agreed, EVERY);
	assert_false(status_of(a).distrusted);
	alone_free(a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(point_is_said_to_the_leader_until_it_is_settled),
		cmocka_unit_test(points_are_as_of_their_index),
		cmocka_unit_test(point_is_said_again_to_another_leader),
		cmocka_unit_test(point_is_said_again_when_the_leader_is_back),
		cmocka_unit_test(only_its_leader_tells_it_what_is_right),
		cmocka_unit_test(what_is_known_to_be_right_is_compared_on_the_way),
		cmocka_unit_test(mark_comes_before_the_freeze),
		cmocka_unit_test(quarantine_outlives_the_process),
		cmocka_unit_test(quarantined_node_passes_on_what_it_is_asked),
		cmocka_unit_test(quarantined_node_without_a_leader_waits),
		cmocka_unit_test(what_waited_for_its_own_state_does_so_no_more),
		cmocka_unit_test(state_is_not_handed_on_any_more),
		cmocka_unit_test(dispute_is_told_by_the_leader_and_ends_with_it),
		cmocka_unit_test(leader_tells_all_what_is_right),
		cmocka_unit_test(strangers_count_nothing),
		cmocka_unit_test(leader_with_the_wrong_state_hands_over),
		cmocka_unit_test(voters_without_a_majority_stop_writes),
		cmocka_unit_test(forwarded_write_is_refused_in_a_dispute),
		cmocka_unit_test(voters_that_differ_wait_for_the_others_for_a_while),
		cmocka_unit_test(what_they_hold_at_rest_settles_a_dispute),
		cmocka_unit_test(follower_started_anew_says_what_it_holds_in_a_dispute),
		cmocka_unit_test(later_leader_judges_anew),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
