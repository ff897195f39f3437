#include <assert.h>

#include "tests/common/replica_alone.h"
#include "tests/fuzz/common/fuzz.h"
#include "worker/raft/config.h"

/*
 * A replica on a disk in memory, one of three, with an input that plays the other two, the clients and the clock: hellos,
 * frames as they come, raft messages, requests, kills. The core checks its invariants at every step; each request is
 * answered once, within its time. A kill finds on the disk what it may find.
 *
 * The others may say anything but what breaks the promises of their own log: a node that hears two leaders of one term, or
 * that something committed was never so, ends by design, so such messages are not delivered (is_a_lie).
 */
#define LIST "n1=n1:1, n2=n2:1, n3=n3:1"
#define OPS_MOST 60
#define KILLS_MOST 2
#define REQUEST_MS 5000
#define TERM_JUMP_MOST 100

enum op {
	OP_FRAME,
	OP_RAFT,
	OP_PASS,
	OP_REQUEST,
	OP_ELECT, /* the answers that make it lead */
	OP_ACCEPT,
	OP_HELLO,
	OP_LOST,
	OP_UNREACHABLE,
	OP_CANCEL,
	OP_KILL,
	OP_COUNT,
};

struct play {
	struct alone *alone;
	struct bytes input;
	uint64_t asked; /* ids 1 .. asked were */
	uint64_t forgotten; /* and those up to here by a process that was killed */
	uint64_t cancelled[OPS_MOST];
	size_t cancelled_count;
	uint64_t claimed_term, claimed_by; /* the highest term in which another said that it leads */
	unsigned kills;
};

static uint64_t someone(struct play *p)
{
	return 2 + fuzz_byte(&p->input) % 2;
}

/* --- what no node says --- */

static bool contradicts(const struct raft *r, struct raft_pos pos)
{
	return pos.index <= raft_view(r).commit && raft_term_at(r, pos.index) != 0 &&
	       raft_term_at(r, pos.index) != pos.term;
}

static bool is_no_entry(const struct raft *r, const struct entry *e)
{
	struct raft_config c;
	bool known;

	if (contradicts(r, e->pos) || e->type < ENTRY_NOOP || e->type > ENTRY_WRITE)
		return true;
	if (e->type != ENTRY_CONFIG)
		return false;
	if (!raft_config_get(&c, e->pos.index, e->data))
		return true;
	known = c.level <= FEATURE_LEVEL_MOST; /* else the node stops, as it should */
	raft_config_free(&c);
	return !known;
}

static bool is_false_append(const struct raft *r, const struct raft_append *a)
{
	struct raft_pos prev = { a->prev_term, a->prev_index };

	if (contradicts(r, prev))
		return true;
	for (size_t i = 0; i < a->entries.count; i++)
		if (is_no_entry(r, &a->entries.data[i]))
			return true;
	return false;
}

static bool is_a_lie(struct play *p, const struct raft_message *m)
{
	const struct raft *r = replica_raft(p->alone->replica);
	struct raft_view v;

	if (r == NULL)
		return m->term > TERM_JUMP_MOST;
	v = raft_view(r);
	if (m->term > v.term + TERM_JUMP_MOST)
		return true;
	if (m->type != RAFT_APPEND && m->type != RAFT_HEARTBEAT)
		return false;
	if (m->term == v.term && v.role == RAFT_LEADER)
		return true;
	if (m->term < p->claimed_term || (m->term == p->claimed_term && m->from != p->claimed_by))
		return true;
	if (m->type == RAFT_APPEND && is_false_append(r, &m->append))
		return true;
	p->claimed_term = m->term;
	p->claimed_by = m->from;
	return false;
}

/* --- what happens --- */

static void take_raft(struct play *p, struct bytes from)
{
	struct raft_message m;

	if (raft_message_get(from, &m)) {
		m.from = someone(p);
		if (!is_a_lie(p, &m))
			alone_raft(p->alone, &m);
	}
	raft_message_free(&m);
}

static void take_frame(struct play *p, struct bytes frame)
{
	struct alone *a = p->alone;

	if (frame.size > 0 && frame.data[0] == PEER_RAFT) {
		take_raft(p, bytes_of(frame.data + 1, frame.size - 1));
		return;
	}
	replica_on_frame(a->replica, someone(p), frame, a->now);
	alone_pass(a, 0);
}

static void ask(struct play *p)
{
	struct alone *a = p->alone;
	struct ipc_request q = { .id = ++p->asked, .time_ms = REQUEST_MS };
	uint8_t how = fuzz_byte(&p->input);

	q.kind = how % 4;
	q.level = (how >> 2) % 3;
	if ((how & 0x10) != 0)
		q.min_revision = fuzz_number(&p->input);
	if ((how & 0x20) != 0)
		q.token = fuzz_next(&p->input);
	if (q.token.size > KV_TOKEN_BYTES_MAX)
		q.token.size = KV_TOKEN_BYTES_MAX;
	q.operation = fuzz_next(&p->input);
	replica_request(a->replica, 1, &q, a->now);
	alone_pass(a, 0);
}

static void greet(struct play *p)
{
	struct alone *a = p->alone;
	struct bytes from = fuzz_next(&p->input), address;
	struct reader r = reader_of(from);
	struct peer_hello hello;

	if (!peer_hello_get(&r, &hello) || hello.incarnation == 0 || hello.incarnation == a->self)
		return;
	address = hello.peer;
	replica_on_hello(a->replica, &hello, (fuzz_byte(&p->input) & 1) != 0 ? &address : NULL, a->now);
	alone_pass(a, 0);
}

static void elect(struct play *p)
{
	const struct raft *r = replica_raft(p->alone->replica);

	if (r == NULL || raft_view(r).role == RAFT_LEADER || !raft_config_has(raft_config(r), 2))
		return;
	for (int i = 0; i < 8 && raft_view(r).role != RAFT_LEADER; i++) {
		struct raft_message grant = { .type = RAFT_PREVOTE_ANSWER, .from = 2 };

		alone_pass(p->alone, 300);
		grant.term = raft_view(r).term + (raft_view(r).role == RAFT_PRE_CANDIDATE);
		if (raft_view(r).role == RAFT_CANDIDATE)
			grant.type = RAFT_VOTE_ANSWER;
		grant.prevote_answer.granted = grant.vote_answer.granted = 1;
		alone_raft(p->alone, &grant);
	}
}

static void cancel(struct play *p)
{
	uint64_t id = p->asked;

	if (id == p->forgotten)
		return;
	replica_cancel(p->alone->replica, 1, id);
	p->cancelled[p->cancelled_count++] = id;
	alone_pass(p->alone, 0);
}

static void kill_it(struct play *p)
{
	if (p->kills++ >= KILLS_MOST)
		return;
	alone_kill(p->alone);
	p->forgotten = p->asked;
}

static void happen(struct play *p)
{
	struct alone *a = p->alone;

	switch ((enum op)(fuzz_byte(&p->input) % OP_COUNT)) {
	case OP_FRAME:
		take_frame(p, fuzz_next(&p->input));
		break;
	case OP_RAFT:
		take_raft(p, fuzz_next(&p->input));
		break;
	case OP_PASS:
		alone_pass(a, (int64_t)fuzz_byte(&p->input) * 4);
		break;
	case OP_REQUEST:
		ask(p);
		break;
	case OP_ELECT:
		elect(p);
		break;
	case OP_ACCEPT:
		if (replica_raft(a->replica) != NULL)
			alone_accept(a, someone(p));
		break;
	case OP_HELLO:
		greet(p);
		break;
	case OP_LOST:
		replica_on_lost(a->replica, someone(p), a->now);
		alone_pass(a, 0);
		break;
	case OP_UNREACHABLE:
		replica_on_unreachable(a->replica, someone(p), a->now);
		alone_pass(a, 0);
		break;
	case OP_CANCEL:
		cancel(p);
		break;
	case OP_KILL:
		kill_it(p);
		break;
	case OP_COUNT:
		break;
	}
	alone_clear(a);
}

static bool is_cancelled(const struct play *p, uint64_t id)
{
	for (size_t i = 0; i < p->cancelled_count; i++)
		if (p->cancelled[i] == id)
			return true;
	return false;
}

static void check_answers(struct play *p)
{
	for (int ms = 0; ms <= REQUEST_MS + 500; ms += 250) {
		alone_pass(p->alone, 250);
		alone_clear(p->alone);
	}
	for (uint64_t id = p->forgotten + 1; id <= p->asked; id++)
		assert(is_cancelled(p, id) || alone_answered(p->alone, id) != NULL);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct play p = { .input = bytes_of(data, size) };

	p.alone = alone_new(LIST);
	p.alone->level_most = p.alone->level_said = FEATURE_LEVEL_MOST;
	alone_kill(p.alone);
	if ((fuzz_byte(&p.input) & 1) == 0)
		alone_form(p.alone);
	alone_clear(p.alone);
	for (int i = 0; i < OPS_MOST && p.input.size > 0; i++)
		happen(&p);
	check_answers(&p);
	alone_free(p.alone);
	return 0;
}
