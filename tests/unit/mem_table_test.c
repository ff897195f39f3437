/* links: tests/common/mem_table.c worker/kv/table.c common/mem.c common/buf.c common/random.c */
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
/* cmocka wants these before it. */
#include <cmocka.h>

#include "common/random.h"
#include "tests/common/mem_table.h"

#define T(text) bytes_text(text)

static void expect(struct table *t, const char *key, const char *record)
{
	struct buf got = { 0 };
	enum err e = table_get(t, TABLE_KEYS, T(key), &got);

	assert_int_equal(e, record == NULL ? ERR_NOT_FOUND : ERR_OK);
	if (record != NULL)
		assert_string_equal(buf_text(&got), record);
	buf_free(&got);
}

static void put(struct table *t, const char *key, const char *record)
{
	assert_int_equal(table_put(t, TABLE_KEYS, T(key), T(record)), ERR_OK);
}

static void a_crash_loses_what_is_not_committed(void **state)
{
	struct table *t = mem_table_new();

	(void)state;
	put(t, "a", "1");
	table_commit(t);
	put(t, "a", "2");
	put(t, "b", "1");
	expect(t, "a", "2");
	mem_table_crash(t, 0);
	expect(t, "a", "1");
	expect(t, "b", NULL);
	assert_int_equal(mem_table_count(t), 1);
	mem_table_free(t);
}

static void a_crash_loses_commits_behind_the_last_flush(void **state)
{
	struct table *t = mem_table_new();

	(void)state;
	put(t, "a", "1");
	table_commit(t);
	table_flush(t);
	put(t, "a", "2");
	table_commit(t);
	assert_int_equal(table_remove(t, TABLE_KEYS, T("a")), ERR_OK);
	put(t, "b", "3");
	table_commit(t);
	assert_int_equal(mem_table_volatile(t), 2);
	mem_table_crash(t, 1);
	expect(t, "a", "2");
	expect(t, "b", NULL);
	assert_int_equal(mem_table_volatile(t), 0);
	put(t, "c", "4");
	table_commit(t);
	mem_table_crash(t, 1);
	expect(t, "a", "2");
	expect(t, "c", NULL);
	mem_table_free(t);
}

static bool collect(void *arg, struct bytes key, struct bytes record)
{
	struct buf *seen = arg;

	buf_append(seen, key);
	buf_append_text(seen, "=");
	buf_append(seen, record);
	buf_append_text(seen, " ");
	return record.data[0] != '9';
}

static void scans_are_in_key_order_within_one_table(void **state)
{
	struct table *t = mem_table_new();
	struct buf seen = { 0 };

	(void)state;
	put(t, "b", "2");
	put(t, "a", "1");
	put(t, "bb", "3");
	put(t, "d", "9");
	put(t, "e", "5");
	table_put(t, TABLE_TOKENS, T("b"), T("x"));
	table_put(t, TABLE_META, T("c"), T("y"));
	table_scan(t, TABLE_KEYS, T("b"), collect, &seen);
	assert_string_equal(buf_text(&seen), "b=2 bb=3 d=9 ");
	buf_clear(&seen);
	table_scan(t, TABLE_TOKENS, T(""), collect, &seen);
	assert_string_equal(buf_text(&seen), "b=x ");
	buf_free(&seen);
	mem_table_free(t);
}

/* Random changes, flushes and crashes beside plain arrays that remember every commit. */
static void random_histories_come_back_as_committed(void **state)
{
	enum { KEYS = 20, UNITS = 400 };
	static uint8_t history[UNITS + 1][KEYS];
	struct random r = { 7 };
	struct table *t = mem_table_new();
	size_t unit = 0;

	(void)state;
	memset(history, 0, sizeof(history));
	for (int step = 0; step < 20000 && unit < UNITS - 1; step++) {
		uint8_t *now = history[unit], key = (uint8_t)random_below(&r, KEYS);
		struct bytes k = bytes_of(&key, 1);

		switch (random_below(&r, 12)) {
		case 0:
			assert_int_equal(table_commit(t), ERR_OK);
			unit++;
			memcpy(history[unit], now, KEYS);
			break;
		case 1:
			if (random_below(&r, 4) == 0)
				table_flush(t);
			break;
		case 2: {
			size_t lose = (size_t)random_below(&r, mem_table_volatile(t) + 1);

			mem_table_crash(t, lose);
			unit -= lose;
			/* The open unit starts from what its predecessor had when it was committed. */
			struct buf got = { 0 };
			for (uint8_t i = 0; i < KEYS; i++) {
				buf_clear(&got);
				bool there = table_get(t, TABLE_KEYS, bytes_of(&i, 1), &got) == ERR_OK;
				uint8_t was = unit == 0 ? 0 : history[unit - 1][i];

				assert_int_equal(there ? got.data[0] : 0, was);
				history[unit][i] = was;
			}
			buf_free(&got);
			break;
		}
		case 3:
			if (now[key] != 0)
				table_remove(t, TABLE_KEYS, k);
			now[key] = 0;
			break;
		default:
			now[key] = (uint8_t)(1 + random_below(&r, 255));
			table_put(t, TABLE_KEYS, k, bytes_of(&now[key], 1));
			break;
		}
	}
	mem_table_free(t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_crash_loses_what_is_not_committed),
		cmocka_unit_test(a_crash_loses_commits_behind_the_last_flush),
		cmocka_unit_test(scans_are_in_key_order_within_one_table),
		cmocka_unit_test(random_histories_come_back_as_committed),
	};

	return cmocka_run_group_tests_name("mem_table", tests, NULL, NULL);
}
