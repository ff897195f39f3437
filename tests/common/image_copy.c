#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
/* cmocka wants these before it. */
#include <cmocka.h>

#include "tests/common/image_copy.h"

void image_copy_begin(struct image_copy *c, struct kv *kv, struct table *aside, uint64_t cluster)
{
	*c = (struct image_copy){ .aside = aside };
	assert_int_equal(image_scan_begin(&c->scan, kv, aside, cluster), ERR_OK);
}

bool image_copy_more(struct image_copy *c, size_t bytes_max)
{
	size_t before = c->frames.size;
	bool more;

	assert_int_equal(image_scan_read(c->scan, bytes_max, &c->frames, &more), ERR_OK);
	assert_true(c->frames.size > before);
	return more;
}

enum err image_copy_load(const struct image_copy *c, struct table *into, struct random *pieces)
{
	struct image_load *l = image_load_begin(into, FEATURE_LEVEL_MOST);
	struct bytes left = buf_bytes(&c->frames);
	enum err e = ERR_OK;

	while (e == ERR_OK && left.size > 0) {
		size_t size = pieces == NULL ? left.size : 1 + (size_t)random_below(pieces, left.size);

		size = image_frames_whole(bytes_of(left.data, size));
		e = image_load_frames(l, bytes_of(left.data, size));
		left = bytes_of(left.data + size, left.size - size);
	}
	if (e == ERR_OK)
		e = image_load_end(l);
	image_load_free(l);
	return e;
}

struct table *image_copy_end(struct image_copy *c)
{
	image_scan_end(c->scan);
	buf_free(&c->frames);
	return c->aside;
}
