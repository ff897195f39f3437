#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sysexits.h>
#include <unistd.h>

#include "common/log.h"
#include "worker/offline.h"
#include "worker/replica/replica.h"
#include "worker/store/store.h"

#define CONF_VARIABLE "HOLDFAST_CONF"

bool offline_is_wanted(void)
{
	return getenv(CONF_VARIABLE) != NULL;
}

static struct conf *take_conf(void)
{
	struct buf text = { 0 };
	struct stat st;
	struct conf *c;
	int fd = atoi(getenv(CONF_VARIABLE));

	if (fstat(fd, &st) == -1)
		fatal(
		    EX_USAGE, "descriptor %d was not handed on; workers are started by holdfastd alone", fd);
	buf_extend(&text, (size_t)st.st_size);
	if (pread(fd, text.data, text.size, 0) != st.st_size || conf_decode(buf_bytes(&text), &c) != ERR_OK)
		fatalx(EX_SOFTWARE,
		    "the configuration cannot be read; supervisor and worker are of different builds");
	close(fd);
	unsetenv(CONF_VARIABLE);
	buf_free(&text);
	return c;
}

static struct offline open_directory(const struct conf *c)
{
	struct offline o = { .conf = c, .http = xasprintf("http://%s", c->http_advertise) };
	struct store_options state = {
		.data_dir = c->node_data,
		.cache_bytes = c->state_cache,
		.log_file_bytes = (uint32_t)replica_state_log_bytes(c->log_segment),
	};

	o.disk = disk_posix_new(c->node_data);
	if (o.disk == NULL)
		fatalx(EX_CONFIG, "there is no data directory %s", c->node_data);
	o.tables = store_new(&state);
	return o;
}

void offline_run(char **argv)
{
	const char *what = argv[1] != NULL ? argv[1] : "", *word = argv[1] != NULL ? argv[2] : NULL;
	struct conf *c;
	struct offline o;
	int status;

	log_open(what);
	c = take_conf();
	log_set_level(c->log_level);
	o = open_directory(c);
	if (strcmp(what, "restore") == 0 && word != NULL)
		status = restore(&o, word);
	else if (strcmp(what, "recover-alone") == 0)
		status = recover_alone(&o, word != NULL);
	else
		fatalx(EX_SOFTWARE, "there is no such work as \"%s\"", what);
	store_free(o.tables);
	disk_posix_free(o.disk);
	free(o.http);
	conf_free(c);
	exit(status);
}
