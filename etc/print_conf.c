/* Prints etc/holdfast.conf from the table of options: every one with its meaning, commented out at its default. */
#include <stdio.h>
#include <string.h>

#include "common/conf.h"

#define LINE_WIDTH 100

static void print_comment(const char *text)
{
	while (*text != '\0') {
		size_t size = strlen(text);

		if (size > LINE_WIDTH)
			for (size = LINE_WIDTH; size > 1 && text[size] != ' ';)
				size--;
		printf("# %.*s\n", (int)size, text);
		text += size + strspn(text + size, " ");
	}
}

int main(void)
{
	const struct conf_option *o;
	const char *section = "";

	puts("# The configuration of a node of Holdfast; what stands here is the default. holdfastd -t "
	     "checks this file.");
	for (size_t n = 0; (o = conf_option(n)) != NULL; n++) {
		if (strcmp(o->section, section) != 0)
			printf("\n[%s]\n", section = o->section);
		print_comment(o->doc);
		printf("#%s =%s%s\n", o->name, o->preset[0] != '\0' ? " " : "", o->preset);
	}
	return 0;
}
