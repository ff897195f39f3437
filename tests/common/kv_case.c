#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka wants these before it. */
#include <cmocka.h>

#include "tests/common/kv_case.h"
#include "tests/common/mem_table.h"

struct drive d;
struct buf guards, steps, otherwise;

int case_setup(void **state)
{
	(void)state;
	drive_start(&d, mem_table_new());
	return 0;
}

int case_teardown(void **state)
{
	(void)state;
	drive_check_hash(&d);
	drive_stop(&d);
	mem_table_free(d.table);
	buf_free(&guards);
	buf_free(&steps);
	buf_free(&otherwise);
	return 0;
}

const struct kv_result *write_steps(void)
{
	return drive_write(&d, NONE, &guards, &steps, &otherwise);
}

void put(const char *key, const char *value)
{
	kv_put_step(&steps, T(key), T(value), NONE);
}

void expect_held(const char *key, const char *value)
{
	struct kv_record r;
	bool there = drive_get(&d, T(key), &r);

	assert_int_equal(there, value != NULL);
	if (value != NULL)
		assert_true(bytes_equal(r.value, T(value)));
}
