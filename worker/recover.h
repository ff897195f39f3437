#ifndef WORKER_RECOVER_H
#define WORKER_RECOVER_H

#include "worker/kv/kv.h"
#include "worker/log/wal.h"
#include "worker/offline.h"
#include "worker/raft/config.h"
#include "worker/replica/refound.h"

/* A recovery under way: private to recover.c, which does it, and recover_talk.c, by which it speaks to the operator. */
struct recovery {
	struct offline *o;
	struct identity identity; /* the old one */
	struct refound plan;
	bool again; /* an earlier one broke off: the plan is that one's */
	struct table *table;
	struct kv *kv;
	struct wal *wal; /* NULL: it is set aside already */
	struct wal_found found;
	struct raft_config members; /* of the old cluster */
};

/* What this node is and has. */
void recovery_show(const struct recovery *r);
/* Dials the other members, and says what came of it: EX_OK when none of them lives. */
int recovery_check_others(const struct recovery *r);
/* What will be. */
void recovery_explain(const struct recovery *r);
/* EX_OK when the operator says yes, or `yes` beforehand. */
int recovery_ask(bool yes);
/* What has become of it, and what the operator does next. */
void recovery_show_end(const struct recovery *r);
/* Logs why it goes no further; returns the status. */
int recovery_refuse(int status, const char *why);

#endif
