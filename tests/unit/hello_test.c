/* links: worker/peer/hello.c worker/replica/transport.c common/wire.c common/buf.c common/mem.c */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "worker/peer/hello.h"

#define MINE 111
#define MY_BOOT 11

static const struct row {
	const char *what;
	uint16_t least, most; /* theirs; this node speaks 3 to 5 */
	uint64_t my_cluster, cluster;
	uint64_t incarnation, start, boot;
	struct hello_known known;
	enum hello_verdict verdict;
} rows[] = {
	{ "never heard before", 3, 5, 7, 7, 222, 1, 22, { .start = 0 }, HELLO_WELCOME },
	{ "the same life again", 3, 5, 7, 7, 222, 4, 22, { .start = 4, .boot = 22 }, HELLO_WELCOME },
	{ "started anew", 3, 5, 7, 7, 222, 5, 23, { .start = 4, .boot = 22 }, HELLO_WELCOME },

	{ "just touching from below", 1, 3, 7, 7, 222, 1, 22, { .start = 0 }, HELLO_WELCOME },
	{ "just touching from above", 5, 9, 7, 7, 222, 1, 22, { .start = 0 }, HELLO_WELCOME },
	{ "too old", 1, 2, 7, 7, 222, 1, 22, { .start = 0 }, HELLO_VERSION },
	{ "too new", 6, 9, 7, 7, 222, 1, 22, { .start = 0 }, HELLO_VERSION },
	{ "versions reversed", 5, 3, 7, 7, 222, 1, 22, { .start = 0 }, HELLO_MALFORMED },

	{ "m12: another cluster", 3, 5, 7, 8, 222, 1, 22, { .start = 0 }, HELLO_FOREIGN },
	{ "an unformed node", 3, 5, 7, 0, 222, 1, 22, { .start = 0 }, HELLO_WELCOME },
	{ "to an unformed node", 3, 5, 0, 8, 222, 1, 22, { .start = 0 }, HELLO_WELCOME },
	{ "both unformed", 3, 5, 0, 0, 222, 1, 22, { .start = 0 }, HELLO_WELCOME },

	{ "oneself", 3, 5, 7, 7, MINE, 9, MY_BOOT, { .start = 0 }, HELLO_SELF },
	{ "no incarnation", 3, 5, 7, 7, 0, 1, 22, { .start = 0 }, HELLO_MALFORMED },

	{ "d13: a copy of this node", 3, 5, 7, 7, MINE, 9, 22, { .start = 0 }, HELLO_COPY },
	{ "d13: same start, other boot", 3, 5, 7, 7, 222, 4, 23, { .start = 4, .boot = 22 }, HELLO_COPY },
	{ "d13: lower start", 3, 5, 7, 7, 222, 3, 22, { .start = 4, .boot = 22 }, HELLO_OLD },
	{ "a later start while the one before is connected", 3, 5, 7, 7, 222, 99, 23,
	    { 4, 22, 0, 0, true, false }, HELLO_RIVAL },
	{ "a later start when it is not", 3, 5, 7, 7, 222, 99, 23, { 4, 22, 0, 0, false, true },
	    HELLO_WELCOME },
	{ "the one before, back", 3, 5, 7, 7, 222, 4, 22, { 99, 23, 4, 22, false, false }, HELLO_WELCOME },
	{ "it is not, while the later one is connected", 3, 5, 7, 7, 222, 4, 22,
	    { 99, 23, 4, 22, false, true }, HELLO_OLD },
	{ "d13: a copy of the one before", 3, 5, 7, 7, 222, 4, 24, { 99, 23, 4, 22, false, false },
	    HELLO_OLD },
	{ "d13: an older copy of it", 3, 5, 7, 7, 222, 3, 22, { 99, 23, 4, 22, false, false }, HELLO_OLD },
	{ "d13: lower start, other boot", 3, 5, 7, 7, 222, 3, 23, { .start = 4, .boot = 22 }, HELLO_OLD },
};

static void d13_m12_who_is_welcome(void **state)
{
	(void)state;
	for (const struct row *r = rows; r < rows + sizeof(rows) / sizeof(rows[0]); r++) {
		struct peer_hello mine = {
			.version_least = 3,
			.version_most = 5,
			.cluster = r->my_cluster,
			.incarnation = MINE,
			.start = 9,
			.boot = MY_BOOT,
			.id = bytes_text("n1"),
		};
		struct peer_hello theirs = {
			.version_least = r->least,
			.version_most = r->most,
			.cluster = r->cluster,
			.incarnation = r->incarnation,
			.start = r->start,
			.boot = r->boot,
			.id = bytes_text("n2"),
		};
		enum hello_verdict v = hello_check(&mine, &theirs, r->known);

		if (v != r->verdict)
			fail_msg("%s: it %s", r->what, hello_verdict_text(v));
		theirs.id = (struct bytes){ 0 };
		assert_int_equal(hello_check(&mine, &theirs, r->known), HELLO_MALFORMED);
	}
}

/* The bytes are a promise to nodes of other builds. */
static void golden_bytes(void **state)
{
	static const uint8_t golden[] = {
		1, 0, 2, 0, /* versions */
		3, 0, 0, 0, 0, 0, 0, 0, 4, 0, 0, 0, 0, 0, 0, 0, /* cluster, incarnation */
		5, 0, 0, 0, 0, 0, 0, 0, 6, 0, 0, 0, 0, 0, 0, 0, /* start, boot */
		7, 0, 0, 0, 0, 0, 0, 0, 8, 0, 0, 0, 0, 0, 0, 0, /* last position */
		2, 0, 0, 0, 'n', '1', 3, 0, 0, 0, 'h', ':', '1', 4, 0, 0, 0, 'h', 't', 't', 'p', 3, 0, 0, 0,
		'1', '.', '0', /* texts */
		6, 0, 0, 0, 'n', '1', '=', 'h', ':', '1', /* list */
		9, 0, 0, 0, 0, 0, 0, 0, 1, /* visits, removed */
		10, 0, /* level */
		3, 0, 0, 0, 'g', ':', '2', /* dialed */
	};
	struct peer_hello h = { 1, 2, 3, 4, 5, 6, 7, 8, bytes_text("n1"), bytes_text("h:1"),
		bytes_text("http"), bytes_text("1.0"), bytes_text("n1=h:1"), 9, 1, 10, bytes_text("g:2") };
	struct buf b = { 0 };

	(void)state;
	peer_hello_put(&b, &h);
	assert_int_equal(b.size, sizeof(golden));
	assert_memory_equal(b.data, golden, sizeof(golden));
	buf_free(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(d13_m12_who_is_welcome),
		cmocka_unit_test(golden_bytes),
	};

	return cmocka_run_group_tests_name("hello", tests, NULL, NULL);
}
