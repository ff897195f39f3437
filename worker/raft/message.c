#include "worker/raft/message.h"

#define WIRE_TABLE "worker/raft/message.def"
#define WIRE_PREFIX raft
#include "common/wire_define.h"

const char *raft_type_name(enum raft_type type)
{
	switch (type) {
#define MSG(NAME, name, number, fields)                                                                      \
	case RAFT_##NAME:                                                                                    \
		return #NAME;
#include "worker/raft/message.def"
#undef MSG
	}
	return "?";
}

void raft_message_put(struct buf *b, const struct raft_message *m)
{
	wire_put_u8(b, (uint8_t)m->type);
	wire_put_u64(b, m->from);
	wire_put_u64(b, m->to);
	wire_put_u64(b, m->term);
	switch (m->type) {
#define MSG(NAME, name, number, fields)                                                                      \
	case RAFT_##NAME:                                                                                    \
		raft_##name##_put(b, &m->name);                                                              \
		break;
#include "worker/raft/message.def"
#undef MSG
	}
}

bool raft_message_get(struct bytes from, struct raft_message *m)
{
	struct reader r = reader_of(from);

	*m = (struct raft_message){ 0 };
	m->type = (enum raft_type)wire_get_u8(&r);
	m->from = wire_get_u64(&r);
	m->to = wire_get_u64(&r);
	m->term = wire_get_u64(&r);
	switch (m->type) {
#define MSG(NAME, name, number, fields)                                                                      \
	case RAFT_##NAME:                                                                                    \
		raft_##name##_get(&r, &m->name);                                                             \
		return reader_done(&r);
#include "worker/raft/message.def"
#undef MSG
	}
	return false;
}

void raft_message_free(struct raft_message *m)
{
	if (m->type == RAFT_APPEND)
		entries_free(&m->append.entries);
}
