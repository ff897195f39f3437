#include <inttypes.h>

#include "tests/raft/cluster.h"

/* What happens, line by line. */

void tell_entries(struct buf *out, const struct entry *e, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		buf_printf(out, "%s%" PRIu64 ".%" PRIu64, i ? " " : "", e[i].pos.term, e[i].pos.index);
		if (e[i].type == ENTRY_NOOP)
			buf_append_text(out, " noop");
		else if (e[i].type == ENTRY_CONFIG)
			buf_append_text(out, " config");
		else if (e[i].data->size > 8)
			buf_printf(out, " <%zu bytes>", e[i].data->size);
		else
			buf_printf(out, " %.*s", (int)e[i].data->size, (const char *)e[i].data->data);
	}
}

static void tell_room(struct buf *out, uint8_t room)
{
	static const char *const texts[] = { "", " full", " spent" };

	buf_append_text(out, texts[room]);
}

static void tell_fields(struct buf *out, const struct raft_message *m)
{
	switch (m->type) {
	case RAFT_PREVOTE:
		buf_printf(out, " log=%" PRIu64 ".%" PRIu64, m->prevote.last_term, m->prevote.last_index);
		break;
	case RAFT_VOTE:
		buf_printf(out, " log=%" PRIu64 ".%" PRIu64 "%s", m->vote.last_term, m->vote.last_index,
		    m->vote.transfer ? " transfer" : "");
		break;
	case RAFT_PREVOTE_ANSWER:
		buf_append_text(out, m->prevote_answer.granted ? " granted" : " refused");
		break;
	case RAFT_VOTE_ANSWER:
		buf_append_text(out, m->vote_answer.granted ? " granted" : " refused");
		break;
	case RAFT_APPEND:
		buf_printf(out, " prev=%" PRIu64 ".%" PRIu64 " commit=%" PRIu64 " [", m->append.prev_term,
		    m->append.prev_index, m->append.commit);
		tell_entries(out, m->append.entries.data, m->append.entries.count);
		buf_append_text(out, "]");
		break;
	case RAFT_APPEND_ANSWER:
		buf_printf(out, m->append_answer.accepted ? " accepted=%" PRIu64 : " refused=%" PRIu64,
		    m->append_answer.index);
		if (!m->append_answer.accepted)
			buf_printf(out, " hint=%" PRIu64 ".%" PRIu64, m->append_answer.hint_term,
			    m->append_answer.hint_index);
		tell_room(out, m->append_answer.room);
		break;
	case RAFT_HEARTBEAT:
		buf_printf(
		    out, " commit=%" PRIu64 " round=%" PRIu64, m->heartbeat.commit, m->heartbeat.round);
		break;
	case RAFT_HEARTBEAT_ANSWER:
		buf_printf(out, " round=%" PRIu64, m->heartbeat_answer.round);
		tell_room(out, m->heartbeat_answer.room);
		buf_append_text(out, m->heartbeat_answer.frozen ? " frozen" : "");
		break;
	case RAFT_TIMEOUT_NOW:
		break;
	case RAFT_READ:
		buf_printf(out, " start=%" PRIu64 " number=%" PRIu64, m->read.start, m->read.number);
		break;
	case RAFT_READ_ANSWER:
		buf_printf(out, " start=%" PRIu64 " number=%" PRIu64 " index=%" PRIu64, m->read_answer.start,
		    m->read_answer.number, m->read_answer.index);
		break;
	}
}

void tell_message(struct cluster *c, const char *what, const struct raft_message *m)
{
	buf_printf(c->out, "%s%" PRIu64 ">%" PRIu64 " %s term=%" PRIu64, what, m->from, m->to,
	    raft_type_name(m->type), m->term);
	tell_fields(c->out, m);
	buf_append_text(c->out, "\n");
}

void node_show(struct cluster *c, const struct node *n)
{
	struct raft_view v;

	if (n->raft == NULL) {
		buf_printf(c->out, "%" PRIu64 ": down\n", n->id);
		return;
	}
	v = raft_view(n->raft);
	buf_printf(c->out,
	    "%" PRIu64 ": %s term=%" PRIu64 " vote=%" PRIu64 " leader=%" PRIu64 " last=%" PRIu64 ".%" PRIu64
	    " commit=%" PRIu64 " durable=%" PRIu64 " applied=%" PRIu64,
	    n->id, raft_role_name(v.role), v.term, v.vote, v.leader, v.last.term, v.last.index, v.commit,
	    v.durable, n->state.pos.index);
	if (v.first > 1)
		buf_printf(c->out, " first=%" PRIu64, v.first);
	buf_append_text(c->out, raft_is_frozen(n->raft) ? " frozen\n" : "\n");
}
