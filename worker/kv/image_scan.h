#ifndef WORKER_KV_IMAGE_SCAN_H
#define WORKER_KV_IMAGE_SCAN_H

#include "worker/kv/image.h"

/* For kv_settle(): a change is about to be made. */
void image_scan_put_aside(struct image_scan *s, const struct kv_change *change);

#endif
