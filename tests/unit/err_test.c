/* links: common/err.c */
#include <ctype.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "common/err.h"

static void success_is_zero(void **state)
{
	(void)state;
	assert_int_equal(ERR_OK, 0);
	assert_int_equal(err_http(ERR_OK), 200);
}

static void every_row_can_be_told(void **state)
{
	(void)state;
	for (enum err e = ERR_OK + 1; e < ERR_COUNT; e++) {
		assert_true(err_http(e) >= 400 && err_http(e) <= 599);
		assert_true(strlen(err_text(e)) > 0);
		for (const char *c = err_name(e); *c != '\0'; c++)
			assert_true(islower((unsigned char)*c) || *c == '_');
	}
}

static void no_two_rows_share_a_name(void **state)
{
	(void)state;
	for (enum err a = ERR_OK; a < ERR_COUNT; a++)
		for (enum err b = a + 1; b < ERR_COUNT; b++)
			assert_string_not_equal(err_name(a), err_name(b));
}

static void names_are_the_codes_of_json_answers(void **state)
{
	(void)state;
	assert_string_equal(err_name(ERR_NOT_LEADER), "not_leader");
	assert_string_equal(err_name(ERR_HEADER_TOO_LARGE), "header_too_large"); /* the longest */
	assert_string_equal(err_name(ERR_OK), "ok");
}

/* What is refused now and may be taken a moment later: a slow client, a change of members behind another one. */
static bool passes_by_itself(enum err e)
{
	return e == ERR_SLOW_REQUEST || e == ERR_CHANGING || e == ERR_NO_QUORUM;
}

/* A client that follows `retry` must neither repeat what can never work nor give up on what may. */
static void the_clients_own_mistakes_are_never_repeated(void **state)
{
	(void)state;
	for (enum err e = ERR_OK + 1; e < ERR_COUNT; e++) {
		if (err_http(e) >= 400 && err_http(e) < 500)
			assert_int_equal(err_retry(e), passes_by_itself(e) ? RETRY_HERE : RETRY_NEVER);
	}
	assert_int_equal(err_retry(ERR_NOT_LEADER), RETRY_LEADER);
	assert_int_equal(err_retry(ERR_BUSY), RETRY_HERE);
	assert_int_equal(err_retry(ERR_TIMEOUT), RETRY_HERE);
}

static void errno_values_find_the_nearest_error(void **state)
{
	static const struct {
		int error;
		enum err expected;
	} rows[] = {
		{ 0, ERR_OK },
		{ ENOENT, ERR_NOT_FOUND },
		{ EEXIST, ERR_EXISTS },
		{ ENOSPC, ERR_NO_SPACE },
		{ EDQUOT, ERR_NO_SPACE },
		{ EACCES, ERR_PERMISSION },
		{ EPERM, ERR_PERMISSION },
		{ EROFS, ERR_PERMISSION },
		{ EWOULDBLOCK, ERR_IN_USE },
		{ EADDRINUSE, ERR_IN_USE },
		{ EIO, ERR_IO },
		{ EMFILE, ERR_IO },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		assert_int_equal(err_from_errno(rows[i].error), rows[i].expected);
}

/* They cross between nodes whose versions differ, and lie in the state, in what an Idempotency-Key was answered. */
static void numbers_are_those_of_the_first_version(void **state)
{
	static const enum err first[] = {
		ERR_OK,
		ERR_BAD_REQUEST,
		ERR_NOT_FOUND,
		ERR_METHOD,
		ERR_SLOW_REQUEST,
		ERR_CONFLICT,
		ERR_CONDITION,
		ERR_TOO_LARGE,
		ERR_KEY_TOO_LONG,
		ERR_TOKEN_REUSED,
		ERR_HEADER_TOO_LARGE,
		ERR_INTERNAL,
		ERR_NOT_LEADER,
		ERR_NO_LEADER,
		ERR_LOST,
		ERR_BUSY,
		ERR_TOKENS_FULL,
		ERR_STARTING,
		ERR_FOREIGN,
		ERR_QUARANTINED,
		ERR_RESTARTED,
		ERR_TIMEOUT,
		ERR_UNREACHABLE,
		ERR_CHANGING,
		ERR_NO_QUORUM,
		ERR_DISPUTED,
		ERR_FULL,
		ERR_IO,
		ERR_NO_SPACE,
		ERR_EXISTS,
		ERR_PERMISSION,
		ERR_DAMAGED,
		ERR_MALFORMED,
		ERR_IN_USE,
		ERR_VERSION,
	};

	(void)state;
	for (size_t i = 0; i < sizeof(first) / sizeof(first[0]); i++)
		assert_int_equal(first[i], i);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(success_is_zero),
		cmocka_unit_test(every_row_can_be_told),
		cmocka_unit_test(no_two_rows_share_a_name),
		cmocka_unit_test(names_are_the_codes_of_json_answers),
		cmocka_unit_test(the_clients_own_mistakes_are_never_repeated),
		cmocka_unit_test(numbers_are_those_of_the_first_version),
		cmocka_unit_test(errno_values_find_the_nearest_error),
	};

	return cmocka_run_group_tests_name("err", tests, NULL, NULL);
}
