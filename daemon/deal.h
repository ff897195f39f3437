#ifndef DAEMON_DEAL_H
#define DAEMON_DEAL_H

#include <stdint.h>

/*
 * Which of `sockets` listening sockets the n-th of `workers` live workers accepts from, as bits: every socket is
 * somebody's, every worker has one at least (where workers are more than sockets they share), and no share is more
 * than one larger than another. sockets <= 64. Pure.
 */
uint64_t deal_share(unsigned sockets, unsigned workers, unsigned n);

#endif
