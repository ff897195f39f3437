#ifndef TESTS_SIM_LAWS_H
#define TESTS_SIM_LAWS_H

#include <uthash.h>

#include "worker/kv/kv.h"
#include "worker/raft/raft.h"

/*
 * What must hold in every universe at every moment. Seen from outside: from the frames that leave a node, from what
 * its table commits, and from what its replica shows of itself after each turn.
 *
 *	one leader a term, one vote a term and voter, across restarts	(frames, views)
 *	an entry's position tells its content and its predecessor	(frames)
 *	what is committed stays, the same everywhere, and every later
 *	leader has it							(views)
 *	members change one step at a time: learners, or into and out of a
 *	joint configuration; who leads is a voter		(views)
 *	states are equal at equal indexes, and only grow in one life	(tables)
 *	the feature level rises at one index, never falls, and is one that
 *	all members have announced and the node knows	(tables, views)
 */
struct universe;
struct node;

struct law_vote {
	struct {
		uint64_t voter, term;
	} key;
	uint64_t candidate;
	UT_hash_handle hh;
};

struct law_entry {
	struct raft_pos key;
	uint64_t content, term_before;
	bool before_known;
	UT_hash_handle hh;
};

/* What is known of one index. */
struct law_index {
	uint64_t term; /* of the committed entry; 0: not known to be committed */
	uint64_t seen_term; /* in which a node first knew it to be committed */
	struct kv_hash hash; /* of the state there */
	bool hash_known;
};

struct laws {
	struct law_vote *votes;
	struct law_entry *entries;
	uint64_t *leaders; /* by term */
	size_t leader_room;
	struct law_index *indexes;
	size_t index_room;
	uint64_t committed; /* the highest index known to be */
	struct raft_config config; /* the last one known to be */
	unsigned level; /* the highest feature level that any log has said */
	uint64_t raised_above,
	    raised_at; /* states up to the one are of level 0, from the other on above; 0: none seen */
};

void laws_fini(struct laws *l);
/* A frame leaves a node. */
void laws_on_frame(struct universe *u, struct node *from, struct bytes frame);
/* A node's table committed. */
void laws_on_commit(struct universe *u, struct node *n, const struct kv_meta *meta);
/* It gave a backup as of this index, of a state with this hash. */
void laws_on_backup(struct universe *u, struct node *n, uint64_t index, const struct kv_hash *hash);
/* Another state took the place of the node's: it may be of an earlier index. */
void laws_on_adopt(struct universe *u, struct node *n, const struct kv_meta *meta);
/* What a node knows of the members before its turn is over. */
void laws_see_members(struct universe *u, const struct raft *r);
/* This node, as it is now, is a member by the last committed configuration. */
bool laws_member(const struct universe *u, const struct node *n);
/* A node's turn is over. */
void laws_on_turn(struct universe *u, struct node *n);

#endif
