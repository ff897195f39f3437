#ifndef TESTS_COMMON_DISK_CASE_H
#define TESTS_COMMON_DISK_CASE_H

#include "common/disk.h"

/* A real disk in a folder of its own, for one test at a time: what cmocka hands to the test. */
struct disk_case {
	char *dir;
	struct disk *disk;
};

int disk_case_setup(void **state);
int disk_case_teardown(void **state);

#endif
