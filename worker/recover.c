#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <time.h>
#include <unistd.h>

#include "common/log.h"
#include "worker/log/wal.h"
#include "worker/offline.h"
#include "worker/raft/config.h"
#include "worker/reach.h"
#include "worker/replica/refound.h"
#include "worker/replica/settle.h"
#include "worker/worker.h"

/*
 * A cluster that has lost its majority for good, and one survivor. Nothing is touched before it is sure that nobody else
 * answers and the operator has said yes; then refound.h says what will be, and every step can be repeated.
 */

#define PATIENCE_MS 5000
#define READ_BYTES (4 * 1024 * 1024)
#define IDENTITY_BYTES_MAX (1024 * 1024)

struct recovery {
	struct offline *o;
	struct identity identity; /* the old one */
	struct refound plan;
	bool again; /* an earlier one broke off: the plan is that one's */
	struct table *table;
	struct kv *kv;
	struct wal *wal; /* NULL: it is set aside already */
	struct wal_found found;
	struct raft_config members; /* of the old cluster */
};

/* --- what there is --- */

static char *aside_path(const char *name, const char *aside)
{
	return xasprintf("%s.%s", name, aside);
}

struct name_sought {
	const char *name;
	bool there;
};

static void compare_name(void *arg, const char *name)
{
	struct name_sought *s = arg;

	s->there |= strcmp(name, s->name) == 0;
}

/* The old log, by an earlier try. What is there in its place is the beginning of the new one. */
static enum err is_set_aside(const struct recovery *r, bool *out)
{
	char *name = r->again ? aside_path("log", r->plan.aside) : xstrdup("");
	struct name_sought sought = { .name = name };
	enum err e = disk_list(r->o->disk, "", compare_name, &sought);

	*out = sought.there;
	free(name);
	return e;
}

static int refuse(int status, const char *why)
{
	log_errorx("%s", why);
	return status;
}

static int check_identity(const struct recovery *r)
{
	const struct identity *i = &r->identity;

	if (strcmp(i->id, r->o->conf->node_id) != 0) {
		log_errorx("the directory is that of node %s, not of %s: give it the node's own "
			   "configuration, or --id %s, --http and --peer",
		    i->id, r->o->conf->node_id, i->id);
		return EX_CONFIG;
	}
	if (r->again && r->plan.work == REFOUND_RESTORE)
		return refuse(
		    EX_CONFIG, "a restore into this directory broke off; repeat that (holdfastd --restore)");
	if (i->phase == IDENTITY_REMOVED)
		return refuse(EX_CONFIG, "this node was removed from its cluster before; what it has is old. "
					 "Recover another one, or restore a backup");
	if (i->phase != IDENTITY_FORMED)
		return refuse(EX_CONFIG, "this node has no cluster yet: there is nothing to recover");
	return EX_OK;
}

static int read_identity(struct recovery *r)
{
	enum err e = identity_read(&r->identity, r->o->disk);

	if (e == ERR_NOT_FOUND)
		return refuse(EX_NOINPUT, "there is no node in this directory: it has no identity");
	if (e == ERR_OK && (e = refound_read(&r->plan, r->o->disk)) == ERR_OK)
		r->again = true;
	if (e != ERR_OK && e != ERR_NOT_FOUND)
		return worker_status(e);
	return check_identity(r);
}

static enum err open_state(struct recovery *r)
{
	enum err e;

	if ((e = tables_open(r->o->tables, &r->table)) != ERR_OK)
		return e;
	if ((e = kv_open(&r->kv, r->table)) != ERR_OK || kv_quarantined(r->kv) == NULL)
		return e;
	log_errorx(
	    "the state of this node is not to be trusted: %s; recover another node, or restore a backup",
	    kv_quarantined(r->kv));
	return ERR_DAMAGED;
}

static enum err open_log(struct recovery *r)
{
	const struct wal_options o = { .disk = r->o->disk,
		.cluster = r->identity.cluster,
		.incarnation = r->identity.incarnation,
		.segment_bytes = r->o->conf->log_segment };
	const struct kv_meta *m = kv_meta(r->kv);
	enum err e = wal_open(&r->wal, &o, &r->found);

	if (e == ERR_NOT_FOUND) {
		log_errorx("the log is missing");
		return ERR_DAMAGED;
	}
	if (e != ERR_OK)
		return e;
	/* An earlier try may have moved the state on already. */
	if (m->applied_index >= r->found.base.index &&
	    (m->applied_index <= r->found.last.index || (r->again && m->applied_index == r->plan.base.index)))
		return ERR_OK;
	log_errorx("the log does not hold what the state has applied applied=%" PRIu64 " log=%" PRIu64
		   "-%" PRIu64,
	    m->applied_index, r->found.base.index, r->found.last.index);
	return ERR_DAMAGED;
}

static enum err take_members(struct recovery *r, struct bytes data, uint64_t index)
{
	struct blob *b = blob_new(data);
	bool good = raft_config_get(&r->members, index, b);

	blob_unref(b);
	if (!good)
		log_errorx("the members of the cluster cannot be read index=%" PRIu64, index);
	return good ? ERR_OK : ERR_DAMAGED;
}

/* The last configuration that this node has heard of, committed or not. */
static enum err find_members(struct recovery *r)
{
	struct buf told = { 0 };
	struct entries one = { 0 };
	uint64_t index = 0;
	enum err e;

	if (r->again)
		return take_members(r, blob_bytes(r->plan.others), 0);
	if (r->found.config_count > 0)
		index = r->found.configs[r->found.config_count - 1];
	e = index > 0 ? wal_read(r->wal, index, 1, &one) : kv_members(r->kv, &index, &told);
	if (e == ERR_OK)
		e = take_members(r, one.count > 0 ? blob_bytes(one.data[0].data) : buf_bytes(&told), index);
	entries_free(&one);
	buf_free(&told);
	return e;
}

static enum err look(struct recovery *r)
{
	bool aside;
	enum err e;

	if ((e = is_set_aside(r, &aside)) != ERR_OK || (e = open_state(r)) != ERR_OK)
		return e;
	if (!aside && (e = open_log(r)) != ERR_OK)
		return e;
	return find_members(r);
}

/* --- what the operator is told and asked --- */

static bool was_learner(const struct recovery *r)
{
	struct raft_member me;

	return raft_config_find(&r->members, r->identity.incarnation, &me) && (me.roles & RAFT_LEARNER) != 0;
}

static void show(const struct recovery *r)
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

static int check_others(const struct recovery *r)
{
	struct reached list[RAFT_MEMBERS_MAX];
	struct raft_member who[RAFT_MEMBERS_MAX];
	char *texts[RAFT_MEMBERS_MAX];
	size_t count = list_others(r, list, who, texts);
	int status = EX_OK;

	if (count == 0)
		return refuse(EX_USAGE,
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

static void explain(const struct recovery *r)
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
	       "- it goes on behind revision %" PRIu64 ", so that none is given out twice\n"
	       "- its old log and identity are kept in %s as log.%s and identity.%s\n",
	    r->plan.base.index, r->o->conf->node_data, r->plan.aside, r->plan.aside);
}

static int ask(bool yes)
{
	char line[16] = "";

	if (yes)
		return EX_OK;
	if (isatty(STDIN_FILENO) == 0)
		return refuse(EX_USAGE, "there is no terminal to ask at; say --yes if it is meant");
	printf("Type yes to do it: ");
	fflush(stdout);
	if (fgets(line, sizeof(line), stdin) != NULL && strcmp(line, "yes\n") == 0)
		return EX_OK;
	return refuse(EX_USAGE, "not done; nothing was changed");
}

static void show_end(const struct recovery *r)
{
	const struct conf *c = r->o->conf;

	printf(
	    "node %s is the new cluster %016" PRIx64 ", which goes on behind revision %" PRIu64 "\n"
	    "next:\n"
	    "1. start this node as ever, and look at what it has\n"
	    "2. empty the data directories of the others, or take new machines, and start each with --join "
	    "%s\n"
	    "3. when all is well, remove log.%s and identity.%s from %s\n",
	    c->node_id, r->plan.next.cluster, r->plan.base.index, c->http_advertise, r->plan.aside,
	    r->plan.aside, c->node_data);
}

/* --- what is done --- */

static char *date_suffix(void)
{
	char text[64];
	time_t now = time(NULL);
	struct tm tm;

	gmtime_r(&now, &tm);
	strftime(text, sizeof(text), "before-recovery-%Y%m%dT%H%M%SZ", &tm);
	return xstrdup(text);
}

static void plan(struct recovery *r)
{
	const struct conf *c = r->o->conf;
	struct raft_pos last = r->found.last;

	if (r->again)
		return;
	r->plan = refound_new(REFOUND_RECOVER, c->node_id, c->peer_advertise, r->o->http);
	if (r->found.hard.term > last.term)
		last.term = r->found.hard.term;
	refound_begin_beyond(&r->plan, last, r->found.last_time_ms);
	r->plan.aside = date_suffix();
	r->plan.others = blob_ref(r->members.data);
}

/* One turn: so many bytes of the log become one unit of the state. */
static enum err apply_some(struct recovery *r, struct kv_changes *changes, struct buf *result)
{
	struct entries entries = { 0 };
	enum err e = wal_read(r->wal, kv_meta(r->kv)->applied_index + 1, READ_BYTES, &entries);

	for (size_t i = 0; e == ERR_OK && i < entries.count; i++) {
		buf_clear(result);
		e = settle_entry(r->kv, &entries.data[i], changes, result);
	}
	entries_free(&entries);
	return e != ERR_OK ? e : kv_commit(r->kv);
}

static enum err apply_all(struct recovery *r)
{
	struct kv_changes *changes = kv_changes_new();
	struct buf result = { 0 };
	enum err e = ERR_OK;

	while (e == ERR_OK && kv_meta(r->kv)->applied_index < r->found.last.index)
		e = apply_some(r, changes, &result);
	buf_free(&result);
	kv_changes_free(changes);
	return e;
}

/* The log is needed no more once the state is durable where the new cluster begins. */
static enum err move_state(struct recovery *r)
{
	char *aside = aside_path("log", r->plan.aside);
	enum err e;

	if ((e = apply_all(r)) != ERR_OK || (e = refound_state(&r->plan, r->kv)) != ERR_OK ||
	    (e = table_flush(r->table)) != ERR_OK)
		goto out;
	wal_close(r->wal);
	r->wal = NULL;
	if ((e = disk_rename(r->o->disk, "log", aside)) == ERR_OK)
		e = disk_sync_dir(r->o->disk, "");
out:
	free(aside);
	return e;
}

static enum err keep_identity(struct recovery *r)
{
	char *aside = aside_path("identity", r->plan.aside);
	struct buf file = { 0 };
	enum err e = disk_read_whole(r->o->disk, "identity", IDENTITY_BYTES_MAX, &file);

	if (e == ERR_OK)
		e = disk_replace(r->o->disk, "", aside, buf_bytes(&file));
	buf_free(&file);
	free(aside);
	return e;
}

static enum err carry_out(struct recovery *r)
{
	enum err e;

	if (!r->again && (e = refound_note(&r->plan, r->o->disk)) != ERR_OK)
		return e;
	if (r->wal != NULL && (e = move_state(r)) != ERR_OK)
		return e;
	return keep_identity(r);
}

static int end(struct recovery *r, enum err e)
{
	if (e == ERR_OK)
		e = refound_finish(&r->plan, r->o->disk, r->o->conf->log_segment);
	if (e == ERR_OK) {
		show_end(r);
		return EX_OK;
	}
	log_errorx("the recovery broke off: %s; repeat it, it goes on where it was", err_text(e));
	return worker_status(e);
}

static int recover(struct recovery *r, bool yes)
{
	int status;
	enum err e;

	if ((status = read_identity(r)) != EX_OK)
		return status;
	/* Everything was done but forgetting the plan. */
	if (r->again && r->identity.incarnation == r->plan.next.incarnation)
		return end(r, ERR_OK);
	if ((e = look(r)) != ERR_OK) {
		log_errorx("this node cannot be recovered from: %s", err_text(e));
		return worker_status(e);
	}
	plan(r);
	show(r);
	if ((status = check_others(r)) != EX_OK)
		return status;
	explain(r);
	if ((status = ask(yes)) != EX_OK)
		return status;
	return end(r, carry_out(r));
}

int recover_alone(struct offline *o, bool yes)
{
	struct recovery r = { .o = o };
	int status = recover(&r, yes);

	raft_config_free(&r.members);
	wal_found_free(&r.found);
	wal_close(r.wal);
	kv_close(r.kv);
	tables_close(o->tables, r.table);
	refound_free(&r.plan);
	identity_free(&r.identity);
	return status;
}
