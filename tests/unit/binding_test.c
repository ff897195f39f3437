/* links: common/binding.c common/names.c common/addr.c common/loop.c common/lane.c common/lane_thread.c common/clock.c common/buf.c common/mem.c common/log.c common/err.c tests/common/child.c -levent_core */
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <sysexits.h>

#include <cmocka.h>

#include "common/binding.h"
#include "common/loop.h"
#include "tests/common/child.h"

/* What a machine is like that boots: what each attempt to listen comes to, and how often the resolver has no answer. */
static struct machine {
	const int *errors; /* until the first 0 */
	int unresolved;
	struct loop *loop;
	struct binding *binding;
	size_t attempts, waits;
	uint16_t port; /* of the last attempt */
} m;

/* In place of the resolver: nobody is asked. */
int getaddrinfo(const char *host, const char *port, const struct addrinfo *hints, struct addrinfo **out)
{
	static struct sockaddr_in to;
	static struct addrinfo one;
	bool is_numeric = host[0] >= '0' && host[0] <= '9';

	if (!is_numeric && ((hints->ai_flags & AI_NUMERICHOST) != 0 || m.unresolved-- > 0))
		return EAI_NONAME;
	to = (struct sockaddr_in){ .sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(port)) };
	one = (struct addrinfo){ .ai_addr = (struct sockaddr *)&to, .ai_addrlen = sizeof(to) };
	*out = &one;
	return 0;
}

void freeaddrinfo(struct addrinfo *list)
{
	(void)list;
}

static int attempt(void *arg, const struct address *a)
{
	const struct sockaddr_in *to = (const struct sockaddr_in *)&a->storage;

	(void)arg;
	m.port = ntohs(to->sin_port);
	return m.errors[m.attempts++];
}

static void on_wait(void *arg, const char *what)
{
	(void)arg;
	assert_string_equal(what, "waiting to listen on later:80 ([http] listen)");
	m.waits++;
}

static void on_over(void *arg)
{
	(void)arg;
	binding_free(m.binding);
	loop_stop(m.loop);
}

static const struct binding_events events = { .attempt = attempt, .waits = on_wait, .over = on_over };

static void bind_on(const char *where, const int *errors, int unresolved)
{
	m = (struct machine){ .errors = errors, .unresolved = unresolved, .loop = loop_new() };
	m.binding = binding_new(m.loop, where, "[http] listen", &events, NULL);
	loop_run(m.loop);
	loop_free(m.loop);
}

static void a_number_is_not_looked_up(void **state)
{
	(void)state;
	bind_on("127.0.0.1:8080", (int[]){ 0 }, 1000);
	assert_int_equal(m.attempts, 1);
	assert_int_equal(m.waits, 0);
	assert_int_equal(m.port, 8080);
	assert_int_equal(m.unresolved, 1000);
}

static void a_name_is_tried_until_it_resolves(void **state)
{
	(void)state;
	bind_on("later:80", (int[]){ 0 }, 3);
	assert_int_equal(m.waits, 3);
	assert_int_equal(m.attempts, 1);
	assert_int_equal(m.port, 80);
}

static void an_address_is_tried_until_an_interface_has_it(void **state)
{
	(void)state;
	bind_on("later:80", (int[]){ EADDRNOTAVAIL, EADDRNOTAVAIL, 0 }, 0);
	assert_int_equal(m.waits, 2);
	assert_int_equal(m.attempts, 3);
	assert_int_equal(m.unresolved, -3); /* it may be another one when it is asked for again */
}

static void a_port_is_waited_for_while_its_owner_dies(void **state)
{
	(void)state;
	bind_on("later:80", (int[]){ EADDRINUSE, EADDRINUSE, EADDRINUSE, 0 }, 0);
	assert_int_equal(m.waits, 1);
	assert_int_equal(m.attempts, 4);
	assert_int_equal(m.unresolved, -1);
}

struct refusal {
	int error, status;
	const char *said;
};

static void be_refused(void *arg)
{
	const struct refusal *r = arg;

	bind_on("10.0.0.1:80", (int[]){ r->error }, 0);
}

static void what_is_impossible_ends_the_process_with_a_reason(void **state)
{
	static struct refusal all[] = {
		{ EACCES, EX_NOPERM, "cannot listen on 10.0.0.1:80 ([http] listen): Permission denied" },
		{ EINVAL, EX_CONFIG, "cannot listen on 10.0.0.1:80 ([http] listen): Invalid argument" },
	};

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		struct buf said = { 0 };
		int status = child_run(be_refused, &all[i], &said);

		assert_true(WIFEXITED(status));
		assert_int_equal(WEXITSTATUS(status), all[i].status);
		assert_non_null(strstr(buf_text(&said), all[i].said));
		buf_free(&said);
	}
}

static void say_all(void *arg)
{
	(void)arg;
	bind_on("later:80", (int[]){ EADDRNOTAVAIL, EADDRNOTAVAIL, 0 }, 2);
}

static size_t count(const char *text, const char *what)
{
	size_t times = 0;

	for (; (text = strstr(text, what)) != NULL; text++)
		times++;
	return times;
}

static void each_reason_to_wait_is_logged_once(void **state)
{
	struct buf said = { 0 };

	(void)state;
	assert_int_equal(child_run(say_all, NULL, &said), 0);
	assert_int_equal(count(buf_text(&said),
			     "warning: cannot listen on later:80 ([http] listen) yet, trying again: its "
			     "name does not resolve: Name or service not known"),
	    1);
	assert_int_equal(
	    count(buf_text(&said), "trying again: no interface of this machine has that address"), 1);
	assert_int_equal(count(buf_text(&said), "info: listens on later:80 ([http] listen) now"), 1);
	assert_int_equal(count(buf_text(&said), "\n"), 3);
	buf_free(&said);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_number_is_not_looked_up),
		cmocka_unit_test(a_name_is_tried_until_it_resolves),
		cmocka_unit_test(an_address_is_tried_until_an_interface_has_it),
		cmocka_unit_test(a_port_is_waited_for_while_its_owner_dies),
		cmocka_unit_test(what_is_impossible_ends_the_process_with_a_reason),
		cmocka_unit_test(each_reason_to_wait_is_logged_once),
	};

	return cmocka_run_group_tests_name("binding", tests, NULL, NULL);
}
