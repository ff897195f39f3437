/* links: common/ballast.c common/disk.c tests/common/fake_disk.c common/buf.c common/mem.c common/err.c common/log.c common/random.c */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include <cmocka.h>

#include "common/ballast.h"
#include "common/log.h"
#include "tests/common/fake_disk.h"

#define BALLAST 8000
#define PART (BALLAST / 8)

static struct ballast *open_on(struct fake_disk *f, struct disk_file **other)
{
	struct ballast *b;

	assert_int_equal(ballast_open(&b, fake_disk_of(f), BALLAST), ERR_OK);
	if (other != NULL)
		assert_int_equal(disk_open(fake_disk_of(f), "other", DISK_CREATE, other), ERR_OK);
	return b;
}

static struct ballast_room look(struct ballast *b, uint64_t spare)
{
	struct ballast_room room;

	assert_int_equal(ballast_look(b, spare, &room), ERR_OK);
	return room;
}

static enum err grow(struct disk_file *f, size_t bytes)
{
	static const uint8_t zeros[4 * BALLAST];
	uint64_t size;

	assert_int_equal(disk_size(f, &size), ERR_OK);
	return disk_write(f, size, bytes_of(zeros, bytes));
}

static void it_is_made_only_where_enough_stays_free(void **state)
{
	struct fake_disk *f = fake_disk_new();
	struct ballast *b = open_on(f, NULL);
	struct ballast_room room;

	(void)state;
	fake_disk_set_free(f, BALLAST + 499);
	room = look(b, 500);
	assert_int_equal(room.held, 0);
	assert_int_equal(room.free, BALLAST + 499);
	fake_disk_set_free(f, BALLAST + 500);
	room = look(b, 500);
	assert_int_equal(room.held, BALLAST);
	assert_int_equal(room.free, 500);
	assert_int_equal(fake_disk_file(f, "ballast").size, BALLAST);
	ballast_close(b);
	fake_disk_free(f);
}

static void it_gives_way_part_by_part_to_a_write(void **state)
{
	struct fake_disk *f = fake_disk_new();
	struct disk_file *other;
	struct ballast *b = open_on(f, &other);

	(void)state;
	look(b, 0);
	fake_disk_set_free(f, 10);
	assert_int_equal(grow(other, 10), ERR_OK);
	assert_int_equal(look(b, BALLAST).held, BALLAST);
	assert_int_equal(grow(other, 1), ERR_OK);
	assert_int_equal(look(b, BALLAST).held, BALLAST - PART);
	assert_int_equal(grow(other, 3 * PART), ERR_OK);
	assert_int_equal(look(b, BALLAST).held, BALLAST - 4 * PART);
	/* With the last of it a write fails, and so does every one after it. */
	assert_int_equal(grow(other, 5 * PART), ERR_NO_SPACE);
	assert_int_equal(look(b, BALLAST).held, 0);
	assert_int_equal(grow(other, 4 * PART + PART), ERR_NO_SPACE);
	disk_close(&other);
	ballast_close(b);
	fake_disk_free(f);
}

static void it_is_made_whole_again_when_there_is_space(void **state)
{
	struct fake_disk *f = fake_disk_new();
	struct disk_file *other;
	struct ballast *b = open_on(f, &other);

	(void)state;
	look(b, 0);
	fake_disk_set_free(f, 0);
	assert_int_equal(grow(other, 1), ERR_OK);
	fake_disk_set_free(f, PART + 99);
	assert_int_equal(look(b, 100).held, BALLAST - PART);
	fake_disk_set_free(f, PART + 100);
	assert_int_equal(look(b, 100).held, BALLAST);
	assert_int_equal(fake_disk_free_bytes(f), 100);
	disk_close(&other);
	ballast_close(b);
	fake_disk_free(f);
}

static void another_life_finds_what_is_left(void **state)
{
	struct fake_disk *f = fake_disk_new();
	struct disk_file *other;
	struct ballast *b = open_on(f, &other);

	(void)state;
	look(b, 0);
	fake_disk_set_free(f, 0);
	assert_int_equal(grow(other, PART + 1), ERR_OK);
	ballast_close(b);
	/* Nobody is there to be asked. */
	assert_int_equal(grow(other, 2 * PART), ERR_NO_SPACE);
	b = open_on(f, NULL);
	assert_int_equal(look(b, BALLAST).held, BALLAST - 2 * PART);
	assert_int_equal(grow(other, 2 * PART), ERR_OK);
	disk_close(&other);
	ballast_close(b);
	fake_disk_free(f);
}

static void *free_one_byte(void *arg)
{
	const struct timespec pause = { .tv_nsec = 20000000 };

	nanosleep(&pause, NULL);
	fake_disk_set_free(arg, 1);
	return NULL;
}

static void a_patient_write_waits_for_space(void **state)
{
	struct fake_disk *f = fake_disk_new();
	struct disk_file *other;
	struct ballast *b = open_on(f, &other);
	pthread_t thread;

	(void)state;
	fake_disk_set_free(f, 0);
	ballast_set_patient(b, true);
	assert_int_equal(pthread_create(&thread, NULL, free_one_byte, f), 0);
	assert_int_equal(grow(other, 1), ERR_OK);
	pthread_join(thread, NULL);
	ballast_set_patient(b, false);
	assert_int_equal(grow(other, 1), ERR_NO_SPACE);
	disk_close(&other);
	ballast_close(b);
	fake_disk_free(f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(it_is_made_only_where_enough_stays_free),
		cmocka_unit_test(it_gives_way_part_by_part_to_a_write),
		cmocka_unit_test(it_is_made_whole_again_when_there_is_space),
		cmocka_unit_test(another_life_finds_what_is_left),
		cmocka_unit_test(a_patient_write_waits_for_space),
	};

	log_set_level(LOG_LEVEL_ERROR);
	return cmocka_run_group_tests_name("ballast", tests, NULL, NULL);
}
