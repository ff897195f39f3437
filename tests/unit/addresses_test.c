/*
 * Where members are: what the leader takes over of what they say, and whom a node dials that has lost the others.
 *
 * links: worker/replica/ worker/raft/ worker/log/ worker/kv/ tests/common/replica_alone.c
 *	tests/common/fake_disk.c tests/common/mem_table.c tests/common/mem_tables.c common/ballast.c common/buf.c
 *	common/clock.c common/crc.c common/disk.c common/err.c common/lane.c common/log.c common/mem.c common/member.c
 *	common/metric.c common/random.c common/random_secret.c common/status.c common/wire.c -lxxhash
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "common/member.h"
#include "tests/common/replica_alone.h"

#define LIST "n1=n1:1, n2=n2:1, n3=n3:1"
#define LEVEL 1

/* What a member says, on a connection that this node dialed at an address, or that it accepted. */
struct word {
	uint64_t incarnation, start;
	const char *peer, *http;
	const char *dialed; /* NULL: accepted */
	const char *dialed_me; /* NULL: not said */
};

static void say(struct alone *a, struct word w)
{
	struct bytes dialed = bytes_text(w.dialed == NULL ? "" : w.dialed);
	struct peer_hello hello = { .version_least = PEER_VERSION_LEAST,
		.version_most = PEER_VERSION_MOST,
		.cluster = replica_view(a->replica).cluster,
		.incarnation = w.incarnation,
		.start = w.start,
		.id = bytes_text(w.incarnation == 2 ? "n2" : "n3"),
		.peer = bytes_text(w.peer),
		.http = bytes_text(w.http),
		.level = (uint16_t)a->level_said,
		.dialed = bytes_text(w.dialed_me == NULL ? "" : w.dialed_me) };

	replica_on_hello(a->replica, &hello, w.dialed == NULL ? NULL : &dialed, a->now);
	alone_pass(a, 200);
}

/* Whatever the leader proposes is committed, and proposed again where it is refused at first. */
static void commit(struct alone *a)
{
	for (int i = 0; i < 4; i++) {
		alone_accept(a, 2);
		alone_accept(a, 3);
		alone_pass(a, 60);
	}
}

/* It leads n2 and n3; the configuration is of the second format where all know that. */
static struct alone *leader_at_level(unsigned level)
{
	struct alone *a = alone_new(LIST);

	a->level_most = a->level_said = level;
	alone_kill(a);
	alone_form(a);
	alone_elect(a);
	commit(a);
	assert_int_equal(raft_config(replica_raft(a->replica))->level, level);
	return a;
}

static struct raft_member member(const struct alone *a, uint64_t incarnation)
{
	struct raft_member m = { 0 };

	assert_true(raft_config_find(raft_config(replica_raft(a->replica)), incarnation, &m));
	return m;
}

static bool is_at(const struct alone *a, uint64_t incarnation, const char *peer, const char *http)
{
	struct raft_member m = member(a, incarnation);

	return bytes_equal(m.peer, bytes_text(peer)) && bytes_equal(m.http, bytes_text(http));
}

static uint64_t index_of_config(const struct alone *a)
{
	return raft_config(replica_raft(a->replica))->index;
}

static bool dials(const struct alone *a, const char *address)
{
	char word[64];

	snprintf(word, sizeof(word), "%s ", address);
	return strstr(a->peers, word) != NULL;
}

static void address_is_not_taken_over_before_the_member_answered_there(void **state)
{
	struct alone *a = leader_at_level(LEVEL);

	(void)state;
	/* As one that was started without its file says it. */
	say(a, (struct word){ 2, 2, "127.0.0.1:9000", "http://127.0.0.1:8080", NULL, NULL });
	commit(a);
	assert_true(is_at(a, 2, "n2:1", "http://there"));
	assert_true(dials(a, "127.0.0.1:9000") && dials(a, "n2:1"));
	/* Another one is there. */
	say(a, (struct word){ 3, 1, "n3:1", "http://there", "127.0.0.1:9000", NULL });
	commit(a);
	assert_true(is_at(a, 2, "n2:1", "http://there") && is_at(a, 3, "n3:1", "http://there"));
	/* It is reached where the configuration has it, not where it says it is. */
	say(a, (struct word){ 2, 2, "127.0.0.1:9000", "http://127.0.0.1:8080", "n2:1", NULL });
	commit(a);
	assert_true(is_at(a, 2, "n2:1", "http://there"));
	say(a, (struct word){ 2, 2, "127.0.0.1:9000", "http://127.0.0.1:8080", "127.0.0.1:9000", NULL });
	commit(a);
	assert_true(is_at(a, 2, "127.0.0.1:9000", "http://127.0.0.1:8080"));
	assert_int_equal(member(a, 2).start, 2);
	alone_free(a);
}

static void two_members_that_swapped_addresses_are_taken_over(void **state)
{
	struct alone *a = leader_at_level(LEVEL);

	(void)state;
	say(a, (struct word){ 2, 2, "n3:1", "http://h3", "n3:1", NULL });
	say(a, (struct word){ 3, 2, "n2:1", "http://h2", "n2:1", NULL });
	commit(a);
	assert_true(is_at(a, 2, "n3:1", "http://h3"));
	assert_true(is_at(a, 3, "n2:1", "http://h2"));
	alone_free(a);
}

/* The start of a member's words is kept with them: another leader knows it, too. */
static void hello_that_arrives_late_changes_nothing(void **state)
{
	struct alone *a = leader_at_level(LEVEL);
	uint64_t index;

	(void)state;
	say(a, (struct word){ 2, 7, "moved:1", "http://moved", "moved:1", NULL });
	commit(a);
	assert_true(is_at(a, 2, "moved:1", "http://moved"));
	index = index_of_config(a);
	say(a, (struct word){ 2, 6, "n2:1", "http://there", "n2:1", NULL });
	commit(a);
	assert_true(is_at(a, 2, "moved:1", "http://moved"));
	assert_int_equal(index_of_config(a), index);
	alone_free(a);
}

static void restart_alone_is_no_news(void **state)
{
	struct alone *a = leader_at_level(LEVEL);
	uint64_t index;

	(void)state;
	say(a, (struct word){ 2, 1, "n2:1", "http://there", "n2:1", NULL });
	say(a, (struct word){ 3, 1, "n3:1", "http://there", "n3:1", NULL });
	commit(a);
	index = index_of_config(a);
	say(a, (struct word){ 2, 2, "n2:1", "http://there", "n2:1", NULL });
	commit(a);
	assert_int_equal(index_of_config(a), index);
	say(a, (struct word){ 2, 3, "n2:1", "http://other", "n2:1", NULL });
	commit(a);
	assert_true(is_at(a, 2, "n2:1", "http://other") && index_of_config(a) > index);
	alone_free(a);
}

static void post(struct alone *a, uint64_t id, const char *name, const char *peer, const char *http)
{
	struct member_change c = {
		.kind = MEMBER_ADD, .id = bytes_text(name), .peer = bytes_text(peer), .http = bytes_text(http)
	};
	struct ipc_request q = { .id = id, .kind = REQUEST_CHANGE, .time_ms = 5000 };
	struct buf operation = { 0 };

	member_change_put(&operation, &c);
	q.operation = buf_bytes(&operation);
	replica_request(a->replica, 1, &q, a->now);
	alone_pass(a, 20);
	commit(a);
	buf_free(&operation);
	assert_non_null(alone_answered(a, id));
	assert_int_equal(alone_answered(a, id)->error, ERR_OK);
}

static void http_address_that_an_operator_gave_stays(void **state)
{
	struct alone *a = leader_at_level(LEVEL);

	(void)state;
	say(a, (struct word){ 2, 1, "n2:1", "http://there", "n2:1", NULL });
	post(a, 1, "n2", "n2:1", "http://proxy");
	assert_true(is_at(a, 2, "n2:1", "http://proxy"));
	say(a, (struct word){ 2, 2, "n2:1", "http://there", "n2:1", NULL });
	commit(a);
	assert_true(is_at(a, 2, "n2:1", "http://proxy"));
	say(a, (struct word){ 2, 3, "moved:1", "http://there", "moved:1", NULL });
	commit(a);
	assert_true(is_at(a, 2, "moved:1", "http://proxy"));
	/* Without one it is the member's own again. */
	post(a, 2, "n2", "moved:1", "");
	assert_true(is_at(a, 2, "moved:1", "http://there"));
	say(a, (struct word){ 2, 4, "moved:1", "http://later", "moved:1", NULL });
	commit(a);
	assert_true(is_at(a, 2, "moved:1", "http://later"));
	alone_free(a);
}

/* 127.0.0.1:9000 leads every leader to itself: only another member can say that it is reached there. */
static void leader_is_where_another_member_reached_it(void **state)
{
	struct alone *a = leader_at_level(LEVEL);
	const struct raft_member *m = &(struct raft_member){ .incarnation = a->self,
		.id = bytes_text("n1"),
		.peer = bytes_text("former:1"),
		.http = bytes_text("http://n1"),
		.level = LEVEL };
	struct raft_pos pos;

	(void)state;
	assert_int_equal(
	    raft_change((struct raft *)replica_raft(a->replica), RAFT_DESCRIBE, m, a->now, &pos), ERR_OK);
	alone_pass(a, 20);
	commit(a);
	assert_true(bytes_equal(member(a, a->self).peer, bytes_text("former:1")));
	assert_true(dials(a, "former:1"));
	say(a, (struct word){ 2, 1, "n2:1", "http://there", NULL, "former:1" });
	commit(a);
	assert_true(bytes_equal(member(a, a->self).peer, bytes_text("former:1")));
	say(a, (struct word){ 2, 1, "n2:1", "http://there", NULL, "n1:1" });
	commit(a);
	assert_true(bytes_equal(member(a, a->self).peer, bytes_text("n1:1")));
	alone_free(a);
}

/* A configuration of level 0 does not keep whose word it has. */
static void at_level_0_the_http_address_follows_the_peer_address(void **state)
{
	struct alone *a = leader_at_level(0);

	(void)state;
	say(a, (struct word){ 2, 2, "n2:1", "http://other", "n2:1", NULL });
	commit(a);
	assert_true(is_at(a, 2, "n2:1", "http://there"));
	say(a, (struct word){ 2, 3, "moved:1", "http://other", "moved:1", NULL });
	commit(a);
	assert_true(is_at(a, 2, "moved:1", "http://other"));
	alone_free(a);
}

static void node_that_lost_its_leader_dials_what_it_was_told(void **state)
{
	struct alone *a = alone_follower_of(LIST, 2);
	const struct bytes told[] = { bytes_text("told:1"), bytes_text("n1:1") };

	(void)state;
	replica_hint(a->replica, told, 2, a->now);
	assert_false(dials(a, "told:1") || dials(a, "n1:1"));
	assert_false(replica_view(a->replica).astray);
	replica_on_lost(a->replica, 2, a->now);
	alone_pass(a, 5000);
	alone_pass(a, 5000);
	assert_true(replica_view(a->replica).astray);
	assert_true(dials(a, "told:1") && dials(a, "n2:1"));
	assert_false(dials(a, "n1:1")); /* that is itself */
	alone_free(a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(address_is_not_taken_over_before_the_member_answered_there),
		cmocka_unit_test(two_members_that_swapped_addresses_are_taken_over),
		cmocka_unit_test(hello_that_arrives_late_changes_nothing),
		cmocka_unit_test(restart_alone_is_no_news),
		cmocka_unit_test(http_address_that_an_operator_gave_stays),
		cmocka_unit_test(leader_is_where_another_member_reached_it),
		cmocka_unit_test(at_level_0_the_http_address_follows_the_peer_address),
		cmocka_unit_test(node_that_lost_its_leader_dials_what_it_was_told),
	};

	return cmocka_run_group_tests_name("addresses", tests, NULL, NULL);
}
