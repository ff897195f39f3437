#define _GNU_SOURCE
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/addr.h"
#include "common/conf_type.h"
#include "common/crc.h"
#include "common/memory.h"

/* What follows from other options or from the machine, and whether the options agree with each other. */

#define HTTP_WORKERS_DEFAULT_MAX 8
#define MIB ((uint64_t)1024 * 1024)
#define CACHE_LEAST MIB
#define CACHE_SHARE 16
#define CACHE_DEFAULT_MIN (64 * MIB)
#define CACHE_DEFAULT_MAX (256 * MIB)

static enum err set(struct conf *c, const char *section, const char *name, char *value, struct buf *why)
{
	enum err e = conf_set(c, section, name, value, why);

	free(value);
	return e;
}

static enum err fill_id(struct conf *c, struct buf *why)
{
	char name[65] = "";

	if (c->node_id[0] != '\0')
		return ERR_OK;
	gethostname(name, sizeof(name) - 1);
	return set(c, "node", "id", xstrdup(name), why);
}

/* What systemd gives may be several, behind colons; the first, or NULL. The caller frees it. */
static char *directory_in(const char *name)
{
	const char *given = getenv(name);

	return given == NULL || given[0] == '\0' ? NULL : strndup(given, strcspn(given, ":"));
}

static enum err fill_data(struct conf *c, struct buf *why)
{
	char *given;

	if (c->node_data[0] != '\0')
		return ERR_OK;
	if ((given = directory_in("STATE_DIRECTORY")) != NULL)
		return set(c, "node", "data", given, why);
	return set(c, "node", "data", xasprintf("./holdfast-%s", c->node_id), why);
}

static bool sockets_fit(const char *run)
{
	return strlen(run) + strlen("/http-63.sock") <= CONF_SOCKET_PATH_MAX;
}

/* The directory's own place in the user's runtime directory, where several nodes may be: named by its full path. */
static char *run_aside(const char *data)
{
	const char *base = getenv("XDG_RUNTIME_DIR");
	char *cwd = data[0] == '/' ? xstrdup("") : getcwd(NULL, 0);
	char *full = xasprintf("%s/%s", cwd == NULL ? "" : cwd, data);
	char *run =
	    base == NULL ? NULL : xasprintf("%s/holdfast-%08" PRIx32, base, crc32c(0, bytes_text(full)));

	free(cwd);
	free(full);
	return run;
}

static enum err fill_run(struct conf *c, struct buf *why)
{
	char *given, *run, *aside;

	if (c->node_run[0] != '\0')
		return ERR_OK;
	if ((given = directory_in("RUNTIME_DIRECTORY")) != NULL)
		return set(c, "node", "run", given, why);
	/* In the data directory it is guarded by the same lock. */
	run = xasprintf("%s/run", c->node_data);
	aside = sockets_fit(run) ? NULL : run_aside(c->node_data);
	if (aside != NULL) {
		free(run);
		run = aside;
	}
	return set(c, "node", "run", run, why);
}

/* The address that the list of members gives this node, or NULL; the caller frees it. */
static char *listed_address(const struct conf *c)
{
	struct bytes list = bytes_text(c->cluster_members), id, address;

	while (addr_next_member(&list, &id, &address))
		if (bytes_equal(id, bytes_text(c->node_id)))
			return bytes_dup_text(address);
	return NULL;
}

static enum err fill_addresses(struct conf *c, struct buf *why)
{
	enum err e = ERR_OK;

	if (c->http_advertise[0] == '\0')
		e = set(c, "http", "advertise", addr_reachable(c->http_listen), why);
	if (e == ERR_OK && c->peer_advertise[0] == '\0') {
		char *listed = listed_address(c);

		e = set(
		    c, "peer", "advertise", listed != NULL ? listed : addr_reachable(c->peer_listen), why);
	}
	return e;
}

static void fill_workers(struct conf *c)
{
	long cores = sysconf(_SC_NPROCESSORS_ONLN);

	if (c->http_workers != 0)
		return;
	c->http_workers = cores < 4 ? 1 : (uint64_t)cores / 2;
	if (c->http_workers > HTTP_WORKERS_DEFAULT_MAX)
		c->http_workers = HTTP_WORKERS_DEFAULT_MAX;
}

static void fill_cache(struct conf *c)
{
	if (c->state_cache != 0)
		return;
	c->state_cache = memory_bytes() / CACHE_SHARE;
	if (c->state_cache < CACHE_DEFAULT_MIN)
		c->state_cache = CACHE_DEFAULT_MIN;
	if (c->state_cache > CACHE_DEFAULT_MAX)
		c->state_cache = CACHE_DEFAULT_MAX;
}

static bool is_named_twice(struct bytes list, struct bytes wanted)
{
	struct bytes id, address;
	unsigned times = 0;

	while (addr_next_member(&list, &id, &address))
		times += bytes_equal(id, wanted) || bytes_equal(address, wanted);
	return times > 1;
}

/* Puts the sentence together: where the option was given, its name, what is wrong. */
__attribute__((format(printf, 5, 6))) static enum err refuse(
    const struct conf *c, struct buf *why, const char *section, const char *name, const char *format, ...)
{
	const struct conf_type *type;
	va_list ap;
	char *text;

	va_start(ap, format);
	if (vasprintf(&text, format, ap) == -1)
		abort();
	va_end(ap);
	conf_put_origin(c, conf_find(section, name, &type), why);
	buf_printf(why, "[%s] %s: %s", section, name, text);
	free(text);
	return ERR_BAD_REQUEST;
}

static enum err check_members(const struct conf *c, struct buf *why)
{
	struct bytes list = bytes_text(c->cluster_members), whole = list, id, address;
	char *own = listed_address(c);
	bool listed = own != NULL;

	free(own);
	if (whole.size > 0 && !listed)
		return refuse(c, why, "cluster", "members", "this node, %s, is not among them", c->node_id);
	while (addr_next_member(&list, &id, &address))
		if (is_named_twice(whole, id) || is_named_twice(whole, address))
			return refuse(c, why, "cluster", "members", "%.*s=%.*s is there twice", (int)id.size,
			    id.data, (int)address.size, address.data);
	return ERR_OK;
}

/* A list that names a former address of this node would be advertised, and nobody would find the node there. A listener on
 * all addresses may lie behind a port mapping. */
static enum err check_own_entry(const struct conf *c, struct buf *why)
{
	char *own = listed_address(c);
	struct addr listed, listens;
	enum err e = ERR_OK;

	if (own != NULL && c->peer_advertise[0] == '\0' && addr_parse(bytes_text(own), &listed) &&
	    addr_parse(bytes_text(c->peer_listen), &listens) && listens.host[0] != '\0' &&
	    strcmp(listed.port, listens.port) != 0)
		e = refuse(c, why, "cluster", "members",
		    "this node, %s, is listed at %s and [peer] listen is %s: correct the list, or say in "
		    "[peer] "
		    "advertise where the others reach it",
		    c->node_id, own, c->peer_listen);
	free(own);
	return e;
}

static enum err check_id(const struct conf *c, struct buf *why)
{
	if (c->node_id[0] != '\0' && c->node_id[strcspn(c->node_id, " =,/")] == '\0')
		return ERR_OK;
	return refuse(
	    c, why, "node", "id", "\"%s\" is no name: blanks and = , / do not belong there", c->node_id);
}

static enum err check_advertised(const struct conf *c, struct buf *why)
{
	struct addr http, peer;

	addr_parse(bytes_text(c->http_advertise), &http);
	addr_parse(bytes_text(c->peer_advertise), &peer);
	if (http.host[0] != '\0' && peer.host[0] != '\0')
		return ERR_OK;
	return refuse(
	    c, why, http.host[0] ? "peer" : "http", "advertise", "it needs a host that others can reach");
}

/* PORT ([http] listen = :4001) */
static void put_listener(const struct conf *c, const char *section, const char *address, struct buf *to)
{
	const struct conf_type *type;
	const char *origin = conf_origin(c, conf_find(section, "listen", &type));

	buf_printf(to, "%s ([%s] listen = %s)", origin == NULL ? "the default" : origin, section, address);
}

static enum err check_listeners(const struct conf *c, struct buf *why)
{
	struct addr http, peer;

	addr_parse(bytes_text(c->http_listen), &http);
	addr_parse(bytes_text(c->peer_listen), &peer);
	if (!addr_overlap(&http, &peer))
		return ERR_OK;
	put_listener(c, "http", c->http_listen, why);
	buf_append_text(why, " and ");
	put_listener(c, "peer", c->peer_listen, why);
	buf_append_text(why,
	    " are the same port of this machine: HTTP clients and the other nodes need one each; "
	    "change either");
	return ERR_BAD_REQUEST;
}

static enum err check_relations(const struct conf *c, struct buf *why)
{
	if (c->raft_election.ns < span_times(c->raft_heartbeat, 3).ns)
		return refuse(c, why, "raft", "election", "it must be three times [raft] heartbeat at least");
	if (c->cluster_join[0] != '\0' && c->cluster_new_cluster)
		return refuse(
		    c, why, "cluster", "join", "it does not go with new_cluster: join one or form one");
	if (c->limits_value > c->http_body_max)
		return refuse(c, why, "limits", "value", "it must not be over [http] body_max");
	if (c->limits_request_bytes < 2 * c->http_body_max)
		return refuse(c, why, "limits", "request_bytes", "it must be twice [http] body_max at least");
	if (c->state_cache < CACHE_LEAST)
		return refuse(c, why, "state", "cache", "it must be 1MiB at least, or 0");
	if (!sockets_fit(c->node_run))
		return refuse(c, why, "node", "run",
		    "sockets in %s would have paths over %d bytes; name a shorter directory", c->node_run,
		    CONF_SOCKET_PATH_MAX);
	return ERR_OK;
}

enum err conf_complete(struct conf *c, struct buf *why)
{
	enum err e;

	if ((e = fill_id(c, why)) != ERR_OK || (e = check_id(c, why)) != ERR_OK)
		return e;
	if ((e = fill_data(c, why)) != ERR_OK || (e = fill_run(c, why)) != ERR_OK)
		return e;
	if ((e = check_members(c, why)) != ERR_OK || (e = check_own_entry(c, why)) != ERR_OK ||
	    (e = fill_addresses(c, why)) != ERR_OK)
		return e;
	fill_workers(c);
	fill_cache(c);
	if ((e = check_advertised(c, why)) != ERR_OK || (e = check_listeners(c, why)) != ERR_OK)
		return e;
	return check_relations(c, why);
}
