#ifndef COMMON_NAMES_H
#define COMMON_NAMES_H

#include <sys/socket.h>

#include "common/loop.h"
#include "common/mem.h"

/*
 * From "host:port" to socket addresses, without ever blocking the loop: numeric addresses at once, names by
 * getaddrinfo(3) on a lane of its own, which is made when the first name comes. So names mean here what they mean
 * to every other program of the machine (nsswitch, the hosts file as it is now, resolved), which libevent's own
 * resolver does not give: it reads its files once, and gives a dead name server up for as long as an hour.
 */
#define ADDRESSES_MOST 8

struct address {
	struct sockaddr_storage storage;
	socklen_t size;
};

struct addresses {
	struct address list[ADDRESSES_MOST];
	size_t count;
};

/* A numeric "host:port"; false where it is none. Never blocks. */
bool address_numeric(const char *text, struct address *out);

/* "192.0.2.1:9001" or "[2001:db8::1]:9001", for log lines. Returns `out`, or a text that says it is unknown. */
#define ADDRESS_TEXT_BYTES 64
const char *address_text(const struct sockaddr_storage *a, socklen_t size, char out[ADDRESS_TEXT_BYTES]);

struct names;
struct names *names_new(struct loop *l);
/* Waits for a question under way, which may take as long as the resolver does. Accepts NULL. */
void names_free(struct names *n);

/* One question; the answer comes in a later turn. `problem` is NULL or says why nothing was found. */
struct lookup;
typedef void lookup_answer(void *arg, const struct addresses *found, const char *problem);
struct lookup *names_ask(struct names *n, const char *text, lookup_answer *answer, void *arg);
/* The answer is not wanted any more. Accepts NULL. */
void lookup_forget(struct lookup *q);

#endif
