#include "worker/replica/transport.h"

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

bool transport_send(struct transport *t, uint64_t incarnation, struct bytes frame)
{
	return t->ops->send(t, incarnation, frame);
}
