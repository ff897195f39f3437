#include <assert.h>

#include "tests/fuzz/common/fuzz.h"
#include "worker/kv/record.h"

/* Records as they lie in the tables: what can be read and is written again reads the same. */

#define TRY(kind, bytes_field)                                                                               \
	static void try_##kind(struct bytes from)                                                            \
	{                                                                                                    \
		struct kind a, b;                                                                            \
		struct buf first = { 0 }, second = { 0 };                                                    \
                                                                                                             \
		if (kind##_get(from, &a) == ERR_OK) {                                                        \
			kind##_put(&first, &a);                                                              \
			assert(kind##_get(buf_bytes(&first), &b) == ERR_OK);                                 \
			assert(bytes_equal(a.bytes_field, b.bytes_field));                                   \
			kind##_put(&second, &b);                                                             \
			assert(bytes_equal(buf_bytes(&first), buf_bytes(&second)));                          \
		}                                                                                            \
		buf_free(&first);                                                                            \
		buf_free(&second);                                                                           \
	}

TRY(record, value)
TRY(token_record, result)
TRY(age_record, token_key)
TRY(members_record, members)

static void try_meta(struct bytes from)
{
	struct buf made = { 0 };
	struct kv_meta m;

	if (meta_record_get(from, &m) == ERR_OK) {
		meta_record_put(&made, &m);
		assert(bytes_equal(from, buf_bytes(&made)));
	}
	buf_free(&made);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct bytes from = bytes_of(data, size);

	try_record(from);
	try_token_record(from);
	try_age_record(from);
	try_members_record(from);
	try_meta(from);
	return 0;
}
