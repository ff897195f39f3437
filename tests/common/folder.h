#ifndef TESTS_COMMON_FOLDER_H
#define TESTS_COMMON_FOLDER_H

/*
 * A folder of a test's own, in TMPDIR or /tmp. Whoever runs tests that may not live to remove it gives them a TMPDIR to
 * remove as a whole.
 */

/* Its path; ends the process when it cannot be made. */
char *folder_new(const char *name);
/* With all that is in it; frees the path. Accepts NULL. */
void folder_remove(char *path);

#endif
