#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

#include "common/log.h"
#include "common/mem.h"
#include "tests/load/options.h"

enum option_index {
#define OPT(name, type, value, doc) OPTION_##name,
#include "tests/load/options.def"
#undef OPT
	OPTION_COUNT
};

#define HELP (OPTION_COUNT + 1)

enum { takes_text = required_argument, takes_number = required_argument, takes_flag = no_argument };

static const struct option names[] = {
#define OPT(name, type, value, doc) { #name, takes_##type, NULL, OPTION_##name },
#include "tests/load/options.def"
#undef OPT
	{ "help", no_argument, NULL, HELP },
	{ 0 },
};

static void set_text(option_text *out, const char *name, const char *value)
{
	(void)name;
	*out = value;
}

static void set_flag(option_flag *out, const char *name, const char *value)
{
	(void)name;
	(void)value;
	*out = true;
}

static void set_number(option_number *out, const char *name, const char *value)
{
	char *end;

	errno = 0;
	*out = strtoull(value, &end, 10);
	if (errno != 0 || *value < '0' || *value > '9' || *end != '\0')
		fatalx(EX_USAGE, "--%s %s: not a number", name, value);
}

static void set(struct options *o, int index, const char *value)
{
	switch (index) {
#define OPT(name, type, value_before, doc)                                                                   \
	case OPTION_##name:                                                                                  \
		set_##type(&o->name, #name, value);                                                          \
		break;
#include "tests/load/options.def"
#undef OPT
	}
}

static void help(void)
{
	printf("holdfast-load --nodes HOST:PORT,... [--OPTION VALUE]...\n\n");
#define OPT(name, type, value, doc) printf("  --%-12s %s\n", #name, doc);
#include "tests/load/options.def"
#undef OPT
	exit(0);
}

static void check(const struct options *o)
{
	if (*o->nodes == '\0')
		fatalx(EX_USAGE, "--nodes is missing");
	if (o->connections == 0 || o->connections > 60000)
		fatalx(EX_USAGE, "--connections is from 1 to 60000");
	if (o->readers > o->connections)
		fatalx(EX_USAGE, "--readers are more than --connections");
	if (o->reads + o->deletes + o->cas + o->creates > 100)
		fatalx(EX_USAGE, "--reads, --deletes, --cas and --creates are more than 100 per cent");
	if (o->deletes + o->cas + o->creates > 0 && o->keys == 0)
		fatalx(EX_USAGE, "--deletes, --cas and --creates want --keys");
	if (o->retry > 0 && !o->tokens)
		fatalx(EX_USAGE, "--retry wants --tokens: without one a write sent twice is applied twice");
}

/* getopt_long() compares literally: value-size is value_size. */
static void use_underscores(int argc, char **argv)
{
	for (int i = 1; i < argc; i++) {
		if (strncmp(argv[i], "--", 2) != 0)
			continue;
		for (char *c = argv[i] + 2; *c != '\0' && *c != '='; c++)
			if (*c == '-')
				*c = '_';
	}
}

void options_parse(struct options *o, int argc, char **argv)
{
	int index;

	*o = (struct options){
#define OPT(name, type, value, doc) .name = value,
#include "tests/load/options.def"
#undef OPT
	};
	use_underscores(argc, argv);
	while ((index = getopt_long(argc, argv, "", names, NULL)) != -1) {
		if (index == HELP)
			help();
		if (index == '?')
			exit(EX_USAGE);
		set(o, index, optarg);
	}
	if (optind < argc)
		fatalx(EX_USAGE, "what is %s?", argv[optind]);
	check(o);
}
