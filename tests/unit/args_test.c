/* links: daemon/args.c daemon/args_names.c common/conf.c common/conf_type.c common/conf_file.c common/conf_complete.c common/memory.c common/addr.c common/wire.c common/buf.c common/mem.c common/crc.c common/log.c common/err.c common/clock.c -linih */
#define _GNU_SOURCE
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "daemon/args.h"

#define WORDS_MAX 12

/* A line is split at blanks: what looks like NAME=VALUE before the first other word goes into the environment. */
struct line {
	char *text;
	char *argv[WORDS_MAX + 2];
	char *variables[WORDS_MAX];
};

static void begin(struct line *l, const char *line)
{
	size_t words = 1, variables = 0;
	bool more = true;

	*l = (struct line){ .text = xstrdup(line) };
	l->argv[0] = "holdfastd";
	for (char *at = strtok(l->text, " "); at != NULL; at = strtok(NULL, " ")) {
		more = more && at[0] >= 'A' && at[0] <= 'Z' && strchr(at, '=') != NULL;
		if (more) {
			assert_true(variables < WORDS_MAX);
			putenv(at);
			l->variables[variables++] = at;
		} else {
			assert_true(words < WORDS_MAX);
			l->argv[words++] = at;
		}
	}
}

static void end(struct line *l)
{
	for (size_t i = 0; i < WORDS_MAX && l->variables[i] != NULL; i++) {
		*strchr(l->variables[i], '=') = '\0';
		unsetenv(l->variables[i]);
	}
	free(l->text);
}

static struct conf *conf_of(const char *line)
{
	struct conf *c;
	struct line l;

	begin(&l, line);
	assert_int_equal(args_read(l.argv, &c, &(struct args_offline){ 0 }), ARGS_RUN);
	end(&l);
	return c;
}

/* Every spelling is another way to write what the first line of its group says. */
static void every_spelling_means_its_option(void **state)
{
	static const char *const groups[][2] = {
		{ "--node-id=n1", "--id n1" },
		{ "--node-id=n1", "-id n1" },
		{ "--node-id=n1", "-id=n1" },
		{ "--node-id=n1", "--node_id n1" },
		{ "--node-id=n1", "-node_id=n1" },
		{ "--node-id=n1", "IDENTIFIER=n1" },
		{ "--node-id=n1 --http-listen=127.0.0.2:81", "-id n1 -haddr 127.0.0.2:81" },
		{ "--node-id=n1 --http-listen=127.0.0.2:81", "-id n1 --http 127.0.0.2:81" },
		{ "--node-id=n1 --http-listen=:81", "-id n1 --port 81" },
		{ "--node-id=n1 --http-listen=:81", "-id n1 -haddr :81" },
		{ "--node-id=n1 --http-listen=:81", "PORT=81 -id n1" },
		{ "--node-id=n1 --peer-listen=127.0.0.2:91", "-id n1 -raddr 127.0.0.2:91" },
		{ "--node-id=n1 --peer-listen=127.0.0.2:91", "-id n1 --raft_addr=127.0.0.2:91" },
		{ "--node-id=n1 --peer-listen=127.0.0.2:91", "-id n1 --peer 127.0.0.2:91" },
		{ "--node-id=n1 --peer-listen=127.0.0.2:91", "-id n1 --bind 127.0.0.2:91" },
		{ "--node-id=n1 --peer-listen=127.0.0.2:91", "BIND=127.0.0.2:91 -id n1" },
		{ "--node-id=n1 --peer-listen=127.0.0.1:91", "-id n1 --raft_port 91" },
		{ "--node-id=127.0.0.2:91 --peer-listen=127.0.0.2:91", "--bind 127.0.0.2:91" },
		{ "--node-id=127.0.0.2:91 --peer-listen=127.0.0.2:91", "BIND=127.0.0.2:91" },
		{ "--node-id=n1 --cluster-join=a:1,b:2", "-id n1 -join a:1,b:2" },
		{ "--node-id=n1 --cluster-join=a:1,b:2", "-id n1 --join a:1 --join b:2" },
		{ "--node-id=n1 --cluster-join=a:1,b:2", "JOIN=a:1,b:2 -id n1" },
		{ "--node-id=n1 --cluster-bootstrap=yes", "-id n1 -bootstrap" },
		{ "--node-id=n1 --cluster-bootstrap=yes", "-id n1 --bootstrap=true" },
		{ "--node-id=n1 --cluster-bootstrap=yes", "BOOTSTRAP=True -id n1" },
		{ "--node-id=n1 --cluster-bootstrap=no", "-id n1 -bootstrap=false" },
		{ "--node-id=n1 --cluster-new-cluster=yes", "-id n1 --new-cluster" },
		{ "--node-id=n1 --cluster-new-cluster=yes", "-id n1 --new_cluster" },
		{ "--node-id=n1 --node-data=/d", "-id n1 /d" },
		{ "--node-id=n1 --node-data=/d", "/d -id n1" },
		{ "--node-id=n1 --node-data=/d", "-id n1 --data /d" },
		{ "--node-id=n1 --node-data=/d", "-id n1 --store_dir /d" },
		{ "--node-id=n1 --node-data=/d", "-id n1 --datadir=/d" },
		{ "--node-id=n1 --node-data=/d", "DATA_DIR=/d -id n1" },
		{ "--node-id=n1 --node-data=./holdfast-n1", "-id n1" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(groups) / sizeof(groups[0]); i++) {
		struct conf *a = conf_of(groups[i][0]), *b = conf_of(groups[i][1]);

		if (!conf_equal(a, b))
			fail_msg("%s is not %s", groups[i][1], groups[i][0]);
		conf_free(a);
		conf_free(b);
	}
}

static void the_defaults_are_those_that_are_promised(void **state)
{
	struct conf *c = conf_of("");
	char host[65] = "";

	(void)state;
	gethostname(host, sizeof(host) - 1);
	assert_string_equal(c->node_id, host);
	assert_string_equal(c->http_listen, "127.0.0.1:8080");
	assert_string_equal(c->http_advertise, "127.0.0.1:8080");
	assert_string_equal(c->peer_listen, "127.0.0.1:9000");
	assert_string_equal(c->peer_advertise, "127.0.0.1:9000");
	assert_string_equal(c->cluster_join, "");
	conf_free(c);
	/* Only --bind names the node, and only the last that says where it listens counts. */
	c = conf_of("BIND=127.0.0.2:91 --raddr 127.0.0.3:92");
	assert_string_equal(c->node_id, host);
	assert_string_equal(c->peer_listen, "127.0.0.3:92");
	conf_free(c);
}

static void all_addresses_are_advertised_as_one(void **state)
{
	struct conf *c = conf_of("-id n1 --port 81 --bind 0.0.0.0:91");

	(void)state;
	assert_string_equal(c->http_listen, ":81");
	assert_string_equal(c->peer_listen, "0.0.0.0:91");
	assert_true(c->http_advertise[0] != ':' && strstr(c->http_advertise, ":81") != NULL);
	assert_true(
	    strncmp(c->peer_advertise, "0.0.0.0", 7) != 0 && strstr(c->peer_advertise, ":91") != NULL);
	conf_free(c);
	/* So two machines that bind the same are not of the same name. */
	c = conf_of("--bind :91");
	assert_string_equal(c->node_id, c->peer_advertise);
	conf_free(c);
}

static void a_flag_wins_over_a_variable_and_that_over_the_file(void **state)
{
	char path[] = "/tmp/holdfast-args-XXXXXX", line[200];
	static const char content[] =
	    "[node]\nid = file\ndata = /file\n[http]\nlisten = :1\n[cluster]\njoin = file:1\n";
	int fd = mkstemp(path);
	struct conf *c;

	(void)state;
	assert_int_equal(write(fd, content, strlen(content)), strlen(content));
	close(fd);
	snprintf(line, sizeof(line),
	    "IDENTIFIER=variable PORT=2 JOIN=variable:2 -join flag:3 -c %s -haddr :3", path);
	c = conf_of(line);
	unlink(path);
	assert_string_equal(c->node_id, "variable");
	assert_string_equal(c->node_data, "/file");
	assert_string_equal(c->http_listen, ":3");
	assert_string_equal(c->cluster_join, "flag:3");
	conf_free(c);
	c = conf_of("IDENTIFIER= PORT= -id n1");
	assert_string_equal(c->http_listen, "127.0.0.1:8080");
	conf_free(c);
}

static void commands_have_their_letters_and_words(void **state)
{
	static const struct {
		const char *line;
		enum args_what what;
	} lines[] = {
		{ "-t", ARGS_TEST },
		{ "--test -id n1", ARGS_TEST },
		{ "-T", ARGS_PRINT },
		{ "--restore backup -id n1 /data", ARGS_RESTORE },
		{ "-restore=- -id n1", ARGS_RESTORE },
		{ "--recover-alone -id n1 /data", ARGS_RECOVER },
		{ "--yes --recover_alone -id n1 /data", ARGS_RECOVER },
		{ "-h", ARGS_HELP },
		{ "-help", ARGS_HELP },
		{ "--version", ARGS_VERSION },
		{ "-version", ARGS_VERSION },
		{ "-V", ARGS_BUILD },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
		struct conf *c;
		struct line l;

		begin(&l, lines[i].line);
		assert_int_equal(args_read(l.argv, &c, &(struct args_offline){ 0 }), lines[i].what);
		conf_free(c);
		end(&l);
	}
}

/* In a process of its own, since it ends it; what it says, which the caller frees. */
static char *complaint(const char *line, int *status)
{
	char text[512];
	size_t size = 0;
	ssize_t more;
	struct line l;
	struct conf *c;
	int fds[2];
	pid_t pid;

	begin(&l, line);
	assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
	pid = fork();
	if (pid == 0) {
		dup2(fds[1], STDERR_FILENO);
		args_read(l.argv, &c, &(struct args_offline){ 0 });
		_exit(0);
	}
	close(fds[1]);
	while ((more = read(fds[0], text + size, sizeof(text) - 1 - size)) > 0)
		size += (size_t)more;
	assert_int_equal(more, 0);
	close(fds[0]);
	waitpid(pid, status, 0);
	*status = WEXITSTATUS(*status);
	end(&l);
	text[size] = '\0';
	return xstrdup(text);
}

static void what_is_wrong_is_said_and_ends_it(void **state)
{
	static const struct {
		const char *line;
		int status;
		const char *said;
	} lines[] = {
		{ "-jion a:1", 64,
		    "holdfastd: there is no flag -jion; the nearest is --join (--help lists them)\n" },
		{ "--raft-elction 1s", 64,
		    "holdfastd: there is no flag --raft-elction; the nearest is --raft-election (--help "
		    "lists them)\n" },
		{ "--botstrap", 64,
		    "holdfastd: there is no flag --botstrap; the nearest is --bootstrap (--help lists "
		    "them)\n" },
		{ "---id n1", 64,
		    "holdfastd: there is no flag ---id; the nearest is --id (--help lists them)\n" },
		{ "-v", 64,
		    "holdfastd: there is no flag -v; the nearest is --version (--help lists them)\n" },
		{ "help", 64, "holdfastd: \"help\" is no command: did you mean holdfastd --help?\n" },
		{ "version", 64,
		    "holdfastd: \"version\" is no command: did you mean holdfastd --version?\n" },
		{ "recover_alone -id n1", 64,
		    "holdfastd: \"recover_alone\" is no command: did you mean holdfastd --recover-alone?\n" },
		{ "status", 64,
		    "holdfastd: \"status\" is no command: a node says how it is over HTTP: curl "
		    "http://HOST:PORT/v1/status\n" },
		{ "-id n1 dat", 64,
		    "holdfastd: \"dat\" is no flag, and there is no such data directory: to begin one there, "
		    "write ./dat (--help lists the flags)\n" },
		{ "-join", 64, "holdfastd: -join needs a value\n" },
		{ "-t=yes", 64, "holdfastd: -t=yes takes no value\n" },
		{ "--restore", 64, "holdfastd: --restore needs a value\n" },
		{ "--recover-alone=/data", 64, "holdfastd: --recover-alone=/data takes no value\n" },
		{ "--restore backup --yes", 64, "holdfastd: --yes goes with --recover-alone\n" },
		{ "--restore backup --recover-alone", 64,
		    "holdfastd: --restore and --recover-alone are two ways out; choose one\n" },
		{ "/a /b", 64, "holdfastd: \"/b\" is not expected here: the data directory is /a already\n" },
		{ "--port http", 78,
		    "holdfastd: --port: [http] listen: \":http\" is not an address like 10.0.0.1:9000, "
		    "[::1]:9000 or "
		    ":9000\n" },
		{ "PORT=0 -id n1", 78,
		    "holdfastd: PORT: [http] listen: \":0\" is not an address like 10.0.0.1:9000, [::1]:9000 "
		    "or "
		    ":9000\n" },
		{ "-join=:8080", 78,
		    "holdfastd: -join=:8080: [cluster] join: \":8080\" is not a list like host1:8080, "
		    "host2:8080\n" },
		{ "-join a:1 --new-cluster", 78,
		    "holdfastd: -join: [cluster] join: it does not go with new_cluster: join one or form "
		    "one\n" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
		int status;
		char *said = complaint(lines[i].line, &status);

		assert_string_equal(said, lines[i].said);
		assert_int_equal(status, lines[i].status);
		free(said);
	}
}

static void a_data_directory_without_a_slash_is_taken_where_it_is(void **state)
{
	char place[] = "/tmp/holdfast-args-XXXXXX", *back = getcwd(NULL, 0);
	struct conf *c;

	(void)state;
	assert_non_null(mkdtemp(place));
	assert_int_equal(chdir(place), 0);
	assert_int_equal(mkdir("dat", 0700), 0);
	c = conf_of("-id n1 dat");
	assert_string_equal(c->node_data, "dat");
	conf_free(c);
	c = conf_of("-id n1 ./new");
	assert_string_equal(c->node_data, "./new");
	conf_free(c);
	assert_int_equal(rmdir("dat"), 0);
	assert_int_equal(chdir(back), 0);
	assert_int_equal(rmdir(place), 0);
	free(back);
}

static void what_the_offline_flags_say_is_handed_on(void **state)
{
	struct args_offline o;
	struct conf *c;
	struct line l;

	(void)state;
	begin(&l, "--restore - -id n1 /data");
	assert_int_equal(args_read(l.argv, &c, &o), ARGS_RESTORE);
	assert_string_equal(o.file, "-");
	assert_string_equal(c->node_data, "/data");
	conf_free(c);
	end(&l);
	begin(&l, "/data -yes -recover-alone -id n1");
	assert_int_equal(args_read(l.argv, &c, &o), ARGS_RECOVER);
	assert_true(o.yes && o.file == NULL);
	conf_free(c);
	end(&l);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_spelling_means_its_option),
		cmocka_unit_test(the_defaults_are_those_that_are_promised),
		cmocka_unit_test(all_addresses_are_advertised_as_one),
		cmocka_unit_test(a_flag_wins_over_a_variable_and_that_over_the_file),
		cmocka_unit_test(commands_have_their_letters_and_words),
		cmocka_unit_test(a_data_directory_without_a_slash_is_taken_where_it_is),
		cmocka_unit_test(what_the_offline_flags_say_is_handed_on),
		cmocka_unit_test(what_is_wrong_is_said_and_ends_it),
	};

	return cmocka_run_group_tests_name("args", tests, NULL, NULL);
}
