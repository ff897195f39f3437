#define _GNU_SOURCE
#include <assert.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "common/conf.h"
#include "tests/fuzz/common/fuzz.h"

/*
 * Configuration files, one behind the other as holdfast.conf and the parts of conf.d are read; what stands between
 * them in the input is a line "%%". What was read and completed, shown as text and read again, is equal; so is what
 * travels to a worker. The input is tried as such a message too.
 */
#define FILES_MOST 4

static enum err read_text(struct conf *c, struct bytes text, struct buf *why)
{
	char path[40];
	int fd = memfd_create("conf", MFD_CLOEXEC);
	enum err e;

	assert(fd != -1 && write(fd, text.data, text.size) == (ssize_t)text.size);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	e = conf_read(c, path, why);
	close(fd);
	return e;
}

static struct bytes next_file(struct bytes *input)
{
	const uint8_t *end = input->size == 0 ? NULL : memmem(input->data, input->size, "%%\n", 3);
	struct bytes file = *input;

	if (end == NULL) {
		*input = bytes_of(input->data + input->size, 0);
		return file;
	}
	file.size = (size_t)(end - file.data);
	*input = bytes_of(end + 3, input->size - file.size - 3);
	return file;
}

static void check_print(const struct conf *c)
{
	struct buf text = { 0 }, why = { 0 };
	struct conf *again = conf_new();

	conf_print(c, &text);
	assert(read_text(again, buf_bytes(&text), &why) == ERR_OK);
	assert(conf_equal(c, again));
	conf_free(again);
	buf_free(&text);
	buf_free(&why);
}

static void check_message(const struct conf *c)
{
	struct buf message = { 0 };
	struct conf *there;

	conf_encode(c, &message);
	assert(conf_decode(buf_bytes(&message), &there) == ERR_OK);
	assert(conf_equal(c, there));
	conf_free(there);
	buf_free(&message);
}

static void try_files(struct bytes input)
{
	struct conf *c = conf_new();
	struct buf why = { 0 };
	enum err e = ERR_OK;

	for (int i = 0; i < FILES_MOST && e == ERR_OK && input.size > 0; i++)
		e = read_text(c, next_file(&input), &why);
	if (e == ERR_OK && (e = conf_complete(c, &why)) == ERR_OK) {
		check_print(c);
		check_message(c);
	}
	assert((e == ERR_OK) == (why.size == 0));
	assert(e == ERR_OK || e == ERR_BAD_REQUEST);
	buf_free(&why);
	conf_free(c);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct conf *c;

	try_files(bytes_of(data, size));
	if (conf_decode(bytes_of(data, size), &c) == ERR_OK) {
		check_message(c);
		conf_free(c);
	}
	return 0;
}
