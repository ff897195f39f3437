#include "common/crc.h"
#include "common/log.h"
#include "common/wire.h"
#include "worker/replica/sealed.h"

enum err sealed_save(struct disk *d, const char *name, struct buf *record)
{
	enum err e;

	wire_put_u32(record, crc32c(0, buf_bytes(record)));
	e = disk_replace(d, "", name, buf_bytes(record));
	buf_free(record);
	return e;
}

static bool is_sealed(struct bytes file)
{
	return file.size >= 4 &&
	       crc32c(0, bytes_of(file.data, file.size - 4)) == wire_load_u32(file.data + file.size - 4);
}

enum err sealed_read(struct disk *d, const char *name, size_t most, struct buf *out)
{
	enum err e = disk_read_whole(d, name, most, out);

	if (e != ERR_OK)
		return e;
	if (!is_sealed(buf_bytes(out))) {
		log_errorx("the file %s is damaged: its checksum does not match size=%zu", name, out->size);
		return ERR_DAMAGED;
	}
	out->size -= 4;
	return ERR_OK;
}
