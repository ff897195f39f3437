#ifndef DAEMON_RELOAD_H
#define DAEMON_RELOAD_H

#include "common/conf.h"

/*
 * From one configuration to the next, all or nothing. Pure.
 */
struct reload {
	unsigned changes; /* options that differ */
	bool replace_http, replace_consensus; /* the workers that cannot take it over while they live */
};

/* What it takes to go from `from` to `to`; *told is a list of the changes for the log. ERR_BAD_REQUEST, and *told says
 * where and why, when one of them is not possible while the node runs. */
enum err reload_plan(const struct conf *from, const struct conf *to, struct reload *plan, struct buf *told);

#endif
