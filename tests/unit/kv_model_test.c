/* links: worker/kv/ common/crc.c common/mem.c common/buf.c common/wire.c common/random.c tests/common/mem_table.c tests/common/kv_drive.c tests/common/kv_random.c -lxxhash */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
/* cmocka wants these before it. */
#include <cmocka.h>

#include "tests/common/kv_drive.h"
#include "tests/common/kv_random.h"
#include "tests/common/mem_table.h"

/*
 * The same operations done a second time in the plainest way, on an array of all the keys there are, and the same
 * bytes expected as the answer: random commands against the state machine, then random bytes.
 */
#define LETTERS 4
#define NUMBERS 40
#define KEYS (LETTERS * NUMBERS)

struct model_key {
	char name[8];
	bool there;
	uint64_t create, modify, version;
	uint8_t value[3000];
	size_t value_size;
	char content_type[16];
};

static struct model_key model[KEYS];

static void model_start(void)
{
	memset(model, 0, sizeof(model));
	for (int i = 0; i < KEYS; i++)
		snprintf(model[i].name, sizeof(model[i].name), "%c/%02d", 'a' + i / NUMBERS, i % NUMBERS);
}

static struct bytes name_of(const struct model_key *k)
{
	return bytes_text(k->name);
}

static struct model_key *model_find(struct bytes key)
{
	for (int i = 0; i < KEYS; i++)
		if (bytes_equal(name_of(&model[i]), key))
			return &model[i];
	fail_msg("no key of the model");
	return NULL;
}

static void model_put(const struct kv_step *s, uint64_t index, struct kv_step_result *said)
{
	struct model_key *k = model_find(s->key);

	said->count = !k->there;
	if (!k->there) {
		k->there = true;
		k->create = index;
		k->version = 0;
	}
	k->modify = index;
	k->version++;
	k->value_size = s->value.size;
	if (s->value.size > 0)
		memcpy(k->value, s->value.data, s->value.size);
	memset(k->content_type, 0, sizeof(k->content_type));
	if (s->content_type.size > 0)
		memcpy(k->content_type, s->content_type.data, s->content_type.size);
}

static void tell(const struct model_key *k, bool keys_only, struct buf *out)
{
	kv_record_put(out, &(struct kv_record){
			       .key = name_of(k),
			       .create = k->create,
			       .modify = k->modify,
			       .version = k->version,
			       .content_type = bytes_text(k->content_type),
			       .value = bytes_of(k->value, keys_only ? 0 : k->value_size),
			   });
}

static void model_range(const struct kv_step *s, struct kv_step_result *said, struct buf *out)
{
	for (int i = 0; i < KEYS; i++) {
		const struct model_key *k = &model[i];

		if (!k->there || !bytes_begins(name_of(k), s->key) ||
		    (s->after.size > 0 && bytes_compare(name_of(k), s->after) <= 0))
			continue;
		if (s->limit > 0 && said->count == s->limit) {
			said->more = 1;
			break;
		}
		tell(k, s->keys_only != 0, out);
		said->count++;
	}
}

static void model_delete(const struct kv_step *s, struct kv_step_result *said)
{
	for (int i = 0; i < KEYS; i++) {
		bool meant = s->kind == STEP_DELETE ? bytes_equal(name_of(&model[i]), s->key)
						    : bytes_begins(name_of(&model[i]), s->key);

		if (meant && model[i].there) {
			if (s->limit > 0 && said->count == s->limit) {
				said->more = 1;
				return;
			}
			model[i].there = false;
			said->count++;
		}
	}
}

static void model_txn(struct bytes encoded, uint64_t index, struct buf *out);

static void model_step(const struct kv_step *s, uint64_t index, struct buf *out)
{
	struct kv_step_result said = { .kind = s->kind };
	struct buf records = { 0 };

	switch ((enum kv_step_kind)s->kind) {
	case STEP_PUT:
		model_put(s, index, &said);
		break;
	case STEP_DELETE:
	case STEP_DELETE_PREFIX:
		model_delete(s, &said);
		break;
	case STEP_GET:
		said.count = model_find(s->key)->there;
		if (said.count > 0)
			tell(model_find(s->key), false, &records);
		break;
	case STEP_RANGE:
		model_range(s, &said, &records);
		break;
	case STEP_TXN:
		model_txn(s->value, index, &records);
		break;
	}
	said.records = buf_bytes(&records);
	kv_step_result_put(out, &said);
	buf_free(&records);
}

static bool model_guard(const struct kv_guard *g, uint64_t *present)
{
	const struct model_key *k = model_find(g->key);

	*present = k->there ? k->modify : 0;
	return g->kind == GUARD_MODIFY ? *present == g->modify : k->there == (g->kind == GUARD_EXISTS);
}

static void model_txn(struct bytes encoded, uint64_t index, struct buf *out)
{
	struct reader r = reader_of(encoded);
	struct kv_result result = { .revision = index };
	struct buf steps = { 0 };
	struct kv_guard g;
	struct kv_step s;
	struct kv_txn txn;
	bool holds = true;

	kv_txn_get(&r, &txn);
	r = reader_of(txn.guards);
	for (uint32_t i = 0; holds && r.left > 0; i++) {
		kv_guard_get(&r, &g);
		result.failed_guard = i;
		holds = model_guard(&g, &result.present);
	}
	if (holds) {
		result.failed_guard = 0;
		result.present = 0;
	}
	result.otherwise = !holds && txn.otherwise.size > 0;
	result.error = !holds && txn.otherwise.size == 0 ? ERR_CONDITION : ERR_OK;
	r = reader_of(holds ? txn.steps : txn.otherwise);
	while (r.left > 0) {
		kv_step_get(&r, &s);
		model_step(&s, index, &steps);
	}
	result.steps = buf_bytes(&steps);
	kv_result_put(out, &result);
	buf_free(&steps);
}

/* A random command, without its token; false when it is not well formed. */
static bool make_command(struct random *r, unsigned level, struct buf *command, struct kv_command *out)
{
	struct buf made = { 0 };
	struct reader reader;

	buf_clear(command);
	kv_random_command(r, &made);
	reader = reader_of(buf_bytes(&made));
	kv_command_get(&reader, out);
	out->token.size = 0;
	kv_command_put(command, out);
	buf_free(&made);
	reader = reader_of(buf_bytes(command));
	kv_command_get(&reader, out);
	return kv_txn_check(out->txn, true, level) == ERR_OK;
}

static void expect_model(struct drive *d)
{
	struct kv_record got;

	for (int i = 0; i < KEYS; i++) {
		const struct model_key *k = &model[i];

		assert_int_equal(drive_get(d, name_of(k), &got), k->there);
		if (k->there) {
			assert_true(got.create == k->create && got.modify == k->modify);
			assert_true(got.version == k->version);
			assert_true(bytes_equal(got.value, bytes_of(k->value, k->value_size)));
		}
	}
}

static void random_commands_do_what_the_plainest_way_does(void **state)
{
	struct random r = { 3 };
	struct buf command = { 0 }, want = { 0 };
	struct kv_command c;
	struct drive d;
	unsigned refused = 0, other = 0;

	(void)state;
	model_start();
	drive_start(&d, mem_table_new());
	for (uint64_t index = 1; index <= 20000; index++) {
		if (index == 10000) {
			drive_raise(&d, 1);
			continue;
		}
		if (!make_command(&r, index > 10000, &command, &c)) {
			assert_int_equal(
			    drive_command(&d, buf_bytes(&command), false)->error, ERR_BAD_REQUEST);
			refused++;
			continue;
		}
		buf_clear(&want);
		model_txn(c.txn, index, &want);
		other += drive_command(&d, buf_bytes(&command), false)->otherwise;
		assert_true(bytes_equal(buf_bytes(&d.out), buf_bytes(&want)));
	}
	assert_true(refused > 100 && other > 100);
	expect_model(&d);
	drive_check_hash(&d);
	drive_stop(&d);
	mem_table_free(d.table);
	buf_free(&command);
	buf_free(&want);
}

static void apply_anything(struct drive *d, struct bytes bytes)
{
	/* Memory of just this size, so that a sanitizer sees any byte read behind it. */
	uint8_t *exact = malloc(bytes.size == 0 ? 1 : bytes.size);

	assert_non_null(exact);
	if (bytes.size > 0)
		memcpy(exact, bytes.data, bytes.size);
	drive_command(d, bytes_of(exact, bytes.size), false);
	buf_clear(&d->out);
	assert_int_equal(kv_read(d->kv, bytes_of(exact, bytes.size), &d->out), ERR_OK);
	free(exact);
}

static void random_bytes_are_refused_and_harm_nothing(void **state)
{
	struct random r = { 4 };
	struct buf bytes = { 0 };
	struct drive d;

	(void)state;
	drive_start(&d, mem_table_new());
	for (int i = 0; i < 30000; i++) {
		buf_clear(&bytes);
		if (i % 3 == 0) {
			for (uint64_t size = random_below(&r, 200); size > 0; size--)
				wire_put_u8(&bytes, (uint8_t)random_next(&r));
		} else {
			kv_random_command(&r, &bytes);
			for (uint64_t turn = random_below(&r, 4); turn > 0; turn--)
				bytes.data[random_below(&r, bytes.size)] = (uint8_t)random_below(&r, 10);
			if (i % 5 == 0)
				bytes.size = (size_t)random_below(&r, bytes.size + 1);
		}
		apply_anything(&d, buf_bytes(&bytes));
	}
	drive_check_hash(&d);
	drive_stop(&d);
	mem_table_free(d.table);
	buf_free(&bytes);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(random_commands_do_what_the_plainest_way_does),
		cmocka_unit_test(random_bytes_are_refused_and_harm_nothing),
	};

	return cmocka_run_group_tests_name("kv_model", tests, NULL, NULL);
}
