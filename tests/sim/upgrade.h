#ifndef TESTS_SIM_UPGRADE_H
#define TESTS_SIM_UPGRADE_H

#include <stdint.h>

#include "common/clock.h"

/*
 * Versions that differ: nodes begin with a program that knows feature level 0, and whoever looks after them gives them one
 * that knows the highest, one by one, and sometimes the old one back while the level has not risen. A program that stops
 * because it does not know what the cluster does is replaced, too.
 */
struct universe;
struct node;

/* This node does not go on, or does not start: it says that it does not know what it met. */
void upgrade_outdated(struct node *n);
/* A delete with a limit took effect at this revision: the level there must know it. */
void upgrade_on_limited(struct universe *u, const struct node *n, uint64_t revision);
/* All get the new program. */
void upgrade_heal(struct universe *u);
/* The states of all members are of the highest level. */
bool upgrade_is_over(struct universe *u);

#endif
