#ifndef TESTS_SIM_SHRINK_H
#define TESTS_SIM_SHRINK_H

#include "tests/sim/runner.h"

/* Leaves out one fault after the other and shortens the time as long as the universe fails; prints what is wrong and the
 * command that shows it. False when it does not fail to begin with. */
bool shrink(const struct run *whole);

#endif
