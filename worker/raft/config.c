#include "worker/raft/config.h"

#define WIRE_TABLE "worker/raft/config.def"
#define WIRE_PREFIX raft
#include "common/wire_define.h"

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
	struct reader r = reader_of(blob_bytes(data));
	struct raft_member m;

	*c = (struct raft_config){ .index = index, .data = blob_ref(data) };
	while (r.left > 0 && raft_member_get(&r, &m))
		if (!add_member(c, &m))
			r.bad = true;
	if (!r.bad && c->quorum.incoming.count > 0)
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
	struct reader r = reader_of(blob_bytes(c->data));

	while (r.left > 0 && raft_member_get(&r, out))
		if (out->incarnation == id)
			return true;
	return false;
}
