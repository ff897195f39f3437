/* links: common/log.c common/buf.c common/mem.c tests/common/child.c */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <pty.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/log.h"
#include "common/metric.h"
#include "tests/common/child.h"

/* As systemd does for a program whose stderr is the journal's. */
static void name_journal(void)
{
	char stream[64];
	struct stat s;

	fstat(STDERR_FILENO, &s);
	snprintf(
	    stream, sizeof(stream), "%llu:%llu", (unsigned long long)s.st_dev, (unsigned long long)s.st_ino);
	setenv("JOURNAL_STREAM", stream, 1);
}

struct speaker {
	void (*run)(void *arg);
};

static void speak_to_journal(void *arg)
{
	const struct speaker *s = arg;

	name_journal();
	s->run(NULL);
}

/* What run() logs, as journald would get it; valid until the next call. */
static const char *said_by(void (*run)(void *arg), int *status)
{
	static struct buf said;

	buf_free(&said);
	*status = child_run(speak_to_journal, &(struct speaker){ run }, &said);
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

static void assert_timed(const char *zone, const char *offset)
{
	struct buf said = { 0 };
	int year, month, day, hour, minute, second, milli, pid, end = 0;
	char shown[7];

	setenv("TZ", zone, 1);
	assert_int_equal(child_run(say_facts, NULL, &said), 0);
	assert_int_equal(sscanf(buf_text(&said), "%4d-%2d-%2dT%2d:%2d:%2d.%3d%6s holdfast[%d] info: %n",
			     &year, &month, &day, &hour, &minute, &second, &milli, shown, &pid, &end),
	    9);
	assert_true(end > 0 && year >= 2024);
	assert_string_equal(shown, offset);
	buf_free(&said);
	unsetenv("TZ");
}

static void a_line_begins_with_the_time_and_its_offset_from_utc(void **state)
{
	(void)state;
	assert_timed("UTC0", "+00:00");
	assert_timed("EARLY-05:30", "+05:30");
	assert_timed("LATE+03:30", "-03:30");
}

/* A terminal started from a user's session has the variable of the session. */
static void the_stream_of_another_process_is_not_taken_for_the_journal(void **state)
{
	(void)state;
	setenv("JOURNAL_STREAM", "8:1", 1);
	assert_timed("UTC0", "+00:00");
	unsetenv("JOURNAL_STREAM");
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

/* --- a reader that does not read --- */

/* Somewhere to write to, and how it is read. */
struct stream {
	int to, from;
};

static struct stream open_pipe(void)
{
	int ends[2];

	assert_int_equal(pipe(ends), 0);
	return (struct stream){ ends[1], ends[0] };
}

static struct stream open_socket(void)
{
	int ends[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
	return (struct stream){ ends[1], ends[0] };
}

static struct stream open_terminal(void)
{
	struct stream s;
	struct termios raw;

	assert_int_equal(openpty(&s.from, &s.to, NULL, NULL, NULL), 0);
	assert_int_equal(tcgetattr(s.to, &raw), 0);
	cfmakeraw(&raw);
	assert_int_equal(tcsetattr(s.to, TCSANOW, &raw), 0);
	return s;
}

static void close_stream(struct stream *s)
{
	close(s->to);
	close(s->from);
}

/* What is there now. */
static void drain(const struct stream *s, struct buf *to)
{
	int flags = fcntl(s->from, F_GETFL);
	ssize_t got;

	fcntl(s->from, F_SETFL, flags | O_NONBLOCK);
	while ((got = read(s->from, buf_reserve(to, 65536), 65536)) > 0)
		to->size += (size_t)got;
	fcntl(s->from, F_SETFL, flags);
}

static struct metric_counter total;

static void say_lines(int count)
{
	for (int i = 0; i < count; i++)
		log_info("line %d is followed by a text that makes it longer than many another line", i);
}

#define FLOOD 20000 /* lines, more than any of the streams takes */

struct stalled {
	struct stream stream;
	bool own; /* as the supervisor does */
	const char *failed;
};

/* The sum of all that the text says was lost. */
static unsigned long count_lost(const char *text)
{
	unsigned long lost = 0;

	for (; (text = strstr(text, "lost=")) != NULL; text++)
		lost += strtoul(text + strlen("lost="), NULL, 10);
	return lost;
}

static bool are_whole(const char *text)
{
	for (const char *at = text; *at != '\0'; at = strchr(at, '\n') + 1)
		if (strchr(at, '\n') == NULL || (at[0] != '2' && at[0] != '\n'))
			return false;
	return true;
}

static size_t count_lines(const char *text)
{
	size_t lines = 0;

	for (; (text = strstr(text, " info: line ")) != NULL; text++)
		lines++;
	return lines;
}

/* Nobody reads for a while; then somebody does, and a line is logged again. */
static void flood(void *arg)
{
	struct stalled *s = arg;
	struct buf said = { 0 };
	unsigned long lost;

	alarm(30); /* whoever blocks is killed */
	dup2(s->stream.to, STDERR_FILENO);
	if (s->own)
		log_own_stderr();
	log_count_lost(&total);
	say_lines(FLOOD);
	lost = (unsigned long)total.value;
	if (lost == 0)
		_exit(2);
	/* A terminal makes room some time after it was read. */
	while (count_lost(buf_text(&said)) < lost) {
		drain(&s->stream, &said);
		log_tell_lost();
	}
	say_lines(1);
	drain(&s->stream, &said);
	if (count_lost(buf_text(&said)) != lost || total.value != lost)
		_exit(3);
	if (count_lines(buf_text(&said)) < FLOOD - lost)
		_exit(4);
	_exit(are_whole(buf_text(&said)) ? 0 : 5);
}

static void assert_flooded(struct stream stream, bool own)
{
	struct stalled s = { .stream = stream, .own = own };
	struct buf said = { 0 };

	unsetenv("JOURNAL_STREAM");
	assert_int_equal(child_run(flood, &s, &said), 0);
	buf_free(&said);
	close_stream(&stream);
}

static void a_pipe_that_nobody_reads_blocks_nobody(void **state)
{
	(void)state;
	assert_flooded(open_pipe(), false);
	assert_flooded(open_pipe(), true);
}

static void a_socket_that_nobody_reads_blocks_nobody(void **state)
{
	(void)state;
	assert_flooded(open_socket(), false);
	assert_flooded(open_socket(), true);
}

static void a_terminal_that_nobody_reads_blocks_nobody(void **state)
{
	(void)state;
	assert_flooded(open_terminal(), true);
}

static void *say_in_thread(void *arg)
{
	(void)arg;
	say_lines(FLOOD);
	return NULL;
}

/* They all find room and go for it at once: only one may get it, and nobody may wait for more. */
static void flood_from_threads(void *arg)
{
	struct stalled *s = arg;
	pthread_t threads[4];

	alarm(30);
	dup2(s->stream.to, STDERR_FILENO);
	log_own_stderr();
	log_count_lost(&total);
	for (size_t i = 0; i < 4; i++)
		pthread_create(&threads[i], NULL, say_in_thread, NULL);
	for (size_t i = 0; i < 4; i++)
		pthread_join(threads[i], NULL);
	_exit(total.value > 0 ? 0 : 2);
}

static void threads_do_not_block_each_other_either(void **state)
{
	struct stalled s = { .stream = open_pipe() };
	struct buf said = { 0 };

	(void)state;
	assert_int_equal(child_run(flood_from_threads, &s, &said), 0);
	close_stream(&s.stream);
	buf_free(&said);
}

static void say_lost_later(void *arg)
{
	struct stalled *s = arg;
	struct buf said = { 0 };

	alarm(30);
	dup2(s->stream.to, STDERR_FILENO);
	say_lines(FLOOD);
	log_tell_lost(); /* there is no room for it */
	drain(&s->stream, &said);
	buf_clear(&said);
	log_tell_lost();
	log_tell_lost();
	drain(&s->stream, &said);
	_exit(count_lost(buf_text(&said)) > 0 && strchr(buf_text(&said), '\n')[1] == '\0' ? 0 : 2);
}

static void losses_are_told_once_though_nothing_else_is_logged(void **state)
{
	struct stalled s = { .stream = open_pipe() };
	struct buf said = { 0 };

	(void)state;
	assert_int_equal(child_run(say_lost_later, &s, &said), 0);
	close_stream(&s.stream);
	buf_free(&said);
}

static void own_stderr(void *arg)
{
	const struct stream *s = arg;

	dup2(s->to, STDERR_FILENO);
	log_own_stderr();
	_exit(fcntl(STDERR_FILENO, F_GETFL) & O_NONBLOCK ? 0 : 2);
}

static void whoever_shares_stderr_does_not_find_it_non_blocking(void **state)
{
	struct stream s[] = { open_pipe(), open_terminal() };
	struct buf said = { 0 };

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		assert_int_equal(child_run(own_stderr, &s[i], &said), 0);
		assert_int_equal(fcntl(s[i].to, F_GETFL) & O_NONBLOCK, 0);
		close_stream(&s[i]);
	}
	buf_free(&said);
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
		cmocka_unit_test(a_line_begins_with_the_time_and_its_offset_from_utc),
		cmocka_unit_test(the_stream_of_another_process_is_not_taken_for_the_journal),
		cmocka_unit_test(fatal_says_why_and_ends_with_the_status),
		cmocka_unit_test(a_pipe_that_nobody_reads_blocks_nobody),
		cmocka_unit_test(a_socket_that_nobody_reads_blocks_nobody),
		cmocka_unit_test(a_terminal_that_nobody_reads_blocks_nobody),
		cmocka_unit_test(threads_do_not_block_each_other_either),
		cmocka_unit_test(losses_are_told_once_though_nothing_else_is_logged),
		cmocka_unit_test(whoever_shares_stderr_does_not_find_it_non_blocking),
	};

	return cmocka_run_group_tests_name("log", tests, NULL, NULL);
}
