#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "common/log.h"
#include "worker/replica/inside.h"

/*
 * Two clusters by accident: a node that was started without `join` and took a write, or one whose disk was wiped and that
 * was started while the others were down, has a cluster of its own. Nothing is ever merged; but both sides say so, and what
 * to do.
 */

void strangers_fini(struct replica *r)
{
	for (size_t i = 0; i < WARNING_COUNT; i++)
		free(r->warnings[i]);
}

void strangers_put_warnings(const struct replica *r, struct buf *out)
{
	for (size_t i = 0; i < WARNING_COUNT; i++)
		if (r->warnings[i] != NULL)
			buf_printf(out, "%s\n", r->warnings[i]);
}

/* Takes the text. */
static void warn_once(struct replica *r, enum warning w, char *text)
{
	if (r->warnings[w] != NULL && strcmp(r->warnings[w], text) == 0) {
		free(text);
		return;
	}
	log_warnx("%s", text);
	free(r->warnings[w]);
	r->warnings[w] = text;
}

void replica_warn_of_cluster(struct replica *r, const char *address, uint64_t cluster)
{
	warn_once(r, WARNING_JOIN,
	    xasprintf(
		"this node belongs to the cluster %016" PRIx64
		", and %s, which [cluster] join names, belongs to another cluster, %016" PRIx64
		": where they were meant to be one, stop this node, empty its data directory and start it "
		"with --join (what was written to it is lost), or do so with the others; else take that "
		"address out of join",
		r->identity.cluster, address, cluster));
}
