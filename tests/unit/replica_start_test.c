/*
 * A replica that starts again: what it must not take for its own.
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
#include <stdlib.h>

#include <cmocka.h>

#include "tests/common/mem_tables.h"
#include "tests/common/replica_alone.h"

#define LIST "n1=n1:1, n2=n2:1, n3=n3:1"

static void other_leads(struct alone *a, uint64_t leader, uint64_t term)
{
	struct raft_message m = { .type = RAFT_HEARTBEAT, .from = leader, .term = term };

	alone_raft(a, &m);
}

/* --- its log, as files --- */

#define FILES_MAX 8

/* The files of the log at some time. */
struct files {
	char *paths[FILES_MAX];
	struct blob *contents[FILES_MAX];
	size_t count;
};

static void add_file(void *arg, const char *name)
{
	struct files *f = arg;

	assert_true(f->count < FILES_MAX);
	f->paths[f->count++] = xasprintf("log/%s", name);
}

static struct files files_now(struct alone *a)
{
	struct files f = { 0 };

	assert_int_equal(disk_list(fake_disk_of(a->disk), "log", add_file, &f), ERR_OK);
	for (size_t i = 0; i < f.count; i++)
		f.contents[i] = blob_new(fake_disk_file(a->disk, f.paths[i]));
	return f;
}

static void files_free(struct files *f)
{
	for (size_t i = 0; i < f->count; i++) {
		free(f->paths[i]);
		blob_unref(f->contents[i]);
	}
	f->count = 0;
}

static void remove_log(struct alone *a)
{
	struct files f = files_now(a);

	for (size_t i = 0; i < f.count; i++)
		assert_int_equal(disk_unlink(fake_disk_of(a->disk), f.paths[i]), ERR_OK);
	files_free(&f);
}

static void put_log(struct alone *a, const struct files *f)
{
	remove_log(a);
	for (size_t i = 0; i < f->count; i++)
		fake_disk_put(a->disk, f->paths[i], blob_bytes(f->contents[i]));
}

/* --- tests --- */

/* Its vote is needed for the majority that its log was part of: an empty log would vote for anybody. */
static void d12_member_without_its_log_does_not_start(void **state)
{
	struct alone *a = alone_new(LIST);

	(void)state;
	alone_form(a);
	remove_log(a);
	assert_int_equal(alone_restart(a), ERR_DAMAGED);
	alone_free(a);
}

/* The log was put back to what it was before the last entries that were applied. */
static void a_start_says_how_much_of_its_log_is_read(void **state)
{
	struct alone *a = alone_new(LIST);

	(void)state;
	assert_int_equal(a->to_read, 0);
	alone_form(a);
	alone_kill(a);
	assert_true(a->to_read > 0);
	assert_int_equal(a->read, a->to_read);
	alone_free(a);
}

static void d7_state_ahead_of_its_log_does_not_start(void **state)
{
	struct alone *a = alone_new(LIST);
	struct files before;

	(void)state;
	alone_form(a);
	before = files_now(a);
	alone_elect(a);
	alone_accept(a, 2);
	put_log(a, &before);
	assert_int_equal(alone_restart(a), ERR_DAMAGED);
	files_free(&before);
	alone_free(a);
}

/* And it went on with other entries since: at the applied index lies one that the state has never seen. */
static void d7_state_of_another_history_than_its_log_does_not_start(void **state)
{
	struct alone *a = alone_new(LIST);
	struct tables *old, *young = mem_tables_new();
	struct files before;
	uint64_t applied;

	(void)state;
	alone_form(a);
	before = files_now(a);
	alone_elect(a);
	alone_accept(a, 2);
	applied = alone_view(a).applied;
	put_log(a, &before);
	old = a->tables;
	a->tables = young;
	alone_kill(a);
	other_leads(a, 3, 7);
	alone_elect(a);
	alone_accept(a, 2);
	assert_int_equal(alone_view(a).applied, applied);
	a->tables = old;
	assert_int_equal(alone_restart(a), ERR_DAMAGED);
	files_free(&before);
	mem_tables_free(young);
	alone_free(a);
}

static void tell(struct alone *a, uint64_t from, uint64_t start, uint64_t number)
{
	struct peer_tell m = { .start = start, .number = number, .error = ERR_TOO_LARGE };
	struct buf frame = { 0 };

	wire_put_u8(&frame, PEER_TELL);
	peer_tell_put(&frame, &m);
	replica_on_frame(a->replica, from, buf_bytes(&frame), a->now);
	alone_pass(a, 0);
	buf_free(&frame);
}

/* The number of the last read that was passed to the leader. */
static uint64_t passed_on(const struct alone *a)
{
	uint64_t number = 0;

	for (size_t i = 0; i < a->frame_count; i++) {
		struct reader r = reader_of(blob_bytes(a->frames[i].bytes));
		struct peer_ask m;

		if (wire_get_u8(&r) == PEER_ASK && peer_ask_get(&r, &m))
			number = m.number;
	}
	return number;
}

/* The leader answers a read that this node passed on before it was killed; its numbers began anew since. */
static void d11_answer_to_a_read_of_a_former_life_is_dropped(void **state)
{
	struct alone *a = alone_new(LIST);
	uint64_t number;

	(void)state;
	alone_form(a);
	other_leads(a, 2, 2);
	alone_read(a, 1, LEVEL_LEADER, "key");
	number = passed_on(a);
	alone_kill(a);
	alone_clear(a);
	other_leads(a, 2, 2);
	alone_read(a, 2, LEVEL_LEADER, "key");
	assert_int_equal(passed_on(a), number);
	tell(a, 2, 1, number);
	assert_null(alone_answered(a, 2));
	tell(a, 2, 2, number);
	assert_int_equal(alone_answered(a, 2)->error, ERR_TOO_LARGE);
	alone_free(a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_start_says_how_much_of_its_log_is_read),
		cmocka_unit_test(d7_state_ahead_of_its_log_does_not_start),
		cmocka_unit_test(d7_state_of_another_history_than_its_log_does_not_start),
		cmocka_unit_test(d11_answer_to_a_read_of_a_former_life_is_dropped),
		cmocka_unit_test(d12_member_without_its_log_does_not_start),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
