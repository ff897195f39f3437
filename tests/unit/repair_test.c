/*
 * What is noted of damage, what is set aside, and what a node still knows of its cluster without the part that is damaged.
 *
 * links: worker/replica/repair.c worker/replica/refound.c worker/replica/identity.c worker/replica/sealed.c worker/log/ worker/kv/ worker/raft/config.c
 *	worker/raft/entry.c common/mem.c common/buf.c common/wire.c common/err.c common/disk.c common/disk_posix.c
 *	common/crc.c common/random.c common/random_secret.c common/log.c tests/common/folder.c tests/common/mem_table.c
 *	tests/common/mem_tables.c tests/common/kv_drive.c -lxxhash
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/common/folder.h"
#include "tests/common/mem_tables.h"
#include "worker/kv/kv.h"
#include "worker/replica/refound.h"
#include "worker/replica/repair.h"

struct place {
	char *dir;
	struct disk *disk;
	struct tables *tables;
};

static int set_up(void **state)
{
	struct place *p = xcalloc(1, sizeof(*p));

	p->dir = folder_new("repair");
	p->disk = disk_posix_new(p->dir);
	p->tables = mem_tables_new();
	*state = p;
	return p->disk == NULL;
}

static int tear_down(void **state)
{
	struct place *p = *state;

	mem_tables_free(p->tables);
	disk_posix_free(p->disk);
	folder_remove(p->dir);
	free(p);
	return 0;
}

static struct repair_note noted(enum repair_stage stage)
{
	return (struct repair_note){ stage, PART_LOG, xstrdup("it is"), xstrdup("damaged-now"),
		xstrdup("a:1, b:2") };
}

static void a_note_is_read_as_it_was_written(void **state)
{
	struct place *p = *state;
	struct repair_note a = noted(REPAIR_JOIN), b;

	assert_int_equal(repair_read(&b, p->disk), ERR_NOT_FOUND);
	assert_int_equal(repair_write(&a, p->disk), ERR_OK);
	assert_int_equal(repair_read(&b, p->disk), ERR_OK);
	assert_true(b.stage == REPAIR_JOIN && b.part == PART_LOG);
	assert_string_equal(b.why, "it is");
	assert_string_equal(b.aside, "damaged-now");
	assert_string_equal(b.others, "a:1, b:2");
	repair_note_free(&b);
	assert_int_equal(repair_forget(p->disk), ERR_OK);
	assert_int_equal(repair_read(&b, p->disk), ERR_NOT_FOUND);
	repair_note_free(&a);
}

static void a_note_that_is_damaged_is_not_followed(void **state)
{
	struct place *p = *state;
	struct repair_note a = noted(REPAIR_ASIDE), b;
	struct buf file = { 0 };

	assert_int_equal(repair_write(&a, p->disk), ERR_OK);
	repair_note_free(&a);
	assert_int_equal(disk_read_whole(p->disk, "repair", 4096, &file), ERR_OK);
	for (size_t i = 0; i < file.size; i++) {
		file.data[i] ^= 16;
		assert_int_equal(disk_replace(p->disk, "", "repair", buf_bytes(&file)), ERR_OK);
		assert_int_equal(repair_read(&b, p->disk), ERR_DAMAGED);
		file.data[i] ^= 16;
	}
	for (size_t size = 0; size < file.size; size++) {
		assert_int_equal(disk_replace(p->disk, "", "repair", bytes_of(file.data, size)), ERR_OK);
		assert_int_equal(repair_read(&b, p->disk), ERR_DAMAGED);
	}
	buf_free(&file);
}

static void no_two_repairs_have_one_name(void **state)
{
	struct place *p = *state;
	char *first = repair_suffix(p->disk), *name = xasprintf("log.%s", first), *second;

	assert_int_equal(disk_make_dir(p->disk, name), ERR_OK);
	second = repair_suffix(p->disk);
	assert_string_not_equal(first, second);
	assert_int_equal(strncmp(second, "damaged-20", 10), 0);
	free(first);
	free(second);
	free(name);
}

/* A node of a cluster of one, with a log, an identity, and a state that knows its members; the identity's. */
static struct identity made(struct place *p)
{
	struct refound r = refound_new(REFOUND_RESTORE, "n1", "n1:9", "http://n1:8");
	struct identity i;
	struct table *t;
	struct kv *kv;

	refound_begin_beyond(&r, (struct raft_pos){ 1, 1 }, 0);
	assert_int_equal(refound_note(&r, p->disk), ERR_OK);
	assert_int_equal(tables_open(p->tables, &t), ERR_OK);
	assert_int_equal(kv_open(&kv, t), ERR_OK);
	assert_int_equal(refound_state(&r, kv), ERR_OK);
	kv_close(kv);
	tables_close(p->tables, t);
	assert_int_equal(refound_finish(&r, p->disk, 64 * 1024), ERR_OK);
	refound_free(&r);
	assert_int_equal(identity_read(&i, p->disk), ERR_OK);
	return i;
}

static void note_name(void *arg, const char *name)
{
	buf_printf(arg, "%s ", name);
}

static bool is_there(struct place *p, const char *name)
{
	struct buf names = { 0 };
	char *wanted = xasprintf("%s ", name);
	bool there;

	assert_int_equal(disk_list(p->disk, "", note_name, &names), ERR_OK);
	there = strstr(buf_text(&names), wanted) != NULL;
	buf_free(&names);
	free(wanted);
	return there;
}

static void everything_is_set_aside_and_can_be_once_more(void **state)
{
	struct place *p = *state;
	struct identity i = made(p), j;

	for (int again = 0; again < 2; again++) {
		assert_int_equal(repair_set_aside(p->disk, p->tables, "damaged-now"), ERR_OK);
		assert_true(is_there(p, "log.damaged-now") && is_there(p, "identity.damaged-now"));
		assert_false(is_there(p, "log") || is_there(p, "identity"));
	}
	/* What is left is an empty directory to the next start, which makes another incarnation. */
	assert_int_equal(identity_open(&j, p->disk, "n1"), ERR_OK);
	assert_true(j.phase == IDENTITY_UNFORMED && j.incarnation != i.incarnation);
	identity_free(&i);
	identity_free(&j);
}

static void what_is_not_damaged_tells_who_the_others_are(void **state)
{
	struct place *p = *state;
	struct identity i = made(p);
	struct repair_known k;

	for (enum replica_part part = PART_IDENTITY; part <= PART_STATE; part++) {
		repair_look(&k, p->disk, p->tables, part);
		assert_true(k.members != NULL);
		assert_true(bytes_equal(blob_bytes(k.members), blob_bytes(i.founding)));
		assert_int_equal(k.identity.cluster, part == PART_IDENTITY ? 0 : i.cluster);
		assert_int_equal(k.identity.incarnation, part == PART_IDENTITY ? 0 : i.incarnation);
		repair_known_free(&k);
	}
	assert_int_equal(repair_set_aside(p->disk, p->tables, "damaged-now"), ERR_OK);
	repair_look(&k, p->disk, p->tables, PART_LOG);
	assert_true(k.members == NULL && k.identity.incarnation == 0);
	repair_known_free(&k);
	identity_free(&i);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_note_is_read_as_it_was_written, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_note_that_is_damaged_is_not_followed, set_up, tear_down),
		cmocka_unit_test_setup_teardown(no_two_repairs_have_one_name, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
		    everything_is_set_aside_and_can_be_once_more, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
		    what_is_not_damaged_tells_who_the_others_are, set_up, tear_down),
	};

	if (freopen("/dev/null", "w", stderr) == NULL)
		return 1;
	return cmocka_run_group_tests_name("repair", tests, NULL, NULL);
}
