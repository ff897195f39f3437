/* links: common/log.c common/buf.c common/mem.c tests/common/child.c */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include <cmocka.h>

#include "common/log.h"
#include "tests/common/child.h"

/* What run() logs, as journald would get it; valid until the next call. */
static const char *said_by(void (*run)(void *arg), int *status)
{
	static struct buf said;

	buf_free(&said);
	setenv("JOURNAL_STREAM", "8:1", 1);
	*status = child_run(run, NULL, &said);
	unsetenv("JOURNAL_STREAM");
	return buf_text(&said);
}

/* The line behind "<6>name[pid] ", whose pid nobody knows. */
static const char *after_pid(const char *line)
{
	const char *end = strstr(line, "] ");

	assert_non_null(end);
	return end + 2;
}

static void assert_says(void (*run)(void *arg), const char *expected)
{
	int status;
	const char *text = said_by(run, &status);

	assert_int_equal(status, 0);
	assert_string_equal(after_pid(text), expected);
}

static void say_facts(void *arg)
{
	(void)arg;
	log_info("became leader term=%d votes=%d/%d", 7, 2, 3);
}

static void a_line_is_a_sentence_with_facts(void **state)
{
	(void)state;
	assert_says(say_facts, "info: became leader term=7 votes=2/3\n");
}

static void say_as_http_2(void *arg)
{
	(void)arg;
	log_open("http 2");
	log_warnx("slow");
}

static void a_line_names_its_process_and_priority(void **state)
{
	int status;
	const char *text = said_by(say_as_http_2, &status);

	(void)state;
	assert_memory_equal(text, "<4>http 2[", 10);
	assert_string_equal(after_pid(text), "warning: slow\n");
}

static void say_with_errno(void *arg)
{
	(void)arg;
	errno = ENOENT;
	log_error("cannot open %s", "x");
	if (errno != ENOENT)
		log_errorx("errno was changed");
}

static void plain_functions_add_the_reason_and_keep_errno(void **state)
{
	(void)state;
	assert_says(say_with_errno, "error: cannot open x: No such file or directory\n");
}

static void say_without_errno(void *arg)
{
	(void)arg;
	errno = ENOENT;
	log_errorx("refused");
}

static void x_functions_do_not(void **state)
{
	(void)state;
	assert_says(say_without_errno, "error: refused\n");
}

static void say_forged(void *arg)
{
	(void)arg;
	log_info("key=%s", "a\n<0>forged\r\t\x1b[31m\x7f\xc3\xa4\\");
}

static void no_input_can_forge_a_line(void **state)
{
	(void)state;
	assert_says(say_forged, "info: key=a\\x0a<0>forged\\x0d\\x09\\x1b[31m\\x7f\\xc3\\xa4\\\n");
}

static void say_too_much(void *arg)
{
	char text[10000];

	(void)arg;
	memset(text, 'x', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	log_info("%s", text);
	memset(text, '\n', sizeof(text) - 1);
	errno = EIO;
	log_error("%s", text);
}

static void a_line_is_cut_at_4_kib_and_still_ends(void **state)
{
	int status;
	const char *first = said_by(say_too_much, &status), *second = strchr(first, '\n') + 1;

	(void)state;
	assert_int_equal(status, 0);
	assert_in_range(second - first, 4080, 4096);
	assert_in_range(strlen(second), 4080, 4096);
	assert_ptr_equal(strchr(second, '\n'), second + strlen(second) - 1);
}

static void say_on_all_levels(void *arg)
{
	(void)arg;
	log_debug("hidden");
	log_set_level(LOG_LEVEL_DEBUG);
	log_debug("shown");
	log_set_level(LOG_LEVEL_ERROR);
	log_warnx("hidden");
	log_info("hidden");
}

static void levels_below_the_chosen_one_are_silent(void **state)
{
	(void)state;
	assert_says(say_on_all_levels, "debug: shown\n");
}

static void on_a_terminal_a_line_begins_with_the_time(void **state)
{
	struct buf said = { 0 };
	int year, month, day, hour, minute, second, milli, pid, end = 0;

	(void)state;
	unsetenv("JOURNAL_STREAM");
	assert_int_equal(child_run(say_facts, NULL, &said), 0);
	assert_int_equal(sscanf(buf_text(&said), "%d-%d-%d %d:%d:%d.%3d holdfast[%d] info: %n", &year, &month,
			     &day, &hour, &minute, &second, &milli, &pid, &end),
	    8);
	assert_true(end > 0 && year >= 2024);
	buf_free(&said);
}

static void die(void *arg)
{
	(void)arg;
	errno = ENOSPC;
	fatal(74, "cannot sync %s", "log");
}

static void die_without_reason(void *arg)
{
	(void)arg;
	errno = ENOSPC;
	fatalx(78, "no such option");
}

static void fatal_says_why_and_ends_with_the_status(void **state)
{
	int status;

	(void)state;
	assert_string_equal(
	    after_pid(said_by(die, &status)), "error: cannot sync log: No space left on device\n");
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 74);
	assert_string_equal(after_pid(said_by(die_without_reason, &status)), "error: no such option\n");
	assert_int_equal(WEXITSTATUS(status), 78);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_line_is_a_sentence_with_facts),
		cmocka_unit_test(a_line_names_its_process_and_priority),
		cmocka_unit_test(plain_functions_add_the_reason_and_keep_errno),
		cmocka_unit_test(x_functions_do_not),
		cmocka_unit_test(no_input_can_forge_a_line),
		cmocka_unit_test(a_line_is_cut_at_4_kib_and_still_ends),
		cmocka_unit_test(levels_below_the_chosen_one_are_silent),
		cmocka_unit_test(on_a_terminal_a_line_begins_with_the_time),
		cmocka_unit_test(fatal_says_why_and_ends_with_the_status),
	};

	return cmocka_run_group_tests_name("log", tests, NULL, NULL);
}
