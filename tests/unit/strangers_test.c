/*
 * Two clusters by accident: what a node says of another cluster's nodes that it meets where it expects its own.
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
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/log.h"
#include "tests/common/replica_alone.h"

#define LIST "n1=n1:1, n2=n2:1, n3=n3:1"
#define OTHER_CLUSTER 77

static void meet_stranger(struct alone *a, const char *id, const char *dialed)
{
	struct bytes address = bytes_text(dialed != NULL ? dialed : "");
	struct peer_hello hello = { .version_least = PEER_VERSION_LEAST,
		.version_most = PEER_VERSION_MOST,
		.cluster = OTHER_CLUSTER,
		.incarnation = 9,
		.start = 1,
		.id = bytes_text(id),
		.peer = bytes_text("there:1") };

	replica_on_stranger(a->replica, &hello, dialed != NULL ? &address : NULL, a->now);
}

/* Its data was lost, and it was started alone: the others find another cluster at its address. */
static void member_of_another_cluster_is_warned_of(void **state)
{
	struct alone *a = alone_follower_of(LIST, 2);

	(void)state;
	/* Who was dialed to be added is nobody's business any more. */
	meet_stranger(a, "n4", "n4:1");
	assert_string_equal(alone_warnings(a), "");
	meet_stranger(a, "n3", "n3:1");
	assert_non_null(strstr(alone_warnings(a), "the node at n3:1, where this cluster, "));
	assert_non_null(
	    strstr(alone_warnings(a), "its member n3, belongs to another cluster, 000000000000004d"));
	/* It was wiped and joined again. */
	alone_pass(a, 31000);
	assert_string_equal(alone_warnings(a), "");
	alone_free(a);
}

/* Every second, and that is no mistaken POST /v1/members. */
static void caller_that_takes_this_node_for_a_member_is_warned_of(void **state)
{
	struct alone *a = alone_follower_of(LIST, 2);

	(void)state;
	meet_stranger(a, "n5", NULL);
	alone_pass(a, 2000);
	meet_stranger(a, "n5", NULL);
	assert_string_equal(alone_warnings(a), "");
	alone_pass(a, 2000);
	meet_stranger(a, "n6", NULL);
	alone_pass(a, 2000);
	meet_stranger(a, "n5", NULL);
	assert_non_null(strstr(alone_warnings(a), "the node n5 at there:1 takes this one for a member"));
	assert_null(strstr(alone_warnings(a), "n6"));
	alone_free(a);
}

static void warning_about_join_stays(void **state)
{
	struct alone *a = alone_follower_of(LIST, 2);

	(void)state;
	replica_warn_of_cluster(a->replica, "10.0.0.1:8080", OTHER_CLUSTER);
	alone_pass(a, 60000);
	assert_non_null(strstr(alone_warnings(a), "10.0.0.1:8080, which [cluster] join names"));
	assert_string_equal(alone_problem(a), "");
	alone_free(a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(member_of_another_cluster_is_warned_of),
		cmocka_unit_test(caller_that_takes_this_node_for_a_member_is_warned_of),
		cmocka_unit_test(warning_about_join_stays),
	};

	log_set_level(LOG_LEVEL_ERROR);
	return cmocka_run_group_tests_name("strangers", tests, NULL, NULL);
}
