#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/common/mem_tables.h"
#include "tests/common/replica_alone.h"
#include "worker/replica/inside.h"

#define ELECTION_MS 500
#define HEARTBEAT_MS 100
#define ALONE_STATUS_ID 1000000
#define LANE_LOG 0
#define LANE_STATE 1
#define LANE_UPKEEP 2

static struct alone *alone_of(struct transport *t)
{
	return (struct alone *)(void *)((char *)t - offsetof(struct alone, transport));
}

static void hear_hello(struct transport *t, const struct peer_hello *hello)
{
	struct alone *a = alone_of(t);

	a->self = hello->incarnation;
	a->visits = hello->visits;
	snprintf(a->list, sizeof(a->list), "%.*s", (int)hello->list.size, (const char *)hello->list.data);
}

static void hear_peers(struct transport *t, const struct bytes *addresses, size_t count)
{
	struct alone *a = alone_of(t);
	size_t used = 0;

	a->peers[0] = '\0';
	for (size_t i = 0; i < count && used + addresses[i].size + 2 < sizeof(a->peers); i++)
		used += (size_t)sprintf(
		    a->peers + used, "%.*s ", (int)addresses[i].size, (const char *)addresses[i].data);
}

static bool keep_frame(struct transport *t, uint64_t to, struct bytes frame)
{
	struct alone *a = alone_of(t);

	if (a->deaf)
		return false;
	assert(a->frame_count < ALONE_KEPT_MAX);
	a->frames[a->frame_count++] = (struct alone_frame){ to, blob_new(frame) };
	return true;
}

static const struct transport_ops transport_ops = {
	.set_hello = hear_hello, .set_peers = hear_peers, .send = keep_frame
};

static void submit(struct lane *lane, struct job *job)
{
	STAILQ_INSERT_TAIL(&((struct alone_lane *)lane)->queued, job, link);
}

static void free_lane(struct lane *lane)
{
	(void)lane;
}

static const struct lane_ops lane_ops = { submit, free_lane };

static struct lane *make_lane(struct lane_maker *m, const char *name, struct lane_work work)
{
	struct alone *a = (struct alone *)m;
	struct alone_lane *l = &a->lanes[a->lane_count++];

	(void)name;
	*l = (struct alone_lane){ .lane = { &lane_ops }, .work = work };
	STAILQ_INIT(&l->queued);
	return &l->lane;
}

/* At most `most` jobs, as one turn of the lane. */
static bool work_off(struct alone_lane *l, size_t most)
{
	struct jobs jobs = STAILQ_HEAD_INITIALIZER(jobs);
	struct job *job;

	if (STAILQ_EMPTY(&l->queued))
		return false;
	for (; most > 0 && (job = STAILQ_FIRST(&l->queued)) != NULL; most--) {
		STAILQ_REMOVE_HEAD(&l->queued, link);
		STAILQ_INSERT_TAIL(&jobs, job, link);
	}
	l->work.turn(l->work.arg, &jobs);
	while ((job = STAILQ_FIRST(&jobs)) != NULL) {
		STAILQ_REMOVE_HEAD(&jobs, link);
		l->work.done(l->work.arg, job);
	}
	return true;
}

static bool is_waiting(const struct alone *a, size_t lane)
{
	return (lane == LANE_STATE && a->state_waits) || (lane == LANE_LOG && a->log_waits) ||
	       (lane == LANE_UPKEEP && a->upkeep_waits);
}

static void settle(struct alone *a)
{
	bool moved = true;

	while (moved) {
		moved = false;
		replica_flush(a->replica, a->now);
		for (size_t i = 0; i < a->lane_count; i++)
			if (!is_waiting(a, i))
				moved |= work_off(&a->lanes[i], SIZE_MAX);
	}
}

static void say_unsent(void *arg, uint32_t client, struct unsent *out)
{
	const struct alone *a = arg;

	if (client == ALONE_CLIENT)
		out->all = a->unsent;
}

static void keep_answer(void *arg, uint32_t client, const struct ipc_answer *answer)
{
	struct alone *a = arg;

	(void)client;
	if (a->stream_id != 0 && a->stream_id == answer->id && !a->stream_over) {
		buf_append(&a->stream, answer->result);
		a->stream_over = answer->more == 0;
		a->stream_error = (enum err)answer->error;
		return;
	}
	if (answer->more != 0) {
		a->stream_id = answer->id;
		a->stream_over = false;
		buf_clear(&a->stream);
	}
	assert(a->answer_count < ALONE_KEPT_MAX && alone_answered(a, answer->id) == NULL);
	snprintf(a->answers[a->answer_count].text, sizeof(a->answers[0].text), "%.*s", (int)answer->text.size,
	    (const char *)answer->text.data);
	a->answers[a->answer_count].id = answer->id;
	a->answers[a->answer_count].error = (enum err)answer->error;
	a->answers[a->answer_count].applied = (enum applied)answer->applied;
	a->answers[a->answer_count++].result = blob_new(answer->result);
}

static void die(void *arg, int status, const char *why)
{
	struct alone *a = arg;

	a->status = status;
	snprintf(a->why, sizeof(a->why), "%s", why);
	if (!a->may_die)
		abort();
	a->died = true;
}

static void on_progress(void *arg, const char *doing, uint64_t done, uint64_t total)
{
	struct alone *a = arg;

	assert(strcmp(doing, "reading the log") == 0);
	a->read = done;
	a->to_read = total;
}

static enum err open_replica(struct alone *a)
{
	struct replica_options o = {
		.id = "n1",
		.peer = "n1:1",
		.http = "http://n1:2",
		.build = "1.0",
		.members = a->members,
		.joins = a->joins,
		.replace_after = a->replace_after,
		.level_most = a->level_most,
		.repairs = a->repairs,
		.state_lost = a->state_lost,
		.election = span_ms(ELECTION_MS),
		.heartbeat = span_ms(HEARTBEAT_MS),
		.request = span_ms(5000),
		.segment_bytes = WAL_SEGMENT_LEAST,
		.log_budget = a->log_budget,
		.image_budget = a->image_budget,
		.requests_max = 1000,
		.request_bytes_max = a->request_bytes_max != 0 ? a->request_bytes_max : 1 << 20,
		.cache_bytes = a->cache_bytes != 0 ? a->cache_bytes : 1 << 20,
		.hash_every = ALONE_HASH_EVERY,
	};
	enum err e;
	struct replica_env env = {
		.disk = fake_disk_of(a->disk),
		.ballast = a->ballast,
		.tables = a->tables,
		.transport = &a->transport,
		.lanes = &a->maker,
		.answer = keep_answer,
		.unsent = say_unsent,
		.fatal = die,
		.progress = on_progress,
		.arg = a,
		.damaged = &a->damaged,
		.seed = 1,
	};

	a->lane_count = 0;
	if ((e = replica_open(&a->replica, &o, &env, a->now)) == ERR_OK)
		settle(a);
	return e;
}

static struct alone *new_alone(const char *members)
{
	struct alone *a = xcalloc(1, sizeof(*a));

	a->maker.make = make_lane;
	a->transport.ops = &transport_ops;
	a->now = (struct instant){ span_ms(1000000).ns };
	a->members = members;
	a->disk = fake_disk_new();
	a->tables = mem_tables_new();
	return a;
}

struct alone *alone_new(const char *members)
{
	struct alone *a = new_alone(members);

	if (open_replica(a) != ERR_OK)
		abort();
	return a;
}

struct alone *alone_new_on(const char *members, uint64_t free)
{
	struct alone *a = new_alone(members);

	fake_disk_set_free(a->disk, free);
	if (ballast_open(&a->ballast, fake_disk_of(a->disk), replica_ballast_bytes(WAL_SEGMENT_LEAST)) !=
		ERR_OK ||
	    open_replica(a) != ERR_OK)
		abort();
	return a;
}

enum err alone_opens(const char *members)
{
	struct alone *a = new_alone(members);
	enum err e = open_replica(a);

	alone_free(a);
	return e;
}

enum err alone_restart(struct alone *a)
{
	replica_close(a->replica);
	a->replica = NULL;
	fake_disk_after_kill(a->disk);
	mem_tables_crash(a->tables, 0);
	return open_replica(a);
}

void alone_kill(struct alone *a)
{
	if (alone_restart(a) != ERR_OK)
		abort();
}

void alone_free(struct alone *a)
{
	if (a->replica != NULL)
		settle(a);
	replica_close(a->replica);
	alone_clear(a);
	alone_forget_answers(a);
	mem_tables_free(a->tables);
	buf_free(&a->stream);
	ballast_close(a->ballast);
	fake_disk_free(a->disk);
	free(a);
}

void alone_pass(struct alone *a, int64_t ms)
{
	a->now = instant_add(a->now, span_ms(ms));
	if (instant_passed(replica_deadline(a->replica), a->now))
		replica_tick(a->replica, a->now);
	settle(a);
}

void alone_log_turn(struct alone *a)
{
	work_off(&a->lanes[LANE_LOG], 1);
	settle(a);
}

void alone_state_turn(struct alone *a)
{
	work_off(&a->lanes[LANE_STATE], 1);
	settle(a);
}

void alone_state_then_kill(struct alone *a)
{
	work_off(&a->lanes[LANE_STATE], SIZE_MAX);
	alone_kill(a);
}

void alone_upkeep_then_state(struct alone *a)
{
	work_off(&a->lanes[LANE_UPKEEP], SIZE_MAX);
	work_off(&a->lanes[LANE_STATE], SIZE_MAX);
	settle(a);
}

void alone_hello_as(
    struct alone *a, uint64_t incarnation, const char *id, const char *peer, uint64_t cluster, bool dialed)
{
	struct bytes address = bytes_text(peer);
	struct peer_hello hello = {
		.version_least = PEER_VERSION_LEAST,
		.version_most = PEER_VERSION_MOST,
		.cluster = cluster,
		.incarnation = incarnation,
		.start = 1,
		.id = bytes_text(id),
		.peer = address,
		.http = bytes_text("http://there"),
		.level = (uint16_t)a->level_said,
	};

	replica_on_hello(a->replica, &hello, dialed ? &address : NULL, a->now);
	settle(a);
}

void alone_hello(struct alone *a, uint64_t incarnation, uint64_t cluster, bool dialed)
{
	bool second = incarnation == 2;

	alone_hello_as(a, incarnation, second ? "n2" : "n3", second ? "n2:1" : "n3:1", cluster, dialed);
}

void alone_ask(struct alone *a, uint64_t id, enum request_kind kind)
{
	struct ipc_request q = { .id = id, .kind = (uint8_t)kind, .time_ms = 5000 };

	replica_request(a->replica, 1, &q, a->now);
	settle(a);
}

static const char *status_text(struct alone *a, bool warnings)
{
	static char text[1024];
	const struct alone_answer *answer;
	struct status_node s;
	struct bytes wanted;
	struct reader r;
	bool whole;

	alone_ask(a, ALONE_STATUS_ID, REQUEST_STATUS);
	answer = &a->answers[--a->answer_count];
	assert(answer->id == ALONE_STATUS_ID);
	r = reader_of(blob_bytes(answer->result));
	whole = status_node_get(&r, &s);
	assert(whole);
	wanted = warnings ? s.warnings : s.foreign;
	snprintf(text, sizeof(text), "%.*s", (int)wanted.size, (const char *)wanted.data);
	blob_unref(answer->result);
	return text;
}

const char *alone_problem(struct alone *a)
{
	return status_text(a, false);
}

const char *alone_warnings(struct alone *a)
{
	return status_text(a, true);
}

struct alone *alone_follower_of(const char *members, uint64_t leader)
{
	struct alone *a = alone_new(members);
	struct raft_message m = { .type = RAFT_HEARTBEAT, .from = leader, .term = 2 };

	alone_form(a);
	alone_raft(a, &m);
	alone_clear(a);
	return a;
}

void alone_form(struct alone *a)
{
	for (uint64_t incarnation = 2; incarnation <= 3; incarnation++)
		alone_hello(a, incarnation, 0, true);
	alone_pass(a, 0);
	alone_pass(a, 0);
	assert(replica_raft(a->replica) != NULL);
}

struct raft_view alone_view(const struct alone *a)
{
	return raft_view(replica_raft(a->replica));
}

void alone_raft(struct alone *a, struct raft_message *m)
{
	struct buf frame = { 0 };

	m->to = a->self;
	wire_put_u8(&frame, PEER_RAFT);
	raft_message_put(&frame, m);
	replica_on_frame(a->replica, m->from, buf_bytes(&frame), a->now);
	buf_free(&frame);
	settle(a);
}

void alone_elect(struct alone *a)
{
	struct raft_message grant = { .type = RAFT_PREVOTE_ANSWER, .from = 2 };

	alone_pass(a, 2 * ELECTION_MS);
	grant.term = alone_view(a).term + 1;
	grant.prevote_answer.granted = 1;
	alone_raft(a, &grant);
	grant.type = RAFT_VOTE_ANSWER;
	grant.vote_answer.granted = 1;
	alone_raft(a, &grant);
	assert(alone_view(a).role == RAFT_LEADER);
}

void alone_accept(struct alone *a, uint64_t from)
{
	struct raft_view v = alone_view(a);
	struct raft_message m = { .type = RAFT_APPEND_ANSWER, .from = from, .term = v.term };

	m.append_answer.accepted = 1;
	m.append_answer.index = v.last.index;
	alone_raft(a, &m);
}

void alone_append_one(struct alone *a, uint64_t leader, enum entry_type type, struct blob *data)
{
	struct raft_view v = alone_view(a);
	struct raft_message m = { .type = RAFT_APPEND, .from = leader, .term = v.term };
	struct entry e = { { v.term, v.last.index + 1 }, 0, type, data };

	m.append.prev_index = v.last.index;
	m.append.prev_term = v.last.term;
	m.append.commit = e.pos.index;
	entries_add(&m.append.entries, &e);
	alone_raft(a, &m);
	raft_message_free(&m);
	blob_unref(data);
}

void alone_forward_as(
    struct alone *a, uint64_t from, uint64_t start, const struct peer_forward *as, struct bytes txn)
{
	struct kv_command c = {
		.origin_incarnation = from, .origin_start = start, .origin_number = as->number, .txn = txn
	};
	struct buf command = { 0 }, frame = { 0 };
	struct peer_forward m = *as;

	kv_command_put(&command, &c);
	m.command = buf_bytes(&command);
	wire_put_u8(&frame, PEER_FORWARD);
	peer_forward_put(&frame, &m);
	replica_on_frame(a->replica, from, buf_bytes(&frame), a->now);
	alone_pass(a, 0);
	buf_free(&command);
	buf_free(&frame);
}

void alone_forward(struct alone *a, uint64_t from, uint64_t start, uint64_t term, uint64_t number)
{
	alone_forward_as(
	    a, from, start, &(struct peer_forward){ .term = term, .number = number }, (struct bytes){ 0 });
}

void alone_append(struct alone *a, uint64_t leader, uint64_t term, struct raft_pos prev, size_t count)
{
	struct raft_message m = { .type = RAFT_APPEND, .from = leader, .term = term };

	m.append.prev_term = prev.term;
	m.append.prev_index = prev.index;
	m.append.commit = prev.index + count;
	for (size_t i = 1; i <= count; i++) {
		struct entry e = { { term, prev.index + i }, 0, ENTRY_NOOP, blob_new((struct bytes){ 0 }) };

		entries_add(&m.append.entries, &e);
		blob_unref(e.data);
	}
	alone_raft(a, &m);
	raft_message_free(&m);
}

static void request(struct alone *a, struct ipc_request *q, struct buf *steps)
{
	struct kv_txn txn = { .steps = buf_bytes(steps) };
	struct buf operation = { 0 };

	kv_txn_put(&operation, &txn);
	q->time_ms = 5000;
	q->operation = buf_bytes(&operation);
	replica_request(a->replica, a->client != 0 ? a->client : ALONE_CLIENT, q, a->now);
	settle(a);
	buf_free(&operation);
	buf_free(steps);
}

static void write_key(struct alone *a, struct ipc_request *q, const char *key)
{
	struct buf steps = { 0 };

	kv_put_step(&steps, bytes_text(key), bytes_text("value"), (struct bytes){ NULL, 0 });
	request(a, q, &steps);
}

void alone_write(struct alone *a, uint64_t id, const char *key)
{
	struct ipc_request q = { .id = id, .kind = REQUEST_WRITE };

	write_key(a, &q, key);
}

void alone_write_bytes(struct alone *a, uint64_t id, const char *key, size_t size)
{
	struct ipc_request q = { .id = id, .kind = REQUEST_WRITE };
	struct blob *value = blob_alloc(size);
	struct buf steps = { 0 };

	memset(value->data, 'x', size);
	kv_put_step(&steps, bytes_text(key), blob_bytes(value), (struct bytes){ NULL, 0 });
	blob_unref(value);
	request(a, &q, &steps);
}

void alone_write_to_leader(struct alone *a, uint64_t id, const char *key)
{
	struct ipc_request q = { .id = id, .kind = REQUEST_WRITE, .leader_only = 1 };

	write_key(a, &q, key);
}

void alone_read(struct alone *a, uint64_t id, enum read_level level, const char *key)
{
	struct ipc_request q = { .id = id, .kind = REQUEST_READ, .level = (uint8_t)level };
	struct buf steps = { 0 };

	kv_get_step(&steps, bytes_text(key));
	request(a, &q, &steps);
}

void alone_list(struct alone *a, uint64_t id, enum read_level level)
{
	struct ipc_request q = { .id = id, .kind = REQUEST_READ, .level = (uint8_t)level };
	struct buf steps = { 0 };

	kv_range_step(&steps, bytes_text(""), bytes_text(""), 0, false);
	request(a, &q, &steps);
}

const struct alone_answer *alone_answered(const struct alone *a, uint64_t id)
{
	for (size_t i = 0; i < a->answer_count; i++)
		if (a->answers[i].id == id)
			return &a->answers[i];
	return NULL;
}

size_t alone_sent(const struct alone *a, enum peer_type type)
{
	size_t count = 0;

	for (size_t i = 0; i < a->frame_count; i++)
		count += a->frames[i].bytes->data[0] == (uint8_t)type;
	return count;
}

size_t alone_sent_raft(const struct alone *a, enum raft_type type, struct raft_message *last)
{
	size_t count = 0;

	for (size_t i = 0; i < a->frame_count; i++) {
		struct bytes frame = blob_bytes(a->frames[i].bytes);
		struct raft_message m = { 0 };

		if (frame.data[0] == PEER_RAFT &&
		    raft_message_get(bytes_of(frame.data + 1, frame.size - 1), &m) && m.type == type) {
			*last = m;
			count++;
		}
		raft_message_free(&m);
	}
	return count;
}

uint64_t alone_asked(const struct alone *a)
{
	uint64_t number = 0;

	for (size_t i = 0; i < a->frame_count; i++) {
		struct bytes frame = blob_bytes(a->frames[i].bytes);
		struct raft_message m = { 0 };

		if (frame.data[0] == PEER_RAFT &&
		    raft_message_get(bytes_of(frame.data + 1, frame.size - 1), &m) && m.type == RAFT_READ)
			number = m.read.number;
		raft_message_free(&m);
	}
	return number;
}

void alone_forget_answers(struct alone *a)
{
	for (size_t i = 0; i < a->answer_count; i++)
		blob_unref(a->answers[i].result);
	a->answer_count = 0;
}

void alone_clear(struct alone *a)
{
	for (size_t i = 0; i < a->frame_count; i++)
		blob_unref(a->frames[i].bytes);
	a->frame_count = 0;
}
