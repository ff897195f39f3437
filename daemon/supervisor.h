#ifndef DAEMON_SUPERVISOR_H
#define DAEMON_SUPERVISOR_H

#include "common/conf.h"

/*
 * The supervisor: takes the data directory, opens the listening sockets, starts the workers, restarts what dies,
 * and stops them in order on SIGTERM or SIGINT (HTTP workers first, then the consensus worker; a second signal ends
 * them at once). On SIGHUP it reads the configuration anew and goes over to it, or says why not and changes nothing.
 * It knows neither Raft nor keys nor HTTP, so it has no reason to die.
 *
 * Runs a whole node and returns the status to exit with. Takes the configuration, and borrows the command line, from
 * which it is read anew.
 */
int supervise(struct conf *conf, char **argv);

#endif
