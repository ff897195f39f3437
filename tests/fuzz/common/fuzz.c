#include <string.h>

#include "common/crc.h"
#include "common/wire.h"
#include "tests/fuzz/common/fuzz.h"

static struct bytes take(struct bytes *input, size_t size)
{
	struct bytes got = bytes_of(input->data, size < input->size ? size : input->size);

	*input = bytes_of(input->data + got.size, input->size - got.size);
	return got;
}

struct bytes fuzz_next(struct bytes *input)
{
	size_t low = fuzz_byte(input);

	return take(input, low | (size_t)fuzz_byte(input) << 8);
}

uint8_t fuzz_byte(struct bytes *input)
{
	struct bytes got = take(input, 1);

	return got.size == 0 ? 0 : got.data[0];
}

uint64_t fuzz_number(struct bytes *input)
{
	struct bytes got = take(input, 8);
	uint8_t whole[8] = { 0 };

	if (got.size > 0)
		memcpy(whole, got.data, got.size);
	return wire_load_u64(whole);
}

uint64_t fuzz_seed(struct bytes input)
{
	return crc32c(0, input);
}

void fuzz_sealed(struct bytes input, void (*attempt)(struct bytes file))
{
	struct buf sealed = { 0 };

	attempt(input);
	buf_append(&sealed, input);
	wire_put_u32(&sealed, crc32c(0, buf_bytes(&sealed)));
	attempt(buf_bytes(&sealed));
	buf_free(&sealed);
}
