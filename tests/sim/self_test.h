#ifndef TESTS_SIM_SELF_TEST_H
#define TESTS_SIM_SELF_TEST_H

/* The simulator's own tests: it is repeatable, and it catches what is broken on purpose. Prints TAP and returns
 * how many failed. */
int self_test(void);

#endif
