#ifndef COMMON_MEM_H
#define COMMON_MEM_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * Memory. There are no out-of-memory paths: what cannot be allocated ends the process.
 *
 * Two kinds of bytes. `struct bytes` is borrowed: somebody else owns what it points to, and whoever hands it out
 * says until when it is valid. `struct blob` is constant and counted: a client's value is copied once, into a
 * blob that log, peers and state share. Counting is atomic, so a blob may cross threads.
 */

void *xmalloc(size_t size);
void *xcalloc(size_t count, size_t size);
void *xrealloc(void *old, size_t size);
/* An array of `count` elements; an overflow of the product ends the process. */
void *xreallocarray(void *old, size_t count, size_t size);
char *xstrdup(const char *text);
/* Formats into fresh memory that the caller frees. */
char *xasprintf(const char *format, ...) __attribute__((format(printf, 1, 2)));

struct bytes {
	const uint8_t *data;
	size_t size;
};

/* Borrows the text without its NUL. */
struct bytes bytes_text(const char *text);
/* Borrows `size` bytes at `data`. */
struct bytes bytes_of(const void *data, size_t size);
bool bytes_equal(struct bytes a, struct bytes b);
/* Order of unsigned bytes, a prefix before what it begins: <0, 0, >0. */
int bytes_compare(struct bytes a, struct bytes b);
bool bytes_begins(struct bytes whole, struct bytes prefix);
/* A NUL-terminated copy that the caller frees. */
char *bytes_dup_text(struct bytes b);

struct blob {
	atomic_uint refs;
	size_t size;
	uint8_t data[];
};

/* Copies `from` into a new blob with one reference, the caller's. */
struct blob *blob_new(struct bytes from);
/* A new blob of `size` bytes for the caller to fill before anyone else sees it. */
struct blob *blob_alloc(size_t size);
struct blob *blob_ref(struct blob *b);
/* Accepts NULL. */
void blob_unref(struct blob *b);
/* Borrows, valid until the last reference goes; NULL gives the empty bytes. */
struct bytes blob_bytes(const struct blob *b);

#endif
