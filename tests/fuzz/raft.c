#include <assert.h>

#include "tests/fuzz/common/fuzz.h"
#include "worker/raft/config.h"
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

static void try_config(struct bytes from)
{
	struct blob *data = blob_new(from);
	struct raft_config c;
	struct raft_member m;

	if (raft_config_get(&c, 1, data)) {
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
