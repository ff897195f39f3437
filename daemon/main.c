#define _GNU_SOURCE
#include <fcntl.h>
#include <linux/close_range.h>
#include <signal.h>
#include <stdio.h>
#include <sysexits.h>
#include <unistd.h>

#include "config.h"
#include "daemon/args.h"
#include "daemon/offline.h"
#include "daemon/supervisor.h"

/* Descriptors 0 to 2 must stand for something, or a socket would take their place and get our log lines; what else
 * whoever started us left open is not for the workers. */
static void tidy_descriptors(void)
{
	int fd;

	while ((fd = open("/dev/null", O_RDWR)) != -1 && fd <= STDERR_FILENO)
		;
	if (fd != -1)
		close(fd);
	close_range(STDERR_FILENO + 1, ~0u, CLOSE_RANGE_CLOEXEC);
}

static void print_conf(const struct conf *c)
{
	struct buf text = { 0 };

	conf_print(c, &text);
	fputs(buf_text(&text), stdout);
	buf_free(&text);
}

static int run(struct conf *c, char **argv)
{
	signal(SIGPIPE, SIG_IGN);
	log_own_stderr();
	log_open("supervisor");
	log_set_level(c->log_level);
	return supervise(c, argv);
}

int main(int argc, char **argv)
{
	struct args_offline offline;
	struct conf *c;
	int status = EX_OK;
	enum args_what what;

	(void)argc;
	tidy_descriptors();
	switch (what = args_read(argv, &c, &offline)) {
	case ARGS_RUN:
		return run(c, argv);
	case ARGS_TEST:
		puts("the configuration is good");
		break;
	case ARGS_PRINT:
		print_conf(c);
		break;
	case ARGS_RESTORE:
	case ARGS_RECOVER:
	case ARGS_YES:
		offline_run(c, what, &offline);
	case ARGS_HELP:
		args_print_help(stdout);
		break;
	case ARGS_VERSION:
		puts(PACKAGE_NAME " " PACKAGE_VERSION);
		break;
	case ARGS_BUILD:
		puts(PACKAGE_NAME " " PACKAGE_VERSION "\nbuilt by a C compiler of version " __VERSION__);
		break;
	}
	conf_free(c);
	return status;
}
