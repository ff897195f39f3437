#include <stdio.h>
#include <sysexits.h>

#include "tests/linear/read.h"

/*
 * linear FILE...: is each of these histories (tests/linear/read.h) linearizable? A line for each, and what is wrong
 * under it. Exit status 0: all are; 1: one is not, or could not be decided, or tells nothing; 64, 65: no history.
 */

/* A history without operations shows nothing, which is no success. */
static bool judge(const char *path, const struct linear_file *f)
{
	struct linear_verdict v;
	struct buf text = { 0 };
	bool good;

	linear_check(f->ops, f->count, NULL, &v);
	linear_explain(f->ops, f->count, &v, &f->names, &text);
	good = v.answer == LINEAR_YES && f->count > 0;
	printf("%s: %s", path, f->count > 0 ? buf_text(&text) : "empty\n");
	linear_fini(&v);
	buf_free(&text);
	return good;
}

int main(int argc, char **argv)
{
	int status = EX_OK;

	if (argc < 2) {
		fputs("usage: linear FILE...\n", stderr);
		return EX_USAGE;
	}
	for (int i = 1; i < argc; i++) {
		struct linear_file f;
		struct buf why = { 0 };

		if (!linear_read(&f, argv[i], &why)) {
			fprintf(stderr, "linear: %s\n", buf_text(&why));
			status = EX_DATAERR;
		} else if (!judge(argv[i], &f) && status == EX_OK) {
			status = 1;
		}
		linear_file_fini(&f);
		buf_free(&why);
	}
	return status;
}
