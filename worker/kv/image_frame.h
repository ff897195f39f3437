#ifndef WORKER_KV_IMAGE_FRAME_H
#define WORKER_KV_IMAGE_FRAME_H

#include "worker/kv/image.h"

/* The frames of images, for those who write and read them. */
#define IMAGE_FORMAT 1
#define IMAGE_FRAME_HEAD_BYTES 8
/* A frame with one record, however long. */
#define IMAGE_PAYLOAD_BYTES_MAX (IMAGE_FRAME_BYTES + KV_RESULT_BYTES_MAX + 64 * 1024)

enum image_frame_mark {
#define MSG(NAME, name, mark, fields) IMAGE_##NAME = mark,
#include "worker/kv/image.def"
#undef MSG
};

#define WIRE_TABLE "worker/kv/image.def"
#define WIRE_PREFIX image_frame
#include "common/wire_declare.h"

#endif
