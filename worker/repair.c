#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

#include "common/log.h"
#include "worker/others.h"
#include "worker/raft/config.h"
#include "worker/repair.h"
#include "worker/worker.h"

#define PATIENCE_MS 30000

static void must(enum err e, const char *what)
{
	if (e != ERR_OK)
		fatalx(worker_status(e), "the repair cannot %s: %s", what, err_text(e));
}

static bool knows_others(const struct repair *r, const struct repair_known *k)
{
	struct raft_config c;
	bool others;

	if (k->members == NULL || !raft_config_get(&c, 1, k->members))
		return r->conf->cluster_members[0] != '\0' || r->conf->cluster_join[0] != '\0';
	others = c.quorum.incoming.count > 1;
	raft_config_free(&c);
	return others;
}

/* It comes back on its own, or not at all. */
__attribute__((noreturn)) static void refuse(enum replica_part part, const char *why)
{
	fatalx(EX_IOERR,
	    "%s is damaged, and the node does not repair itself: %s; every file is left as it is",
	    repair_part_name(part), why);
}

/* The addresses of the other members. Does not return where this node must not be repaired. */
static char *ask_others(const struct repair *r, enum replica_part part)
{
	struct repair_known k;
	struct others_question q = { r->conf->node_id, r->conf->http_advertise, 0, 0, { 0 },
		r->conf->cluster_join };
	char *join, *why;

	if (r->conf->node_repair == REPAIR_NO)
		refuse(part, "[node] repair is no");
	repair_look(&k, r->disk, r->tables, part);
	if (k.identity.phase == IDENTITY_REMOVED)
		refuse(part, "it was removed from its cluster");
	if (r->conf->node_repair == REPAIR_AUTO && !knows_others(r, &k))
		refuse(part, "its cluster has no other voters");
	q.cluster = k.identity.cluster;
	q.incarnation = k.identity.incarnation;
	q.members = blob_bytes(k.members);
	log_warnx("%s is damaged: asking the others whether they can do without this node, for at most %d s",
	    repair_part_name(part), PATIENCE_MS / 1000);
	if (!others_can_spare(&q, span_ms(PATIENCE_MS), &join, &why))
		refuse(part, why);
	repair_known_free(&k);
	return join;
}

static void lose_state(struct repair *r)
{
	char *suffix = repair_suffix(r->disk), *join = ask_others(r, PART_STATE);
	enum err e = tables_set_aside(r->tables, suffix);

	if (e != ERR_NOT_FOUND)
		must(e, "set the state aside");
	r->lost = xasprintf("its state was damaged and is set aside with the ending .%s", suffix);
	log_warnx(
	    "the state is set aside with the ending .%s, and comes from another node; remove it when all is "
	    "well",
	    suffix);
	free(join);
	free(suffix);
}

static void set_all_aside(struct repair *r, struct repair_note *n)
{
	must(repair_set_aside(r->disk, r->tables, n->aside), "set everything aside");
	n->stage = REPAIR_JOIN;
	must(repair_write(n, r->disk), "note how far it is");
	r->join = xstrdup(n->others);
	log_warnx("%s was damaged: log, identity and state are set aside with the ending .%s, and this node "
		  "comes back "
		  "as another incarnation, by joining at %s; remove them when all is well",
	    repair_part_name(n->part), n->aside, n->others);
}

static void lose_everything(struct repair *r, enum replica_part part)
{
	struct repair_note n = { REPAIR_ASIDE, part, xstrdup(""), repair_suffix(r->disk),
		ask_others(r, part) };

	must(repair_write(&n, r->disk), "note what is to be done");
	set_all_aside(r, &n);
	repair_note_free(&n);
}

void repair_damage(struct repair *r, enum replica_part part)
{
	if (part == PART_NONE || r->tried[part])
		refuse(part, "it was damaged before, and still is");
	r->tried[part] = true;
	if (part == PART_STATE)
		lose_state(r);
	else
		lose_everything(r, part);
}

/* A note that this node was to join is there until it has. */
static void look_for_place(struct repair *r, const struct repair_note *n)
{
	struct identity i;
	bool joined = identity_read(&i, r->disk) == ERR_OK && i.phase >= IDENTITY_FORMED;

	identity_free(&i);
	if (joined)
		must(repair_forget(r->disk), "forget what is over");
	else
		r->join = xstrdup(n->others);
}

void repair_begin(struct repair *r, const struct conf *c, struct disk *d, struct tables *ts)
{
	struct repair_note n;
	enum err e = repair_read(&n, d);

	*r = (struct repair){ .conf = c, .disk = d, .tables = ts };
	if (e == ERR_NOT_FOUND)
		return;
	must(e, "read what was noted");
	switch (n.stage) {
	case REPAIR_FOUND:
		log_warnx("damage was found at work: %s", n.why);
		r->noted = true;
		repair_damage(r, n.part);
		break;
	case REPAIR_ASIDE:
		set_all_aside(r, &n);
		break;
	case REPAIR_JOIN:
		look_for_place(r, &n);
		break;
	}
	repair_note_free(&n);
}

void repair_done(struct repair *r)
{
	/* What was set aside with everything has another note by now, which is needed until this node has joined. */
	if (r->noted && r->join == NULL)
		must(repair_forget(r->disk), "forget what is over");
	free(r->lost);
	r->lost = NULL;
}
