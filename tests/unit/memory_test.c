/* links: common/memory.c common/mem.c common/log.c tests/common/folder.c */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "common/mem.h"
#include "common/memory.h"
#include "tests/common/folder.h"

#define GIB (UINT64_C(1) << 30)

static int make_root(void **state)
{
	*state = folder_new("memory");
	return 0;
}

static int remove_root(void **state)
{
	folder_remove(*state);
	return 0;
}

/* Makes the file and all above it. */
static void put(const char *root, const char *name, const char *text)
{
	char *path = xasprintf("%s/%s", root, name);
	FILE *f;

	for (char *end = strchr(path + strlen(root) + 1, '/'); end != NULL; end = strchr(end + 1, '/')) {
		*end = '\0';
		mkdir(path, 0700);
		*end = '/';
	}
	f = fopen(path, "we");
	assert_non_null(f);
	fputs(text, f);
	fclose(f);
	free(path);
}

static void all_of_the_machine_without_groups(void **state)
{
	assert_int_equal(memory_bytes_below(*state, 3 * GIB), 3 * GIB);
	assert_true(memory_bytes() > 0);
}

static void the_limit_of_a_group(void **state)
{
	put(*state, "proc/self/cgroup", "0::/system.slice/holdfast.service\n");
	put(*state, "sys/fs/cgroup/system.slice/holdfast.service/memory.max", "1073741824\n");
	put(*state, "sys/fs/cgroup/system.slice/holdfast.service/memory.high", "max\n");
	assert_int_equal(memory_bytes_below(*state, 3 * GIB), GIB);
	assert_int_equal(memory_bytes_below(*state, GIB / 2), GIB / 2);
}

static void where_it_is_slowed_counts_too(void **state)
{
	put(*state, "proc/self/cgroup", "0::/a\n");
	put(*state, "sys/fs/cgroup/a/memory.max", "max\n");
	put(*state, "sys/fs/cgroup/a/memory.high", "1073741824\n");
	assert_int_equal(memory_bytes_below(*state, 3 * GIB), GIB);
}

static void the_lowest_limit_above_a_group(void **state)
{
	put(*state, "proc/self/cgroup", "0::/a/b/c\n");
	put(*state, "sys/fs/cgroup/a/memory.max", "2147483648\n");
	put(*state, "sys/fs/cgroup/a/b/memory.max", "max\n");
	put(*state, "sys/fs/cgroup/a/b/c/memory.max", "4294967296\n");
	assert_int_equal(memory_bytes_below(*state, 8 * GIB), 2 * GIB);
}

/* In a namespace of its own a container sees its group as the root. */
static void the_limit_of_a_container(void **state)
{
	put(*state, "proc/self/cgroup", "0::/\n");
	put(*state, "sys/fs/cgroup/memory.max", "1073741824\n");
	assert_int_equal(memory_bytes_below(*state, 3 * GIB), GIB);
}

static void the_limit_of_a_group_of_version_1(void **state)
{
	put(*state, "proc/self/cgroup", "9:name=systemd:/x\n5:cpu,cpuacct:/x\n4:memory:/docker/1\n0::/\n");
	put(*state, "sys/fs/cgroup/cpu/x/memory.limit_in_bytes", "1\n");
	put(*state, "sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n");
	put(*state, "sys/fs/cgroup/memory/docker/1/memory.limit_in_bytes", "2147483648\n");
	assert_int_equal(memory_bytes_below(*state, 3 * GIB), 2 * GIB);
}

static void what_is_no_list_of_groups_limits_nothing(void **state)
{
	put(*state, "proc/self/cgroup", "memory\n4:memory\n\n:::\n");
	assert_int_equal(memory_bytes_below(*state, 3 * GIB), 3 * GIB);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, make_root, remove_root)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(all_of_the_machine_without_groups),
		TEST(the_limit_of_a_group),
		TEST(where_it_is_slowed_counts_too),
		TEST(the_lowest_limit_above_a_group),
		TEST(the_limit_of_a_container),
		TEST(the_limit_of_a_group_of_version_1),
		TEST(what_is_no_list_of_groups_limits_nothing),
	};

	return cmocka_run_group_tests_name("memory", tests, NULL, NULL);
}
