/*
 * A follower that is sent an image of the state: what it takes, what it says, and what is left when something breaks.
 *
 * links: worker/replica/ worker/raft/ worker/log/ worker/kv/ tests/common/replica_alone.c tests/common/kv_drive.c
 *	tests/common/fake_disk.c tests/common/mem_table.c tests/common/mem_tables.c common/ballast.c common/buf.c
 *	common/clock.c common/crc.c common/disk.c common/err.c common/lane.c common/log.c common/mem.c common/member.c
 *	common/metric.c common/random.c common/random_secret.c common/status.c common/wire.c -lxxhash
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

#include <cmocka.h>

#include "tests/common/kv_drive.h"
#include "tests/common/mem_tables.h"
#include "tests/common/replica_alone.h"
#include "worker/kv/image.h"

#define LIST "n1=n1:1, n2=n2:1, n3=n3:1"
#define KEYS 300
#define PIECES_MAX 64

/* An image in pieces, and the follower that is to have it. */
struct scene {
	struct alone *a;
	struct buf pieces[PIECES_MAX];
	size_t count;
	struct raft_pos pos;
	uint64_t number;
};

static void put_member(struct buf *b, uint64_t incarnation, const char *id, const char *peer)
{
	raft_member_put(b, &(struct raft_member){ incarnation, RAFT_VOTER, bytes_text(id), bytes_text(peer),
			       bytes_text("http://there"), 0, 0 });
}

static void add_members(struct drive *d, uint64_t self)
{
	struct buf members = { 0 };

	put_member(&members, self, "n1", "n1:1");
	put_member(&members, 2, "n2", "n2:1");
	put_member(&members, 3, "n3", "n3:1");
	assert_int_equal(kv_apply_members(d->kv, 1, buf_bytes(&members), 0, d->changes), ERR_OK);
	assert_int_equal(kv_settle(d->kv, 1, 1, 0, d->changes), ERR_OK);
	assert_int_equal(kv_commit(d->kv), ERR_OK);
	buf_free(&members);
}

static void make_pieces(struct scene *s, uint64_t term, bool members, unsigned level)
{
	struct tables *ts = mem_tables_new();
	struct image_scan *scan;
	struct table *t, *aside;
	struct drive d = { 0 };
	bool more = true;
	char key[16];

	assert_int_equal(tables_open(ts, &t), ERR_OK);
	assert_int_equal(tables_scratch(ts, &aside), ERR_OK);
	drive_start(&d, t);
	if (members)
		add_members(&d, s->a->self);
	for (int i = 0; i < KEYS; i++) {
		snprintf(key, sizeof(key), "key%d", i);
		drive_put(&d, key, "of the image");
	}
	if (level > 0)
		drive_raise(&d, level);
	kv_changes_clear(d.changes);
	assert_int_equal(
	    kv_settle(d.kv, term, kv_meta(d.kv)->applied_index + 1, d.time_ms, d.changes), ERR_OK);
	assert_int_equal(kv_commit(d.kv), ERR_OK);
	s->pos = (struct raft_pos){ kv_meta(d.kv)->applied_term, kv_meta(d.kv)->applied_index };
	assert_int_equal(image_scan_begin(&scan, d.kv, aside, 1), ERR_OK);
	while (more) {
		assert_true(s->count < PIECES_MAX);
		assert_int_equal(image_scan_read(scan, 2048, &s->pieces[s->count++], &more), ERR_OK);
	}
	assert_true(s->count > 4);
	image_scan_end(scan);
	tables_drop(ts, aside);
	drive_stop(&d);
	tables_close(ts, t);
	mem_tables_free(ts);
}

/* The image ends with an entry of this term; the follower's is 2. */
static struct scene begin_of(uint64_t term)
{
	struct scene s = { .a = alone_follower_of(LIST, 2), .number = 7 };

	make_pieces(&s, term, true, 0);
	return s;
}

static struct scene begin(void)
{
	return begin_of(2);
}

static void end(struct scene *s)
{
	for (size_t i = 0; i < s->count; i++)
		buf_free(&s->pieces[i]);
	alone_free(s->a);
}

static void send_as(struct scene *s, uint64_t from, uint64_t term, uint64_t sequence)
{
	struct bytes frames =
	    sequence < s->count ? buf_bytes(&s->pieces[sequence]) : (struct bytes){ NULL, 0 };
	struct peer_image m = { term, s->number, sequence, sequence + 1 == s->count, frames };
	struct buf frame = { 0 };

	wire_put_u8(&frame, PEER_IMAGE);
	peer_image_put(&frame, &m);
	replica_on_frame(s->a->replica, from, buf_bytes(&frame), s->a->now);
	buf_free(&frame);
	alone_pass(s->a, 0);
}

static void send(struct scene *s, uint64_t from, uint64_t to)
{
	for (uint64_t i = from; i < to; i++)
		send_as(s, 2, 2, i);
}

/* A piece without bytes. */
static void ask(struct scene *s)
{
	send_as(s, 2, 2, s->count);
}

/* The last acknowledgement; false when there was none. */
static bool said(struct scene *s, struct peer_image_ack *out)
{
	bool any = false;

	for (size_t i = 0; i < s->a->frame_count; i++) {
		struct reader reader = reader_of(blob_bytes(s->a->frames[i].bytes));

		if (wire_get_u8(&reader) != PEER_IMAGE_ACK)
			continue;
		assert_int_equal(s->a->frames[i].to, 2);
		assert_true(peer_image_ack_get(&reader, out) && reader_done(&reader));
		any = true;
	}
	alone_clear(s->a);
	return any;
}

static void assert_said(struct scene *s, enum image_state state, uint64_t next)
{
	struct peer_image_ack m;

	assert_true(said(s, &m));
	assert_int_equal(m.number, s->number);
	assert_int_equal(m.state, state);
	if (state == IMAGE_UNDER_WAY)
		assert_int_equal(m.next, next);
	if (state == IMAGE_DONE)
		assert_int_equal(m.index, next);
}

/* What a stale read of the key finds: 1 a value, 0 none. */
static uint64_t found(struct scene *s, uint64_t id, const char *key)
{
	const struct alone_answer *answer;
	struct kv_result result;
	struct kv_step_result step;
	struct reader reader;

	alone_read(s->a, id, LEVEL_STALE, key);
	answer = alone_answered(s->a, id);
	assert_non_null(answer);
	assert_int_equal(answer->error, ERR_OK);
	reader = reader_of(blob_bytes(answer->result));
	assert_true(kv_result_get(&reader, &result));
	step = drive_step(&result, 0);
	return step.count;
}

static void count_segment(void *arg, const char *name)
{
	*(size_t *)arg += strstr(name, ".log") != NULL;
}

static void assert_taken_over(struct scene *s)
{
	struct raft_view v = alone_view(s->a);
	size_t segments = 0;

	/* And nothing is left of the log that was before. */
	assert_int_equal(disk_list(fake_disk_of(s->a->disk), "log", count_segment, &segments), ERR_OK);
	assert_int_equal(segments, 1);
	assert_int_equal(v.applied, s->pos.index);
	assert_int_equal(v.first, s->pos.index + 1);
	assert_int_equal(v.last.index, s->pos.index);
	assert_int_equal(replica_view(s->a->replica).applied, s->pos.index);
	assert_int_equal(found(s, 1000, "key1"), 1);
	assert_int_equal(mem_tables_beside(s->a->tables), 0);
}

static void image_takes_the_place_of_state_and_log(void **state)
{
	struct scene s = begin();

	(void)state;
	send(&s, 0, s.count - 1);
	assert_said(&s, IMAGE_UNDER_WAY, s.count - 1);
	assert_int_equal(alone_view(s.a).applied, 0);
	assert_int_equal(found(&s, 1, "key1"), 0);
	send(&s, s.count - 1, s.count);
	assert_said(&s, IMAGE_DONE, s.pos.index);
	assert_taken_over(&s);
	/* The log goes on behind it, and so does the state. */
	alone_append(s.a, 2, 2, s.pos, 3);
	alone_pass(s.a, 0);
	assert_int_equal(replica_view(s.a->replica).applied, s.pos.index + 3);
	alone_kill(s.a);
	assert_int_equal(replica_view(s.a->replica).applied, s.pos.index + 3);
	assert_int_equal(alone_view(s.a).first, s.pos.index + 1);
	end(&s);
}

/* As a leader would send it that has a state of nothing. */
static void image_without_members_is_refused(void **state)
{
	struct scene s = { .a = alone_follower_of(LIST, 2), .number = 7 };

	(void)state;
	make_pieces(&s, 2, false, 0);
	send(&s, 0, s.count);
	assert_said(&s, IMAGE_REFUSED, 0);
	assert_int_equal(mem_tables_beside(s.a->tables), 0);
	alone_append(s.a, 2, 2, alone_view(s.a).last, 1);
	end(&s);
}

static void apply_to_point(struct scene *s)
{
	alone_append(s->a, 2, 2, alone_view(s->a).last, ALONE_HASH_EVERY - 1);
}

/* At that point its state is not that of the others. */
static void hear_of_it(struct scene *s)
{
	struct peer_agreed m = { 2, ALONE_HASH_EVERY, 1, 1, 0 };
	struct buf frame = { 0 };

	wire_put_u8(&frame, PEER_AGREED);
	peer_agreed_put(&frame, &m);
	replica_on_frame(s->a->replica, 2, buf_bytes(&frame), s->a->now);
	buf_free(&frame);
	alone_pass(s->a, 0);
}

static void find_out(struct scene *s)
{
	hear_of_it(s);
	assert_true(replica_view(s->a->replica).quarantined);
}

static void image_ends_a_quarantine(void **state)
{
	struct scene s = begin();

	(void)state;
	apply_to_point(&s);
	find_out(&s);
	assert_true(raft_is_frozen(replica_raft(s.a->replica)));
	send(&s, 0, s.count);
	assert_said(&s, IMAGE_DONE, s.pos.index);
	assert_false(replica_view(s.a->replica).quarantined);
	assert_taken_over(&s);
	alone_kill(s.a);
	assert_false(replica_view(s.a->replica).quarantined);
	assert_false(raft_is_frozen(replica_raft(s.a->replica)));
	end(&s);
}

/* It lagged, and an image was nearly there: the state lane marks the old state, and then takes the new one. Raft has let go of
 * what it would have applied behind that, so it comes once more. */
static void quarantine_begins_while_an_image_is_put_in_force(void **state)
{
	struct scene s = begin();

	(void)state;
	send(&s, 0, s.count - 1);
	assert_said(&s, IMAGE_UNDER_WAY, s.count - 1);
	apply_to_point(&s);
	s.a->state_waits = true;
	find_out(&s);
	send(&s, s.count - 1, s.count);
	assert_said(&s, IMAGE_DONE, s.pos.index);
	assert_false(raft_is_frozen(replica_raft(s.a->replica)));
	s.a->state_waits = false;
	alone_pass(s.a, 0);
	assert_true(raft_is_frozen(replica_raft(s.a->replica)));
	assert_true(replica_view(s.a->replica).quarantined);
	s.number++;
	send(&s, 0, s.count);
	assert_said(&s, IMAGE_DONE, s.pos.index);
	assert_false(replica_view(s.a->replica).quarantined);
	assert_taken_over(&s);
	end(&s);
}

/* Nobody needs to know any more that the old one was wrong, neither while the new one comes into force nor later. */
static void new_state_is_not_judged_by_the_old_one(void **state)
{
	struct scene s = begin();

	(void)state;
	apply_to_point(&s);
	s.a->state_waits = true;
	send(&s, 0, s.count);
	assert_said(&s, IMAGE_DONE, s.pos.index);
	hear_of_it(&s);
	assert_false(replica_view(s.a->replica).quarantined);
	s.a->state_waits = false;
	alone_pass(s.a, 0);
	hear_of_it(&s);
	assert_false(replica_view(s.a->replica).quarantined);
	assert_taken_over(&s);
	end(&s);
}

static void pieces_come_twice_or_not_at_all(void **state)
{
	struct scene s = begin();

	(void)state;
	send(&s, 0, 2);
	send(&s, 0, 1); /* once more: it was on its way on two connections */
	assert_said(&s, IMAGE_UNDER_WAY, 2);
	send(&s, 3, 4); /* one is missing */
	assert_said(&s, IMAGE_UNDER_WAY, 2);
	ask(&s);
	assert_said(&s, IMAGE_UNDER_WAY, 2);
	send(&s, 2, s.count);
	assert_said(&s, IMAGE_DONE, s.pos.index);
	ask(&s); /* the word was lost */
	assert_said(&s, IMAGE_DONE, s.pos.index);
	assert_taken_over(&s);
	end(&s);
}

static void only_the_leader_sends_images(void **state)
{
	struct scene s = begin();
	struct peer_image_ack m;

	(void)state;
	send_as(&s, 3, 2, 0);
	send_as(&s, 2, 1, 0);
	send_as(&s, 2, 3, 0);
	assert_false(said(&s, &m));
	send(&s, 1, 2); /* the beginning went to an earlier life of this node */
	assert_said(&s, IMAGE_REFUSED, 0);
	end(&s);
}

/* It would be a node that does something else than the others with the same log. */
static void image_of_a_higher_feature_level_stops_the_node(void **state)
{
	struct scene s = { .a = alone_follower_of(LIST, 2), .number = 7 };

	(void)state;
	make_pieces(&s, 2, true, 1);
	s.a->may_die = true;
	send(&s, 0, 1);
	assert_true(s.a->died);
	assert_int_equal(s.a->status, EX_CONFIG);
	assert_non_null(strstr(s.a->why, "the state is of feature level 1"));
	assert_non_null(strstr(s.a->why, "upgrade this node"));
	end(&s);
}

static void image_that_is_damaged_is_refused(void **state)
{
	struct scene s = begin();

	(void)state;
	s.pieces[2].data[s.pieces[2].size / 2] ^= 1;
	send(&s, 0, 3);
	assert_said(&s, IMAGE_REFUSED, 0);
	s.pieces[2].data[s.pieces[2].size / 2] ^= 1;
	assert_int_equal(found(&s, 1, "key1"), 0);
	send(&s, 3, s.count);
	assert_said(&s, IMAGE_REFUSED, 0);
	s.number++;
	send(&s, 0, s.count);
	assert_said(&s, IMAGE_DONE, s.pos.index);
	assert_taken_over(&s);
	end(&s);
}

static void s3_second_image_takes_the_place_of_one_under_way(void **state)
{
	struct scene s = begin();

	(void)state;
	send(&s, 0, 3);
	s.number++;
	send(&s, 0, s.count);
	assert_said(&s, IMAGE_DONE, s.pos.index);
	assert_taken_over(&s);
	end(&s);
}

static void s1_image_that_is_no_news_changes_nothing(void **state)
{
	struct scene s = begin();

	(void)state;
	send(&s, 0, s.count);
	alone_append(s.a, 2, 2, s.pos, 3);
	alone_pass(s.a, 0);
	alone_clear(s.a);
	s.number++;
	send(&s, 0, s.count);
	assert_said(&s, IMAGE_DONE, s.pos.index);
	assert_int_equal(replica_view(s.a->replica).applied, s.pos.index + 3);
	assert_int_equal(alone_view(s.a).last.index, s.pos.index + 3);
	assert_int_equal(mem_tables_adopted(s.a->tables), 1);
	assert_int_equal(mem_tables_beside(s.a->tables), 0);
	end(&s);
}

static void s4_receiver_that_dies_begins_anew(void **state)
{
	struct scene s = begin();
	struct raft_message m = { .type = RAFT_HEARTBEAT, .from = 2, .term = 2 };

	(void)state;
	send(&s, 0, 3);
	alone_kill(s.a);
	alone_hello(s.a, 2, replica_view(s.a->replica).cluster, true);
	alone_raft(s.a, &m);
	alone_clear(s.a);
	ask(&s);
	assert_said(&s, IMAGE_REFUSED, 0);
	s.number++;
	send(&s, 0, s.count);
	assert_said(&s, IMAGE_DONE, s.pos.index);
	assert_taken_over(&s);
	end(&s);
}

/* Each call that the switch makes to the disk is the last one, once. */
static void s2_crash_in_the_switch_leaves_the_old_or_the_new(void **state)
{
	unsigned old = 0, between = 0, whole = 0;

	(void)state;
	for (uint64_t call = 0; whole == 0; call++) {
		struct scene s = begin();

		send(&s, 0, s.count - 1);
		fake_disk_die_at(s.a->disk, fake_disk_calls(s.a->disk) + call, 0);
		s.a->may_die = true;
		send(&s, s.count - 1, s.count);
		whole += !fake_disk_dead(s.a->disk);
		between += fake_disk_dead(s.a->disk) && mem_tables_adopted(s.a->tables) == 1;
		fake_disk_die_at(s.a->disk, UINT64_MAX, 0);
		alone_kill(s.a);
		if (mem_tables_adopted(s.a->tables) == 1) {
			assert_taken_over(&s);
		} else {
			assert_int_equal(alone_view(s.a).last.index, 1);
			assert_int_equal(found(&s, 1000, "key1"), 0);
			old++;
		}
		end(&s);
	}
	print_message(
	    "# calls: %u left the old state, %u the new one and the old log, and then all was new\n", old,
	    between);
	assert_true(between > 2);
}

/* The table that it had before is another one than the state machine works on. mem_tables opens none that is open. */
static void s2_switch_that_was_not_taken_over_leaves_no_state_open(void **state)
{
	struct scene s = begin();

	(void)state;
	send(&s, 0, s.count - 1);
	s.a->state_waits = true;
	send(&s, s.count - 1, s.count);
	assert_int_equal(mem_tables_adopted(s.a->tables), 1);
	alone_state_then_kill(s.a);
	s.a->state_waits = false;
	assert_taken_over(&s);
	end(&s);
}

static void d10_write_that_may_be_in_the_image_is_not_tried_again(void **state)
{
	(void)state;
	for (uint64_t term = 1; term <= 2; term++) {
		struct scene s = begin_of(term);

		alone_hello(s.a, 2, replica_view(s.a->replica).cluster, true);
		alone_clear(s.a);
		alone_write(s.a, 5, "mine"); /* for term 2 */
		assert_int_equal(alone_sent(s.a, PEER_FORWARD), 1);
		send(&s, 0, s.count);
		assert_int_equal(alone_sent(s.a, PEER_FORWARD), 1);
		if (term == 1) {
			assert_null(alone_answered(s.a, 5));
		} else {
			assert_int_equal(alone_answered(s.a, 5)->error, ERR_LOST);
			assert_int_equal(alone_answered(s.a, 5)->applied, APPLIED_UNKNOWN);
		}
		end(&s);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(image_takes_the_place_of_state_and_log),
		cmocka_unit_test(image_without_members_is_refused),
		cmocka_unit_test(image_ends_a_quarantine),
		cmocka_unit_test(quarantine_begins_while_an_image_is_put_in_force),
		cmocka_unit_test(new_state_is_not_judged_by_the_old_one),
		cmocka_unit_test(pieces_come_twice_or_not_at_all),
		cmocka_unit_test(image_of_a_higher_feature_level_stops_the_node),
		cmocka_unit_test(only_the_leader_sends_images),
		cmocka_unit_test(image_that_is_damaged_is_refused),
		cmocka_unit_test(s3_second_image_takes_the_place_of_one_under_way),
		cmocka_unit_test(s1_image_that_is_no_news_changes_nothing),
		cmocka_unit_test(s4_receiver_that_dies_begins_anew),
		cmocka_unit_test(s2_crash_in_the_switch_leaves_the_old_or_the_new),
		cmocka_unit_test(s2_switch_that_was_not_taken_over_leaves_no_state_open),
		cmocka_unit_test(d10_write_that_may_be_in_the_image_is_not_tried_again),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
