/*
 * A cluster that begins anew with one node: what is noted before, what is refused meanwhile, what is there in the end.
 *
 * links: worker/replica/refound.c worker/replica/identity.c worker/replica/sealed.c worker/log/ worker/kv/ worker/raft/config.c worker/raft/entry.c
 *	common/mem.c common/buf.c common/wire.c common/err.c common/disk.c common/disk_posix.c common/crc.c common/random.c
 *	common/random_secret.c common/log.c tests/common/disk_case.c tests/common/folder.c tests/common/mem_table.c tests/common/kv_drive.c -lxxhash
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/common/disk_case.h"
#include "tests/common/kv_drive.h"
#include "tests/common/mem_table.h"
#include "worker/log/wal.h"
#include "worker/raft/config.h"
#include "worker/replica/refound.h"

#define SEGMENT (64 * 1024)

static struct refound planned(void)
{
	struct refound r = refound_new(REFOUND_RECOVER, "n1", "n1:9000", "http://n1:8080");

	refound_begin_beyond(&r, (struct raft_pos){ 7, 100 }, 5000);
	r.aside = xstrdup("before");
	r.others = blob_new(bytes_text("those"));
	return r;
}

static void a_new_cluster_has_this_node_alone_and_begins_far_ahead(void **state)
{
	struct refound a = planned(), b = planned();
	struct raft_config c;
	struct raft_member m;

	(void)state;
	assert_true(a.next.cluster != 0 && a.next.cluster != b.next.cluster);
	assert_true(a.next.incarnation != 0 && a.next.incarnation != b.next.incarnation);
	assert_true(a.base.term == 8 && a.base.index == 100 + (UINT64_C(1) << 30));
	assert_true(raft_config_get(&c, 1, a.next.founding));
	assert_true(c.count == 1 && raft_config_find(&c, a.next.incarnation, &m) && m.roles == RAFT_VOTER);
	assert_true(bytes_equal(m.id, bytes_text("n1")) && bytes_equal(m.peer, bytes_text("n1:9000")));
	assert_true(bytes_equal(m.http, bytes_text("http://n1:8080")));
	raft_config_free(&c);
	refound_free(&a);
	refound_free(&b);
}

static void what_was_noted_is_read_again(void **state)
{
	struct disk_case *p = *state;
	struct refound a = planned(), b;

	assert_int_equal(refound_read(&b, p->disk), ERR_NOT_FOUND);
	assert_int_equal(refound_note(&a, p->disk), ERR_OK);
	assert_int_equal(refound_read(&b, p->disk), ERR_OK);
	assert_int_equal(b.work, REFOUND_RECOVER);
	assert_string_equal(b.next.id, "n1");
	assert_true(b.next.incarnation == a.next.incarnation && b.next.cluster == a.next.cluster);
	assert_true(bytes_equal(blob_bytes(b.next.founding), blob_bytes(a.next.founding)));
	assert_true(raft_pos_equal(a.base, b.base) && b.time_ms == 5000);
	assert_string_equal(b.aside, "before");
	assert_true(bytes_equal(blob_bytes(b.others), bytes_text("those")));
	refound_free(&a);
	refound_free(&b);
}

static void no_node_starts_before_the_work_is_done(void **state)
{
	struct disk_case *p = *state;
	struct refound r = planned();

	assert_int_equal(refound_check(p->disk), ERR_OK);
	assert_int_equal(refound_note(&r, p->disk), ERR_OK);
	assert_int_equal(refound_check(p->disk), ERR_CONFLICT);
	r.work = REFOUND_RESTORE;
	assert_int_equal(refound_note(&r, p->disk), ERR_OK);
	assert_int_equal(refound_check(p->disk), ERR_CONFLICT);
	assert_int_equal(refound_finish(&r, p->disk, SEGMENT), ERR_OK);
	assert_int_equal(refound_check(p->disk), ERR_OK);
	refound_free(&r);
}

static void a_note_that_is_damaged_is_neither_followed_nor_passed_over(void **state)
{
	struct disk_case *p = *state;
	struct refound r = planned();
	struct buf file = { 0 };

	assert_int_equal(refound_note(&r, p->disk), ERR_OK);
	refound_free(&r);
	assert_int_equal(disk_read_whole(p->disk, "unfinished", 4096, &file), ERR_OK);
	for (size_t i = 0; i < file.size; i++) {
		file.data[i] ^= 4;
		assert_int_equal(disk_replace(p->disk, "", "unfinished", buf_bytes(&file)), ERR_OK);
		assert_int_equal(refound_read(&r, p->disk), ERR_DAMAGED);
		assert_int_equal(refound_check(p->disk), ERR_DAMAGED);
		file.data[i] ^= 4;
	}
	for (size_t size = 0; size < file.size; size++) {
		assert_int_equal(disk_replace(p->disk, "", "unfinished", bytes_of(file.data, size)), ERR_OK);
		assert_int_equal(refound_check(p->disk), ERR_DAMAGED);
	}
	buf_free(&file);
}

/* Which is what a node is that belongs to the new cluster: identity, and a log that begins where the state is. */
static void in_the_end_there_is_a_node_of_the_new_cluster(void **state)
{
	struct disk_case *p = *state;
	struct refound r = planned();
	struct wal_options o = { .disk = p->disk,
		.cluster = r.next.cluster,
		.incarnation = r.next.incarnation,
		.segment_bytes = SEGMENT };
	struct wal_found found;
	struct identity i;
	struct wal *w;

	for (int again = 0; again < 2; again++) {
		assert_int_equal(refound_note(&r, p->disk), ERR_OK);
		assert_int_equal(refound_finish(&r, p->disk, SEGMENT), ERR_OK);
	}
	assert_int_equal(identity_open(&i, p->disk, "n1"), ERR_OK);
	assert_int_equal(i.phase, IDENTITY_FORMED);
	assert_true(i.start == 1 && i.cluster == r.next.cluster && i.incarnation == r.next.incarnation);
	assert_int_equal(wal_open(&w, &o, &found), ERR_OK);
	assert_true(raft_pos_equal(found.base, r.base) && raft_pos_equal(found.last, r.base));
	assert_true(found.hard.term == r.base.term && found.hard.vote == 0 && found.last_time_ms == 5000);
	wal_found_free(&found);
	wal_close(w);
	identity_free(&i);
	refound_free(&r);
}

/* m9: whoever belonged to the old cluster stands nowhere any more; keys stay as they are. */
static void m9_the_state_has_the_new_members_and_goes_on_once(void **state)
{
	struct table *t = mem_table_new();
	struct refound r = planned();
	struct buf members = { 0 };
	struct kv_hash hash;
	struct kv_record k;
	struct drive d;
	uint64_t index;

	(void)state;
	drive_start(&d, t);
	drive_put(&d, "k", "v");
	hash = kv_meta(d.kv)->hash;
	for (int again = 0; again < 2; again++) {
		assert_int_equal(refound_state(&r, d.kv), ERR_OK);
		assert_true(kv_meta(d.kv)->applied_index == r.base.index && kv_meta(d.kv)->applied_term == 8);
	}
	assert_true(hash.low != kv_meta(d.kv)->hash.low);
	assert_int_equal(kv_meta(d.kv)->level, FEATURE_LEVEL_MOST);
	assert_int_equal(kv_members(d.kv, &index, &members), ERR_OK);
	assert_true(index == r.base.index && bytes_equal(buf_bytes(&members), blob_bytes(r.next.founding)));
	assert_true(drive_get(&d, bytes_text("k"), &k) && k.modify == 1);
	buf_free(&members);
	drive_check_hash(&d);
	drive_stop(&d);
	mem_table_free(t);
	refound_free(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_new_cluster_has_this_node_alone_and_begins_far_ahead),
		cmocka_unit_test_setup_teardown(
		    what_was_noted_is_read_again, disk_case_setup, disk_case_teardown),
		cmocka_unit_test_setup_teardown(
		    no_node_starts_before_the_work_is_done, disk_case_setup, disk_case_teardown),
		cmocka_unit_test_setup_teardown(a_note_that_is_damaged_is_neither_followed_nor_passed_over,
		    disk_case_setup, disk_case_teardown),
		cmocka_unit_test_setup_teardown(
		    in_the_end_there_is_a_node_of_the_new_cluster, disk_case_setup, disk_case_teardown),
		cmocka_unit_test(m9_the_state_has_the_new_members_and_goes_on_once),
	};

	if (freopen("/dev/null", "w", stderr) == NULL)
		return 1;
	return cmocka_run_group_tests_name("refound", tests, NULL, NULL);
}
