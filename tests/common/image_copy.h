#ifndef TESTS_COMMON_IMAGE_COPY_H
#define TESTS_COMMON_IMAGE_COPY_H

#include "common/random.h"
#include "tests/common/kv_drive.h"
#include "worker/kv/image.h"

/* An image under test: made in slices, kept in memory, and loaded. */
struct image_copy {
	struct image_scan *scan;
	struct table *aside;
	struct buf frames;
};

/* Borrows `aside`. */
void image_copy_begin(struct image_copy *c, struct kv *kv, struct table *aside, uint64_t cluster);
/* Reads one slice; false when that was the last. */
bool image_copy_more(struct image_copy *c, size_t bytes_max);
/* Loads it into an empty table, frame by frame, or with a generator in pieces of a few. */
enum err image_copy_load(const struct image_copy *c, struct table *into, struct random *pieces);
/* Ends the scan, and gives back what was put aside. */
struct table *image_copy_end(struct image_copy *c);

#endif
