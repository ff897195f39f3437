#ifndef TESTS_COMMON_VECTORS_H
#define TESTS_COMMON_VECTORS_H

/* The folder of the data that others wrote, SHARED; NULL where it has no vectors: the test is then to be skipped. */
const char *vectors_folder(void);

#endif
