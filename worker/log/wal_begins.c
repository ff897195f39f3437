#include "worker/log/wal_private.h"

static enum err check(const struct wal_options *o, struct bytes file, struct wal_begins *out)
{
	enum err e;
	const char *why = wal_get_begins(file, out, &e);

	if (why == NULL && out->cluster != o->cluster)
		why = "it belongs to another cluster";
	else if (why == NULL && out->incarnation != o->incarnation)
		why = "it belongs to another incarnation of this node";
	if (why == NULL)
		return ERR_OK;
	wal_file_damaged(WAL_BEGINS, 0, why);
	return e != ERR_OK ? e : ERR_DAMAGED;
}

enum err wal_begins_read(const struct wal_options *o, uint64_t *number)
{
	struct buf file = { 0 };
	struct wal_begins b = { 0 };
	enum err e = disk_read_whole(o->disk, WAL_BEGINS, WAL_BEGINS_BYTES, &file);

	if (e == ERR_OK)
		e = check(o, buf_bytes(&file), &b);
	else if (e == ERR_NOT_FOUND)
		e = ERR_OK;
	else if (e == ERR_TOO_LARGE)
		e = wal_file_damaged(WAL_BEGINS, WAL_BEGINS_BYTES, "it is longer than it should be");
	buf_free(&file);
	*number = b.number;
	return e;
}

enum err wal_begins_write(const struct wal_options *o, uint64_t number)
{
	uint8_t file[WAL_BEGINS_BYTES];

	wal_put_begins(file, &(struct wal_begins){ o->cluster, o->incarnation, number });
	return disk_replace(o->disk, WAL_DIR, WAL_BEGINS, bytes_of(file, sizeof(file)));
}
