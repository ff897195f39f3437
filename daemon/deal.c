#include <assert.h>

#include "daemon/deal.h"

uint64_t deal_share(unsigned sockets, unsigned workers, unsigned n)
{
	uint64_t share = 0;

	assert(sockets > 0 && sockets <= 64 && n < workers);
	if (workers >= sockets)
		return UINT64_C(1) << n % sockets;
	for (unsigned s = n; s < sockets; s += workers)
		share |= UINT64_C(1) << s;
	return share;
}
