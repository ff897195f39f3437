#define _GNU_SOURCE
#include <arpa/inet.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/addr.h"

static bool parse_port(struct bytes text, char *out)
{
	unsigned port = 0;

	if (text.size == 0 || text.size > 5)
		return false;
	for (size_t i = 0; i < text.size; i++) {
		if (text.data[i] < '0' || text.data[i] > '9')
			return false;
		port = port * 10 + text.data[i] - '0';
	}
	memcpy(out, text.data, text.size);
	out[text.size] = '\0';
	return port >= 1 && port <= 65535;
}

static bool is_host(struct bytes host, bool bracketed)
{
	for (size_t i = 0; i < host.size; i++) {
		uint8_t c = host.data[i];
		bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');

		if (!letter && memchr(bracketed ? ":.%-_" : ".-_", c, bracketed ? 5 : 3) == NULL)
			return false;
	}
	return host.size > 0 || !bracketed;
}

bool addr_parse(struct bytes text, struct addr *out)
{
	struct bytes host, port;
	const uint8_t *colon;
	bool bracketed;

	memset(out, 0, sizeof(*out));
	colon = text.size == 0 ? NULL : memrchr(text.data, ':', text.size);
	if (colon == NULL)
		return false;
	host = bytes_of(text.data, (size_t)(colon - text.data));
	port = bytes_of(colon + 1, text.size - host.size - 1);
	bracketed = host.size >= 2 && host.data[0] == '[' && host.data[host.size - 1] == ']';
	if (bracketed)
		host = bytes_of(host.data + 1, host.size - 2);
	if (!is_host(host, bracketed) || host.size >= sizeof(out->host) || !parse_port(port, out->port))
		return false;
	memcpy(out->host, host.data, host.size);
	return true;
}

static bool has_ipv6(void)
{
	int fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd != -1)
		close(fd);
	return fd != -1;
}

enum err addr_resolve(const struct addr *a, struct sockaddr_storage *out, socklen_t *size)
{
	struct addrinfo want = { .ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV }, *found;
	const char *host = a->host[0] != '\0' ? a->host : has_ipv6() ? "::" : "0.0.0.0";

	if (getaddrinfo(host, a->port, &want, &found) != 0)
		return ERR_NOT_FOUND;
	memset(out, 0, sizeof(*out));
	memcpy(out, found->ai_addr, found->ai_addrlen);
	*size = found->ai_addrlen;
	freeaddrinfo(found);
	return ERR_OK;
}

/* A host as somebody who listens sees it. */
struct place {
	enum { PLACE_ALL, PLACE_IPV4, PLACE_IPV6, PLACE_NAME } kind; /* ALL: IPv6's, which takes IPv4 too */
	struct in_addr in;
	struct in6_addr in6;
};

static struct place place_of(const struct addr *a)
{
	const char *host = strcasecmp(a->host, "localhost") == 0 ? "127.0.0.1" : a->host;
	struct place p = { .kind = PLACE_ALL };

	if (inet_pton(AF_INET, host, &p.in) == 1)
		p.kind = PLACE_IPV4;
	else if (inet_pton(AF_INET6, host, &p.in6) == 1)
		p.kind = IN6_IS_ADDR_UNSPECIFIED(&p.in6) ? PLACE_ALL : PLACE_IPV6;
	else if (host[0] != '\0')
		p.kind = PLACE_NAME;
	return p;
}

static bool is_all_ipv4(const struct place *p)
{
	return p->kind == PLACE_IPV4 && p->in.s_addr == htonl(INADDR_ANY);
}

/* A name may stand for an IPv6 address only: then it is said that it overlaps although it does not. */
static bool covers(const struct place *p, const struct place *other)
{
	return p->kind == PLACE_ALL || (is_all_ipv4(p) && other->kind != PLACE_IPV6);
}

bool addr_overlap(const struct addr *a, const struct addr *b)
{
	struct place p = place_of(a), q = place_of(b);

	if (strtoul(a->port, NULL, 10) != strtoul(b->port, NULL, 10))
		return false;
	if (covers(&p, &q) || covers(&q, &p))
		return true;
	if (p.kind != q.kind)
		return false;
	switch (p.kind) {
	case PLACE_ALL:
		return true;
	case PLACE_IPV4:
		return p.in.s_addr == q.in.s_addr;
	case PLACE_IPV6:
		return IN6_ARE_ADDR_EQUAL(&p.in6, &q.in6);
	case PLACE_NAME:
		return strcasecmp(a->host, b->host) == 0;
	}
	return false;
}

static char *text_of_ipv4(const struct sockaddr *address)
{
	char text[INET_ADDRSTRLEN];
	struct sockaddr_in in;

	memcpy(&in, address, sizeof(in));
	inet_ntop(AF_INET, &in.sin_addr, text, sizeof(text));
	return xstrdup(text);
}

/* Whence packets to the world would leave; none does, since a datagram socket only looks the way up. NULL: there is no
 * way, or it leads nowhere. */
static char *default_route_address(void)
{
	struct sockaddr_in world = { .sin_family = AF_INET, .sin_port = htons(9) }, own;
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	socklen_t size = sizeof(own);
	char *found = NULL;

	/* 192.0.2.1 stands in examples (RFC 5737) and is nobody's. */
	world.sin_addr.s_addr = htonl(0xc0000201);
	if (fd == -1)
		return NULL;
	if (connect(fd, (const struct sockaddr *)(const void *)&world, sizeof(world)) == 0 &&
	    getsockname(fd, (struct sockaddr *)(void *)&own, &size) == 0)
		found = text_of_ipv4((const struct sockaddr *)(const void *)&own);
	close(fd);
	return found;
}

static char *first_address(void)
{
	struct ifaddrs *all = NULL, *i;
	char *found = NULL;

	if (getifaddrs(&all) == -1)
		return NULL;
	for (i = all; i != NULL && found == NULL; i = i->ifa_next)
		if (i->ifa_addr != NULL && i->ifa_addr->sa_family == AF_INET && (i->ifa_flags & IFF_UP) &&
		    !(i->ifa_flags & IFF_LOOPBACK))
			found = text_of_ipv4(i->ifa_addr);
	freeifaddrs(all);
	return found;
}

char *addr_reachable(const char *text)
{
	struct addr a;
	char *host, *result;

	if (!addr_parse(bytes_text(text), &a) ||
	    (a.host[0] != '\0' && strcmp(a.host, "::") != 0 && strcmp(a.host, "0.0.0.0") != 0))
		return xstrdup(text);
	if ((host = default_route_address()) == NULL && (host = first_address()) == NULL)
		host = xstrdup("127.0.0.1");
	result = xasprintf("%s:%s", host, a.port);
	free(host);
	return result;
}

static struct bytes trim(struct bytes b)
{
	while (b.size > 0 && b.data[0] == ' ')
		b = bytes_of(b.data + 1, b.size - 1);
	while (b.size > 0 && b.data[b.size - 1] == ' ')
		b.size--;
	return b;
}

/* Splits *rest at the first `mark`: what stands before it, with *rest behind it. */
static struct bytes split(struct bytes *rest, char mark)
{
	const uint8_t *at = memchr(rest->data, mark, rest->size);
	size_t size = at == NULL ? rest->size : (size_t)(at - rest->data);
	size_t used = at == NULL ? size : size + 1;
	struct bytes first = bytes_of(rest->data, size);

	*rest = bytes_of(rest->data + used, rest->size - used);
	return trim(first);
}

bool addr_next(struct bytes *list, struct bytes *address)
{
	*list = trim(*list);
	if (list->size == 0)
		return false;
	*address = split(list, ',');
	return true;
}

bool addr_next_member(struct bytes *list, struct bytes *id, struct bytes *address)
{
	struct bytes member;

	if (!addr_next(list, &member))
		return false;
	if (member.size == 0) {
		*id = *address = member;
		return true;
	}
	*id = split(&member, '=');
	*address = trim(member);
	return true;
}
