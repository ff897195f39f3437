/* links: daemon/reload.c common/conf.c common/conf_type.c common/conf_file.c common/conf_complete.c common/memory.c common/addr.c common/wire.c common/buf.c common/mem.c common/crc.c common/log.c common/err.c common/clock.c -linih */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "daemon/reload.h"

/* The plan for this one change; *told is freed by the caller. */
static enum err plan_for(
    const char *section, const char *name, const char *value, struct reload *plan, struct buf *told)
{
	struct conf *from = conf_new(), *to = conf_new();
	enum err e;

	assert_int_equal(conf_set(to, section, name, value, told), ERR_OK);
	e = reload_plan(from, to, plan, told);
	conf_free(from);
	conf_free(to);
	return e;
}

static void assert_plan(const char *section, const char *name, const char *value, bool http, bool consensus)
{
	struct buf told = { 0 };
	struct reload plan;

	assert_int_equal(plan_for(section, name, value, &plan, &told), ERR_OK);
	assert_int_equal(plan.changes, 1);
	assert_int_equal(plan.replace_http, http);
	assert_int_equal(plan.replace_consensus, consensus);
	buf_free(&told);
}

static void each_effect_has_its_consequence(void **state)
{
	(void)state;
	assert_plan("log", "level", "debug", false, false);
	assert_plan("http", "workers", "3", false, false);
	assert_plan("http", "connections_max", "10", true, false);
	assert_plan("raft", "election", "2s", false, true);
	assert_plan("limits", "request_bytes", "1GiB", true, true);
}

static void no_change_asks_for_nothing(void **state)
{
	struct conf *c = conf_new();
	struct buf told = { 0 };
	struct reload plan;

	(void)state;
	assert_int_equal(reload_plan(c, c, &plan, &told), ERR_OK);
	assert_int_equal(plan.changes, 0);
	assert_string_equal(buf_text(&told), "");
	buf_free(&told);
	conf_free(c);
}

static void what_changes_is_told(void **state)
{
	struct buf told = { 0 };
	struct reload plan;

	(void)state;
	assert_int_equal(plan_for("log", "level", "debug", &plan, &told), ERR_OK);
	assert_string_equal(buf_text(&told), "[log] level = debug (info)");
	buf_free(&told);
}

static void what_cannot_change_is_refused_whatever_else_does(void **state)
{
	static const char content[] = "[log]\nlevel = debug\n[node]\nid = b\n";
	char path[] = "/tmp/hf-reload-XXXXXX";
	struct conf *from = conf_new(), *to = conf_new();
	struct buf told = { 0 }, expected = { 0 };
	int fd = mkstemp(path);
	struct reload plan;

	(void)state;
	assert_int_equal(write(fd, content, strlen(content)), strlen(content));
	close(fd);
	assert_int_equal(conf_set(from, "node", "id", "a", &told), ERR_OK);
	assert_int_equal(conf_read(to, path, &told), ERR_OK);
	unlink(path);
	assert_int_equal(reload_plan(from, to, &plan, &told), ERR_BAD_REQUEST);
	buf_printf(&expected,
	    "%s:4: [node] id: it cannot change while the node runs; it is \"a\", and would be \"b\"", path);
	assert_string_equal(buf_text(&told), buf_text(&expected));
	buf_free(&told);
	buf_free(&expected);
	conf_free(from);
	conf_free(to);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_effect_has_its_consequence),
		cmocka_unit_test(no_change_asks_for_nothing),
		cmocka_unit_test(what_changes_is_told),
		cmocka_unit_test(what_cannot_change_is_refused_whatever_else_does),
	};

	return cmocka_run_group_tests_name("reload", tests, NULL, NULL);
}
