#ifndef DAEMON_LISTEN_H
#define DAEMON_LISTEN_H

/*
 * The listening sockets for HTTP. They are opened once and live as long as the node: closing one would reset the
 * connections that wait in it.
 */
#define LISTEN_SOCKETS 8

/* Opens LISTEN_SOCKETS listening sockets on one address (SO_REUSEPORT: the kernel spreads connections over them),
 * non-blocking, close-on-exec, with TCP_NODELAY for every connection. A port that another process has is waited
 * for, up to five seconds. What is impossible ends the process: 75 in use, 77 not permitted, 78 no such address. */
void listen_open(const char *address, int fds[LISTEN_SOCKETS]);

#endif
