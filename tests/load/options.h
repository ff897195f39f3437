#ifndef TESTS_LOAD_OPTIONS_H
#define TESTS_LOAD_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>

typedef const char *option_text;
typedef uint64_t option_number;
typedef bool option_flag;

struct options {
#define OPT(name, type, value, doc) option_##type name;
#include "tests/load/options.def"
#undef OPT
};

/* From the command line, texts borrowed from it; what cannot be ends the process with status 64. */
void options_parse(struct options *o, int argc, char **argv);

#endif
