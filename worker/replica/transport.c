#include "worker/replica/transport.h"
#include "worker/raft/message.h"

#define WIRE_TABLE "worker/replica/transport.def"
#define WIRE_PREFIX peer
#include "common/wire_define.h"

void transport_set_hello(struct transport *t, const struct peer_hello *hello)
{
	t->ops->set_hello(t, hello);
}

void transport_set_peers(struct transport *t, const struct bytes *addresses, size_t count)
{
	t->ops->set_peers(t, addresses, count);
}

enum peer_way peer_way(struct bytes frame)
{
	switch ((enum peer_type)frame.data[0]) {
	case PEER_RAFT:
		return frame.size > 1 && frame.data[1] == RAFT_APPEND ? WAY_ENTRIES : WAY_URGENT;
	case PEER_FORWARD:
	case PEER_ASK:
	case PEER_TELL:
	case PEER_IMAGE:
		return WAY_BULK;
	case PEER_HELLO:
	case PEER_REFUSE:
	case PEER_FORM_ASK:
	case PEER_FORM:
	case PEER_HAND_OVER:
	case PEER_ADOPT:
	case PEER_CHANGE:
	case PEER_CHANGED:
	case PEER_GONE:
	case PEER_CLAIM:
	case PEER_IMAGE_ACK:
	case PEER_HASH:
	case PEER_AGREED:
	case PEER_PIECE:
		break;
	}
	return WAY_URGENT;
}

size_t transport_unsent(struct transport *t, uint64_t incarnation)
{
	return t->ops->unsent == NULL ? 0 : t->ops->unsent(t, incarnation);
}

bool transport_send(struct transport *t, uint64_t incarnation, struct bytes frame)
{
	return t->ops->send(t, incarnation, frame);
}
