#ifndef COMMON_CRC_H
#define COMMON_CRC_H

#include <stdint.h>

#include "common/mem.h"

/*
 * CRC-32C (Castagnoli, RFC 3720 B.4), by the processor's instruction where it has one, else by table. Start with
 * 0; feeding the result back as `crc` continues over further bytes: crc32c(crc32c(0, a), b) == crc32c(0, a b).
 */
uint32_t crc32c(uint32_t crc, struct bytes b);

#endif
