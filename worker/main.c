#include "worker/offline.h"
#include "worker/worker.h"

int main(int argc, char **argv)
{
	static const struct worker_role *const roles[] = { &consensus_role, &http_role, NULL };

	(void)argc;
	if (offline_is_wanted())
		offline_run(argv);
	worker_run(roles);
}
