#include "worker/raft/config.h"

#define WIRE_TABLE "worker/raft/config.def"
#define WIRE_PREFIX config
#include "common/wire_declare.h"
#define WIRE_TABLE "worker/raft/config.def"
#define WIRE_PREFIX config
#include "common/wire_define.h"

#define RAFT_CONFIG_FORMAT 2

void raft_member_put(struct buf *b, const struct raft_member *m)
{
	config_plain_put(b, &(struct config_plain){ m->incarnation, m->roles, m->id, m->peer, m->http });
}

void raft_config_begin(struct buf *b, unsigned level)
{
	if (level > 0)
		config_head_put(b, &(struct config_head){ 0, RAFT_CONFIG_FORMAT, (uint16_t)level });
}

void raft_config_put(struct buf *b, unsigned level, const struct raft_member *m)
{
	const struct config_full full = { m->incarnation, m->roles, m->id, m->peer, m->http, m->start,
		(uint16_t)m->level };
	size_t at = b->size;

	if (level == 0) {
		raft_member_put(b, m);
		return;
	}
	wire_put_u32(b, 0);
	config_full_put(b, &full);
	wire_store_u32(b->data + at, (uint32_t)(b->size - at - 4));
}

struct raft_members raft_members_of(struct bytes data)
{
	struct raft_members m = { .r = reader_of(data) };
	struct reader peek = m.r;
	struct config_head head;

	if (wire_get_u64(&peek) != 0 || peek.bad)
		return m;
	if (!config_head_get(&m.r, &head))
		return m;
	m.level = head.level;
	m.later = head.format != RAFT_CONFIG_FORMAT;
	m.r.bad = m.later || head.level == 0;
	return m;
}

static bool next_plain(struct reader *r, struct raft_member *out)
{
	struct config_plain m;

	if (!config_plain_get(r, &m))
		return false;
	*out = (struct raft_member){ m.incarnation, m.roles, m.id, m.peer, m.http, 0, 0 };
	return true;
}

/* What a later version has appended to a member is passed over. */
static bool next_full(struct reader *r, struct raft_member *out)
{
	struct reader one = reader_of(wire_get_bytes(r));
	struct config_full m;

	if (r->bad || !config_full_get(&one, &m)) {
		r->bad = true;
		return false;
	}
	*out = (struct raft_member){ m.incarnation, m.roles, m.id, m.peer, m.http, m.start, m.level };
	return true;
}

bool raft_members_next(struct raft_members *of, struct raft_member *out)
{
	if (of->r.bad || of->r.left == 0)
		return false;
	return of->level == 0 ? next_plain(&of->r, out) : next_full(&of->r, out);
}

static bool roles_are_known(unsigned roles)
{
	unsigned voting = roles & (RAFT_VOTER | RAFT_OUTGOING | RAFT_LEARNER);

	if (roles == RAFT_GONE)
		return true;
	if (voting == 0 || (roles & ~(voting | RAFT_WANTED)) != 0)
		return false;
	return (voting & RAFT_LEARNER) != 0 ? (voting & RAFT_VOTER) == 0 : (roles & RAFT_WANTED) == 0;
}

static bool add_member(struct raft_config *c, const struct raft_member *m)
{
	struct quorum_half *in = &c->quorum.incoming, *out = &c->quorum.outgoing;

	if (m->incarnation == 0 || !roles_are_known(m->roles) || raft_config_has(c, m->incarnation) ||
	    raft_config_is_gone(c, m->incarnation))
		return false;
	if (m->roles == RAFT_GONE && c->gone_count < RAFT_GONE_MAX) {
		c->gone[c->gone_count++] = m->incarnation;
		return true;
	}
	if (m->roles == RAFT_GONE || c->count == RAFT_MEMBERS_MAX)
		return false;
	c->members[c->count++] = m->incarnation;
	if (m->roles & RAFT_VOTER)
		in->ids[in->count++] = m->incarnation;
	if (m->roles & RAFT_OUTGOING)
		out->ids[out->count++] = m->incarnation;
	return true;
}

bool raft_config_get(struct raft_config *c, uint64_t index, struct blob *data)
{
	struct raft_members all = raft_members_of(blob_bytes(data));
	struct raft_member m;

	*c = (struct raft_config){ .index = index, .level = all.level, .data = blob_ref(data) };
	while (raft_members_next(&all, &m))
		if (!add_member(c, &m))
			all.r.bad = true;
	if (!all.r.bad && c->quorum.incoming.count > 0)
		return true;
	raft_config_free(c);
	return false;
}

void raft_config_free(struct raft_config *c)
{
	blob_unref(c->data);
	*c = (struct raft_config){ 0 };
}

bool raft_config_has(const struct raft_config *c, uint64_t id)
{
	for (size_t i = 0; i < c->count; i++)
		if (c->members[i] == id)
			return true;
	return false;
}

bool raft_config_is_gone(const struct raft_config *c, uint64_t id)
{
	for (size_t i = 0; i < c->gone_count; i++)
		if (c->gone[i] == id)
			return true;
	return false;
}

bool raft_config_find(const struct raft_config *c, uint64_t id, struct raft_member *out)
{
	struct raft_members all = raft_members_of(blob_bytes(c->data));

	while (raft_members_next(&all, out))
		if (out->incarnation == id)
			return true;
	return false;
}
