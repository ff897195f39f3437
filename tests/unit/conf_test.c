/* links: common/conf.c common/conf_type.c common/conf_file.c common/conf_complete.c common/memory.c common/addr.c common/wire.c common/buf.c common/mem.c common/crc.c common/log.c common/err.c common/clock.c -linih */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/addr.h"
#include "common/conf.h"

/* Sets one option of a fresh configuration; what is wrong with it, or "". The caller frees it. */
static char *complaint(const char *section, const char *name, const char *value)
{
	struct conf *c = conf_new();
	struct buf why = { 0 };
	enum err e = conf_set(c, section, name, value, &why);
	char *text = xstrdup(buf_text(&why));

	assert_int_equal(e, text[0] == '\0' ? ERR_OK : ERR_BAD_REQUEST);
	conf_free(c);
	buf_free(&why);
	return text;
}

static void assert_complaint(const char *section, const char *name, const char *value, const char *expected)
{
	char *text = complaint(section, name, value);

	assert_string_equal(text, expected);
	free(text);
}

/* Reads a file with this content; what is wrong with it, from the file's name on, or "". The caller frees it. */
static char *read_content(struct conf *c, struct bytes content)
{
	char path[] = "/tmp/holdfast-conf-XXXXXX";
	struct buf why = { 0 };
	int fd = mkstemp(path);
	char *text;

	assert_int_equal(write(fd, content.data, content.size), content.size);
	close(fd);
	conf_read(c, path, &why);
	unlink(path);
	text = xstrdup(buf_text(&why));
	buf_free(&why);
	if (text[0] != '\0') {
		assert_memory_equal(text, path, strlen(path));
		memmove(text, text + strlen(path), strlen(text + strlen(path)) + 1);
	}
	return text;
}

static void assert_refused(const char *content, const char *expected)
{
	struct conf *c = conf_new();
	char *text = read_content(c, bytes_text(content));

	assert_string_equal(text, expected);
	free(text);
	conf_free(c);
}

static void defaults_are_there(void **state)
{
	struct conf *c = conf_new();

	(void)state;
	assert_int_equal(c->raft_election.ns, span_ms(500).ns);
	assert_int_equal(c->log_segment, 64 << 20);
	assert_int_equal(c->limits_requests, 65536);
	assert_string_equal(c->http_listen, "127.0.0.1:8080");
	assert_int_equal(c->log_level, LOG_LEVEL_INFO);
	assert_int_equal(c->http_on_follower, FOLLOWER_AS_DOCUMENTED);
	assert_false(c->cluster_new_cluster);
	conf_free(c);
}

static void every_type_is_read(void **state)
{
	struct conf *c = conf_new();
	struct buf why = { 0 };

	(void)state;
	assert_int_equal(conf_set(c, "node", "id", "alpha", &why), ERR_OK);
	assert_int_equal(conf_set(c, "limits", "requests", "17", &why), ERR_OK);
	assert_int_equal(conf_set(c, "limits", "request", "2m", &why), ERR_OK);
	assert_int_equal(conf_set(c, "log", "segment", "256KiB", &why), ERR_OK);
	assert_int_equal(conf_set(c, "cluster", "new_cluster", "true", &why), ERR_OK);
	assert_int_equal(conf_set(c, "http", "listen", "[::1]:80", &why), ERR_OK);
	assert_int_equal(conf_set(c, "cluster", "members", "a=x:1,b=[::1]:2", &why), ERR_OK);
	assert_int_equal(conf_set(c, "cluster", "members", " c = y:3 ", &why), ERR_OK);
	assert_int_equal(conf_set(c, "log", "level", "debug", &why), ERR_OK);
	assert_int_equal(conf_set(c, "http", "on_follower", "redirect", &why), ERR_OK);
	assert_string_equal(c->node_id, "alpha");
	assert_int_equal(c->limits_requests, 17);
	assert_int_equal(c->limits_request.ns, span_ms(120000).ns);
	assert_int_equal(c->log_segment, 256 << 10);
	assert_true(c->cluster_new_cluster);
	assert_string_equal(c->http_listen, "[::1]:80");
	assert_string_equal(c->cluster_members, "a=x:1, b=[::1]:2, c=y:3");
	assert_int_equal(c->log_level, LOG_LEVEL_DEBUG);
	assert_int_equal(c->http_on_follower, FOLLOWER_REDIRECT);
	conf_free(c);
	buf_free(&why);
}

static void what_is_wrong_is_said(void **state)
{
	(void)state;
	assert_complaint("raft", "election", "500",
	    "[raft] election: \"500\" is not a time with its unit like 500ms, 10s, 2m, 1h");
	assert_complaint("raft", "election", "-1s",
	    "[raft] election: \"-1s\" is not a time with its unit like 500ms, 10s, 2m, 1h");
	assert_complaint("raft", "election", "1ms", "[raft] election: 1ms is not between 30ms and 60s");
	assert_complaint("raft", "election", "99999999999999999999s",
	    "[raft] election: \"99999999999999999999s\" is not a time with its unit like 500ms, 10s, 2m, 1h");
	assert_complaint("log", "segment", "64 KiB",
	    "[log] segment: \"64 KiB\" is not a number of bytes like 4096, 64KiB, 2MiB, 1GiB");
	assert_complaint("log", "segment", "63KiB", "[log] segment: 63KiB is not between 64KiB and 1GiB");
	assert_complaint("limits", "requests", "0x10", "[limits] requests: \"0x10\" is not a whole number");
	assert_complaint(
	    "cluster", "new_cluster", "maybe", "[cluster] new_cluster: \"maybe\" is neither yes nor no");
	assert_complaint("http", "on_follower", "hide",
	    "[http] on_follower: \"hide\" is none of as-documented, forward, redirect");
	assert_complaint("http", "dialects", "m2, raft",
	    "[http] dialects: \"raft\" is none of m2, hraft, raftdb, raft-kv-demo, raft-kv-example, and all "
	    "and "
	    "none stand alone");
	assert_complaint("http", "dialects", "none, m2",
	    "[http] dialects: \"none\" is none of m2, hraft, raftdb, raft-kv-demo, raft-kv-example, and all "
	    "and "
	    "none stand alone");
	assert_complaint("http", "dialects", "",
	    "[http] dialects: \"\" is none of m2, hraft, raftdb, raft-kv-demo, raft-kv-example, and all and "
	    "none "
	    "stand alone");
	assert_complaint("log", "level", "loud", "[log] level: \"loud\" is none of error, warn, info, debug");
	assert_complaint(
	    "node", "id", "a;b", "[node] id: a semicolon or control character does not belong there");
	assert_complaint("node", "id", " a", "[node] id: blanks at the start or end do not belong there");
	assert_complaint("http", "listen", "here",
	    "[http] listen: \"here\" is not an address like 10.0.0.1:9000, [::1]:9000 or :9000");
	assert_complaint("cluster", "members", "n1=:9000",
	    "[cluster] members: \"n1=:9000\" is not a list like n1=host1:9000, n2=host2:9000");
}

static void the_nearest_option_is_named(void **state)
{
	(void)state;
	assert_complaint(
	    "raft", "elction", "1s", "there is no option [raft] elction; the nearest is [raft] election");
	assert_complaint(
	    "http", "election", "1s", "there is no option [http] election; the nearest is [raft] election");
	assert_complaint(
	    "htp", "listen", ":1", "there is no option [htp] listen; the nearest is [http] listen");
}

static void a_file_is_read(void **state)
{
	struct conf *c = conf_new();
	char *text = read_content(c, bytes_text("# a comment\n"
						"[node]\n"
						"  id = n1 ; the first\n"
						"\n"
						"[cluster]\r\n"
						"members = n1=a:1, n2=b:2\r\n"
						"members = n3=c:3\n"
						"[raft]\n"
						"\telection: 1s"));

	(void)state;
	assert_string_equal(text, "");
	assert_string_equal(c->node_id, "n1");
	assert_string_equal(c->cluster_members, "n1=a:1, n2=b:2, n3=c:3");
	assert_int_equal(c->raft_election.ns, span_ms(1000).ns);
	free(text);
	conf_free(c);
}

static void a_bad_file_is_refused_with_its_line(void **state)
{
	(void)state;
	assert_refused("[raft]\n\nelection = soon\n",
	    ":3: [raft] election: \"soon\" is not a time with its unit like 500ms, 10s, 2m, 1h");
	assert_refused("[raft]\nelektion = 1s\n[node]\nod = 1\n",
	    ":2: there is no option [raft] elektion; the nearest is [raft] election");
	assert_refused("id = n1\n", ":1: there is no option [] id; the nearest is [node] id");
	assert_refused("[node]\nid = n1\nid = n2\n", ":3: [node] id was given in line 2 already");
	assert_refused("[node]\nid\n", ":2: this is neither [section] nor name = value");
	assert_refused("[node]\nid = n1 # the first\n",
	    ":2: a comment stands on a line of its own, not after a value: n1 # the first");
	assert_refused("[raft]\nelection = # soon\n",
	    ":2: a comment stands on a line of its own, not after a value: # soon");
	assert_refused("[node\nid = 1\n", ":1: this is neither [section] nor name = value");
}

static void a_long_line_is_refused_not_cut_in_two(void **state)
{
	struct buf content = { 0 };
	char *text;

	(void)state;
	buf_append_text(&content, "[node]\nid = n1\n# ");
	memset(buf_extend(&content, 5000), 'x', 5000);
	buf_append_text(&content, "\n");
	text = (char *)buf_text(&content);
	assert_refused(text, ":3: the line is longer than 4095 bytes");
	buf_free(&content);
}

static void a_line_of_400_bytes_is_read_whole(void **state)
{
	struct conf *c = conf_new();
	struct buf content = { 0 };
	char *text;

	(void)state;
	buf_append_text(&content, "[node]\ndata = /");
	memset(buf_extend(&content, 400), 'x', 400);
	text = read_content(c, buf_bytes(&content));
	assert_string_equal(text, "");
	assert_int_equal(strlen(c->node_data), 401);
	free(text);
	buf_free(&content);
	conf_free(c);
}

static void a_nul_is_refused(void **state)
{
	struct conf *c = conf_new();
	char *text = read_content(c, bytes_of("[node]\nid = n\0001\n", 16));

	(void)state;
	assert_string_equal(text, ":2: there is a NUL in the line");
	free(text);
	conf_free(c);
}

static void a_missing_file_is_named(void **state)
{
	struct conf *c = conf_new();
	struct buf why = { 0 };

	(void)state;
	assert_int_equal(conf_read(c, "/nonexistent/holdfast.conf", &why), ERR_NOT_FOUND);
	assert_string_equal(buf_text(&why), "/nonexistent/holdfast.conf: No such file or directory");
	buf_free(&why);
	conf_free(c);
}

static void a_directory_without_a_configuration_is_no_configuration(void **state)
{
	char place[] = "/tmp/holdfast-conf-XXXXXX", *parts, *said;
	struct conf *c = conf_new();
	struct buf why = { 0 };

	(void)state;
	assert_non_null(mkdtemp(place));
	parts = xasprintf("%s/conf.d", place);
	assert_int_equal(mkdir(parts, 0700), 0);
	assert_int_equal(conf_read(c, place, &why), ERR_NOT_FOUND);
	said = xasprintf(
	    "%s: the directory holds no configuration: neither holdfast.conf nor conf.d/NAME.conf", place);
	assert_string_equal(buf_text(&why), said);
	free(said);
	buf_free(&why);
	rmdir(parts);
	free(parts);
	rmdir(place);
	conf_free(c);
}

static struct conf *unusual_conf(void)
{
	struct conf *c = conf_new();
	struct buf why = { 0 };

	assert_int_equal(conf_set(c, "node", "id", "n2", &why), ERR_OK);
	assert_int_equal(conf_set(c, "raft", "election", "1500ms", &why), ERR_OK);
	assert_int_equal(conf_set(c, "raft", "heartbeat", "123456us", &why), ERR_OK);
	assert_int_equal(conf_set(c, "log", "segment", "65537", &why), ERR_OK);
	assert_int_equal(conf_set(c, "http", "listen", ":81", &why), ERR_OK);
	assert_int_equal(conf_set(c, "cluster", "members", "n1=a:1,n2=b:2", &why), ERR_OK);
	assert_int_equal(conf_set(c, "peer", "listen", ":2", &why), ERR_OK);
	assert_int_equal(conf_set(c, "cluster", "new_cluster", "1", &why), ERR_OK);
	assert_int_equal(conf_set(c, "log", "level", "error", &why), ERR_OK);
	assert_int_equal(conf_complete(c, &why), ERR_OK);
	buf_free(&why);
	return c;
}

static void what_is_printed_reads_as_equal(void **state)
{
	struct conf *c = unusual_conf(), *again = conf_new();
	struct buf printed = { 0 }, why = { 0 };
	char *text;

	(void)state;
	conf_print(c, &printed);
	text = read_content(again, buf_bytes(&printed));
	assert_string_equal(text, "");
	assert_true(conf_equal(c, again));
	assert_int_equal(conf_complete(again, &why), ERR_OK);
	assert_true(conf_equal(c, again));
	free(text);
	buf_free(&printed);
	conf_free(again);
	conf_free(c);
}

static void what_is_encoded_decodes_as_equal(void **state)
{
	struct conf *c = unusual_conf(), *preset = conf_new(), *again;
	struct buf encoded = { 0 };

	(void)state;
	conf_encode(c, &encoded);
	assert_int_equal(conf_decode(buf_bytes(&encoded), &again), ERR_OK);
	assert_true(conf_equal(c, again));
	assert_false(conf_equal(c, preset));
	conf_free(again);
	for (size_t size = 0; size < encoded.size; size++)
		assert_int_equal(conf_decode(bytes_of(encoded.data, size), &again), ERR_MALFORMED);
	buf_append_text(&encoded, "x");
	assert_int_equal(conf_decode(buf_bytes(&encoded), &again), ERR_MALFORMED);
	buf_free(&encoded);
	conf_free(preset);
	conf_free(c);
}

static void completing_fills_in_what_follows(void **state)
{
	struct conf *c = unusual_conf();
	char *path = conf_socket_path(c, 3);

	(void)state;
	assert_string_equal(c->node_data, "./holdfast-n2");
	assert_string_equal(c->node_run, "./holdfast-n2/run");
	assert_string_equal(path, "./holdfast-n2/run/http-3.sock");
	assert_string_equal(c->peer_advertise, "b:2");
	assert_int_not_equal(c->http_advertise[0], ':');
	assert_true(c->http_workers >= 1);
	assert_in_range(c->state_cache, UINT64_C(64) << 20, UINT64_C(256) << 20);
	free(path);
	conf_free(c);
}

static void a_deep_data_directory_has_its_sockets_aside(void **state)
{
	struct conf *c = conf_new();
	struct buf why = { 0 };
	char deep[120] = "/";

	(void)state;
	memset(deep + 1, 'd', sizeof(deep) - 2);
	assert_int_equal(conf_set(c, "node", "id", "n1", &why), ERR_OK);
	assert_int_equal(conf_set(c, "node", "data", deep, &why), ERR_OK);
	setenv("XDG_RUNTIME_DIR", "/run/user/7", 1);
	assert_int_equal(conf_complete(c, &why), ERR_OK);
	assert_memory_equal(c->node_run, "/run/user/7/holdfast-", 21);
	unsetenv("XDG_RUNTIME_DIR");
	assert_int_equal(conf_set(c, "node", "run", "", &why), ERR_OK);
	assert_int_equal(conf_complete(c, &why), ERR_BAD_REQUEST);
	assert_non_null(strstr(buf_text(&why), "would have paths over 100 bytes; name a shorter directory"));
	buf_free(&why);
	conf_free(c);
}

static void assert_disagree(const char *section, const char *name, const char *value, const char *expected)
{
	struct conf *c = conf_new();
	struct buf why = { 0 };

	assert_int_equal(conf_set(c, "node", "id", "n1", &why), ERR_OK);
	assert_int_equal(conf_set(c, section, name, value, &why), ERR_OK);
	assert_int_equal(conf_complete(c, &why), ERR_BAD_REQUEST);
	assert_string_equal(buf_text(&why), expected);
	buf_free(&why);
	conf_free(c);
}

static bool overlap(const char *one, const char *other)
{
	struct addr a, b;

	assert_true(addr_parse(bytes_text(one), &a) && addr_parse(bytes_text(other), &b));
	assert_int_equal(addr_overlap(&a, &b), addr_overlap(&b, &a));
	return addr_overlap(&a, &b);
}

static void two_addresses_overlap_where_only_one_can_be_listened_on(void **state)
{
	(void)state;
	assert_true(overlap("10.0.0.1:80", "10.0.0.1:080"));
	assert_true(overlap(":80", "10.0.0.1:80"));
	assert_true(overlap(":80", "[::1]:80"));
	assert_true(overlap("[::]:80", "10.0.0.1:80"));
	assert_true(overlap("0.0.0.0:80", "10.0.0.1:80"));
	assert_true(overlap("0.0.0.0:80", "[::]:80"));
	assert_true(overlap("0.0.0.0:80", "n1.example:80"));
	assert_true(overlap("[::1]:80", "[0:0::1]:80"));
	assert_true(overlap("localhost:80", "127.0.0.1:80"));
	assert_true(overlap("n1.example:80", "N1.example:80"));
	assert_false(overlap(":80", ":81"));
	assert_false(overlap("10.0.0.1:80", "10.0.0.2:80"));
	assert_false(overlap("0.0.0.0:80", "[::1]:80"));
	assert_false(overlap("127.0.0.1:80", "[::1]:80"));
	assert_false(overlap("n1.example:80", "n2.example:80"));
}

static void options_must_agree(void **state)
{
	(void)state;
	assert_disagree(
	    "raft", "election", "299ms", "[raft] election: it must be three times [raft] heartbeat at least");
	assert_disagree("limits", "value", "3MiB", "[limits] value: it must not be over [http] body_max");
	assert_disagree("peer", "listen", ":8080",
	    "the default ([http] listen = 127.0.0.1:8080) and the default ([peer] listen = :8080) are the "
	    "same "
	    "port of this machine: HTTP clients and the other nodes need one each; change either");
	assert_disagree(
	    "cluster", "members", "n2=b:2, n3=c:3", "[cluster] members: this node, n1, is not among them");
	assert_disagree("cluster", "members", "n1=b:9001, n2=c:9000",
	    "[cluster] members: this node, n1, is listed at b:9001 and [peer] listen is 127.0.0.1:9000: "
	    "correct "
	    "the list, or say in [peer] advertise where the others reach it");
	assert_disagree("cluster", "members", "n1=b:2, n2=b:2", "[cluster] members: n1=b:2 is there twice");
	assert_disagree(
	    "node", "id", "a b", "[node] id: \"a b\" is no name: blanks and = , / do not belong there");
	assert_disagree("state", "cache", "1023KiB", "[state] cache: it must be 1MiB at least, or 0");
	assert_disagree("peer", "advertise", ":9", "[peer] advertise: it needs a host that others can reach");
}

static void addresses_are_taken_apart(void **state)
{
	struct sockaddr_storage to;
	socklen_t size;
	struct addr a;

	(void)state;
	assert_true(addr_parse(bytes_text("[::1]:8080"), &a));
	assert_string_equal(a.host, "::1");
	assert_string_equal(a.port, "8080");
	assert_true(addr_parse(bytes_text(":1"), &a));
	assert_string_equal(a.host, "");
	assert_int_equal(addr_resolve(&a, &to, &size), ERR_OK);
	assert_true(addr_parse(bytes_text("127.0.0.1:65535"), &a));
	assert_int_equal(addr_resolve(&a, &to, &size), ERR_OK);
	assert_int_equal(to.ss_family, AF_INET);
	assert_false(addr_parse(bytes_text(""), &a));
	assert_false(addr_parse(bytes_text("a"), &a));
	assert_false(addr_parse(bytes_text("a:"), &a));
	assert_false(addr_parse(bytes_text("a:0"), &a));
	assert_false(addr_parse(bytes_text("a:65536"), &a));
	assert_false(addr_parse(bytes_text("a:123456"), &a));
	assert_false(addr_parse(bytes_text("::1:80"), &a));
	assert_false(addr_parse(bytes_text("[]:80"), &a));
	assert_false(addr_parse(bytes_text("http://a:80"), &a));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(defaults_are_there),
		cmocka_unit_test(every_type_is_read),
		cmocka_unit_test(what_is_wrong_is_said),
		cmocka_unit_test(the_nearest_option_is_named),
		cmocka_unit_test(a_file_is_read),
		cmocka_unit_test(a_bad_file_is_refused_with_its_line),
		cmocka_unit_test(a_long_line_is_refused_not_cut_in_two),
		cmocka_unit_test(a_line_of_400_bytes_is_read_whole),
		cmocka_unit_test(a_nul_is_refused),
		cmocka_unit_test(a_missing_file_is_named),
		cmocka_unit_test(a_directory_without_a_configuration_is_no_configuration),
		cmocka_unit_test(what_is_printed_reads_as_equal),
		cmocka_unit_test(what_is_encoded_decodes_as_equal),
		cmocka_unit_test(completing_fills_in_what_follows),
		cmocka_unit_test(a_deep_data_directory_has_its_sockets_aside),
		cmocka_unit_test(two_addresses_overlap_where_only_one_can_be_listened_on),
		cmocka_unit_test(options_must_agree),
		cmocka_unit_test(addresses_are_taken_apart),
	};

	unsetenv("RUNTIME_DIRECTORY");
	unsetenv("STATE_DIRECTORY");
	unsetenv("XDG_RUNTIME_DIR");
	return cmocka_run_group_tests_name("conf", tests, NULL, NULL);
}
