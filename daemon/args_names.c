#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/args_names.h"

static const struct other_name flags[] = {
#define FLAG(flag, section, option, before, alone) { flag, #section, #option, before, alone },
#define VARIABLE(variable, section, option, before)
#include "common/flag.def"
#undef FLAG
#undef VARIABLE
};

static const struct other_name variables[] = {
#define FLAG(flag, section, option, before, alone)
#define VARIABLE(variable, section, option, before) { variable, #section, #option, before, NULL },
#include "common/flag.def"
#undef FLAG
#undef VARIABLE
};

#define FLAG_COUNT (sizeof(flags) / sizeof(flags[0]))
#define VARIABLE_COUNT (sizeof(variables) / sizeof(variables[0]))

static const struct command commands[] = {
	{ "c", "config", "PATH", ARGS_RUN,
	    "the configuration: a file, or a directory with\n                      holdfast.conf and "
	    "conf.d/NAME.conf (" ARGS_CONF_PATH ", where there is one)" },
	{ "t", "test", NULL, ARGS_TEST, "check the configuration and exit" },
	{ "T", "print", NULL, ARGS_PRINT, "print the whole configuration as a file and exit" },
	{ "", "restore", "FILE", ARGS_RESTORE,
	    "make a new cluster of this node alone, in the empty directory DATA, from\n                      "
	    "the backup FILE, - for standard input, and exit" },
	{ "", "recover-alone", NULL, ARGS_RECOVER,
	    "where the other members are lost for good: make a new cluster of this node\n                    "
	    "  "
	    "alone from what is in DATA, and exit; asks first" },
	{ "", "yes", NULL, ARGS_YES, "the answer to that question" },
	{ "h", "help", NULL, ARGS_HELP, "this text" },
	{ "", "version", NULL, ARGS_VERSION, "the version" },
	{ "V", "", NULL, ARGS_BUILD, "the version, and how it was built" },
};

#define COMMAND_COUNT (sizeof(commands) / sizeof(commands[0]))

char *names_plain(const char *text)
{
	char *copy = xstrdup(text);

	for (char *at = copy; *at != '\0'; at++)
		if (*at == '_')
			*at = '-';
	return copy;
}

static char *flag_of(const struct conf_option *o)
{
	char *name = xasprintf("%s-%s", o->section, o->name), *flag = names_plain(name);

	free(name);
	return flag;
}

const struct conf_option *names_find_option(const char *flag)
{
	const struct conf_option *o;

	for (size_t n = 0; (o = conf_option(n)) != NULL; n++) {
		char *name = flag_of(o);
		bool same = strcmp(name, flag) == 0;

		free(name);
		if (same)
			return o;
	}
	return NULL;
}

const struct other_name *names_find(const char *name)
{
	for (size_t i = 0; i < FLAG_COUNT; i++) {
		char *flag = names_plain(flags[i].name);
		bool same = strcmp(flag, name) == 0;

		free(flag);
		if (same)
			return &flags[i];
	}
	return NULL;
}

const struct other_name *names_variable(size_t n)
{
	return n < VARIABLE_COUNT ? &variables[n] : NULL;
}

const struct command *names_find_command(const char *name)
{
	for (size_t i = 0; name[0] != '\0' && i < COMMAND_COUNT; i++)
		if (strcmp(commands[i].letter, name) == 0 || strcmp(commands[i].word, name) == 0)
			return &commands[i];
	return NULL;
}

/* Takes over the name. */
static void take_nearer(char **nearest, unsigned *least, const char *wanted, char *name)
{
	/* The beginning of a name is nearer than any other name of the same length. */
	bool begins = strncmp(name, wanted, strlen(wanted)) == 0;
	unsigned distance = begins ? 0 : conf_distance(wanted, name);

	if (name[0] == '\0' || distance >= *least) {
		free(name);
		return;
	}
	free(*nearest);
	*nearest = name;
	*least = distance;
}

char *names_nearest(const char *name)
{
	const struct conf_option *o;
	char *nearest = NULL;
	unsigned least = UINT32_MAX;

	for (size_t n = 0; (o = conf_option(n)) != NULL; n++)
		take_nearer(&nearest, &least, name, flag_of(o));
	for (size_t i = 0; i < FLAG_COUNT; i++)
		take_nearer(&nearest, &least, name, xstrdup(flags[i].name));
	for (size_t i = 0; i < COMMAND_COUNT; i++)
		take_nearer(&nearest, &least, name, xstrdup(commands[i].word));
	return nearest;
}

/* Breaks a text into lines of at most 74 bytes. */
static void print_wrapped(FILE *to, const char *text)
{
	while (*text != '\0') {
		size_t size = strlen(text);

		if (size > 74)
			for (size = 74; size > 1 && text[size] != ' ';)
				size--;
		fprintf(to, "      %.*s\n", (int)size, text);
		text += size + strspn(text + size, " ");
	}
}

static void print_option(FILE *to, const struct conf_option *o)
{
	char *flag = flag_of(o);

	fprintf(to, "  --%s %s", flag, o->type);
	if (o->preset[0] != '\0')
		fprintf(to, " (%s)", o->preset);
	fputc('\n', to);
	print_wrapped(to, o->doc);
	free(flag);
}

static void print_command(FILE *to, const struct command *c)
{
	char *flag = xasprintf("%s%s%s%s%s%s%s", c->letter[0] != '\0' ? "-" : "", c->letter,
	    c->letter[0] != '\0' && c->word[0] != '\0' ? ", " : "", c->word[0] != '\0' ? "--" : "", c->word,
	    c->value != NULL ? " " : "", c->value != NULL ? c->value : "");

	fprintf(to, "  %-19s %s\n", flag, c->doc);
	free(flag);
}

static void print_other_name(FILE *to, const char *dashes, const struct other_name *n)
{
	fprintf(to, "  %s%-*s [%s] %s", dashes, (int)(19 - strlen(dashes)), n->name, n->section, n->option);
	if (n->alone != NULL)
		fprintf(to, " = %s", n->alone);
	else if (n->before[0] != '\0')
		fprintf(to, " = %sVALUE", n->before);
	fputc('\n', to);
}

void args_print_help(FILE *to)
{
	const struct conf_option *o;

	fputs("holdfastd [FLAG...] [DATA]: a node of a replicated key-value store\n\n"
	      "A flag has one dash or two; its value follows, or stands after '='. DATA is [node] data.\n\n",
	    to);
	for (size_t i = 0; i < COMMAND_COUNT; i++)
		print_command(to, &commands[i]);
	fputs("\nIn short:\n", to);
	for (size_t i = 0; i < FLAG_COUNT; i++)
		print_other_name(to, "--", &flags[i]);
	fputs("\nVariables of the environment, which win over the file:\n", to);
	for (size_t i = 0; i < VARIABLE_COUNT; i++)
		print_other_name(to, "", &variables[i]);
	fputs("\nEvery option, as a flag that wins over both:\n", to);
	for (size_t n = 0; (o = conf_option(n)) != NULL; n++)
		print_option(to, o);
}
