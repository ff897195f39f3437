#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#include "common/log.h"
#include "worker/reach.h"
#include "worker/recover.h"

#define PATIENCE_MS 5000

int recovery_refuse(int status, const char *why)
{
	log_errorx("%s", why);
	return status;
}

static bool was_learner(const struct recovery *r)
{
	struct raft_member me;

	return raft_config_find(&r->members, r->identity.incarnation, &me) && (me.roles & RAFT_LEARNER) != 0;
}

void recovery_show(const struct recovery *r)
{
	const struct kv_meta *m = kv_meta(r->kv);

	printf("node %s of the cluster %016" PRIx64 ", incarnation %016" PRIx64 "\n", r->identity.id,
	    r->identity.cluster, r->identity.incarnation);
	if (r->wal != NULL)
		printf("  log    its last entry has index %" PRIu64 " of term %" PRIu64
		       "; the node has seen term %" PRIu64 "\n",
		    r->found.last.index, r->found.last.term, r->found.hard.term);
	printf("  state  has applied index %" PRIu64 " of term %" PRIu64 "\n", m->applied_index,
	    m->applied_term);
	if (was_learner(r))
		printf("  it was a learner: it may lack what a majority of the others had acknowledged\n");
	if (r->again)
		printf("  an earlier recovery broke off; this one goes on where it was\n");
}

static size_t list_others(
    const struct recovery *r, struct reached *list, struct raft_member *who, char **texts)
{
	size_t count = 0;

	for (size_t i = 0; i < r->members.count; i++) {
		struct raft_member *m = &who[count];

		if (!raft_config_find(&r->members, r->members.members[i], m) ||
		    bytes_equal(m->id, bytes_text(r->identity.id)))
			continue;
		texts[count] = bytes_dup_text(m->peer);
		list[count] = (struct reached){ .address = texts[count] };
		count++;
	}
	return count;
}

/* Another node may have the address by now, or the same one without its data: that is not who was a member. Whoever is
 * there and says nothing may be a member that is stopped. */
static bool still_lives(const struct recovery *r, const struct reached *x)
{
	return x->greeted ? x->cluster == r->identity.cluster : x->connected;
}

static void show_answer(const struct recovery *r, const struct raft_member *m, const struct reached *x)
{
	printf("  %.*s at %s: ", (int)m->id.size, (const char *)m->id.data, x->address);
	if (still_lives(r, x))
		printf(x->greeted ? "ANSWERS\n" : "SOMETHING ANSWERS (%s)\n", x->why != NULL ? x->why : "");
	else if (x->greeted && x->cluster == 0)
		printf("a node %s without a cluster is there, and nothing of the old one\n", x->id);
	else if (x->greeted)
		printf("a node %s of another cluster is there, and nothing of the old one\n", x->id);
	else
		printf("no answer (%s)\n", x->why != NULL ? x->why : "?");
}

int recovery_check_others(const struct recovery *r)
{
	struct reached list[RAFT_MEMBERS_MAX];
	struct raft_member who[RAFT_MEMBERS_MAX];
	char *texts[RAFT_MEMBERS_MAX];
	size_t count = list_others(r, list, who, texts);
	int status = EX_OK;

	if (count == 0)
		return recovery_refuse(EX_USAGE,
		    "this node is alone in its cluster already: there is nothing to recover; start it");
	printf("asking the other members, for at most %d s\n", PATIENCE_MS / 1000);
	fflush(stdout);
	reach(list, count, span_ms(PATIENCE_MS));
	for (size_t i = 0; i < count; i++) {
		show_answer(r, &who[i], &list[i]);
		fflush(stdout);
		if (!still_lives(r, &list[i]))
			continue;
		log_errorx(
		    "member %.*s at %s lives: start the others again, or replace them through it. If all "
		    "of them are lost for good but this one, stop it for good first; nothing was changed",
		    (int)who[i].id.size, (const char *)who[i].id.data, list[i].address);
		status = EX_UNAVAILABLE;
	}
	reached_free(list, count);
	for (size_t i = 0; i < count; i++)
		free(texts[i]);
	return status;
}

void recovery_explain(const struct recovery *r)
{
	printf("Nobody answers. What follows is for the case that the other members are lost FOR GOOD:\n"
	       "- this node becomes the cluster %016" PRIx64
	       ", alone; the others can never come back into it, and are "
	       "refused\n",
	    r->plan.next.cluster);
	if (r->wal != NULL && r->found.last.index > kv_meta(r->kv)->applied_index)
		printf("- all of its log counts as committed, also the last %" PRIu64
		       " entries, of which this node did not know it: they may have been acknowledged\n",
		    r->found.last.index - kv_meta(r->kv)->applied_index);
	printf("- what only the others had is lost\n"
	       "- it goes on after revision %" PRIu64 ", so that none is given out twice\n"
	       "- its old log and identity are kept in %s as log.%s and identity.%s\n",
	    r->plan.base.index, r->o->conf->node_data, r->plan.aside, r->plan.aside);
}

int recovery_ask(bool yes)
{
	char line[16] = "";

	if (yes)
		return EX_OK;
	if (isatty(STDIN_FILENO) == 0)
		return recovery_refuse(EX_USAGE, "there is no terminal to ask at; say --yes if it is meant");
	printf("Type yes to do it: ");
	fflush(stdout);
	if (fgets(line, sizeof(line), stdin) != NULL && strcmp(line, "yes\n") == 0)
		return EX_OK;
	return recovery_refuse(EX_USAGE, "not done; nothing was changed");
}

void recovery_show_end(const struct recovery *r)
{
	const struct conf *c = r->o->conf;

	printf(
	    "node %s is the new cluster %016" PRIx64 ", which goes on after revision %" PRIu64 "\n"
	    "next:\n"
	    "1. start this node as ever, and look at what it has\n"
	    "2. empty the data directories of the others, or take new machines, and start each with --join "
	    "%s\n"
	    "3. when all is well, remove log.%s and identity.%s from %s\n",
	    c->node_id, r->plan.next.cluster, r->plan.base.index, c->http_advertise, r->plan.aside,
	    r->plan.aside, c->node_data);
}
