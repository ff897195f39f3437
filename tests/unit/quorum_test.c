/*
 * The arithmetic of quorums against vectors that others wrote (SHARED/vectors/raft-quorum), and its edges.
 *
 * links: tests/common/vectors.c worker/raft/quorum.c common/mem.c common/buf.c
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/buf.h"
#include "tests/common/vectors.h"
#include "worker/raft/quorum.h"

#define UNKNOWN UINT64_MAX

/* One case of a vector file: the command line, taken apart. */
struct question {
	struct quorum quorum;
	uint64_t ids[RAFT_MEMBERS_MAX * 2], values[RAFT_MEMBERS_MAX * 2]; /* UNKNOWN: not heard */
	size_t count;
};

static uint64_t value_of(void *arg, uint64_t id)
{
	const struct question *q = arg;

	for (size_t i = 0; i < q->count; i++)
		if (q->ids[i] == id)
			return q->values[i] == UNKNOWN ? 0 : q->values[i];
	return 0;
}

static enum quorum_vote vote_of(void *arg, uint64_t id)
{
	const struct question *q = arg;

	for (size_t i = 0; i < q->count; i++)
		if (q->ids[i] == id && q->values[i] != UNKNOWN)
			return q->values[i] ? VOTE_YES : VOTE_NO;
	return VOTE_NONE;
}

static void read_half(const char *at, struct quorum_half *half)
{
	half->count = 0;
	if (strncmp(at, "zero", 4) == 0)
		return;
	for (at++; *at != ')'; at += strcspn(at, ",)"), at += *at == ',') {
		while (*at == ' ')
			at++;
		if (*at == ')')
			break;
		half->ids[half->count++] = strtoull(at, NULL, 10);
	}
}

static void add_ids(struct question *q, const struct quorum_half *half)
{
	for (size_t i = 0; i < half->count; i++) {
		bool seen = false;

		for (size_t j = 0; j < q->count; j++)
			seen |= q->ids[j] == half->ids[i];
		if (!seen) {
			q->values[q->count] = UNKNOWN;
			q->ids[q->count++] = half->ids[i];
		}
	}
}

/* In the order in which the ids are first named. */
static void read_values(const char *at, struct question *q)
{
	size_t i = 0;

	for (at++; *at != ')' && *at != '\0' && i < q->count; i++) {
		while (*at == ' ')
			at++;
		if (*at == 'y')
			q->values[i] = 1;
		else if (*at == 'n')
			q->values[i] = 0;
		else if (*at != '_')
			q->values[i] = strtoull(at, NULL, 10);
		at += strcspn(at, ",)");
		at += *at == ',';
	}
}

static void read_question(const char *line, struct question *q)
{
	const char *incoming = strstr(line, "cfg=("), *outgoing = strstr(line, "cfgj=");
	const char *values = strstr(line, "idx=(") ? strstr(line, "idx=(") + 4 : NULL;

	*q = (struct question){ 0 };
	if (strstr(line, "votes=(") != NULL)
		values = strstr(line, "votes=(") + 6;
	if (incoming != NULL)
		read_half(incoming + 4, &q->quorum.incoming);
	if (outgoing != NULL)
		read_half(outgoing + 5, &q->quorum.outgoing);
	add_ids(q, &q->quorum.incoming);
	add_ids(q, &q->quorum.outgoing);
	if (values != NULL)
		read_values(values, q);
}

static void answer_vote(const struct question *q, char *out, size_t room)
{
	static const char *const names[] = {
		[QUORUM_PENDING] = "VotePending",
		[QUORUM_WON] = "VoteWon",
		[QUORUM_LOST] = "VoteLost",
	};

	snprintf(out, room, "%s", names[quorum_decide(&q->quorum, vote_of, (void *)(uintptr_t)q)]);
}

static void answer_committed(const struct question *q, char *out, size_t room)
{
	uint64_t v = quorum_reached(&q->quorum, value_of, (void *)(uintptr_t)q);

	if (v == UINT64_MAX)
		snprintf(out, room, "∞");
	else
		snprintf(out, room, "%llu", (unsigned long long)v);
}

/* Reads up to the empty line that ends an answer; keeps its last line. */
static void read_answer(FILE *f, char *last, size_t room)
{
	char line[512];

	while (fgets(line, sizeof(line), f) != NULL && line[0] != '\n') {
		line[strcspn(line, "\n")] = '\0';
		snprintf(last, room, "%s", line);
	}
}

static size_t check_file(const char *dir, const char *name)
{
	char path[512], line[512], command[512] = "", expected[512], got[64];
	struct question q;
	size_t cases = 0;
	FILE *f;

	snprintf(path, sizeof(path), "%s/vectors/raft-quorum/%s", dir, name);
	f = fopen(path, "r");
	assert_non_null(f);
	while (fgets(line, sizeof(line), f) != NULL) {
		if (strncmp(line, "----", 4) != 0) {
			if (strncmp(line, "vote", 4) == 0 || strncmp(line, "committed", 9) == 0)
				snprintf(command, sizeof(command), "%s", line);
			continue;
		}
		read_answer(f, expected, sizeof(expected));
		read_question(command, &q);
		if (command[0] == 'v')
			answer_vote(&q, got, sizeof(got));
		else
			answer_committed(&q, got, sizeof(got));
		/* The empty quorum's answer comes with a word of explanation. */
		if (strlen(expected) < strlen(got) ||
		    strcmp(expected + strlen(expected) - strlen(got), got) != 0)
			fail_msg("%s: %sexpected %s, got %s", name, command, expected, got);
		cases++;
	}
	fclose(f);
	return cases;
}

static void vectors_of_others(void **state)
{
	const char *shared = vectors_folder();
	size_t cases = 0;

	(void)state;
	if (shared == NULL) {
		skip(); /* SHARED is absent */
		return;
	}
	cases += check_file(shared, "majority_vote.txt");
	cases += check_file(shared, "majority_commit.txt");
	cases += check_file(shared, "joint_vote.txt");
	cases += check_file(shared, "joint_commit.txt");
	print_message("# %zu cases\n", cases);
	assert_true(cases > 100);
}

static uint64_t same_value(void *arg, uint64_t id)
{
	return id == 1 ? *(uint64_t *)arg : 0;
}

static void m7_a_node_counts_once_and_only_as_a_voter(void **state)
{
	struct quorum q = { .incoming = { { 1, 2 }, 2 } };
	uint64_t v = 9;

	(void)state;
	assert_int_equal(quorum_reached(&q, same_value, &v), 0);
	q.incoming.count = 1;
	assert_int_equal(quorum_reached(&q, same_value, &v), 9);
	assert_true(quorum_has(&q, 1));
	assert_false(quorum_has(&q, 2));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(vectors_of_others),
		cmocka_unit_test(m7_a_node_counts_once_and_only_as_a_voter),
	};

	return cmocka_run_group_tests_name("quorum", tests, NULL, NULL);
}
