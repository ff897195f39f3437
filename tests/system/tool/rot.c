#include <stdio.h>
#include <stdlib.h>

#include "worker/kv/tables.h"
#include "worker/store/store.h"

/*
 * rot DATA KEY: changes the last byte of the record of a key in the state of a node that is not running, through the store,
 * so that every checksum of a page holds.
 */

static void must(enum err e, const char *what)
{
	if (e == ERR_OK)
		return;
	fprintf(stderr, "rot: cannot %s: %s\n", what, err_text(e));
	exit(1);
}

static void rot(struct table *t, struct bytes key)
{
	struct buf record = { 0 };

	must(table_get(t, TABLE_KEYS, key, &record), "find the key");
	record.data[record.size - 1] ^= 1;
	must(table_put(t, TABLE_KEYS, key, buf_bytes(&record)), "write its record");
	must(table_commit(t), "commit");
	must(table_flush(t), "flush");
	buf_free(&record);
}

int main(int argc, char **argv)
{
	struct store_options o = { .cache_bytes = 1024 * 1024, .log_file_bytes = STORE_LOG_FILE_LEAST };
	struct tables *states;
	struct table *t;

	if (argc != 3) {
		fprintf(stderr, "usage: rot DATA KEY\n");
		return 2;
	}
	o.data_dir = argv[1];
	states = store_new(&o);
	must(tables_open(states, &t), "open the state");
	rot(t, bytes_text(argv[2]));
	tables_close(states, t);
	store_free(states);
	return 0;
}
