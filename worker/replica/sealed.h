#ifndef WORKER_REPLICA_SEALED_H
#define WORKER_REPLICA_SEALED_H

#include "common/disk.h"

/* A small file in the data directory that is one record and the CRC-32C of it. */

/* Replaces it durably; *record, whose checksum is appended, is freed. */
enum err sealed_save(struct disk *d, const char *name, struct buf *record);
/* Appends the record to *out. ERR_NOT_FOUND quietly; ERR_DAMAGED (logged); ERR_TOO_LARGE where the file is longer than
 * `most`. */
enum err sealed_read(struct disk *d, const char *name, size_t most, struct buf *out);

#endif
