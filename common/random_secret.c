#include <stdlib.h>
#include <sys/random.h>

#include "common/random.h"

/* A file of its own, so that a program that must be repeatable can bring another source of secrets. */
uint64_t random_secret(void)
{
	uint64_t v;

	if (getrandom(&v, sizeof(v), 0) != sizeof(v))
		abort();
	return v;
}
