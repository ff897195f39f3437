#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
/* cmocka wants these before it. */
#include <cmocka.h>

#include "tests/common/kv_drive.h"
#include "worker/kv/hash.h"

void drive_start(struct drive *d, struct table *t)
{
	*d = (struct drive){ .table = t, .time_ms = 1000 };
	assert_int_equal(kv_open(&d->kv, t), ERR_OK);
	d->changes = kv_changes_new();
}

void drive_stop(struct drive *d)
{
	kv_close(d->kv);
	kv_changes_free(d->changes);
	buf_free(&d->txn);
	buf_free(&d->command);
	buf_free(&d->out);
}

void drive_reopen(struct drive *d)
{
	kv_close(d->kv);
	assert_int_equal(kv_open(&d->kv, d->table), ERR_OK);
}

static const struct kv_result *decode(struct drive *d)
{
	struct reader r = reader_of(buf_bytes(&d->out));

	kv_result_get(&r, &d->result);
	assert_true(reader_done(&r));
	return &d->result;
}

const struct kv_result *drive_command(struct drive *d, struct bytes command, bool commit)
{
	uint64_t index = kv_meta(d->kv)->applied_index + 1;

	buf_clear(&d->out);
	assert_int_equal(kv_apply_command(d->kv, index, d->time_ms, command, d->changes, &d->out), ERR_OK);
	assert_int_equal(kv_settle(d->kv, 1, index, d->time_ms, d->changes), ERR_OK);
	if (commit)
		assert_int_equal(kv_commit(d->kv), ERR_OK);
	return decode(d);
}

void drive_raise(struct drive *d, unsigned level)
{
	uint64_t index = kv_meta(d->kv)->applied_index + 1;

	assert_int_equal(kv_apply_members(d->kv, index, bytes_text("members"), level, d->changes), ERR_OK);
	assert_int_equal(kv_settle(d->kv, 1, index, d->time_ms, d->changes), ERR_OK);
	assert_int_equal(kv_commit(d->kv), ERR_OK);
}

static struct bytes taken(struct buf *b)
{
	return b == NULL ? (struct bytes){ NULL, 0 } : buf_bytes(b);
}

static void clear(struct buf *b)
{
	if (b != NULL)
		buf_clear(b);
}

const struct kv_result *drive_write(
    struct drive *d, struct bytes token, struct buf *guards, struct buf *steps, struct buf *otherwise)
{
	struct kv_txn txn = { taken(guards), taken(steps), taken(otherwise) };

	buf_clear(&d->txn);
	kv_txn_put(&d->txn, &txn);
	clear(guards);
	clear(steps);
	clear(otherwise);
	buf_clear(&d->command);
	kv_command_put(&d->command, &(struct kv_command){ .token = token, .txn = buf_bytes(&d->txn) });
	return drive_command(d, buf_bytes(&d->command), true);
}

const struct kv_result *drive_put(struct drive *d, const char *key, const char *value)
{
	struct buf steps = { 0 };
	const struct kv_result *r;

	kv_put_step(&steps, bytes_text(key), bytes_text(value), bytes_text(""));
	r = drive_write(d, bytes_text(""), NULL, &steps, NULL);
	buf_free(&steps);
	return r;
}

const struct kv_result *drive_read(struct drive *d, struct buf *steps)
{
	struct kv_txn txn = { .steps = buf_bytes(steps) };

	buf_clear(&d->txn);
	kv_txn_put(&d->txn, &txn);
	buf_clear(steps);
	buf_clear(&d->out);
	assert_int_equal(kv_read(d->kv, buf_bytes(&d->txn), &d->out), ERR_OK);
	return decode(d);
}

bool drive_get(struct drive *d, struct bytes key, struct kv_record *out)
{
	struct buf steps = { 0 };
	struct kv_step_result step;
	struct reader r;

	kv_get_step(&steps, key);
	step = drive_step(drive_read(d, &steps), 0);
	buf_free(&steps);
	r = reader_of(step.records);
	return step.count == 1 && kv_record_get(&r, out);
}

struct kv_step_result drive_step(const struct kv_result *result, size_t number)
{
	struct reader r = reader_of(result->steps);
	struct kv_step_result step;

	do
		assert_true(kv_step_result_get(&r, &step));
	while (number-- > 0);
	return step;
}

const char *drive_keys(struct kv_step_result page)
{
	static struct buf text;
	struct reader r = reader_of(page.records);
	struct kv_record record;

	buf_clear(&text);
	while (r.left > 0) {
		assert_true(kv_record_get(&r, &record));
		buf_append_text(&text, text.size > 0 ? " " : "");
		buf_append(&text, record.key);
	}
	assert_true(!r.bad);
	return buf_text(&text);
}

const char *drive_range(struct drive *d, const char *prefix, const char *after, uint32_t limit, bool *more)
{
	struct buf steps = { 0 };
	struct kv_step_result step;

	kv_range_step(&steps, bytes_text(prefix), bytes_text(after), limit, false);
	step = drive_step(drive_read(d, &steps), 0);
	buf_free(&steps);
	*more = step.more != 0;
	return drive_keys(step);
}

void drive_nest(struct buf *into, struct buf *guards, struct buf *steps)
{
	struct buf txn = { 0 };

	kv_txn_put(&txn, &(struct kv_txn){ buf_bytes(guards), buf_bytes(steps), { NULL, 0 } });
	buf_clear(guards);
	buf_clear(steps);
	kv_step_put(into, &(struct kv_step){ .kind = STEP_TXN, .value = buf_bytes(&txn) });
	buf_free(&txn);
}

struct summing {
	struct kv_hash hash;
	enum kv_table table;
};

static bool add(void *arg, struct bytes key, struct bytes record)
{
	struct summing *s = arg;

	hash_add(&s->hash, s->table, key, record);
	return true;
}

struct kv_hash drive_hash(struct table *t)
{
	struct summing s = { 0 };

	for (s.table = TABLE_KEYS; s.table <= TABLE_ACCESS; s.table++)
		assert_int_equal(table_scan(t, s.table, bytes_text(""), add, &s), ERR_OK);
	return s.hash;
}

void drive_check_hash(struct drive *d)
{
	struct kv_hash kept = kv_meta(d->kv)->hash, there = drive_hash(d->table);

	assert_true(kept.high == there.high && kept.low == there.low);
}

static bool dump(void *arg, struct bytes key, struct bytes record)
{
	wire_put_bytes(arg, key);
	wire_put_bytes(arg, record);
	return true;
}

void drive_dump(struct table *t, enum kv_table number, struct buf *out)
{
	assert_int_equal(table_scan(t, number, bytes_text(""), dump, out), ERR_OK);
}
