#include "common/log.h"
#include "worker/replica/inside.h"

#define MIB ((uint64_t)1024 * 1024)
#define CHECKPOINT_LEAST (4 * MIB)
#define CHECKPOINT_MOST (64 * MIB)
#define LOOK_MS 1000
#define LOOK_SHORT_MS 100

uint64_t space_checkpoint_bytes(uint64_t segment_bytes)
{
	if (segment_bytes < CHECKPOINT_LEAST)
		return CHECKPOINT_LEAST;
	return segment_bytes < CHECKPOINT_MOST ? segment_bytes : CHECKPOINT_MOST;
}

struct space_marks space_marks(uint64_t segment_bytes)
{
	uint64_t checkpoint = space_checkpoint_bytes(segment_bytes), full = 2 * segment_bytes + checkpoint;
	uint64_t start = segment_bytes + checkpoint;

	return (struct space_marks){ full, full + full / 4, start, start + checkpoint };
}

enum raft_room space_judge(const struct space_marks *m, enum raft_room was, struct ballast_room seen)
{
	uint64_t both = seen.free + seen.held;

	if (was != RAFT_ROOM_ENOUGH && seen.held == m->ballast && seen.free >= m->again)
		return RAFT_ROOM_ENOUGH;
	if (was == RAFT_ROOM_ENOUGH && both >= m->full + m->ballast)
		return RAFT_ROOM_ENOUGH;
	if (both < m->spent || (was == RAFT_ROOM_NONE && both < m->spent + m->spent / 4))
		return RAFT_ROOM_NONE;
	return RAFT_ROOM_SHORT;
}

static void tell(const struct space *s)
{
	unsigned long long free = s->seen.free, held = s->seen.held, full = s->marks.full;

	switch (s->room) {
	case RAFT_ROOM_ENOUGH:
		log_info("there is room again on the filesystem: this node takes writes free=%llu mark=%llu "
			 "ballast=%llu",
		    free, full, held);
		break;
	case RAFT_ROOM_SHORT:
		log_warnx(
		    "the filesystem is full: this node takes no writes free=%llu mark=%llu ballast=%llu "
		    "again=%llu",
		    free, full, held, (unsigned long long)s->marks.again);
		break;
	case RAFT_ROOM_NONE:
		log_errorx("the filesystem is full and the ballast is nearly used up: this node takes "
			   "nothing more "
			   "free=%llu mark=%llu ballast=%llu",
		    free, (unsigned long long)s->marks.spent, held);
		break;
	}
}

static void judge(struct replica *r)
{
	struct space *s = &r->space;
	enum raft_room room = space_judge(&s->marks, s->room, s->seen);
	bool short_of = room != RAFT_ROOM_ENOUGH || s->seen.free < 2 * s->marks.full;

	s->at = instant_add(r->now, span_ms(short_of ? LOOK_SHORT_MS : LOOK_MS));
	s->written = 0;
	if (room == s->room)
		return;
	s->room = room;
	tell(s);
	if (r->raft != NULL)
		raft_set_room(r->raft, room, r->now);
}

static void do_turn(void *arg, struct jobs *jobs)
{
	struct replica *r = arg;

	(void)jobs;
	if ((r->space.error = lanes_error(r)) == ERR_OK)
		r->space.error = ballast_look(r->env.ballast, r->space.marks.again, &r->space.looked);
	lanes_note(r, PART_NONE, r->space.error);
}

static void on_done(void *arg, struct job *job)
{
	struct replica *r = arg;

	(void)job;
	r->space.over = true;
}

enum err space_init(struct replica *r)
{
	struct space *s = &r->space;

	s->marks = space_marks(r->o.segment_bytes);
	s->at = INSTANT_NEVER;
	s->seen.free = UINT64_MAX;
	if (r->env.ballast == NULL)
		return ERR_OK;
	if ((s->error = ballast_look(r->env.ballast, s->marks.again, &s->seen)) == ERR_OK)
		judge(r);
	return s->error;
}

void space_start(struct replica *r)
{
	if (r->env.ballast != NULL)
		r->space.lane =
		    r->env.lanes->make(r->env.lanes, "space", (struct lane_work){ do_turn, on_done, r });
}

void space_run(struct replica *r)
{
	struct space *s = &r->space;

	if (s->over) {
		s->busy = s->over = false;
		if (s->error != ERR_OK) {
			fail_by(r, s->error, "looking for space");
			return;
		}
		s->seen = s->looked;
		judge(r);
	}
	if (s->lane == NULL || s->busy || !instant_passed(s->at, r->now))
		return;
	s->busy = true;
	lane_submit(s->lane, &s->job);
}

struct instant space_deadline(const struct replica *r)
{
	return r->space.busy ? INSTANT_NEVER : r->space.at;
}

void space_written(struct replica *r, uint64_t bytes)
{
	r->space.written += bytes;
	if (r->space.lane != NULL && r->space.written > r->o.segment_bytes / 4)
		r->space.at = instant_least(r->space.at, r->now);
}
