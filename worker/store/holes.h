#ifndef WORKER_STORE_HOLES_H
#define WORKER_STORE_HOLES_H

#include <stdbool.h>

/*
 * A page of zeros in the middle of a file is one that was lost: cut off, and then the file grew again. Berkeley DB takes
 * it for a new one, which has no checksum, and can search in it for ever. While it recovers that is right; later all
 * pages that it reads were written before.
 */

/* From now on, in the whole process, such a page of a file that is watched reads as one whose checksum is wrong. */
void holes_take_over(void);
/* The file behind this descriptor is watched, or no longer. */
void holes_watch(int fd, bool on);

#endif
