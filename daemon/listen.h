#ifndef DAEMON_LISTEN_H
#define DAEMON_LISTEN_H

#include "common/names.h"

/*
 * The listening sockets for HTTP. They are opened once and live as long as the node: closing one would reset the
 * connections that wait in it.
 */
#define LISTEN_SOCKETS 8
#define LISTEN_MAX 64

/* Opens LISTEN_SOCKETS listening sockets on one address (SO_REUSEPORT: the kernel spreads connections over them),
 * non-blocking, close-on-exec, with TCP_NODELAY and keep-alive for every connection. Returns 0, or the
 * errno of what is impossible. */
int listen_open(const struct address *a, int fds[LISTEN_MAX]);

/* Where systemd has handed sockets over (sd_listen_fds(3)), they are taken instead and the address is only what is
 * told to others: up to LISTEN_MAX listening TCP sockets; anything else ends the process with 78. Returns how many
 * there are. */
size_t listen_take_over(int fds[LISTEN_MAX]);

#endif
