#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "worker/kv/tables.h"
#include "worker/store/store.h"

/*
 * rot DATA KEY: changes the last byte of the record of a key in the state of a node that is not running, through the store,
 * so that every checksum of a page holds.
 *
 * rot DATA --level N: the state says that it is of this feature level, as a later version might leave it.
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

static void set_level(struct table *t, uint8_t level)
{
	const uint8_t record[] = { 1, level };

	must(table_put(t, TABLE_SETTINGS, bytes_text("level"), bytes_of(record, sizeof(record))),
	    "write the level");
	must(table_commit(t), "commit");
	must(table_flush(t), "flush");
}

int main(int argc, char **argv)
{
	bool level = argc == 4 && strcmp(argv[2], "--level") == 0;
	struct store_options o = { .cache_bytes = 1024 * 1024, .log_file_bytes = STORE_LOG_FILE_LEAST };
	struct tables *states;
	struct table *t;

	if (argc != 3 && !level) {
		fprintf(stderr, "usage: rot DATA KEY | rot DATA --level N\n");
		return 2;
	}
	o.data_dir = argv[1];
	states = store_new(&o);
	must(tables_open(states, &t), "open the state");
	if (level)
		set_level(t, (uint8_t)atoi(argv[3]));
	else
		rot(t, bytes_text(argv[2]));
	tables_close(states, t);
	store_free(states);
	return 0;
}
