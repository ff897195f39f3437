#include "worker/worker.h"

int main(void)
{
	static const struct worker_role *const roles[] = { &consensus_role, &http_role, NULL };

	worker_run(roles);
}
