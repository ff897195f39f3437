#ifndef WORKER_KV_IMAGE_H
#define WORKER_KV_IMAGE_H

#include "worker/kv/kv.h"

/*
 * The state as of one index as a stream of frames {size u32, CRC-32C u32, payload}; each CRC continues the one before,
 * so that frames are whole, in order and complete. HEAD, then RECORDS in the order of tables and keys, then END. What
 * is of a node alone (TABLE_META) is not in it. The same bytes go to followers and into backup files.
 */

#define IMAGE_FRAME_BYTES (256 * 1024) /* one with a longer record in it is longer */

/* --- out --- */

struct image_scan;
/* From now on the scan sees the state as of kv's applied index, whatever is applied meanwhile: before a change touches a
 * key that the scan has not reached, its old record is put aside in `aside`, a scratch table, empty and borrowed. One
 * at a time for a kv (asserted), which must outlive it. */
enum err image_scan_begin(struct image_scan **out, struct kv *kv, struct table *aside, uint64_t cluster);
uint64_t image_scan_index(const struct image_scan *s);
/* Appends whole frames of about bytes_max in all, one at least; looks at little more than that, whatever was put
 * aside. *more is false with the END frame. The error is a table's: of the scratch table as well, now or when something
 * was put aside, which does the state no harm. */
enum err image_scan_read(struct image_scan *s, size_t bytes_max, struct buf *out, bool *more);
/* Is that error one of the scratch table? */
bool image_scan_is_spoilt(const struct image_scan *s);
/* Accepts NULL. */
void image_scan_end(struct image_scan *s);

/* --- in --- */

struct image_head {
	uint64_t term, index, time_ms, tokens, cluster;
	struct kv_hash hash;
	unsigned level; /* the feature level of the state */
};

/* How many of these bytes are whole frames, for whoever reads a file. What no frame begins with counts as one, so that
 * image_load_frames() says what is wrong. */
size_t image_frames_whole(struct bytes b);

struct image_load;
/* Into an empty table (borrowed). A state of a feature level above `level_most` is ERR_VERSION: what it means is not known. */
struct image_load *image_load_begin(struct table *t, unsigned level_most);
/* Whole frames, in order. ERR_DAMAGED, ERR_VERSION: image_load_why() tells; the rest is the table's. After an error it
 * can only be freed. Commits now and then. */
enum err image_load_frames(struct image_load *l, struct bytes frames);
/* False until it came. */
bool image_load_head(const struct image_load *l, struct image_head *out);
/* After END: the hash over all records is the head's, else ERR_DAMAGED. Writes the meta record with it and the mark by
 * which kv_is_image() knows it, and commits. Durable by tables_adopt(). */
enum err image_load_end(struct image_load *l);
/* Which frame is damaged, and how; "" when none is. Borrowed. */
const char *image_load_why(const struct image_load *l);
/* Accepts NULL. */
void image_load_free(struct image_load *l);

#endif
