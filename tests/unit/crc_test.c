/* links: common/crc.c common/mem.c common/random.c */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/crc.h"
#include "common/random.h"

/* RFC 3720 B.4, as numbers (the RFC prints the bytes in the order of transmission). */
static void rfc_3720_examples(void **state)
{
	static const uint8_t read_command[48] = { 0x01,
		0xc0, [16] = 0x14, [22] = 0x04, [27] = 0x14, [31] = 0x18, [32] = 0x28, [40] = 0x02 };
	uint8_t block[32];

	(void)state;
	memset(block, 0, sizeof(block));
	assert_int_equal(crc32c(0, bytes_of(block, 32)), 0x8a9136aa);
	memset(block, 0xff, sizeof(block));
	assert_int_equal(crc32c(0, bytes_of(block, 32)), 0x62a8ab43);
	for (size_t i = 0; i < 32; i++)
		block[i] = (uint8_t)i;
	assert_int_equal(crc32c(0, bytes_of(block, 32)), 0x46dd794e);
	for (size_t i = 0; i < 32; i++)
		block[i] = (uint8_t)(31 - i);
	assert_int_equal(crc32c(0, bytes_of(block, 32)), 0x113fdb5c);
	assert_int_equal(crc32c(0, bytes_of(read_command, 48)), 0xd9963a56);
	assert_int_equal(crc32c(0, bytes_text("123456789")), 0xe3069283);
}

static void nothing_changes_nothing(void **state)
{
	(void)state;
	assert_int_equal(crc32c(0, bytes_of(NULL, 0)), 0);
	assert_int_equal(crc32c(0x12345678, bytes_of("", 0)), 0x12345678);
}

/* The definition, a bit at a time. */
static uint32_t by_definition(struct bytes b)
{
	uint32_t crc = ~0u;

	for (size_t i = 0; i < b.size; i++) {
		crc ^= b.data[i];
		for (int bit = 0; bit < 8; bit++)
			crc = (crc >> 1) ^ ((crc & 1) ? 0x82f63b78u : 0);
	}
	return ~crc;
}

static void every_length_and_alignment_agrees_with_the_definition(void **state)
{
	struct random r = { 1 };
	uint8_t data[96];

	(void)state;
	for (size_t i = 0; i < sizeof(data); i++)
		data[i] = (uint8_t)random_next(&r);
	for (size_t at = 0; at < 8; at++)
		for (size_t size = 0; size <= 80; size++) {
			struct bytes b = bytes_of(data + at, size);

			assert_int_equal(crc32c(0, b), by_definition(b));
		}
}

static void it_continues_at_every_split(void **state)
{
	struct bytes all = bytes_text("a record chained to the one before it, whatever its length");

	(void)state;
	for (size_t cut = 0; cut <= all.size; cut++) {
		uint32_t first = crc32c(0, bytes_of(all.data, cut));

		assert_int_equal(crc32c(first, bytes_of(all.data + cut, all.size - cut)), crc32c(0, all));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(rfc_3720_examples),
		cmocka_unit_test(nothing_changes_nothing),
		cmocka_unit_test(every_length_and_alignment_agrees_with_the_definition),
		cmocka_unit_test(it_continues_at_every_split),
	};

	return cmocka_run_group_tests_name("crc", tests, NULL, NULL);
}
