#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/addr.h"
#include "common/lane.h"
#include "common/names.h"

struct names {
	struct loop *loop;
	struct lane *lane; /* NULL until a name was asked for */
	LIST_HEAD(, lookup) lookups;
};

struct lookup {
	struct job job;
	LIST_ENTRY(lookup) link;
	char *text;
	int status;
	struct addresses found;
	lookup_answer *answer; /* NULL: not wanted any more */
	void *arg;
};

static int resolve(const char *text, int flags, struct addresses *out)
{
	struct addrinfo hints = { .ai_socktype = SOCK_STREAM, .ai_flags = flags | AI_NUMERICSERV };
	struct addrinfo *list = NULL;
	struct addr where;
	int status;

	out->count = 0;
	if (!addr_parse(bytes_text(text), &where) || where.host[0] == 0)
		return EAI_NONAME;
	if ((status = getaddrinfo(where.host, where.port, &hints, &list)) != 0)
		return status;
	for (struct addrinfo *a = list; a != NULL && out->count < ADDRESSES_MOST; a = a->ai_next) {
		struct address *to = &out->list[out->count++];

		memcpy(&to->storage, a->ai_addr, a->ai_addrlen);
		to->size = a->ai_addrlen;
	}
	freeaddrinfo(list);
	return 0;
}

bool address_numeric(const char *text, struct address *out)
{
	struct addresses found;

	if (resolve(text, AI_NUMERICHOST, &found) != 0)
		return false;
	*out = found.list[0];
	return true;
}

const char *address_text(const struct sockaddr_storage *a, socklen_t size, char out[ADDRESS_TEXT_BYTES])
{
	char host[46], port[6];

	if (getnameinfo((const struct sockaddr *)a, size, host, sizeof(host), port, sizeof(port),
		NI_NUMERICHOST | NI_NUMERICSERV) != 0)
		return "an unknown address";
	snprintf(out, ADDRESS_TEXT_BYTES, a->ss_family == AF_INET6 ? "[%s]:%s" : "%s:%s", host, port);
	return out;
}

static struct lookup *lookup_of(struct job *job)
{
	return (struct lookup *)job;
}

static void free_lookup(struct lookup *q)
{
	LIST_REMOVE(q, link);
	free(q->text);
	free(q);
}

static void look_up(void *arg, struct jobs *jobs)
{
	struct job *job;

	(void)arg;
	STAILQ_FOREACH (job, jobs, link) {
		struct lookup *q = lookup_of(job);

		q->status = resolve(q->text, AI_ADDRCONFIG, &q->found);
	}
}

static void tell(void *arg, struct job *job)
{
	struct lookup *q = lookup_of(job);

	(void)arg;
	if (q->answer != NULL)
		q->answer(q->arg, &q->found, q->status == 0 ? NULL : gai_strerror(q->status));
	free_lookup(q);
}

struct names *names_new(struct loop *l)
{
	struct names *n = xcalloc(1, sizeof(*n));

	n->loop = l;
	LIST_INIT(&n->lookups);
	return n;
}

void names_free(struct names *n)
{
	struct lookup *q;

	if (n == NULL)
		return;
	lane_free(n->lane);
	while ((q = LIST_FIRST(&n->lookups)) != NULL)
		free_lookup(q);
	free(n);
}

struct lookup *names_ask(struct names *n, const char *text, lookup_answer *answer, void *arg)
{
	struct lookup *q = xcalloc(1, sizeof(*q));

	q->text = xstrdup(text);
	q->answer = answer;
	q->arg = arg;
	LIST_INSERT_HEAD(&n->lookups, q, link);
	if (n->lane == NULL) {
		n->lane = lane_thread_new(
		    n->loop, "names", (struct lane_work){ .turn = look_up, .done = tell, .arg = n });
		lane_thread_waits_outside(n->lane);
	}
	lane_submit(n->lane, &q->job);
	return q;
}

void lookup_forget(struct lookup *q)
{
	if (q != NULL)
		q->answer = NULL;
}
