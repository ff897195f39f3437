#include <assert.h>

#include "tests/common/mem_table.h"
#include "tests/fuzz/common/fuzz.h"
#include "worker/kv/kv.h"

/*
 * The state machine: a list of commands and operations, each behind a byte that says what is done with it. Whatever they
 * are, the same list gives the same state twice, what the check passes apply does not call malformed, the hash kept
 * is that of the state opened anew, and messages encoded again are what they were.
 */
#define ENTRIES_MOST 64
#define RAISES 240 /* a byte from this one on raises the feature level */
#define STEP_MS 1000

static void check_command(struct bytes from)
{
	struct reader r = reader_of(from);
	struct buf again = { 0 };
	struct kv_command c;

	if (kv_command_get(&r, &c)) {
		kv_command_put(&again, &c);
		assert(bytes_begins(from, buf_bytes(&again)));
	}
	buf_free(&again);
}

static void check_result(struct bytes from, struct kv_result *result)
{
	struct reader r = reader_of(from), steps;
	struct kv_step_result step;

	assert(kv_result_get(&r, result) && reader_done(&r));
	assert(result->error < ERR_COUNT);
	for (steps = reader_of(result->steps); steps.left > 0;)
		assert(kv_step_result_get(&steps, &step));
}

struct machine {
	struct table *table;
	struct kv *kv;
	struct kv_changes *changes;
	struct buf results; /* of everything, one behind the other */
};

static void start(struct machine *m)
{
	m->table = mem_table_new();
	m->changes = kv_changes_new();
	assert(kv_open(&m->kv, m->table) == ERR_OK);
}

static void apply(struct machine *m, struct bytes command, struct kv_result *result)
{
	uint64_t index = kv_meta(m->kv)->applied_index + 1, time_ms = index * STEP_MS;
	size_t at = m->results.size;

	assert(kv_apply_command(m->kv, index, time_ms, command, m->changes, &m->results) == ERR_OK);
	check_result(bytes_of(m->results.data + at, m->results.size - at), result);
	if (result->error != ERR_OK && result->error != ERR_CONDITION)
		for (size_t i = 0; i < kv_changes_count(m->changes); i++) /* expired tokens may go */
			assert(kv_changes_at(m->changes, i).table == TABLE_TOKENS);
	assert(kv_settle(m->kv, 1, index, time_ms, m->changes) == ERR_OK);
	if (index % 3 == 0)
		assert(kv_commit(m->kv) == ERR_OK);
}

static void write_txn(struct machine *m, struct bytes txn)
{
	struct kv_command c = { .txn = txn };
	struct buf command = { 0 };
	struct kv_result result;
	enum err e = kv_txn_check(txn, true, kv_meta(m->kv)->level);

	kv_command_put(&command, &c);
	apply(m, buf_bytes(&command), &result);
	assert(e == ERR_OK ? result.error != ERR_BAD_REQUEST && result.error != ERR_KEY_TOO_LONG
			   : result.error == e);
	buf_free(&command);
}

static void read_txn(struct machine *m, struct bytes txn)
{
	size_t at = m->results.size;
	enum err e = kv_txn_check(txn, false, kv_meta(m->kv)->level);
	struct kv_result result;

	assert(kv_read(m->kv, txn, &m->results) == ERR_OK);
	check_result(bytes_of(m->results.data + at, m->results.size - at), &result);
	assert(e == ERR_OK || result.error == e);
	assert(result.revision == kv_meta(m->kv)->applied_index);
}

static void raise_level(struct machine *m, struct bytes members)
{
	uint64_t index = kv_meta(m->kv)->applied_index + 1;

	assert(kv_apply_members(m->kv, index, members, FEATURE_LEVEL_MOST, m->changes) == ERR_OK);
	assert(kv_settle(m->kv, 1, index, index * STEP_MS, m->changes) == ERR_OK);
	assert(kv_meta(m->kv)->level == FEATURE_LEVEL_MOST);
}

static void run(struct machine *m, struct bytes input)
{
	struct kv_result result;

	for (int i = 0; i < ENTRIES_MOST && input.size > 0; i++) {
		unsigned what = fuzz_byte(&input);
		struct bytes bytes = fuzz_next(&input);

		if (what >= RAISES)
			raise_level(m, bytes);
		else if (what % 3 == 0)
			apply(m, bytes, &result);
		else if (what % 3 == 1)
			write_txn(m, bytes);
		else
			read_txn(m, bytes);
		check_command(bytes);
	}
}

static void stop(struct machine *m)
{
	struct kv_meta before = *kv_meta(m->kv);

	assert(kv_commit(m->kv) == ERR_OK);
	kv_close(m->kv);
	assert(kv_open(&m->kv, m->table) == ERR_OK);
	assert(kv_meta(m->kv)->hash.high == before.hash.high && kv_meta(m->kv)->hash.low == before.hash.low);
	assert(kv_meta(m->kv)->tokens == before.tokens && kv_meta(m->kv)->level == before.level);
	kv_close(m->kv);
	kv_changes_free(m->changes);
	mem_table_free(m->table);
	buf_free(&m->results);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct machine a = { 0 }, b = { 0 };
	struct kv_hash hash;

	start(&a);
	start(&b);
	run(&a, bytes_of(data, size));
	run(&b, bytes_of(data, size));
	hash = kv_meta(a.kv)->hash;
	assert(hash.high == kv_meta(b.kv)->hash.high && hash.low == kv_meta(b.kv)->hash.low);
	assert(bytes_equal(buf_bytes(&a.results), buf_bytes(&b.results)));
	stop(&a);
	stop(&b);
	return 0;
}
