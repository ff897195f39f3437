#ifndef TESTS_LOAD_CLIENT_H
#define TESTS_LOAD_CLIENT_H

#include "tests/load/run.h"

/*
 * One client: an operation from beginning to end, whatever it takes. A write with a token is sent until it is
 * answered, to one node after the other; without one it is sent once. A forced repetition comes either after the
 * answer (the second one is compared with the first) or before it, by leaving the connection.
 */
struct client *client_new(struct run *r, unsigned number);
/* Accepts NULL. */
void client_free(struct client *c);
/* Begins the next operation; `due` is when it should have begun. */
void client_begin(struct client *c, struct instant due);
/* Ends what is under way, its outcome unknown. */
void client_give_up(struct client *c);

#endif
