#define _GNU_SOURCE
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
/* cmocka wants these before it. */
#include <cmocka.h>

#include "common/mem.h"
#include "tests/common/folder.h"
#include "tests/common/store_case.h"
#include "worker/store/store.h"

char *store_dir;
struct tables *store_tables;
struct store_progress store_progress;

int store_setup(void **state)
{
	(void)state;
	store_dir = folder_new("store");
	return 0;
}

int store_teardown(void **state)
{
	(void)state;
	folder_remove(store_dir);
	return 0;
}

static void on_progress(void *arg, uint64_t done, uint64_t total)
{
	struct store_progress *p = arg;

	p->least = p->times++ == 0 || done < p->least ? done : p->least;
	p->most = done > p->most ? done : p->most;
	p->total = total;
}

struct tables *store_case_new(const char *data_dir)
{
	return store_new(&(struct store_options){
	    .data_dir = data_dir,
	    .cache_bytes = STORE_CASE_CACHE_BYTES,
	    .log_file_bytes = STORE_LOG_FILE_LEAST,
	    .progress = on_progress,
	    .progress_arg = &store_progress,
	});
}

enum err store_try(struct table **out)
{
	enum err e;

	store_progress = (struct store_progress){ 0 };
	store_tables = store_case_new(store_dir);
	if ((e = tables_open(store_tables, out)) != ERR_OK)
		store_free(store_tables);
	return e;
}

struct table *store_enter(void)
{
	struct table *t;

	assert_int_equal(store_try(&t), ERR_OK);
	return t;
}

void store_leave(struct table *t)
{
	tables_close(store_tables, t);
	store_free(store_tables);
}

void store_make_small_log_files(void)
{
	char *home = xasprintf("%s/state.0", store_dir), *path = xasprintf("%s/DB_CONFIG", home);
	FILE *f;

	mkdir(home, 0700);
	assert_non_null(f = fopen(path, "w"));
	fputs("set_lg_bsize 32768\nset_lg_max 131072\n", f);
	assert_int_equal(fclose(f), 0);
	free(home);
	free(path);
}

void store_path_of(int fd, char *out, size_t size)
{
	char link[32];
	ssize_t n;

	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	n = readlink(link, out, size - 1);
	out[n > 0 ? n : 0] = '\0';
}
