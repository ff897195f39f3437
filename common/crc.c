#include <string.h>

#include "common/crc.h"

#define POLYNOMIAL 0x82f63b78u /* reflected 0x1edc6f41 */

static uint32_t update_by_table(uint32_t crc, const uint8_t *at, size_t size)
{
	static uint32_t table[256];

	/* Every thread that finds it empty writes the same numbers. */
	if (table[255] == 0)
		for (uint32_t i = 0; i < 256; i++) {
			uint32_t c = i;

			for (int bit = 0; bit < 8; bit++)
				c = (c >> 1) ^ ((c & 1) ? POLYNOMIAL : 0);
			table[i] = c;
		}
	while (size-- > 0)
		crc = table[(crc ^ *at++) & 0xff] ^ (crc >> 8);
	return crc;
}

#if defined(__x86_64__)
__attribute__((target("sse4.2"))) static uint32_t update_by_instruction(
    uint32_t crc, const uint8_t *at, size_t size)
{
	uint64_t wide = crc;

	for (; size >= 8; at += 8, size -= 8) {
		uint64_t word;

		memcpy(&word, at, 8);
		wide = __builtin_ia32_crc32di(wide, word);
	}
	crc = (uint32_t)wide;
	while (size-- > 0)
		crc = __builtin_ia32_crc32qi(crc, *at++);
	return crc;
}
#endif

uint32_t crc32c(uint32_t crc, struct bytes b)
{
	crc = ~crc;
#if defined(__x86_64__)
	if (__builtin_cpu_supports("sse4.2"))
		return ~update_by_instruction(crc, b.data, b.size);
#endif
	return ~update_by_table(crc, b.data, b.size);
}
