#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sysexits.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#include "common/addr.h"
#include "common/log.h"
#include "daemon/listen.h"
#include "daemon/patience.h"

/* A client whose machine is gone, or that closed both directions while it waits for a long answer, is found within a
 * minute or two: half-closed connections look alike until something is sent. */
#define KEEPALIVE_IDLE_S 15
#define KEEPALIVE_EVERY_S 15
#define KEEPALIVE_COUNT 4

struct place {
	const char *text;
	struct sockaddr_storage address;
	socklen_t size;
	int fd;
};

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

static int open_socket(const struct place *p)
{
	int fd = socket(p->address.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd == -1)
		fatal(EX_OSERR, "cannot make a socket for %s", p->text);
	set(fd, SOL_SOCKET, SO_REUSEADDR, 1); /* connections of a predecessor may still be in TIME_WAIT */
	set_for_connections(fd);
	if (p->address.ss_family == AF_INET6)
		set(fd, IPPROTO_IPV6, IPV6_V6ONLY, 0);
	return fd;
}

static int exit_status(int error)
{
	switch (error) {
	case EADDRINUSE:
		return EX_TEMPFAIL;
	case EACCES:
	case EPERM:
		return EX_NOPERM;
	default:
		return EX_CONFIG;
	}
}

static int try_bind(void *arg)
{
	const struct place *p = arg;

	return bind(p->fd, (const struct sockaddr *)&p->address, p->size);
}

/* SO_REUSEPORT would hide that another process has the port. So the first socket is bound without it, and given
 * it afterwards, for the others to join. */
static int bind_first(struct place *p)
{
	p->fd = open_socket(p);
	if (patience_try(try_bind, p, EADDRINUSE, p->text) == -1)
		fatal(exit_status(errno), "cannot listen on %s ([http] listen)", p->text);
	set(p->fd, SOL_SOCKET, SO_REUSEPORT, 1);
	return p->fd;
}

static int bind_next(const struct place *p)
{
	int fd = open_socket(p);

	set(fd, SOL_SOCKET, SO_REUSEPORT, 1);
	if (bind(fd, (const struct sockaddr *)&p->address, p->size) == -1)
		fatal(exit_status(errno), "cannot listen on %s ([http] listen)", p->text);
	return fd;
}

/* How many systemd has handed over. */
static size_t take_over(int fds[LISTEN_MAX])
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

size_t listen_open(const char *address, int fds[LISTEN_MAX])
{
	size_t taken = take_over(fds);
	struct place p = { .text = address };
	struct addr a;

	if (taken > 0) {
		log_info("http clients are served on sockets that were handed over sockets=%zu", taken);
		return taken;
	}
	if (!addr_parse(bytes_text(address), &a) || addr_resolve(&a, &p.address, &p.size) != ERR_OK)
		fatalx(EX_CONFIG, "cannot find the address %s ([http] listen)", address);
	for (unsigned i = 0; i < LISTEN_SOCKETS; i++)
		fds[i] = i == 0 ? bind_first(&p) : bind_next(&p);
	for (unsigned i = 0; i < LISTEN_SOCKETS; i++)
		if (listen(fds[i], SOMAXCONN) == -1)
			fatal(exit_status(errno), "cannot listen on %s ([http] listen)", address);
	return LISTEN_SOCKETS;
}
