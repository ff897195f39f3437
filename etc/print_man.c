/* Prints docs/holdfast.conf.5 ("5" as argument) or docs/holdfastd.8 ("8") from the tables of options and flags. */
#include <stdio.h>
#include <string.h>

#include "common/conf.h"

/* Text as roff takes it for text. */
static void print_text(const char *text)
{
	for (; *text != '\0'; text++)
		switch (*text) {
		case '-':
			fputs("\\-", stdout);
			break;
		case '\\':
			fputs("\\e", stdout);
			break;
		case '\'':
			fputs("\\(aq", stdout);
			break;
		default:
			putchar(*text);
		}
}

static const char *effect_text(enum conf_effect e)
{
	switch (e) {
	case CONF_LIVE:
		return "A change has effect at once.";
	case CONF_HTTP:
		return "A change replaces the HTTP workers.";
	case CONF_CONSENSUS:
		return "A change replaces the consensus worker.";
	case CONF_WORKERS:
		return "A change replaces all workers.";
	case CONF_NEVER:
		return "It cannot be changed while the node runs.";
	}
	return "";
}

static const char *type_text(const char *type)
{
	static const char *const texts[][2] = {
		{ "text", "Text" },
		{ "number", "A number" },
		{ "span", "A time: 500ms, 10s, 2m, 1h" },
		{ "silence", "A time, like 10m, or the word never" },
		{ "bytes", "Bytes: 4096, 64KiB, 2MiB, 1GiB" },
		{ "bool", "The word yes or no" },
		{ "addr", "HOST:PORT, [IPV6]:PORT or :PORT" },
		{ "members", "ID=HOST:PORT, ID=HOST:PORT ..." },
		{ "addresses", "HOST:PORT, HOST:PORT ..." },
		{ "level", "One of error, warn, info, debug" },
		{ "repair", "One of auto, yes, no" },
		{ "dialects", "The word all or none, or names: m2, hraft ..." },
		{ "follower", "One of as-documented, forward, redirect" },
	};

	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		if (strcmp(texts[i][0], type) == 0)
			return texts[i][1];
	return type;
}

static bool has_bounds(const struct conf_option *o)
{
	return strcmp(o->type, "number") == 0 || strcmp(o->type, "span") == 0 ||
	       strcmp(o->type, "bytes") == 0;
}

static void print_option(const struct conf_option *o)
{
	printf(".TP\n.B ");
	print_text(o->name);
	printf("\n");
	print_text(o->doc);
	printf("\n.br\n");
	print_text(type_text(o->type));
	if (has_bounds(o))
		printf("; from %s to %s", o->min, o->max);
	if (o->preset[0] != '\0') {
		printf("; by default ");
		print_text(o->preset);
	}
	printf(".\n");
	print_text(effect_text(o->effect));
	printf("\n");
}

static void print_options(void)
{
	const struct conf_option *o;
	const char *section = "";

	for (size_t n = 0; (o = conf_option(n)) != NULL; n++) {
		if (strcmp(o->section, section) != 0)
			printf(".SS [%s]\n", section = o->section);
		print_option(o);
	}
}

static void print_5(void)
{
	fputs(".\\\" Made from common/option.def by etc/print_man.c (make generate).\n"
	      ".TH HOLDFAST.CONF 5 \"\" holdfast \"File formats\"\n"
	      ".SH NAME\n"
	      "holdfast.conf \\- the configuration of a node of Holdfast\n"
	      ".SH SYNOPSIS\n"
	      ".I /etc/holdfast/holdfast.conf\n"
	      ".br\n"
	      ".I /etc/holdfast/conf.d/*.conf\n"
	      ".SH DESCRIPTION\n"
	      "A section in brackets, then options, each a line\n"
	      ".IR \"name\" \" = \" value .\n"
	      "A line that begins with # or ; is a comment; so is what follows a ; after a blank.\n"
	      "A # after a value is refused.\n"
	      "A line has at most 4095 bytes.\n"
	      "An option stands once in a file; only\n"
	      ".BR members \" and \" join\n"
	      "may be given again, and go on.\n"
	      ".PP\n"
	      "The files in conf.d are read after holdfast.conf, in the order of their names; what comes "
	      "later wins.\n"
	      "A variable of the environment wins over all files, a flag over both:\n"
	      ".BR holdfastd (8).\n"
	      "What is unknown or wrong is refused with file and line;\n"
	      ".B holdfastd \\-t\n"
	      "tells without starting a node.\n"
	      ".PP\n"
	      "On SIGHUP all of it is read anew, and taken over whole or not at all.\n"
	      "Workers that are replaced finish what they have begun.\n"
	      ".SH OPTIONS\n",
	    stdout);
	print_options();
	fputs(".SH SEE ALSO\n.BR holdfastd (8)\n", stdout);
}

static void print_flags(void)
{
	const struct conf_option *o;

	for (size_t n = 0; (o = conf_option(n)) != NULL; n++) {
		printf(".TP\n.BI \\-\\-%s\\-", o->section);
		for (const char *at = o->name; *at != '\0'; at++)
			fputs(*at == '_' ? "\\-" : (char[]){ *at, '\0' }, stdout);
		printf(" \" %s\"\n[%s] %s\n", o->type, o->section, o->name);
	}
}

struct other_name {
	const char *name, *section, *option, *before, *alone;
};

static void print_other_name(const struct other_name *n, bool flag)
{
	fputs(".TP\n.B ", stdout);
	print_text(flag ? "--" : "");
	print_text(n->name);
	printf("\n[%s] %s", n->section, n->option);
	if (n->alone != NULL)
		printf(" = %s", n->alone);
	else if (n->before[0] != '\0')
		printf(" = %sVALUE", n->before);
	putchar('\n');
}

static void print_other_names(bool wanted_flags)
{
	static const struct {
		bool flag;
		struct other_name name;
	} rows[] = {
#define FLAG(flag, section, option, before, alone) { true, { flag, #section, #option, before, alone } },
#define VARIABLE(variable, section, option, before) { false, { variable, #section, #option, before, NULL } },
#include "common/flag.def"
#undef FLAG
#undef VARIABLE
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		if (rows[i].flag == wanted_flags)
			print_other_name(&rows[i].name, wanted_flags);
}

static void print_8_beginning(void)
{
	fputs(
	    ".\\\" Made from common/option.def and common/flag.def by etc/print_man.c (make generate).\n"
	    ".TH HOLDFASTD 8 \"\" holdfast \"System administration\"\n"
	    ".SH NAME\n"
	    "holdfastd \\- a node of a replicated key-value store\n"
	    ".SH SYNOPSIS\n"
	    ".B holdfastd\n"
	    ".RB [ \\-c\n"
	    ".IR path ]\n"
	    ".RB [ \\-t | \\-T | \\-h | \\-V | \\-\\-version ]\n"
	    ".RI [ flag ...]\n"
	    ".RI [ data ]\n"
	    ".br\n"
	    ".B holdfastd\n"
	    ".RI [ flag ...]\n"
	    ".BI \\-\\-restore \" file\"\n"
	    ".I data\n"
	    ".br\n"
	    ".B holdfastd\n"
	    ".RI [ flag ...]\n"
	    ".B \\-\\-recover\\-alone\n"
	    ".RB [ \\-\\-yes ]\n"
	    ".I data\n"
	    ".SH DESCRIPTION\n"
	    "Runs a node in the foreground: a supervisor, one worker for consensus, and workers for HTTP, "
	    "which\n"
	    "it starts anew when they die.\n"
	    "Log lines go to stderr; those that whoever reads it has no room for are dropped and counted.\n"
	    "Under systemd it says when it is ready, and takes over sockets that it is handed.\n"
	    ".SH OPTIONS\n"
	    ".TP\n.BR \\-c \", \" \\-\\-config \" \\fIpath\"\n"
	    "The configuration: a file, or a directory with holdfast.conf and conf.d/*.conf.\n"
	    "A directory without any of these is refused.\n"
	    "By default /etc/holdfast, where there is one.\n"
	    ".TP\n.BR \\-t \", \" \\-\\-test\nCheck the configuration and exit.\n"
	    ".TP\n.BR \\-T \", \" \\-\\-print\nPrint the whole configuration as a file and exit.\n"
	    ".TP\n.BR \\-h \", \" \\-\\-help\nExplain every option and exit.\n"
	    ".TP\n.B \\-\\-version\nPrint the version and exit.\n"
	    ".TP\n.B \\-V\nPrint the version and how the program was built, and exit.\n"
	    ".TP\n.BI \\-\\-restore \" file\"\n"
	    "Makes a new cluster of this node alone in the empty directory\n"
	    ".I data\n"
	    "from a backup (GET /v1/backup), or from standard input where\n"
	    ".I file\n"
	    "is \\-, and exits.\n"
	    "Keys keep their revisions; new ones are 2^30 higher.\n"
	    "The id and the addresses are those of the configuration.\n"
	    "Its files belong to the user that runs it, who must be the one that the node runs as:\n"
	    "stop the unit, empty the directory, and run it by\n"
	    ".BR runuser (1).\n"
	    "One that broke off is repeated; no node starts before that.\n"
	    ".TP\n.B \\-\\-recover\\-alone\n"
	    "For a cluster that has lost its majority for good: makes a new cluster of this node alone from "
	    "what is in\n"
	    ".IR data ,\n"
	    "and exits.\n"
	    "Refused while any other member answers; asks before it does anything.\n"
	    "The old log and identity stay there under names with the date.\n"
	    "The other members must be wiped and join again.\n"
	    ".TP\n.B \\-\\-yes\nThe answer to that question.\n"
	    ".TP\n.I data\nThe data directory, [node] data.\n"
	    ".PP\n"
	    "A flag has one dash or two; its value follows, or stands after an equals sign.\n"
	    "Flags win over the environment, the environment over the files.\n"
	    "In short, and as the users of other servers write them:\n",
	    stdout);
}

static void print_8_end(void)
{
	fputs(".SH SIGNALS\n"
	      ".TP\n.B SIGTERM, SIGINT\n"
	      "The HTTP workers finish what they have, then the consensus worker hands leadership over and "
	      "stops.\n"
	      "A second one ends them at once.\n"
	      ".TP\n.B SIGHUP\n"
	      "The configuration is read anew, all or nothing.\n"
	      ".SH EXIT STATUS\n"
	      ".TP\n.B 0\nstopped as asked\n"
	      ".TP\n.B 64\nusage; a recovery that was not told yes\n"
	      ".TP\n.B 65\nthe backup is damaged, or of a later version\n"
	      ".TP\n.B 66\nthe backup, or the directory to recover, is not there\n"
	      ".TP\n.B 69\nno worker stays up; a recovery found another member alive\n"
	      ".TP\n.B 73\nthe data directory cannot be made, belongs to another user, holds files that are "
	      "not\nHoldfast's, or is not empty for a restore\n"
	      ".TP\n.B 74\nits content is damaged\n"
	      ".TP\n.B 75\nit, or the port, is in use\n"
	      ".TP\n.B 77\nnot permitted\n"
	      ".TP\n.B 78\nthe configuration is wrong; the message names file and line.\n"
	      "The directory is another node's, or a restore or a recovery there is not finished.\n"
	      "Or the data, or the cluster, are of a later version: upgrade this node\n"
	      ".SH SEE ALSO\n"
	      ".BR holdfast.conf (5),\n"
	      ".BR systemctl (1)\n",
	    stdout);
}

static void print_8(void)
{
	print_8_beginning();
	print_other_names(true);
	fputs(".PP\nEvery option of\n"
	      ".BR holdfast.conf (5)\n"
	      "is a flag too:\n",
	    stdout);
	print_flags();
	fputs(".SH ENVIRONMENT\nAn empty variable is none.\n", stdout);
	print_other_names(false);
	print_8_end();
}

int main(int argc, char **argv)
{
	if (argc == 2 && strcmp(argv[1], "5") == 0)
		print_5();
	else if (argc == 2 && strcmp(argv[1], "8") == 0)
		print_8();
	else
		return 64;
	return 0;
}
