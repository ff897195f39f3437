#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sysexits.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#include "common/log.h"
#include "daemon/listen.h"

/* A client whose machine is gone, or that closed both directions while it waits for a long answer, is found within a
 * minute or two: half-closed connections look alike until something is sent. */
#define KEEPALIVE_IDLE_S 15
#define KEEPALIVE_EVERY_S 15
#define KEEPALIVE_COUNT 4

static void set(int fd, int level, int name, int value)
{
	if (setsockopt(fd, level, name, &value, sizeof(value)) == -1)
		fatal(EX_OSERR, "cannot set option %d of a listening socket", name);
}

/* Every connection inherits these from the socket that it is accepted from. */
static void set_for_connections(int fd)
{
	set(fd, IPPROTO_TCP, TCP_NODELAY, 1);
	set(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
	set(fd, IPPROTO_TCP, TCP_KEEPIDLE, KEEPALIVE_IDLE_S);
	set(fd, IPPROTO_TCP, TCP_KEEPINTVL, KEEPALIVE_EVERY_S);
	set(fd, IPPROTO_TCP, TCP_KEEPCNT, KEEPALIVE_COUNT);
}

/* -1 with errno when that is impossible, also for want of such addresses on this machine. */
static int open_socket(const struct address *a)
{
	int fd = socket(a->storage.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd == -1)
		return -1;
	set(fd, SOL_SOCKET, SO_REUSEADDR, 1); /* connections of a predecessor may still be in TIME_WAIT */
	set_for_connections(fd);
	if (a->storage.ss_family == AF_INET6)
		set(fd, IPPROTO_IPV6, IPV6_V6ONLY, 0);
	return fd;
}

/* SO_REUSEPORT would hide that another process has the port. So the first socket is bound without it, and given
 * it afterwards, for the others to join. */
static int bind_socket(int fd, const struct address *a, bool first)
{
	if (!first)
		set(fd, SOL_SOCKET, SO_REUSEPORT, 1);
	if (bind(fd, (const struct sockaddr *)&a->storage, a->size) == -1)
		return -1;
	if (first)
		set(fd, SOL_SOCKET, SO_REUSEPORT, 1);
	return 0;
}

static int give_up(int fds[LISTEN_MAX], size_t count)
{
	int error = errno;

	while (count > 0)
		close(fds[--count]);
	return error;
}

size_t listen_take_over(int fds[LISTEN_MAX])
{
	int count = sd_listen_fds(1);

	if (count < 0 || count > LISTEN_MAX)
		fatalx(EX_CONFIG, "the sockets handed over cannot be taken: there may be %d at most",
		    LISTEN_MAX);
	for (int i = 0; i < count; i++) {
		int fd = SD_LISTEN_FDS_START + i, flags = fcntl(fd, F_GETFL);

		if (sd_is_socket_inet(fd, AF_UNSPEC, SOCK_STREAM, 1, 0) <= 0)
			fatalx(EX_CONFIG, "socket %d of those handed over does not listen on a TCP port", i);
		if (flags == -1 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) == -1)
			fatal(EX_OSERR, "cannot make a socket non-blocking");
		set_for_connections(fd);
		fds[i] = fd;
	}
	return (size_t)count;
}

int listen_open(const struct address *a, int fds[LISTEN_MAX])
{
	for (size_t i = 0; i < LISTEN_SOCKETS; i++) {
		if ((fds[i] = open_socket(a)) == -1)
			return give_up(fds, i);
		if (bind_socket(fds[i], a, i == 0) == -1)
			return give_up(fds, i + 1);
	}
	for (size_t i = 0; i < LISTEN_SOCKETS; i++)
		if (listen(fds[i], SOMAXCONN) == -1)
			return give_up(fds, LISTEN_SOCKETS);
	return 0;
}
