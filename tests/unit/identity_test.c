/*
 * DATA/identity: kept over starts, refused when damaged or foreign.
 *
 * links: worker/replica/identity.c worker/replica/sealed.c common/mem.c common/buf.c common/wire.c common/err.c common/disk.c
 *	common/disk_posix.c common/crc.c common/random_secret.c common/log.c tests/common/disk_case.c tests/common/folder.c
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/log.h"
#include "tests/common/disk_case.h"
#include "worker/replica/identity.h"

static void start_counter_rises_and_the_rest_stays(void **state)
{
	struct disk_case *p = *state;
	struct identity a, b;

	assert_int_equal(identity_open(&a, p->disk, "n1"), ERR_OK);
	assert_int_equal(a.start, 1);
	assert_true(a.incarnation != 0 && a.incarnation >> 63 == 0);
	assert_int_equal(a.phase, IDENTITY_UNFORMED);
	assert_int_equal(identity_open(&b, p->disk, "n1"), ERR_OK);
	assert_int_equal(b.start, 2);
	assert_true(b.incarnation == a.incarnation && b.boot != a.boot);
	identity_free(&a);
	identity_free(&b);
}

static void formed_identity_is_read_back(void **state)
{
	struct disk_case *p = *state;
	struct identity a, b;

	assert_int_equal(identity_open(&a, p->disk, "n1"), ERR_OK);
	a.phase = IDENTITY_FORMING;
	a.cluster = 42;
	a.founding = blob_new(bytes_text("members"));
	assert_int_equal(identity_save(&a, p->disk), ERR_OK);
	assert_int_equal(identity_open(&b, p->disk, "n1"), ERR_OK);
	assert_int_equal(b.phase, IDENTITY_FORMING);
	assert_int_equal(b.cluster, 42);
	assert_true(bytes_equal(blob_bytes(b.founding), bytes_text("members")));
	identity_free(&a);
	identity_free(&b);
}

static void another_id_is_refused(void **state)
{
	struct disk_case *p = *state;
	struct identity i;

	assert_int_equal(identity_open(&i, p->disk, "n1"), ERR_OK);
	identity_free(&i);
	assert_int_equal(identity_open(&i, p->disk, "n2"), ERR_CONFLICT);
	assert_null(i.id);
}

static void every_flipped_bit_is_damage(void **state)
{
	struct disk_case *p = *state;
	struct buf file = { 0 };
	struct identity i;

	assert_int_equal(identity_open(&i, p->disk, "n1"), ERR_OK);
	identity_free(&i);
	assert_int_equal(disk_read_whole(p->disk, "identity", 4096, &file), ERR_OK);
	for (size_t bit = 0; bit < file.size * 8; bit++) {
		file.data[bit / 8] ^= (uint8_t)(1 << bit % 8);
		assert_int_equal(disk_replace(p->disk, "", "identity", buf_bytes(&file)), ERR_OK);
		assert_int_equal(identity_open(&i, p->disk, "n1"), ERR_DAMAGED);
		file.data[bit / 8] ^= (uint8_t)(1 << bit % 8);
	}
	for (size_t size = 0; size < file.size; size++) {
		assert_int_equal(disk_replace(p->disk, "", "identity", bytes_of(file.data, size)), ERR_OK);
		assert_int_equal(identity_open(&i, p->disk, "n1"), ERR_DAMAGED);
	}
	buf_free(&file);
}

/* A directory that lost its identity but not its log is no new node. */
static void log_without_identity_is_damage(void **state)
{
	struct disk_case *p = *state;
	struct identity i;

	assert_int_equal(disk_make_dir(p->disk, "log"), ERR_OK);
	assert_int_equal(identity_open(&i, p->disk, "n1"), ERR_DAMAGED);
	char *path = xasprintf("%s/log", p->dir);
	rmdir(path);
	free(path);
}

static void state_without_identity_is_damage(void **state)
{
	struct disk_case *p = *state;
	struct identity i;

	assert_int_equal(disk_make_dir(p->disk, "state"), ERR_OK);
	assert_int_equal(identity_open(&i, p->disk, "n1"), ERR_DAMAGED);
	char *path = xasprintf("%s/state", p->dir);
	rmdir(path);
	free(path);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(
		    start_counter_rises_and_the_rest_stays, disk_case_setup, disk_case_teardown),
		cmocka_unit_test_setup_teardown(
		    formed_identity_is_read_back, disk_case_setup, disk_case_teardown),
		cmocka_unit_test_setup_teardown(another_id_is_refused, disk_case_setup, disk_case_teardown),
		cmocka_unit_test_setup_teardown(
		    every_flipped_bit_is_damage, disk_case_setup, disk_case_teardown),
		cmocka_unit_test_setup_teardown(
		    log_without_identity_is_damage, disk_case_setup, disk_case_teardown),
		cmocka_unit_test_setup_teardown(
		    state_without_identity_is_damage, disk_case_setup, disk_case_teardown),
	};

	log_set_level(LOG_LEVEL_ERROR);
	if (freopen("/dev/null", "w", stderr) == NULL)
		return 1;
	return cmocka_run_group_tests_name("identity", tests, NULL, NULL);
}
