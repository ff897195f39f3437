#define _GNU_SOURCE
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

bool addr_next_member(struct bytes *list, struct bytes *id, struct bytes *address)
{
	struct bytes member;

	*list = trim(*list);
	if (list->size == 0)
		return false;
	member = split(list, ',');
	if (member.size == 0) {
		*id = *address = member;
		return true;
	}
	*id = split(&member, '=');
	*address = trim(member);
	return true;
}
