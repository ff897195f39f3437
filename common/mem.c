#define _GNU_SOURCE
#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/mem.h"

static void *must(void *p)
{
	if (p == NULL) {
		fputs("out of memory\n", stderr);
		abort();
	}
	return p;
}

void *xmalloc(size_t size)
{
	return must(malloc(size == 0 ? 1 : size));
}

void *xcalloc(size_t count, size_t size)
{
	return must(calloc(count == 0 ? 1 : count, size == 0 ? 1 : size));
}

void *xrealloc(void *old, size_t size)
{
	return must(realloc(old, size == 0 ? 1 : size));
}

void *xreallocarray(void *old, size_t count, size_t size)
{
	return must(reallocarray(old, count == 0 ? 1 : count, size));
}

char *xstrdup(const char *text)
{
	return must(strdup(text));
}

char *xasprintf(const char *format, ...)
{
	char *text;
	va_list ap;

	va_start(ap, format);
	if (vasprintf(&text, format, ap) == -1)
		text = NULL;
	va_end(ap);
	return must(text);
}

struct bytes bytes_text(const char *text)
{
	return bytes_of(text, strlen(text));
}

struct bytes bytes_of(const void *data, size_t size)
{
	return (struct bytes){ data, size };
}

bool bytes_equal(struct bytes a, struct bytes b)
{
	return a.size == b.size && (a.size == 0 || memcmp(a.data, b.data, a.size) == 0);
}

int bytes_compare(struct bytes a, struct bytes b)
{
	size_t least = a.size < b.size ? a.size : b.size;
	int order = least == 0 ? 0 : memcmp(a.data, b.data, least);

	if (order != 0)
		return order;
	return (a.size > b.size) - (a.size < b.size);
}

bool bytes_begins(struct bytes whole, struct bytes prefix)
{
	return whole.size >= prefix.size && bytes_equal(bytes_of(whole.data, prefix.size), prefix);
}

char *bytes_dup_text(struct bytes b)
{
	char *text = xmalloc(b.size + 1);

	if (b.size > 0)
		memcpy(text, b.data, b.size);
	text[b.size] = '\0';
	return text;
}

struct blob *blob_alloc(size_t size)
{
	struct blob *b = xmalloc(sizeof(*b) + size);

	atomic_init(&b->refs, 1);
	b->size = size;
	return b;
}

struct blob *blob_new(struct bytes from)
{
	struct blob *b = blob_alloc(from.size);

	if (from.size > 0)
		memcpy(b->data, from.data, from.size);
	return b;
}

struct blob *blob_ref(struct blob *b)
{
	atomic_fetch_add_explicit(&b->refs, 1, memory_order_relaxed);
	return b;
}

void blob_unref(struct blob *b)
{
	if (b == NULL)
		return;
	unsigned before = atomic_fetch_sub_explicit(&b->refs, 1, memory_order_acq_rel);
	assert(before > 0);
	if (before == 1)
		free(b);
}

struct bytes blob_bytes(const struct blob *b)
{
	return b == NULL ? (struct bytes){ NULL, 0 } : bytes_of(b->data, b->size);
}
