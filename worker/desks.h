#ifndef WORKER_DESKS_H
#define WORKER_DESKS_H

#include <stdbool.h>

#include "worker/replica/replica.h"
#include "worker/worker.h"

/*
 * The desks of the consensus worker, one for each HTTP worker, by its number: what that asks goes from there to the
 * replica, and the replica's answers go back. A life of an HTTP worker is a client of the replica with a number of its
 * own: what a life before it had asked is forgotten, and is never answered to the wrong one.
 *
 * Everything happens on the loop's thread.
 */
struct desks;

/* None is there yet. `drained`: answers have left that had waited. The worker and the replica outlive the desks, which
 * live as long as the process. */
struct desks *desks_new(struct worker *w, struct replica *r, void (*drained)(void *arg), void *arg);

/* Be there for the HTTP workers whose bit is set, and for no others. Waits a moment for the socket of a dying
 * predecessor; ends the process where one cannot be listened on. */
void desks_set(struct desks *ds, uint64_t numbers);

/* An answer of the replica; it is dropped where the client has gone. */
void desks_answer(struct desks *ds, uint32_t client, const struct ipc_answer *a);

/* What of the answers to this client has not left yet, give or take what it has not told. */
void desks_unsent(const struct desks *ds, uint32_t client, struct unsent *out);

/* Asks every HTTP worker, and who comes later, to send nothing more. */
void desks_pause(struct desks *ds);

/* Requests may come yet, or answers have not left. */
bool desks_busy(const struct desks *ds);

#endif
