/* links: tests/unit/wal_model.c tests/common/fake_disk.c tests/unit/kept_log.c worker/log/ worker/raft/entry.c common/mem.c common/buf.c common/wire.c common/crc.c common/disk.c common/random.c */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
/* cmocka wants these before it. */
#include <cmocka.h>

#include "tests/unit/kept_log.h"
#include "tests/unit/wal_model.h"
#include "worker/log/wal_private.h"

/*
 * What a crash leaves is never garbage, never damage, and never less than what was synced. Each test runs a story on
 * a disk that dies at one certain point, brings the disk back in one of several ways, and opens the log.
 */

/* How the disk comes back. */
enum revival { KILLED, ALL_LOST, ALL_KEPT, HALF_KEPT, FEW_KEPT, REVIVALS };

static void revive(struct model *m, enum revival how, uint64_t seed)
{
	static const unsigned permille[] = { 0, 0, 1000, 500, 100 };
	struct random r = { seed };

	model_close(m);
	if (how == KILLED)
		fake_disk_after_kill(m->disk);
	else
		fake_disk_after_power_cut(m->disk, &r, permille[how]);
}

/* Opens, and dies at the given call of that. True: the opening was through before. */
static bool open_and_die(struct model *m, uint64_t call, size_t bytes, enum revival how)
{
	enum err e;

	fake_disk_die_at(m->disk, fake_disk_calls(m->disk) + call, bytes);
	e = model_open(m);
	if (!fake_disk_dead(m->disk)) {
		assert_int_equal(e, ERR_OK);
		return true;
	}
	assert_int_equal(e, ERR_IO);
	revive(m, how, call);
	return false;
}

/* D6: what an opened log holds does not depend on anything that was not synced. And nothing is left of what does not
 * belong to it. */
static void open_for_good(struct model *m)
{
	size_t files;

	model_must_open(m);
	revive(m, ALL_LOST, 0);
	model_must_open(m);
	assert_string_equal(kept_line(LOG_LEVEL_ERROR), "");
	model_newest(m, &files);
	assert_int_equal(files, m->wal->segment_count);
}

/* Something of everything, in 64 KiB segments. Ends early when the disk dies. */
static bool tell_first(struct model *m)
{
	if (model_create(m) != ERR_OK || model_open(m) != ERR_OK)
		return false;
	if (model_append(m, 2, 1, 3, 100) != ERR_OK || model_sync(m) != ERR_OK)
		return false;
	if (model_append(m, 5, 2, 2, 700) != ERR_OK || model_append(m, 7, 2, 1, 50) != ERR_OK)
		return false;
	if (model_sync(m) != ERR_OK || model_settle(m) != ERR_OK)
		return false;
	if (model_append(m, 6, 3, 4, 300) != ERR_OK || model_hard(m, (struct raft_hard){ 4, 2 }) != ERR_OK)
		return false;
	return model_sync(m) == ERR_OK && model_fill(m, 1) == ERR_OK;
}

static bool tell_rest(struct model *m)
{
	if (model_append(m, 10, 4, 20, 4000) != ERR_OK || model_sync(m) != ERR_OK)
		return false;
	if (model_append(m, 25, 5, 2, 30000) != ERR_OK || model_append(m, 27, 5, 1, 10) != ERR_OK)
		return false;
	if (model_settle(m) != ERR_OK)
		return false;
	model_close(m);
	if (model_open(m) != ERR_OK)
		return false;
	if (model_append(m, 12, 6, 1, 100) != ERR_OK || model_sync(m) != ERR_OK)
		return false;
	return model_append(m, 13, 6, 2, 600) == ERR_OK;
}

static bool tell(struct model *m)
{
	return tell_first(m) && tell_rest(m);
}

/* Entries over several segments, one part of which is cut away in two steps, with more appended in between. */
static bool tell_cuts(struct model *m)
{
	if (model_create(m) != ERR_OK || model_open(m) != ERR_OK)
		return false;
	if (model_append(m, 2, 2, 9, 14000) != ERR_OK || model_hard(m, (struct raft_hard){ 3, 5 }) != ERR_OK)
		return false;
	if (model_append(m, 9, 3, 5, 14000) != ERR_OK || model_sync(m) != ERR_OK)
		return false;
	if (model_append(m, 14, 3, 2, 500) != ERR_OK || model_cut(m, 8, 0) != ERR_OK)
		return false;
	if (model_append(m, 16, 3, 3, 14000) != ERR_OK || model_sweep(m, 1) != ERR_OK)
		return false;
	if (model_sync(m) != ERR_OK || model_cut(m, 18, 70000) != ERR_OK || model_sweep(m, 9) != ERR_OK)
		return false;
	model_close(m);
	return model_open(m) == ERR_OK && model_cut(m, 18, 0) == ERR_OK;
}

/* It begins anew: beyond its end, with entries that were not synced, and, cut before, in its middle. */
static bool tell_resets(struct model *m)
{
	if (!tell_cuts(m) || model_append(m, 19, 3, 2, 500) != ERR_OK)
		return false;
	if (model_reset(m, (struct raft_pos){ 4, 40 }, (struct raft_hard){ 5, 1 }) != ERR_OK)
		return false;
	if (model_append(m, 41, 5, 12, 14000) != ERR_OK || model_sweep(m, 1) != ERR_OK)
		return false;
	if (model_sync(m) != ERR_OK || model_cut(m, 47, 0) != ERR_OK)
		return false;
	if (model_reset(m, (struct raft_pos){ 5, 50 }, (struct raft_hard){ 5, 1 }) != ERR_OK)
		return false;
	if (model_append(m, 51, 6, 2, 100) != ERR_OK || model_sync(m) != ERR_OK)
		return false;
	return model_sweep(m, 9) == ERR_OK && model_append(m, 53, 6, 2, 100) == ERR_OK;
}

typedef bool story(struct model *);

static uint64_t calls_of_story(story *told)
{
	struct model m;
	uint64_t calls;

	model_init(&m);
	assert_true(told(&m));
	calls = fake_disk_calls(m.disk);
	model_fini(&m);
	return calls;
}

/* False: there is no log yet, and none may be there. */
static bool is_created(struct model *m)
{
	struct wal *w;
	struct wal_found f;

	if (m->durable > 0)
		return true;
	if (wal_open(&w, &m->o, &f) == ERR_NOT_FOUND)
		return false;
	wal_close(w);
	wal_found_free(&f);
	return true;
}

static void die_in_story(story *told, uint64_t call, size_t bytes, enum revival how)
{
	struct model m;

	kept_forget();
	model_init(&m);
	fake_disk_die_at(m.disk, call, bytes);
	told(&m);
	revive(&m, how, call);
	if (is_created(&m)) {
		/* Once more, in the middle of the recovery. */
		open_and_die(&m, call % 9, bytes, how);
		if (m.wal != NULL)
			revive(&m, how, call);
		open_for_good(&m);
		assert_int_equal(model_append(&m, m.last.index + 1, 9, 1, 10), ERR_OK);
		assert_int_equal(model_sync(&m), ERR_OK);
		revive(&m, how, call);
		model_must_open(&m);
	}
	model_fini(&m);
}

static void die_at_every_call(story *told)
{
	static const size_t bytes[] = { 0, 1, 517, SIZE_MAX };
	uint64_t calls = calls_of_story(told);

	assert_in_range(calls, 50, 200);
	for (uint64_t call = 0; call < calls; call++)
		for (size_t b = 0; b < sizeof(bytes) / sizeof(bytes[0]); b++)
			for (enum revival how = 0; how < REVIVALS; how++)
				die_in_story(told, call, bytes[b], how);
}

static void c7_death_at_every_call_loses_nothing_that_was_synced(void **state)
{
	(void)state;
	die_at_every_call(tell);
}

static void c7_d3_s2_death_at_every_call_of_cuts_and_resets_leaves_the_old_log_or_the_new(void **state)
{
	(void)state;
	die_at_every_call(tell_resets);
}

static void d3_a_new_log_behind_a_position_is_there_whole_or_not_at_all(void **state)
{
	uint64_t call;
	bool there = false;

	(void)state;
	for (call = 0; !there; call++) {
		for (enum revival how = 0; how < REVIVALS; how++) {
			struct wal_found f = { 0 };
			struct model m;
			enum err e;

			model_init(&m);
			fake_disk_die_at(m.disk, call, 0);
			there = wal_create_at(&m.o, (struct raft_pos){ 3, 9 }, 77,
				    (struct raft_hard){ 4, 5 }) == ERR_OK;
			revive(&m, how, call);
			e = wal_open(&m.wal, &m.o, &f);
			assert_true(e == ERR_OK || (e == ERR_NOT_FOUND && !there));
			if (e == ERR_OK) {
				assert_true(raft_pos_equal(f.base, (struct raft_pos){ 3, 9 }));
				assert_true(raft_pos_equal(f.last, f.base));
				assert_int_equal(f.last_time_ms, 77);
				assert_int_equal(f.hard.term, 4);
				assert_int_equal(f.hard.vote, 5);
			}
			wal_found_free(&f);
			model_fini(&m);
		}
	}
	assert_in_range(call, 5, 20);
}

/* True: the recovery has no such call. */
static bool die_in_recovery(uint64_t call, size_t bytes, enum revival how)
{
	struct model m;
	bool through;

	kept_forget();
	model_init(&m);
	assert_true(tell(&m));
	revive(&m, KILLED, 0);
	through = open_and_die(&m, call, bytes, how);
	if (!through && !open_and_die(&m, call + 1, bytes, how))
		open_and_die(&m, call / 2, bytes, how);
	revive(&m, ALL_LOST, 0);
	open_for_good(&m);
	model_fini(&m);
	return through;
}

static void death_at_every_call_of_a_recovery_can_be_repeated(void **state)
{
	(void)state;
	for (enum revival how = 0; how < REVIVALS; how++) {
		uint64_t call = 0;

		while (!die_in_recovery(call, 0, how)) {
			die_in_recovery(call, 100, how);
			die_in_recovery(call, SIZE_MAX, how);
			call++;
		}
		assert_in_range(call, 8, 20);
	}
}

/* Two synced batches, two that are not, the last write torn after `bytes` bytes. True: it is there. */
static bool tear(size_t bytes, enum revival how)
{
	struct model m;
	bool there;

	kept_forget();
	model_init(&m);
	assert_int_equal(model_create(&m), ERR_OK);
	model_must_open(&m);
	assert_int_equal(model_append(&m, 2, 1, 2, 100), ERR_OK);
	assert_int_equal(model_sync(&m), ERR_OK);
	assert_int_equal(model_append(&m, 4, 1, 1, 300), ERR_OK);
	assert_int_equal(model_sync(&m), ERR_OK);
	assert_int_equal(model_append(&m, 5, 2, 2, 90), ERR_OK);
	fake_disk_die_at(m.disk, fake_disk_calls(m.disk), bytes);
	assert_int_equal(model_append(&m, 6, 3, 3, 170), ERR_IO);
	revive(&m, how, bytes);
	open_for_good(&m);
	there = m.last.term == 3;
	assert_int_equal(m.hard.term, m.last.term);
	assert_int_equal(m.last.index, there ? 8 : m.last.term == 2 ? 6 : 4);
	model_fini(&m);
	return there;
}

static void a_write_torn_at_every_byte_is_there_whole_or_not_at_all(void **state)
{
	(void)state;
	for (enum revival how = 0; how < REVIVALS; how++) {
		bool before = false;

		for (size_t bytes = 0; bytes < 760; bytes++) {
			bool there = tear(bytes, how);

			assert_false(there && (bytes < 690 || how == ALL_LOST));
			assert_true(there || !before || how > ALL_KEPT);
			before = there;
		}
		assert_true(before || how == ALL_LOST || how > ALL_KEPT);
	}
}

/* A torn tail is cut and told. */
static void a_torn_tail_is_logged(void **state)
{
	struct wal_found f;
	struct model m;

	(void)state;
	kept_forget();
	model_init(&m);
	assert_int_equal(model_create(&m), ERR_OK);
	model_must_open(&m);
	assert_int_equal(model_append(&m, 2, 1, 1, 100), ERR_OK);
	assert_int_equal(model_sync(&m), ERR_OK);
	fake_disk_die_at(m.disk, fake_disk_calls(m.disk), 101);
	assert_int_equal(model_append(&m, 3, 1, 1, 100), ERR_IO);
	revive(&m, KILLED, 0);
	assert_int_equal(wal_open(&m.wal, &m.o, &f), ERR_OK);
	assert_int_equal(f.last.index, 2);
	assert_in_range(f.cut_bytes, 95, 104);
	assert_non_null(strstr(kept_line(LOG_LEVEL_WARN), "torn tail"));
	assert_non_null(strstr(kept_line(LOG_LEVEL_WARN), model_path(2)));
	wal_found_free(&f);
	revive(&m, ALL_LOST, 0);
	assert_int_equal(wal_open(&m.wal, &m.o, &f), ERR_OK);
	assert_int_equal(f.cut_bytes, 0);
	wal_found_free(&f);
	model_fini(&m);
}

/* Many sectors in many batches behind the last sync, of which any survive. */
static void any_sectors_of_what_was_not_synced_may_survive(void **state)
{
	(void)state;
	for (uint64_t seed = 0; seed < 300; seed++) {
		struct model m;

		kept_forget();
		model_init(&m);
		assert_int_equal(model_create(&m), ERR_OK);
		model_must_open(&m);
		assert_int_equal(model_append(&m, 2, 1, 4, 400), ERR_OK);
		if (seed % 3 == 0)
			assert_int_equal(model_settle(&m), ERR_OK);
		assert_int_equal(model_sync(&m), ERR_OK);
		for (uint64_t i = 6; i < 40; i += 2)
			assert_int_equal(model_append(&m, i, 1 + i / 10, 3, 20 + seed), ERR_OK);
		revive(&m, seed % 2 ? HALF_KEPT : FEW_KEPT, seed);
		open_for_good(&m);
		model_fini(&m);
	}
}

static void d6_what_a_failed_sync_left_in_the_cache_is_not_promised(void **state)
{
	(void)state;
	for (int settled = 0; settled < 2; settled++) {
		struct model m;

		kept_forget();
		model_init(&m);
		assert_int_equal(model_create(&m), ERR_OK);
		model_must_open(&m);
		assert_int_equal(model_append(&m, 2, 1, 2, 100), ERR_OK);
		assert_int_equal(settled ? model_settle(&m) : model_sync(&m), ERR_OK);
		assert_int_equal(model_append(&m, 4, 1, 9, 500), ERR_OK);
		fake_disk_fail_sync(m.disk);
		assert_int_equal(model_sync(&m), ERR_IO);
		revive(&m, KILLED, 0);
		open_for_good(&m);
		assert_in_range(m.last.index, 3, 12);
		model_fini(&m);
	}
}

static void d6_what_was_only_written_is_kept_once_it_was_found(void **state)
{
	struct model m;

	(void)state;
	kept_forget();
	model_init(&m);
	assert_int_equal(model_create(&m), ERR_OK);
	model_must_open(&m);
	assert_int_equal(model_append(&m, 2, 1, 9, 500), ERR_OK);
	assert_int_equal(model_hard(&m, (struct raft_hard){ 8, 8 }), ERR_OK);
	revive(&m, KILLED, 0);
	open_for_good(&m);
	assert_int_equal(m.last.index, 10);
	assert_int_equal(m.hard.vote, 8);
	model_fini(&m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(c7_death_at_every_call_loses_nothing_that_was_synced),
		cmocka_unit_test(
		    c7_d3_s2_death_at_every_call_of_cuts_and_resets_leaves_the_old_log_or_the_new),
		cmocka_unit_test(d3_a_new_log_behind_a_position_is_there_whole_or_not_at_all),
		cmocka_unit_test(death_at_every_call_of_a_recovery_can_be_repeated),
		cmocka_unit_test(a_write_torn_at_every_byte_is_there_whole_or_not_at_all),
		cmocka_unit_test(a_torn_tail_is_logged),
		cmocka_unit_test(any_sectors_of_what_was_not_synced_may_survive),
		cmocka_unit_test(d6_what_a_failed_sync_left_in_the_cache_is_not_promised),
		cmocka_unit_test(d6_what_was_only_written_is_kept_once_it_was_found),
	};

	return cmocka_run_group_tests_name("wal_crash", tests, NULL, NULL);
}
