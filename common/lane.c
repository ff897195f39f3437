#include <stddef.h>

#include "common/lane.h"

void lane_submit(struct lane *l, struct job *job)
{
	l->ops->submit(l, job);
}

void lane_free(struct lane *l)
{
	if (l != NULL)
		l->ops->free(l);
}
