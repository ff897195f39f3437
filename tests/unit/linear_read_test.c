/*
 * Histories in files: the verdicts of others on histories of others (SHARED/vectors/histories), and what a line of
 * holdfast-load's says about revisions.
 *
 * links: tests/common/vectors.c tests/linear/read.c tests/linear/read_load.c tests/linear/read_jepsen.c tests/linear/words.c
 *	tests/linear/linear.c tests/linear/search.c tests/linear/memo.c tests/linear/explain.c common/mem.c
 *	common/buf.c
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/linear/read.h"
#include "tests/common/vectors.h"

static enum linear_answer judge_file(const char *path)
{
	struct linear_file f;
	struct linear_verdict v;
	struct buf why = { 0 };

	if (!linear_read(&f, path, &why))
		fail_msg("%s", buf_text(&why));
	assert_true(f.count > 0);
	linear_check(f.ops, f.count, NULL, &v);
	linear_fini(&v);
	linear_file_fini(&f);
	return v.answer;
}

static void the_verdicts_of_others(void **state)
{
	const char *shared = vectors_folder();
	char path[512], name[64], verdict[32];
	size_t cases[2] = { 0, 0 };
	FILE *f;

	(void)state;
	if (shared == NULL) {
		skip(); /* SHARED is absent */
		return;
	}
	snprintf(path, sizeof(path), "%s/vectors/histories/VERDICTS", shared);
	assert_non_null(f = fopen(path, "r"));
	while (fscanf(f, "%63s %31s", name, verdict) == 2) {
		enum linear_answer expected = strcmp(verdict, "not") == 0 ? LINEAR_NO : LINEAR_YES;

		snprintf(path, sizeof(path), "%s/vectors/histories/%s", shared, name);
		if (judge_file(path) != expected)
			fail_msg("%s: %s is expected", name, verdict);
		cases[expected]++;
	}
	fclose(f);
	print_message("# %zu are linearizable, %zu are not\n", cases[LINEAR_YES], cases[LINEAR_NO]);
	assert_true(cases[LINEAR_YES] > 10 && cases[LINEAR_NO] > 40);
}

/* ---- files of a few lines ---- */

static void write_file(char *path, const char *text)
{
	int fd = mkstemp(path);

	assert_true(fd != -1);
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	close(fd);
}

static enum linear_answer judge_text(const char *text)
{
	char path[] = "/tmp/linear_read_test.XXXXXX";
	enum linear_answer answer;

	write_file(path, text);
	answer = judge_file(path);
	unlink(path);
	return answer;
}

/* What is wrong with a file, behind its name. */
static void check_malformed(const char *text, const char *wrong)
{
	char path[] = "/tmp/linear_read_test.XXXXXX";
	struct linear_file f;
	struct buf why = { 0 };

	write_file(path, text);
	assert_false(linear_read(&f, path, &why));
	unlink(path);
	assert_memory_equal(buf_text(&why), path, strlen(path));
	assert_string_equal(buf_text(&why) + strlen(path), wrong);
	linear_file_fini(&f);
	buf_free(&why);
}

#define PUT(process, key, value, revision)                                                                   \
	"0 " process " invoke put " key " " value " - - - - -\n"                                             \
	"0 " process " ok put " key " " value " " revision " - - - 201\n"
#define GET(process, key, value, revision)                                                                   \
	"0 " process " invoke get " key " - - - - - -\n"                                                     \
	"0 " process " ok get " key " " value " " revision " - - - 200\n"
#define LOST(process, key, value)                                                                            \
	"0 " process " invoke put " key " " value " - - - - -\n"                                             \
	"0 " process " info put " key " " value " - - - - 0\n"
#define CAS(process, key, value, wanted, revision)                                                           \
	"0 " process " invoke cas " key " " value " " wanted " - - - -\n"                                    \
	"0 " process " ok cas " key " " value " " revision " - - - 200\n"
#define REFUSED(process, key, value, wanted, found)                                                          \
	"0 " process " invoke cas " key " " value " " wanted " - - - -\n"                                    \
	"0 " process " fail cas " key " - " found " - - - 412\n"

static void reads_show_the_last_write(void **state)
{
	(void)state;
	assert_int_equal(
	    judge_text(PUT("1", "a", "v1", "5") GET("2", "a", "v1", "5") GET("2", "b", "-", "-")),
	    LINEAR_YES);
	assert_int_equal(judge_text(PUT("1", "a", "v1", "5") GET("2", "a", "-", "-")), LINEAR_NO);
	assert_int_equal(judge_text(PUT("1", "a", "v1", "5") GET("2", "b", "v1", "5")), LINEAR_NO);
	assert_int_equal(
	    judge_text(PUT("1", "a", "v1", "5") PUT("1", "a", "v2", "6") GET("2", "a", "v1", "5")),
	    LINEAR_NO);
	assert_int_equal(judge_text(PUT("1", "a", "v1", "5") "0 0 final get a v1 5 - - - 200\n"), LINEAR_YES);
	assert_int_equal(judge_text(PUT("1", "a", "v1", "5") "0 0 final get a - - - - - 404\n"), LINEAR_NO);
}

static void a_level_that_promises_nothing_is_not_judged(void **state)
{
	(void)state;
	assert_int_equal(
	    judge_text("# prefix=a level=stale\n" PUT("1", "a", "v1", "5") GET("2", "a", "-", "-")),
	    LINEAR_YES);
}

/* A value that shows at two revisions was written twice. */
static void d10_a_doubled_write_is_flagged(void **state)
{
	(void)state;
	assert_int_equal(judge_text(PUT("1", "a", "v1", "5") GET("2", "a", "v1", "6")), LINEAR_NO);
	assert_int_equal(judge_text(LOST("1", "a", "v1") GET("2", "a", "v1", "5") PUT("3", "a", "v2", "6")
				 GET("2", "a", "v1", "7")),
	    LINEAR_NO);
}

static void conditions_are_on_revisions(void **state)
{
	(void)state;
	assert_int_equal(
	    judge_text(PUT("1", "a", "v1", "5") CAS("1", "a", "v2", "5", "6") GET("2", "a", "v2", "6")),
	    LINEAR_YES);
	assert_int_equal(
	    judge_text(CAS("1", "a", "v1", "-", "5") REFUSED("1", "a", "v2", "-", "5")), LINEAR_YES);
	assert_int_equal(
	    judge_text(PUT("1", "a", "v1", "5") PUT("1", "a", "v2", "6") CAS("1", "a", "v3", "5", "7")),
	    LINEAR_NO);
	assert_int_equal(judge_text(PUT("1", "a", "v1", "5") REFUSED("1", "a", "v2", "5", "5")), LINEAR_NO);
	assert_int_equal(judge_text(PUT("1", "a", "v1", "5") REFUSED("1", "a", "v2", "4", "-")), LINEAR_NO);
}

/* The revision that a refusal tells may be that of a write whose outcome nobody heard and whose value nobody read. */
static void revisions_of_unread_writes_are_learnt_from_refusals(void **state)
{
	(void)state;
	assert_int_equal(judge_text(PUT("1", "a", "v1", "5") LOST("2", "a", "v2")
				 REFUSED("1", "a", "v3", "5", "6") CAS("1", "a", "v4", "6", "7")),
	    LINEAR_YES);
	assert_int_equal(judge_text(PUT("1", "a", "v1", "5") REFUSED("1", "a", "v3", "5", "6")), LINEAR_NO);
	assert_int_equal(judge_text(PUT("1", "a", "v1", "5") CAS("1", "a", "v4", "6", "7")), LINEAR_NO);
}

static void what_certainly_failed_says_nothing(void **state)
{
	(void)state;
	assert_int_equal(judge_text("0 1 invoke put a v1 - - - - -\n0 1 fail put a - - - - - 503\n" GET(
			     "2", "a", "-", "-")),
	    LINEAR_YES);
	assert_int_equal(judge_text("0 1 invoke put a v1 - - - - -\n0 1 fail put a - - - - - 503\n" GET(
			     "2", "a", "v1", "5")),
	    LINEAR_NO);
	assert_int_equal(judge_text("0 1 invoke cas a v1 9 - - - -\n0 1 fail cas a - - - - - 503\n" GET(
			     "2", "a", "-", "-")),
	    LINEAR_YES);
}

static void what_is_no_history_is_not_judged(void **state)
{
	struct linear_file f;
	struct buf why = { 0 };

	(void)state;
	check_malformed("0 1 ok put a v1 5 - - - 201\n", ":1: this process has begun nothing");
	check_malformed(
	    PUT("1", "a", "v1", "5") PUT("2", "a", "v1", "6"), ":3: this value is written a second time");
	check_malformed("0 1 invoke get a - - - - - -\n0 1 invoke get a - - - - - -\n",
	    ":2: this process has not ended what it began");
	check_malformed(
	    "0 1 invoke get a - - - - - -\n0 1 ok get a v1 - - - - -\n", ":2: a value without its revision");
	check_malformed("0 1 invoke get a - - - - - -\n0 1 ok get b - - - - - -\n",
	    ":2: this is not what the process began");
	check_malformed("0 1 invoke get a\n", ":1: not eleven words");
	check_malformed("0 1 invoke get a - - - - - - -\n", ":1: not eleven words");
	check_malformed("0 1 invoke get a - - - - - -", ":1: the line is cut");
	check_malformed("0 1 invoke move a - - - - - -\n", ":1: what kind of operation is this?");
	check_malformed("0 1 happened get a - - - - - -\n", ":1: what event is this?");
	check_malformed("INFO  jepsen.util - 0\n", ":1: not PROCESS TYPE OPERATION VALUE");
	check_malformed("INFO  jepsen.util - 0 :invoke :cas 5\n", ":1: a :cas without [OLD NEW]");
	check_malformed("INFO  jepsen.util - 0 :done :read nil\n", ":1: what type is this?");
	assert_false(linear_read(&f, "/nonexistent/history", &why));
	linear_file_fini(&f);
	buf_free(&why);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_verdicts_of_others),
		cmocka_unit_test(reads_show_the_last_write),
		cmocka_unit_test(a_level_that_promises_nothing_is_not_judged),
		cmocka_unit_test(d10_a_doubled_write_is_flagged),
		cmocka_unit_test(conditions_are_on_revisions),
		cmocka_unit_test(revisions_of_unread_writes_are_learnt_from_refusals),
		cmocka_unit_test(what_certainly_failed_says_nothing),
		cmocka_unit_test(what_is_no_history_is_not_judged),
	};

	return cmocka_run_group_tests_name("linear_read", tests, NULL, NULL);
}
