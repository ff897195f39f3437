#ifndef COMMON_LOOP_H
#define COMMON_LOOP_H

#include <stdbool.h>

#include "common/clock.h"

/*
 * The event loop of a process: libevent behind a face that knows instants and spans. One thread. Bufferevents
 * need the event_base itself: worker/http/server.c and worker/peer take it by loop_base().
 */
struct loop;
struct event_base;

struct loop *loop_new(void);
void loop_free(struct loop *l);
/* Turns until loop_stop(). */
void loop_run(struct loop *l);
/* Ends loop_run() after this turn. */
void loop_stop(struct loop *l);
/* The moment at which this turn began; cheap. */
struct instant loop_now(const struct loop *l);
/* Borrows. */
struct event_base *loop_base(struct loop *l);

/* Called once at the end of every turn in which anything happened, in the order of registration: the place for
 * what is gathered during a turn and leaves as one batch. */
void loop_at_turn_end(struct loop *l, void (*call)(void *arg), void *arg);

/* A descriptor watched for reading and, when asked, for writing; level-triggered. The descriptor stays the
 * caller's. */
struct loop_io;
struct loop_io *loop_io_new(struct loop *l, int fd, void (*on_readable)(void *arg), void (*on_writable)(void *arg), void *arg);
void loop_io_read(struct loop_io *io, bool on);	 /* on from the start */
void loop_io_write(struct loop_io *io, bool on); /* off from the start */
void loop_io_free(struct loop_io *io);

/* A timer that rings once for each time it is set. */
struct loop_timer;
struct loop_timer *loop_timer_new(struct loop *l, void (*on_time)(void *arg), void *arg);
/* Sets or moves it; INSTANT_NEVER unsets it. */
void loop_timer_set(struct loop_timer *t, struct instant when);
void loop_timer_free(struct loop_timer *t);

/* A Unix signal, delivered in the loop. */
struct loop_signal;
struct loop_signal *loop_signal_new(struct loop *l, int number, void (*on_signal)(void *arg, int number), void *arg);
void loop_signal_free(struct loop_signal *s);

/* A lane that is a thread of its own; `done` is called in the loop. */
struct lane;
struct lane_work;
struct lane_maker;
struct lane *lane_thread_new(struct loop *l, const char *name, struct lane_work work);
/* Makes such lanes; valid as long as the loop, freed with it. */
struct lane_maker *loop_lane_maker(struct loop *l);

#endif
