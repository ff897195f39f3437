#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sysexits.h>
#include <unistd.h>

#include "common/ipc_inside.h"
#include "common/log.h"

/*
 * A connection over a socketpair between supervisor and worker. A packet carries whole frames. The end is seen in
 * one place, by reading: when sending fails the socket is shut down, which reads as its end, after all that the
 * peer had still sent.
 */
#define PACKET_BYTES_MAX (128 * 1024)
#define PACKETS_PER_TURN 16

struct ipc_pair {
	struct ipc ipc;
	int fd;
	struct loop_io *io;
	uint8_t packet[PACKET_BYTES_MAX];
};

static struct ipc_pair *self(struct ipc *i)
{
	return (struct ipc_pair *)(void *)((char *)i - offsetof(struct ipc_pair, ipc));
}

static void send_gathered(struct ipc *i)
{
	struct ipc_pair *p = self(i);
	struct bytes packet;

	while ((packet = ipc_next(i, PACKET_BYTES_MAX)).size > 0) {
		ssize_t sent = send(p->fd, packet.data, packet.size, MSG_NOSIGNAL | MSG_DONTWAIT);

		if (sent >= 0) {
			ipc_left(i, packet.size); /* a packet is sent whole or not at all */
		} else if (errno == EAGAIN) {
			loop_io_write(p->io, true);
			return;
		} else if (errno != EINTR) {
			if (errno != EPIPE && errno != ECONNRESET)
				log_warn("cannot send to another process of this node");
			shutdown(p->fd, SHUT_RDWR);
			break;
		}
	}
	loop_io_write(p->io, false);
}

static void close_pair(struct ipc *i)
{
	struct ipc_pair *p = self(i);

	loop_io_free(p->io);
	close(p->fd);
	ipc_fini(i);
	free(p);
}

static const struct ipc_ops pair_ops = { send_gathered, close_pair };

static void lose(struct ipc_pair *p)
{
	shutdown(p->fd, SHUT_RDWR);
	loop_io_read(p->io, false);
	loop_io_write(p->io, false);
	ipc_lose(&p->ipc);
}

/* False when nothing more is to be read in this turn. */
static bool receive(struct ipc_pair *p)
{
	ssize_t got = recv(p->fd, p->packet, sizeof(p->packet), MSG_DONTWAIT | MSG_TRUNC);

	if (got == -1 && errno == EAGAIN)
		return false;
	/* A reset says that the peer has not read everything, not that we have. */
	if (got == -1 && (errno == EINTR || errno == ECONNRESET))
		return true;
	if (got == -1)
		log_warn("cannot receive from another process of this node");
	if (got <= 0 || (size_t)got > sizeof(p->packet) ||
	    !ipc_dispatch(&p->ipc, bytes_of(p->packet, (size_t)got))) {
		lose(p);
		return false;
	}
	return true;
}

static void on_readable(void *arg)
{
	for (int n = 0; n < PACKETS_PER_TURN && receive(arg); n++)
		;
}

static void on_writable(void *arg)
{
	ipc_send_waiting(arg);
}

/* SOCK_SEQPACKET's send buffer must hold a packet; the kernel doubles what is asked for, for its own overhead. */
static void prepare(int fd)
{
	const int room = PACKET_BYTES_MAX * 2;

	if (fcntl(fd, F_SETFD, FD_CLOEXEC) == -1 ||
	    setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &room, sizeof(room)) == -1)
		fatal(EX_OSERR, "cannot use a socket between processes");
}

struct ipc *ipc_open_pair(
    struct loop *l, int fd, enum ipc_role self_role, const struct ipc_handlers *handlers, void *arg)
{
	struct ipc_pair *p = xcalloc(1, sizeof(*p));
	bool supervisor = self_role == IPC_SUPERVISOR;

	prepare(fd);
	ipc_init(&p->ipc, &pair_ops, l, handlers, arg);
	p->ipc.in = supervisor ? IPC_WORKER_TO_SUPERVISOR : IPC_SUPERVISOR_TO_WORKER;
	p->ipc.out = supervisor ? IPC_SUPERVISOR_TO_WORKER : IPC_WORKER_TO_SUPERVISOR;
	p->ipc.bytes_max = IPC_PAIR_BYTES_MAX;
	p->ipc.here = true;
	p->fd = fd;
	p->io = loop_io_new(l, fd, on_readable, on_writable, p);
	return &p->ipc;
}

enum err ipc_pair(int fds[2])
{
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds) == -1)
		return err_from_errno(errno);
	return ERR_OK;
}
