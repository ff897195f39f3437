#include <inttypes.h>
#include <stdlib.h>

#include "common/log.h"
#include "worker/replica/inside.h"

/*
 * Two clusters by accident: a node that was started without `join` and took a write, or one whose disk was wiped and that
 * was started while the others were down, has a cluster of its own. Nothing is ever merged; but both sides say so, and what
 * to do.
 */

/* A node is dialed every second. One that dials no more is not worth a warning any more. */
#define FORGET_MS 30000
/* The leader of another cluster that was asked to add this node dials it for 2 s: that is no claim. */
#define CALLS_MS 5000

void strangers_fini(struct replica *r)
{
	for (size_t i = 0; i < WARNING_COUNT; i++)
		free(r->warnings[i].text);
}

static bool is_over(const struct replica *r, enum warning w)
{
	return w != WARNING_JOIN && instant_between(r->warnings[w].last, r->now).ns > span_ms(FORGET_MS).ns;
}

void strangers_put_warnings(const struct replica *r, struct buf *out)
{
	for (size_t i = 0; i < WARNING_COUNT; i++)
		if (r->warnings[i].said && !is_over(r, (enum warning)i))
			buf_printf(out, "%s\n", r->warnings[i].text);
}

/* Takes the text. It is said once, when it has been true for `after`. */
static void warn_of(struct replica *r, enum warning w, uint64_t cluster, struct span after, char *text)
{
	struct warning_note *n = &r->warnings[w];

	if (n->cluster != cluster || is_over(r, w)) {
		free(n->text);
		*n = (struct warning_note){ .cluster = cluster, .text = text, .first = r->now };
	} else {
		free(text);
	}
	n->last = r->now;
	if (!n->said && instant_between(n->first, r->now).ns >= after.ns) {
		log_warnx("%s", n->text);
		n->said = true;
	}
}

void replica_warn_of_cluster(struct replica *r, const char *address, uint64_t cluster)
{
	warn_of(r, WARNING_JOIN, cluster, span_ms(0),
	    xasprintf(
		"this node belongs to the cluster %016" PRIx64
		", and %s, which [cluster] join names, to another cluster, %016" PRIx64
		": where they were meant to be one, stop this node, empty its data directory and start it "
		"with --join (what was written to it is lost), or do so with the nodes of the other; else "
		"take that address out of join",
		r->identity.cluster, address, cluster));
}

static void warn_of_member(struct replica *r, const struct peer_hello *hello, struct bytes dialed)
{
	const struct raft_config *c = raft_config(r->raft);
	struct raft_member m;

	for (size_t i = 0; i < c->count; i++)
		if (raft_config_find(c, c->members[i], &m) && bytes_equal(m.peer, dialed))
			warn_of(r, WARNING_MEMBER, hello->cluster, span_ms(0),
			    xasprintf(
				"the node at %.*s, where this cluster, %016" PRIx64
				", has its member %.*s, belongs to another cluster, %016" PRIx64
				": if it lost its data directory and formed a cluster of its own, stop it, "
				"empty its data directory and start it with --join (what was written to it "
				"is lost)",
				(int)dialed.size, (const char *)dialed.data, r->identity.cluster,
				(int)m.id.size, (const char *)m.id.data, hello->cluster));
}

static void warn_of_caller(struct replica *r, const struct peer_hello *hello)
{
	warn_of(r, WARNING_CALLER, hello->cluster, span_ms(CALLS_MS),
	    xasprintf(
		"the node %.*s at %.*s takes this one for a member of its cluster, %016" PRIx64
		", but this node belongs to another cluster, %016" PRIx64
		": if it lost its data directory and formed a cluster of its own, stop it, empty its data "
		"directory and start it with --join (what was written to it is lost); else remove it there",
		(int)hello->id.size, (const char *)hello->id.data, (int)hello->peer.size,
		(const char *)hello->peer.data, hello->cluster, r->identity.cluster));
}

void replica_on_stranger(
    struct replica *r, const struct peer_hello *hello, const struct bytes *dialed, struct instant now)
{
	r->now = now;
	if (r->raft == NULL || r->removed != NULL)
		return;
	if (dialed != NULL)
		warn_of_member(r, hello, *dialed);
	else
		warn_of_caller(r, hello);
}
