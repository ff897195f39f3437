/*
 * Backups, and the scan that there is one of: a replica whose client asks for one.
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
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "common/log.h"
#include "common/status.h"
#include "tests/common/mem_table.h"
#include "tests/common/mem_tables.h"
#include "tests/common/replica_alone.h"
#include "worker/kv/image.h"
#include "worker/replica/inside.h"

#define CLIENT 1
#define VALUE_BYTES ((size_t)100 * 1024)
#define PLENTY (16 * 1024 * 1024)

/* One node, with a state of so many keys of 100 KiB each. */
static struct alone *with_state(unsigned keys)
{
	struct alone *a = alone_new("");
	uint8_t *value = xcalloc(1, VALUE_BYTES);

	alone_write(a, 1000, "first");
	for (int i = 0; i < 40 && alone_answered(a, 1000) == NULL; i++)
		alone_pass(a, 100);
	assert_int_equal(alone_answered(a, 1000)->error, ERR_OK);
	for (unsigned i = 0; i < keys; i++) {
		char key[16];
		struct buf steps = { 0 }, txn = { 0 };
		struct kv_txn t = { 0 };

		snprintf(key, sizeof(key), "key%u", i);
		kv_put_step(&steps, bytes_text(key), bytes_of(value, VALUE_BYTES), (struct bytes){ 0 });
		t.steps = buf_bytes(&steps);
		kv_txn_put(&txn, &t);
		replica_request(a->replica, CLIENT,
		    &(struct ipc_request){ .id = 1001 + i,
			.kind = REQUEST_WRITE,
			.time_ms = 5000,
			.operation = buf_bytes(&txn) },
		    a->now);
		alone_pass(a, 0);
		assert_int_equal(alone_answered(a, 1001 + i)->error, ERR_OK);
		buf_free(&steps);
		buf_free(&txn);
	}
	free(value);
	return a;
}

static void ask(struct alone *a, uint64_t id)
{
	replica_request(a->replica, CLIENT,
	    &(struct ipc_request){ .id = id, .kind = REQUEST_BACKUP, .time_ms = 5000 }, a->now);
	alone_pass(a, 0);
}

static void credit(struct alone *a, uint64_t id, uint32_t bytes)
{
	replica_credit(a->replica, CLIENT, id, bytes);
	alone_pass(a, 0);
}

static void expect_refused(struct alone *a, uint64_t id, enum err e)
{
	ask(a, id);
	assert_non_null(alone_answered(a, id));
	assert_int_equal(alone_answered(a, id)->error, e);
	assert_int_not_equal(a->stream_id, id);
}

/* The image that came loads, and is the state as of `index`. */
static void expect_image(const struct alone *a, uint64_t index, size_t records)
{
	struct table *t = mem_table_new();
	struct image_load *l = image_load_begin(t, FEATURE_LEVEL_MOST);
	struct image_head head;

	assert_true(a->stream_over);
	assert_int_equal(a->stream_error, ERR_OK);
	assert_int_equal(image_load_frames(l, buf_bytes(&a->stream)), ERR_OK);
	assert_int_equal(image_load_end(l), ERR_OK);
	assert_true(image_load_head(l, &head));
	assert_int_equal(head.index, index);
	assert_int_equal(head.cluster, a->replica->identity.cluster);
	/* The members and what the image leaves behind of itself are records too. */
	assert_true(mem_table_count(t) >= records);
	image_load_free(l);
	mem_table_free(t);
}

/* Nothing is left of a scan, not on the lanes either. */
static void expect_no_scan(const struct alone *a)
{
	assert_null(a->replica->scan.user);
	assert_null(a->replica->scan.image);
	assert_int_equal(mem_tables_beside(a->tables), 0);
	assert_int_equal(replica_view(a->replica).requests, 0);
}

static void a_backup_is_the_state_as_of_its_revision(void **state)
{
	struct alone *a = with_state(5);
	uint64_t index = replica_view(a->replica).applied;
	struct status_node node;
	struct reader r;

	(void)state;
	ask(a, 1);
	assert_int_equal(a->stream_id, 1);
	r = reader_of(blob_bytes(alone_answered(a, 1)->result));
	assert_true(status_node_get(&r, &node));
	assert_int_equal(node.cluster, a->replica->identity.cluster);
	assert_int_equal(replica_view(a->replica).requests, 1);
	/* What is written from now on is not in it. */
	alone_write(a, 2, "later");
	alone_write(a, 3, "key1");
	assert_true(replica_view(a->replica).applied > index);
	credit(a, 1, PLENTY);
	expect_image(a, index, 6);
	expect_no_scan(a);
	alone_free(a);
}

static void nothing_is_read_without_credit(void **state)
{
	struct alone *a = with_state(20);

	(void)state;
	ask(a, 1);
	alone_pass(a, 1000);
	assert_int_equal(a->stream.size, 0);
	assert_false(a->stream_over);
	/* A slice that was begun comes whole, and is owed for. */
	credit(a, 1, 1);
	assert_in_range(a->stream.size, 1, SCAN_SLICE_BYTES + VALUE_BYTES + 1024);
	alone_pass(a, 1000);
	credit(a, 1, (uint32_t)a->stream.size - 1);
	assert_in_range(a->stream.size, 1, SCAN_SLICE_BYTES + VALUE_BYTES + 1024);
	/* Others' credit is none. */
	replica_credit(a->replica, CLIENT, 2, PLENTY);
	replica_credit(a->replica, CLIENT + 1, 1, PLENTY);
	alone_pass(a, 0);
	assert_in_range(a->stream.size, 1, SCAN_SLICE_BYTES + VALUE_BYTES + 1024);
	credit(a, 1, PLENTY);
	expect_image(a, replica_view(a->replica).applied, 21);
	alone_free(a);
}

static void there_is_one_at_a_time(void **state)
{
	struct alone *a = with_state(1);

	(void)state;
	ask(a, 1);
	expect_refused(a, 2, ERR_BUSY);
	credit(a, 1, PLENTY);
	assert_true(a->stream_over);
	ask(a, 3);
	assert_int_equal(a->stream_id, 3);
	alone_free(a);
}

static void who_goes_ends_it(void **state)
{
	struct alone *a = with_state(5);

	(void)state;
	ask(a, 1);
	credit(a, 1, 1);
	replica_cancel(a->replica, CLIENT + 1, 1);
	replica_cancel(a->replica, CLIENT, 2);
	assert_non_null(a->replica->scan.user);
	replica_cancel(a->replica, CLIENT, 1);
	alone_pass(a, 0);
	assert_false(a->stream_over);
	expect_no_scan(a);
	ask(a, 2);
	replica_forget(a->replica, CLIENT + 1);
	assert_non_null(a->replica->scan.user);
	replica_forget(a->replica, CLIENT);
	alone_pass(a, 0);
	expect_no_scan(a);
	/* What comes for it late finds nobody. */
	credit(a, 2, PLENTY);
	assert_int_equal(a->stream.size, 0);
	alone_free(a);
}

/* What the lane still has to do for the first one must not come to the second. */
static void one_that_ended_leaves_nothing_to_the_next(void **state)
{
	struct alone *a = with_state(5);
	uint64_t index;

	(void)state;
	a->state_waits = true;
	ask(a, 1);
	credit(a, 1, PLENTY);
	replica_cancel(a->replica, CLIENT, 1);
	alone_write(a, 2, "between");
	ask(a, 3);
	credit(a, 3, PLENTY);
	index = replica_view(a->replica).commit;
	a->state_waits = false;
	alone_pass(a, 0);
	assert_int_equal(a->stream_id, 3);
	expect_image(a, index, 7);
	expect_no_scan(a);
	alone_free(a);
}

static void a_state_that_is_replaced_breaks_it_off(void **state)
{
	struct alone *a = with_state(5);

	(void)state;
	ask(a, 1);
	credit(a, 1, 1);
	scan_break(a->replica, "the state was replaced");
	alone_pass(a, 0);
	assert_true(a->stream_over);
	assert_int_equal(a->stream_error, ERR_BUSY);
	expect_no_scan(a);
	alone_free(a);
}

/* The node goes on, and so does the next backup. */
static void expect_next(struct alone *a)
{
	expect_no_scan(a);
	alone_write(a, 200, "later");
	assert_int_equal(alone_answered(a, 200)->error, ERR_OK);
	ask(a, 201);
	credit(a, 201, PLENTY);
	expect_image(a, replica_view(a->replica).applied, 3);
}

static void without_a_place_for_what_changes_there_is_none(void **state)
{
	static const enum err errors[] = { ERR_NO_SPACE, ERR_IO };

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		struct alone *a = with_state(1);

		mem_tables_set_error(a->tables, errors[i]);
		ask(a, 1);
		credit(a, 1, PLENTY);
		assert_true(a->stream_over);
		assert_int_equal(a->stream_error, ERR_BUSY);
		mem_tables_set_error(a->tables, ERR_OK);
		expect_next(a);
		alone_free(a);
	}
}

static void a_change_that_cannot_be_put_aside_ends_it_alone(void **state)
{
	struct alone *a = with_state(5);

	(void)state;
	ask(a, 1);
	mem_table_fail_puts(a->replica->scan.aside);
	alone_write(a, 2, "key4");
	assert_int_equal(alone_answered(a, 2)->error, ERR_OK);
	credit(a, 1, PLENTY);
	assert_true(a->stream_over);
	assert_int_equal(a->stream_error, ERR_BUSY);
	expect_next(a);
	alone_free(a);
}

static void a_node_without_a_state_has_none(void **state)
{
	struct alone *a = alone_new("");

	(void)state;
	expect_refused(a, 1, ERR_CONFLICT);
	alone_free(a);
	a = with_state(0);
	a->replica->removed = xstrdup("this node was removed");
	expect_refused(a, 2, ERR_FOREIGN);
	alone_free(a);
	a = with_state(0);
	a->replica->distrusted = xstrdup("this node is quarantined");
	expect_refused(a, 3, ERR_QUARANTINED);
	alone_free(a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_backup_is_the_state_as_of_its_revision),
		cmocka_unit_test(nothing_is_read_without_credit),
		cmocka_unit_test(there_is_one_at_a_time),
		cmocka_unit_test(who_goes_ends_it),
		cmocka_unit_test(one_that_ended_leaves_nothing_to_the_next),
		cmocka_unit_test(a_state_that_is_replaced_breaks_it_off),
		cmocka_unit_test(without_a_place_for_what_changes_there_is_none),
		cmocka_unit_test(a_change_that_cannot_be_put_aside_ends_it_alone),
		cmocka_unit_test(a_node_without_a_state_has_none),
	};

	log_set_level(LOG_LEVEL_ERROR);
	return cmocka_run_group_tests_name("backup", tests, NULL, NULL);
}
