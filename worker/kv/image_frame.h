#ifndef WORKER_KV_IMAGE_FRAME_H
#define WORKER_KV_IMAGE_FRAME_H

#include "worker/kv/image.h"

/* The frames of images, for those who write and read them. */
/* A state of level 0 looks as the first version reads it. That one takes no other format, and so no state that it would
 * not understand. */
enum image_format { IMAGE_FORMAT_PLAIN = 1, IMAGE_FORMAT_LEVEL = 2 };
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
