#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>

#include "common/log.h"
#include "worker/replica/inside.h"

/*
 * An image comes in (§5.1, InstallSnapshot): the leader's state, piece by piece, for a node that its log does not reach
 * back to, or whose own state is not to be trusted. It is built aside on a lane of its own and changes nothing until it
 * is complete, verified and durable. Then the core takes it in (raft_install()), the log lane puts state and log in the
 * place of the old ones (log_lane.c), and the state lane goes on with it (state_lane.c). A crash before that leaves the
 * old state; behind it, the new one.
 *
 * A piece is acknowledged when it is written, so no more than the sender's window waits here. Functions named do_* run on the
 * lane and touch nothing of the replica but the incoming state and what the lanes share.
 */

/* Synced in steps: one sync of all of it at the end would take as long as the whole way. */
#define SYNC_BYTES (64 * 1024 * 1024)

/* ---- the lane ---- */

static enum err begin_load(struct replica *r, struct incoming *in)
{
	enum err e = tables_make(r->env.tables, &in->table);

	if (e == ERR_OK)
		in->load = image_load_begin(in->table, r->o.level_most);
	return e;
}

static enum err do_pieces(struct receive_job *j)
{
	struct incoming *in = j->in;
	enum err e;

	if (in->table == NULL && (e = begin_load(j->r, in)) != ERR_OK)
		return e;
	if ((e = image_load_frames(in->load, buf_bytes(&j->frames))) != ERR_OK)
		return e;
	in->unsynced += j->frames.size;
	if (in->unsynced < SYNC_BYTES)
		return ERR_OK;
	in->unsynced = 0;
	return table_checkpoint(in->table);
}

/* What is left becomes durable here, not on the log lane. */
static enum err do_finish(struct receive_job *j)
{
	struct incoming *in = j->in;
	struct buf members = { 0 };
	const struct kv_meta *meta;
	enum err e;

	if ((e = image_load_end(in->load)) != ERR_OK || (e = table_checkpoint(in->table)) != ERR_OK ||
	    (e = kv_open(&in->kv, in->table)) != ERR_OK)
		goto out;
	e = kv_members(in->kv, &in->image.config_index, &members);
	if (e == ERR_NOT_FOUND)
		e = ERR_DAMAGED; /* a state of a cluster knows them */
	if (e != ERR_OK)
		goto out;
	meta = kv_meta(in->kv);
	in->image.pos = (struct raft_pos){ meta->applied_term, meta->applied_index };
	in->image.time_ms = meta->time_ms;
	in->image.config = blob_new(buf_bytes(&members));
	image_load_free(in->load);
	in->load = NULL;
out:
	buf_free(&members);
	return e;
}

static void do_drop(struct receive_job *j)
{
	struct incoming *in = j->in;

	image_load_free(in->load);
	kv_close(in->kv);
	tables_drop(j->r->env.tables, in->table);
	in->load = NULL;
	in->kv = NULL;
	in->table = NULL;
}

/* The image is at fault, or there is no room for it: the node can do without. Where it is of a version that is not known
 * here the node cannot: it has no other way to go on. */
static bool is_bearable(enum err e)
{
	return e == ERR_DAMAGED || e == ERR_NO_SPACE;
}

static void do_job(struct receive_job *j)
{
	if ((j->error = lanes_error(j->r)) != ERR_OK || (j->error = j->in->error) != ERR_OK)
		return;
	j->error = j->kind == RECEIVE_PIECES ? do_pieces(j) : do_finish(j);
	j->in->error = j->error;
	if (j->error != ERR_OK && !is_bearable(j->error))
		lanes_note(j->r, PART_NONE, j->error);
}

static void do_turn(void *arg, struct jobs *jobs)
{
	struct job *job;

	(void)arg;
	STAILQ_FOREACH (job, jobs, link) {
		struct receive_job *j = (struct receive_job *)job;

		if (j->kind == RECEIVE_DROP)
			do_drop(j);
		else
			do_job(j);
	}
}

static void on_done(void *arg, struct job *job)
{
	struct replica *r = arg;

	struct receive_job *j = (struct receive_job *)job;

	assert(j == STAILQ_FIRST(&r->receiving.out));
	STAILQ_REMOVE_HEAD(&r->receiving.out, out);
	STAILQ_INSERT_TAIL(&r->receiving.over, j, over);
}

/* ---- the loop ---- */

void image_receive_start(struct replica *r)
{
	r->receiving.lane =
	    r->env.lanes->make(r->env.lanes, "image", (struct lane_work){ do_turn, on_done, r });
}

static void submit(struct replica *r, enum receive_kind kind, struct incoming *in, struct bytes frames)
{
	struct receive_job *j = xcalloc(1, sizeof(*j));

	j->r = r;
	j->kind = kind;
	j->in = in;
	buf_append(&j->frames, frames);
	STAILQ_INSERT_TAIL(&r->receiving.out, j, out);
	lane_submit(r->receiving.lane, &j->job);
}

static void job_free(struct receive_job *j)
{
	buf_free(&j->frames);
	free(j);
}

static void incoming_free(struct incoming *in)
{
	blob_unref(in->image.config);
	free(in);
}

static void drop(struct replica *r, struct incoming *in)
{
	submit(r, RECEIVE_DROP, in, (struct bytes){ NULL, 0 });
}

static void abandon(struct replica *r)
{
	struct receiving *g = &r->receiving;

	assert(g->phase != RECEIVING_INSTALLS);
	if (g->in != NULL)
		drop(r, g->in);
	g->in = NULL;
	g->phase = RECEIVING_NOTHING;
	g->from = g->number = 0;
}

static void send_ack(struct replica *r, uint64_t to, const struct peer_image_ack *m)
{
	wire_put_u8(&r->frame, PEER_IMAGE_ACK);
	peer_image_ack_put(&r->frame, m);
	send_frame(r, to);
}

static void say_how_far(struct replica *r)
{
	const struct receiving *g = &r->receiving;
	struct peer_image_ack m = { g->number, g->written, IMAGE_UNDER_WAY, 0 };

	send_ack(r, g->from, &m);
}

static void refuse(struct replica *r, uint64_t to, uint64_t number)
{
	struct peer_image_ack m = { number, 0, IMAGE_REFUSED, 0 };

	send_ack(r, to, &m);
}

/* What was acknowledged as done is remembered, for the acknowledgement may be lost. */
static void say_done(struct replica *r)
{
	const struct receiving *g = &r->receiving;
	struct peer_image_ack m = { g->done_number, 0, IMAGE_DONE, g->done_index };

	send_ack(r, g->done_from, &m);
}

static void conclude(struct replica *r, uint64_t index)
{
	struct receiving *g = &r->receiving;

	g->done_from = g->from;
	g->done_number = g->number;
	g->done_index = index;
	g->phase = RECEIVING_NOTHING;
	g->from = g->number = 0;
	g->in = NULL;
	say_done(r);
}

static void begin(struct replica *r, uint64_t from, const struct peer_image *m)
{
	struct receiving *g = &r->receiving;

	log_info(
	    "an image of the state comes from=%016" PRIx64 " applied=%" PRIu64, from, r->meta.applied_index);
	g->from = from;
	g->number = m->number;
	g->next = g->written = 0;
	g->phase = RECEIVING_PIECES;
	g->in = xcalloc(1, sizeof(*g->in));
	g->in->image.term = m->term;
}

/* Another image than the one under way, or a question about one that is over. True when its pieces are wanted. */
static bool take_up(struct replica *r, uint64_t from, const struct peer_image *m)
{
	struct receiving *g = &r->receiving;

	/* A matter of moments: it is asked again. A cut that is under way on a node that is frozen may go beyond its index. */
	if (g->phase == RECEIVING_INSTALLS || r->cut.out)
		return false;
	if (from == g->done_from && m->number == g->done_number) {
		say_done(r);
		return false;
	}
	if (m->sequence != 0 || m->frames.size == 0 || r->space.room != RAFT_ROOM_ENOUGH) {
		refuse(r, from, m->number);
		return false;
	}
	abandon(r);
	begin(r, from, m);
	return true;
}

void on_image(struct replica *r, uint64_t from, const struct peer_image *m)
{
	struct receiving *g = &r->receiving;
	struct raft_view v;

	if (r->raft == NULL || r->removed != NULL)
		return;
	v = raft_view(r->raft);
	if (v.leader != from || v.term != m->term)
		return;
	if ((from != g->from || m->number != g->number) && !take_up(r, from, m))
		return;
	if (g->phase != RECEIVING_PIECES || m->frames.size == 0 || m->sequence != g->next) {
		say_how_far(r);
		return;
	}
	g->next++;
	submit(r, RECEIVE_PIECES, g->in, m->frames);
	if (m->last) {
		g->phase = RECEIVING_FINISHES;
		submit(r, RECEIVE_FINISH, g->in, (struct bytes){ NULL, 0 });
	}
}

static void give_up(struct replica *r, enum err e)
{
	struct receiving *g = &r->receiving;

	/* The lane does nothing with it any more. */
	log_warnx("gave up an image of the state: %s%s%s pieces=%" PRIu64, err_text(e),
	    g->in->load != NULL ? ": " : "", g->in->load != NULL ? image_load_why(g->in->load) : "",
	    g->written);
	refuse(r, g->from, g->number);
	abandon(r);
}

/* Complete and durable: now the core decides whether it is news. */
static void install(struct replica *r)
{
	struct receiving *g = &r->receiving;
	struct incoming *in = g->in;

	if (in->image.pos.term > in->image.term) {
		give_up(r, ERR_DAMAGED);
	} else if (raft_install(r->raft, &in->image, r->now)) {
		g->phase = RECEIVING_INSTALLS;
	} else {
		uint64_t index = in->image.pos.index;

		log_debug("an image of the state was not newer than the state index=%" PRIu64
			  " applied=%" PRIu64,
		    index, r->meta.applied_index);
		conclude(r, index);
		drop(r, in);
	}
}

void image_installed(struct replica *r)
{
	struct incoming *in = r->receiving.in;

	assert(r->receiving.phase == RECEIVING_INSTALLS);
	log_info("the state is that of an image now index=%" PRIu64 " term=%" PRIu64, in->image.pos.index,
	    in->image.pos.term);
	metric_add(r->measure.metrics->images_received_total, 1);
	/* Nobody can tell which of them are in the image. */
	request_skipped(r, in->image.pos.term);
	scan_break(r, "the state was replaced by an image");
	state_switch(r, in->table, in->kv, in->image.pos.index);
	conclude(r, in->image.pos.index);
	incoming_free(in);
}

static void take_job(struct replica *r, struct receive_job *j)
{
	struct receiving *g = &r->receiving;

	if (j->kind == RECEIVE_DROP)
		incoming_free(j->in);
	else if (j->error == ERR_VERSION && j->in->load != NULL)
		level_stop_at_image(r, image_load_why(j->in->load));
	else if (j->error != ERR_OK && !is_bearable(j->error))
		fail_by(r, j->error, "an image of the state");
	else if (j->in != g->in)
		return; /* of one that was abandoned meanwhile */
	else if (j->error != ERR_OK)
		give_up(r, j->error);
	else if (j->kind == RECEIVE_FINISH)
		install(r);
	else {
		g->written++;
		say_how_far(r);
	}
}

void image_receive_take_over(struct replica *r)
{
	struct receive_job *j;

	while ((j = STAILQ_FIRST(&r->receiving.over)) != NULL) {
		STAILQ_REMOVE_HEAD(&r->receiving.over, over);
		if (!r->failed || j->kind == RECEIVE_DROP)
			take_job(r, j);
		job_free(j);
	}
}

/* After the lane has ended. */
void image_receive_fini(struct replica *r)
{
	struct receiving *g = &r->receiving;
	struct receive_job *j;

	while ((j = STAILQ_FIRST(&g->out)) != NULL) {
		STAILQ_REMOVE_HEAD(&g->out, out);
		STAILQ_INSERT_TAIL(&g->over, j, over);
	}
	while ((j = STAILQ_FIRST(&g->over)) != NULL) {
		STAILQ_REMOVE_HEAD(&g->over, over);
		if (j->kind == RECEIVE_DROP)
			incoming_free(j->in);
		job_free(j);
	}
	if (g->in == NULL)
		return;
	image_load_free(g->in->load);
	kv_close(g->in->kv);
	tables_drop(r->env.tables, g->in->table);
	incoming_free(g->in);
}
