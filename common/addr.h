#ifndef COMMON_ADDR_H
#define COMMON_ADDR_H

#include <stdint.h>
#include <sys/socket.h>

#include "common/err.h"
#include "common/mem.h"

/*
 * Addresses as people write them: HOST:PORT, [IPV6]:PORT, :PORT for all addresses of the machine.
 */
struct addr {
	char host[256]; /* without brackets; empty: all addresses */
	char port[6]; /* 1 to 65535, decimal */
};

/* False when the text is no address. */
bool addr_parse(struct bytes text, struct addr *out);

/* The first socket address it stands for. Asks the resolver, so it may block where the host is a name; an IP
 * address and an empty host (the IPv6 wildcard that takes IPv4 too, or the IPv4 one on a machine without IPv6)
 * never do. ERR_NOT_FOUND when there is none. */
enum err addr_resolve(const struct addr *a, struct sockaddr_storage *out, socklen_t *size);

/* Who listens on the one leaves no room for the other: the same port of the same address, or one of them is of all
 * addresses. Asks no resolver: names are the same where they are spelled alike, and "localhost" is 127.0.0.1. */
bool addr_overlap(const struct addr *a, const struct addr *b);

/* What others may reach this machine by where `text`, an address, is what is listened on: the same, or for all addresses the
 * one that its default route leaves by, else the first that is not a loopback, else 127.0.0.1. The caller frees it. */
char *addr_reachable(const char *text);

/* The next address of a list ("host:8080, host:8081"), as addr_next_member() does. */
bool addr_next(struct bytes *list, struct bytes *address);

/* The next "ID=ADDRESS" of a list of members ("n1=host:9001, n2=host:9002"): false at its end. Borrows from the
 * list, and leaves the rest in *list. A list that conf_set() took is well-formed. */
bool addr_next_member(struct bytes *list, struct bytes *id, struct bytes *address);

#endif
