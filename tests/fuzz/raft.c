#include <assert.h>

#include "tests/fuzz/common/fuzz.h"
#include "worker/raft/draft.h"
#include "worker/raft/message.h"

/* Messages between raft cores, and the members that an entry of the log names. */

static void try_message(struct bytes from)
{
	struct buf made = { 0 };
	struct raft_message m;

	if (raft_message_get(from, &m)) {
		raft_message_put(&made, &m);
		assert(bytes_equal(from, buf_bytes(&made)));
		assert(raft_type_name(m.type)[0] != '?');
	}
	raft_message_free(&m);
	buf_free(&made);
}

/* What is read can be written: at level 0 to the byte, else but for what a later version has appended. */
static void try_draft(const struct raft_config *c)
{
	struct raft_draft d;
	struct raft_config again;
	struct blob *data;

	draft_of(&d, c);
	data = draft_blob(&d);
	assert(c->level > 0 || bytes_equal(blob_bytes(data), blob_bytes(c->data)));
	assert(raft_config_get(&again, 1, data));
	assert(again.level == c->level && again.count == c->count && again.gone_count == c->gone_count);
	raft_config_free(&again);
	blob_unref(data);
}

static void try_config(struct bytes from)
{
	struct blob *data = blob_new(from);
	struct raft_config c;
	struct raft_member m;

	if (raft_config_get(&c, 1, data)) {
		try_draft(&c);
		assert(c.count > 0 && c.count <= RAFT_MEMBERS_MAX);
		assert(c.quorum.incoming.count > 0 && c.quorum.incoming.count <= c.count);
		assert(c.quorum.outgoing.count <= c.count);
		for (size_t i = 0; i < c.count; i++) {
			assert(raft_config_find(&c, c.members[i], &m));
			assert(m.incarnation == c.members[i]);
		}
		raft_config_free(&c);
	}
	blob_unref(data);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	try_message(bytes_of(data, size));
	try_config(bytes_of(data, size));
	return 0;
}
