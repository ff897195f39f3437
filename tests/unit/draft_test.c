/*
 * What a change makes of a configuration, against vectors that others wrote (SHARED/vectors/raft-confchange), and what
 * is Holdfast's own: those that are gone.
 *
 * links: tests/common/vectors.c worker/raft/draft.c worker/raft/config.c worker/raft/quorum.c common/wire.c common/mem.c common/buf.c
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/mem.h"
#include "tests/common/vectors.h"
#include "worker/raft/draft.h"

/* v1 l2 r3 u4: a word each. */
static enum err take_steps(struct raft_draft *d, const char *line)
{
	enum err e = ERR_OK;

	for (const char *p = line; *p != '\0' && e == ERR_OK; p += strcspn(p, " "), p += strspn(p, " ")) {
		struct raft_member m = { .incarnation = strtoull(p + 1, NULL, 10) };

		if (*p == 'v')
			e = draft_voter(d, &m);
		else if (*p == 'l')
			e = draft_learner(d, &m);
		else if (*p == 'r')
			draft_remove(d, m.incarnation);
	}
	return e;
}

/* How many voters one has that the other has not. */
static size_t voters_changed(const struct raft_draft *before, const struct raft_draft *after)
{
	size_t both = 0;

	for (size_t i = 0; i < before->count; i++)
		for (size_t j = 0; j < after->count; j++)
			both += before->members[i].incarnation == after->members[j].incarnation &&
				(before->members[i].roles & after->members[j].roles & RAFT_VOTER) != 0;
	return draft_voters(before) + draft_voters(after) - 2 * both;
}

/* What refuses a change, in the words of the vectors. */
static const char *simple(struct raft_draft *d, const char *steps)
{
	struct raft_draft next = *d;

	if (draft_is_joint(d))
		return "can't apply simple config change in joint config";
	take_steps(&next, steps);
	if (draft_voters(&next) == 0)
		return "removed all voters";
	if (voters_changed(d, &next) > 1)
		return "more than one voter changed without entering joint config";
	*d = next;
	return NULL;
}

static const char *enter(struct raft_draft *d, const char *steps)
{
	struct raft_draft next = *d;

	if (draft_enter(&next) != ERR_OK)
		return draft_is_joint(d) ? "config is already joint" : "can't make a zero-voter config joint";
	take_steps(&next, steps);
	if (draft_voters(&next) == 0)
		return "removed all voters";
	*d = next;
	return NULL;
}

static const char *leave(struct raft_draft *d)
{
	return draft_leave(d) == ERR_OK ? NULL : "can't leave a non-joint config";
}

static int by_number(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

static void put_set(
    struct buf *out, const char *before, const struct raft_draft *d, unsigned mask, unsigned is)
{
	uint64_t ids[RAFT_MEMBERS_MAX];
	size_t count = 0;

	for (size_t i = 0; i < d->count; i++)
		if ((d->members[i].roles & mask) == is)
			ids[count++] = d->members[i].incarnation;
	qsort(ids, count, sizeof(ids[0]), by_number);
	for (size_t i = 0; i < count; i++)
		buf_printf(out, "%s%llu", i == 0 ? before : " ", (unsigned long long)ids[i]);
	if (count > 0)
		buf_append_text(out, ")");
}

static void put_draft(struct buf *out, const struct raft_draft *d)
{
	put_set(out, "voters=(", d, RAFT_VOTER, RAFT_VOTER);
	put_set(out, "&&(", d, RAFT_OUTGOING, RAFT_OUTGOING);
	put_set(out, " learners=(", d, RAFT_OUTGOING | RAFT_LEARNER, RAFT_LEARNER);
	put_set(out, " learners_next=(", d, RAFT_OUTGOING | RAFT_LEARNER, RAFT_OUTGOING | RAFT_LEARNER);
}

static const char *run_command(struct raft_draft *d, const char *command, const char *steps)
{
	if (strncmp(command, "simple", 6) == 0)
		return simple(d, steps);
	if (strncmp(command, "enter-joint", 11) == 0)
		return enter(d, steps);
	return leave(d);
}

/* One file: its commands build on each other. Of an answer, the first line; autoleave is only passed through there. */
static size_t check_file(const char *shared, const char *name)
{
	char path[512], line[512], command[512] = "", steps[512] = "";
	struct raft_draft d = { .count = 0 };
	struct buf got = { 0 };
	size_t cases = 0;
	FILE *f;

	snprintf(path, sizeof(path), "%s/vectors/raft-confchange/%s.txt", shared, name);
	assert_non_null(f = fopen(path, "r"));
	while (fgets(line, sizeof(line), f) != NULL) {
		line[strcspn(line, "\n")] = '\0';
		if (line[0] == '#' || line[0] == '\0') {
			continue;
		} else if (strcmp(line, "----") != 0) {
			snprintf(command[0] == '\0' ? command : steps, sizeof(command), "%s", line);
			continue;
		}
		assert_non_null(fgets(line, sizeof(line), f));
		line[strcspn(line, "\n")] = '\0';
		if (strstr(line, " autoleave") != NULL)
			*strstr(line, " autoleave") = '\0';
		const char *refusal = run_command(&d, command, steps);

		buf_clear(&got);
		if (refusal != NULL)
			buf_append_text(&got, refusal);
		else
			put_draft(&got, &d);
		assert_string_equal(buf_text(&got), line);
		command[0] = steps[0] = '\0';
		cases++;
		while (fgets(line, sizeof(line), f) != NULL && line[0] != '\n')
			;
	}
	fclose(f);
	buf_free(&got);
	return cases;
}

static void vectors_of_others(void **state)
{
	static const char *const names[] = { "joint_autoleave", "joint_idempotency", "joint_learners_next",
		"joint_safety", "simple_idempotency", "simple_promote_demote", "simple_safety", "update",
		"zero" };
	const char *shared = vectors_folder();
	size_t cases = 0;

	(void)state;
	if (shared == NULL) {
		skip(); /* SHARED is absent */
		return;
	}
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		cases += check_file(shared, names[i]);
	print_message("# %zu cases\n", cases);
	assert_true(cases > 40);
}

static void what_is_drafted_can_be_read(void **state)
{
	struct raft_member a = { .incarnation = 7, .id = bytes_text("n1"), .peer = bytes_text("h:1") };
	struct raft_member b = { .incarnation = 8, .id = bytes_text("n2"), .roles = RAFT_WANTED };
	struct raft_draft d = { .count = 0 }, again;
	struct raft_config c;
	struct raft_member m;
	struct blob *data;

	(void)state;
	assert_int_equal(draft_voter(&d, &a), ERR_OK);
	assert_int_equal(draft_learner(&d, &b), ERR_OK);
	data = draft_blob(&d);
	assert_true(raft_config_get(&c, 5, data));
	assert_int_equal(c.count, 2);
	assert_int_equal(c.quorum.incoming.count, 1);
	assert_true(raft_config_find(&c, 8, &m));
	assert_int_equal(m.roles, RAFT_LEARNER | RAFT_WANTED);
	draft_of(&again, &c);
	assert_int_equal(again.count, 2);
	assert_true(bytes_equal(again.members[0].peer, bytes_text("h:1")));
	raft_config_free(&c);
	blob_unref(data);
}

static void who_is_gone_is_remembered_for_a_while(void **state)
{
	struct raft_draft d = { .count = 0 };
	struct raft_member m = { .incarnation = 1, .id = bytes_text("n1") };
	struct raft_config c;
	struct blob *data;

	(void)state;
	assert_int_equal(draft_voter(&d, &m), ERR_OK);
	for (uint64_t i = 2; i < 2 + RAFT_GONE_MAX + 3; i++) {
		m.incarnation = i;
		assert_int_equal(draft_learner(&d, &m), ERR_OK);
		draft_remove(&d, i);
	}
	data = draft_blob(&d);
	assert_true(raft_config_get(&c, 9, data));
	assert_int_equal(c.count, 1);
	assert_int_equal(c.gone_count, RAFT_GONE_MAX);
	assert_false(raft_config_is_gone(&c, 4)); /* the oldest three are forgotten */
	assert_true(raft_config_is_gone(&c, 5));
	assert_false(raft_config_has(&c, 5));
	raft_config_free(&c);
	blob_unref(data);
}

static void a_full_house_takes_nobody(void **state)
{
	struct raft_draft d = { .count = 0 };
	struct raft_member m = { .id = bytes_text("n") };

	(void)state;
	for (m.incarnation = 1; m.incarnation <= RAFT_MEMBERS_MAX; m.incarnation++)
		assert_int_equal(draft_voter(&d, &m), ERR_OK);
	assert_int_equal(draft_learner(&d, &m), ERR_TOO_LARGE);
	m.incarnation = 1;
	assert_int_equal(draft_learner(&d, &m), ERR_OK);
}

static bool reads(uint64_t one, unsigned one_roles, uint64_t two, unsigned two_roles)
{
	struct raft_draft d = { .count = 2 };
	struct raft_config c;
	struct blob *data;
	bool good;

	d.members[0] = (struct raft_member){ .incarnation = one, .roles = (uint8_t)one_roles };
	d.members[1] = (struct raft_member){ .incarnation = two, .roles = (uint8_t)two_roles };
	data = draft_blob(&d);
	if ((good = raft_config_get(&c, 1, data)))
		raft_config_free(&c);
	blob_unref(data);
	return good;
}

static void nonsense_is_refused(void **state)
{
	(void)state;
	assert_true(reads(1, RAFT_VOTER, 2, RAFT_LEARNER | RAFT_WANTED));
	assert_true(reads(1, RAFT_VOTER, 2, RAFT_GONE));
	assert_false(reads(1, RAFT_VOTER, 1, RAFT_LEARNER));
	assert_false(reads(1, RAFT_VOTER, 1, RAFT_GONE));
	assert_false(reads(1, RAFT_LEARNER, 2, RAFT_LEARNER));
	assert_false(reads(1, RAFT_VOTER, 2, RAFT_VOTER | RAFT_LEARNER));
	assert_false(reads(1, RAFT_VOTER, 2, RAFT_VOTER | RAFT_WANTED));
	assert_false(reads(1, RAFT_VOTER, 2, RAFT_GONE | RAFT_LEARNER));
	assert_false(reads(1, RAFT_VOTER, 2, 32));
	assert_false(reads(1, RAFT_VOTER, 0, RAFT_LEARNER));
}

/* ---- what lies in logs of running clusters ---- */

static struct blob *configuration(unsigned level)
{
	struct raft_member m = { 7, RAFT_VOTER, bytes_text("n1"), bytes_text("h:1"), bytes_text("u"), 0x0102,
		1 };
	struct buf b = { 0 };
	struct blob *data;

	raft_config_begin(&b, level);
	raft_config_put(&b, level, &m);
	data = blob_new(buf_bytes(&b));
	buf_free(&b);
	return data;
}

static void expect_hex(struct bytes bytes, const char *want)
{
	struct buf text = { 0 };

	for (size_t i = 0; i < bytes.size; i++)
		buf_printf(&text, "%02x", bytes.data[i]);
	assert_string_equal(buf_text(&text), want);
	buf_free(&text);
}

static void configurations_look_as_ever(void **state)
{
	struct blob *first = configuration(0), *second = configuration(1);

	(void)state;
	expect_hex(blob_bytes(first), "070000000000000001020000006e3103000000683a310100000075");
	expect_hex(blob_bytes(second), "0000000000000000020100250000000700000000000000"
				       "01020000006e3103000000683a31010000007502010000000000000100");
	blob_unref(first);
	blob_unref(second);
}

static void configuration_of_level_1_says_what_members_have_announced(void **state)
{
	struct blob *data = configuration(1);
	struct raft_config c;
	struct raft_member m;
	struct raft_draft d;
	struct blob *again;

	(void)state;
	assert_true(raft_config_get(&c, 9, data));
	assert_int_equal(c.level, 1);
	assert_true(raft_config_find(&c, 7, &m));
	assert_true(m.start == 0x0102 && m.level == 1 && bytes_equal(m.id, bytes_text("n1")));
	draft_of(&d, &c);
	again = draft_blob(&d);
	assert_true(bytes_equal(blob_bytes(again), blob_bytes(data)));
	raft_config_free(&c);
	blob_unref(again);
	blob_unref(data);
}

/* A later version may append to a member, and puts another format where that does not do. */
static void configuration_of_a_later_version_is_read_or_told_apart(void **state)
{
	struct blob *data = configuration(1), *grown;
	struct raft_members all;
	struct raft_config c;
	struct buf b = { 0 };

	(void)state;
	buf_append(&b, blob_bytes(data));
	b.data[11]++; /* the length of the member */
	wire_put_u8(&b, 'x');
	grown = blob_new(buf_bytes(&b));
	assert_true(raft_config_get(&c, 9, grown));
	raft_config_free(&c);
	data->data[8]++;
	assert_false(raft_config_get(&c, 9, data));
	all = raft_members_of(blob_bytes(data));
	assert_true(all.later);
	data->data[8]--;
	data->data[9] = 0; /* a head that says level 0 */
	assert_false(raft_config_get(&c, 9, data));
	assert_false(raft_members_of(blob_bytes(data)).later);
	buf_free(&b);
	blob_unref(grown);
	blob_unref(data);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(configurations_look_as_ever),
		cmocka_unit_test(configuration_of_level_1_says_what_members_have_announced),
		cmocka_unit_test(configuration_of_a_later_version_is_read_or_told_apart),
		cmocka_unit_test(vectors_of_others),
		cmocka_unit_test(what_is_drafted_can_be_read),
		cmocka_unit_test(who_is_gone_is_remembered_for_a_while),
		cmocka_unit_test(a_full_house_takes_nobody),
		cmocka_unit_test(nonsense_is_refused),
	};

	return cmocka_run_group_tests_name("draft", tests, NULL, NULL);
}
