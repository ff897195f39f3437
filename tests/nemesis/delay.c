/*
 * delay QUEUE MS JITTER: holds each packet that the kernel puts into that netfilter queue for MS milliseconds and up
 * to JITTER more, each packet for itself, so that they overtake one another. Until it is killed; what it holds then
 * is lost.
 *
 * To be fed by `iptables -A INPUT ... -j NFQUEUE --queue-num QUEUE --queue-bypass` in its network namespace.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <libnetfilter_queue/libnetfilter_queue.h>
#include <linux/netfilter.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sysexits.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/mem.h"
#include "common/random.h"

#define HELD_MAX 65536
#define RECEIVE_BYTES 65536

struct held {
	uint32_t id;
	struct instant due;
};

struct delay {
	struct nfq_q_handle *queue;
	struct span least, jitter;
	struct random random;
	struct held *held; /* in no order */
	size_t count;
};

static uint64_t number(const char *text)
{
	char *end;
	unsigned long value;

	errno = 0;
	value = strtoul(text, &end, 10);
	if (errno != 0 || end == text || *end != '\0' || value > 1000000)
		fatalx(EX_USAGE, "%s: not a number", text);
	return value;
}

static void let_go(struct delay *d, uint32_t id)
{
	nfq_set_verdict(d->queue, id, NF_ACCEPT, 0, NULL);
}

static int on_packet(struct nfq_q_handle *q, struct nfgenmsg *m, struct nfq_data *data, void *arg)
{
	struct delay *d = arg;
	struct nfqnl_msg_packet_hdr *header = nfq_get_msg_packet_hdr(data);
	uint32_t id;

	(void)q;
	(void)m;
	if (header == NULL)
		return 0;
	id = ntohl(header->packet_id);
	if (d->count == HELD_MAX) {
		let_go(d, id);
		return 0;
	}
	d->held[d->count++] = (struct held){
		id,
		instant_add(clock_now(),
		    span_us(d->least.ns / 1000 +
			    (int64_t)random_below(&d->random, (uint64_t)d->jitter.ns / 1000 + 1))),
	};
	return 0;
}

static void let_go_what_is_due(struct delay *d)
{
	struct instant now = clock_now();

	for (size_t i = 0; i < d->count;) {
		if (instant_passed(d->held[i].due, now)) {
			let_go(d, d->held[i].id);
			d->held[i] = d->held[--d->count];
		} else {
			i++;
		}
	}
}

static void run(struct delay *d, struct nfq_handle *h)
{
	static char packet[RECEIVE_BYTES];
	struct pollfd p = { .fd = nfq_fd(h), .events = POLLIN };

	for (;;) {
		ssize_t got;

		if (poll(&p, 1, d->count > 0 ? 1 : -1) == -1)
			fatal(EX_OSERR, "poll");
		while ((got = recv(p.fd, packet, sizeof(packet), MSG_DONTWAIT)) > 0)
			nfq_handle_packet(h, packet, (int)got);
		let_go_what_is_due(d);
	}
}

int main(int argc, char **argv)
{
	struct delay d = { 0 };
	struct nfq_handle *h;

	log_open("delay");
	if (argc != 4)
		fatalx(EX_USAGE, "delay QUEUE MS JITTER");
	d.least = span_ms((int64_t)number(argv[2]));
	d.jitter = span_ms((int64_t)number(argv[3]));
	d.random.state = random_secret();
	d.held = xcalloc(HELD_MAX, sizeof(*d.held));
	if ((h = nfq_open()) == NULL ||
	    (d.queue = nfq_create_queue(h, (uint16_t)number(argv[1]), on_packet, &d)) == NULL)
		fatal(EX_OSERR, "netfilter queue %s", argv[1]);
	if (nfq_set_mode(d.queue, NFQNL_COPY_META, 0) == -1 || nfq_set_queue_maxlen(d.queue, HELD_MAX) == -1)
		fatal(EX_OSERR, "netfilter queue %s", argv[1]);
	run(&d, h);
}
