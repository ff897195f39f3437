#ifndef COMMON_LOOP_H
#define COMMON_LOOP_H

#include <stdbool.h>

#include "common/clock.h"

/*
 * The event loop of a process: libevent behind a face that knows instants and spans. One thread. Bufferevents
 * need the event_base itself: worker/http/server.c and worker/peer take it by loop_base().
 *
 * A turn is: wait, call everything that has happened, call what loop_at_turn_end() registered, call the batches
 * that were asked for. What that causes is the business of the next turn, which then does not wait.
 */
struct loop;
struct event_base;

struct loop *loop_new(void);
/* Accepts NULL. Everything that was made for this loop must be freed before. */
void loop_free(struct loop *l);
/* Turns until loop_stop(). */
void loop_run(struct loop *l);
/* Ends loop_run() after this turn; called before it, loop_run() returns at once. */
void loop_stop(struct loop *l);
/* The moment at which this turn was first asked for its time: one and the same for the whole turn, and cheap. */
struct instant loop_now(struct loop *l);
/* Borrows. */
struct event_base *loop_base(struct loop *l);

/* Called once at the end of every turn in which anything happened, and once before the first, in the order of
 * registration: the place for decisions over all that came in during a turn. Registered for the loop's life. */
void loop_at_turn_end(struct loop *l, void (*call)(void *arg), void *arg);

/* What is gathered during a turn and leaves as one at its end, after the calls of loop_at_turn_end(): `call` runs
 * once at the end of each turn in which it was asked for. Freeing it forgets the asking; it may free itself. */
struct loop_batch;
struct loop_batch *loop_batch_new(struct loop *l, void (*call)(void *arg), void *arg);
void loop_batch_ask(struct loop_batch *b);
/* Accepts NULL. */
void loop_batch_free(struct loop_batch *b);

/* A descriptor watched for reading and, when asked, for writing; level-triggered. The descriptor stays the
 * caller's. on_writable may be NULL if writing is never asked for. */
struct loop_io;
struct loop_io *loop_io_new(
    struct loop *l, int fd, void (*on_readable)(void *arg), void (*on_writable)(void *arg), void *arg);
void loop_io_read(struct loop_io *io, bool on); /* on from the start */
void loop_io_write(struct loop_io *io, bool on); /* off from the start */
/* Accepts NULL; may be called from within its own callbacks. Before the descriptor is closed. */
void loop_io_free(struct loop_io *io);

/* A timer that rings once for each time it is set, never before loop_now() has reached that moment. */
struct loop_timer;
struct loop_timer *loop_timer_new(struct loop *l, void (*on_time)(void *arg), void *arg);
/* Sets or moves it; a moment that has passed rings in the next turn; INSTANT_NEVER unsets it. */
void loop_timer_set(struct loop_timer *t, struct instant when);
/* Accepts NULL; may be called from within on_time. */
void loop_timer_free(struct loop_timer *t);

/* A Unix signal, delivered in the loop. */
struct loop_signal;
struct loop_signal *loop_signal_new(
    struct loop *l, int number, void (*on_signal)(void *arg, int number), void *arg);
/* Accepts NULL. */
void loop_signal_free(struct loop_signal *s);

/* A lane that is a thread of its own; `done` is called in the loop. The name (cut to 15 bytes) is the thread's.
 * Not to be freed from within `done`. */
struct lane;
struct lane_work;
struct lane_maker;
struct lane *lane_thread_new(struct loop *l, const char *name, struct lane_work work);
/* What this lane waits for is another machine: that a turn of it takes long does not mean that this process hangs. */
void lane_thread_waits_outside(struct lane *l);
/* For how long that lane of this process which has been longest at one turn has been at it, of those that wait for
 * nothing outside; zero when none is at work. On the loop's thread. */
struct span lane_thread_stuck(struct instant now);
/* Makes such lanes; valid as long as the loop, freed with it. */
struct lane_maker *loop_lane_maker(struct loop *l);

#endif
