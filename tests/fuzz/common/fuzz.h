#ifndef TESTS_FUZZ_COMMON_FUZZ_H
#define TESTS_FUZZ_COMMON_FUZZ_H

#include "common/buf.h"

/*
 * What the fuzz targets share. A target is tests/fuzz/NAME.c with the function that libFuzzer calls for every input;
 * its corpus is tests/fuzz/corpus/NAME/. What must hold of any input is said by assert; no target writes, listens or
 * keeps anything from one input to the next that changes what the next one does.
 */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* An input that is a list of things: takes the next one off its front. A length (u16) and so many bytes, or as many as
 * there are, so that any input is a list. Empty at the end. */
struct bytes fuzz_next(struct bytes *input);
/* The next byte, 0 at the end. */
uint8_t fuzz_byte(struct bytes *input);
/* 8 bytes, missing ones 0. */
uint64_t fuzz_number(struct bytes *input);

/* What these bytes make a small generator of: how an input is cut in pieces, say. */
uint64_t fuzz_seed(struct bytes input);

/* Tries it as it is, and with the CRC-32C behind it that makes it whole. */
void fuzz_sealed(struct bytes input, void (*attempt)(struct bytes file));

#endif
