#define _GNU_SOURCE
#include <dlfcn.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/*
 * For LD_PRELOAD: names that end in .test resolve to 127.0.0.1 while the file $LATE_NAMES has a line with that name, and
 * to nothing otherwise; nobody is asked for them. While it has the line "hang" the resolver does not answer.
 */

static int has_line(const char *wanted)
{
	const char *path = getenv("LATE_NAMES");
	FILE *f = path == NULL ? NULL : fopen(path, "re");
	char line[256];
	int found = 0;

	while (f != NULL && !found && fgets(line, sizeof(line), f) != NULL) {
		line[strcspn(line, "\n")] = '\0';
		found = strcmp(line, wanted) == 0;
	}
	if (f != NULL)
		fclose(f);
	return found;
}

int getaddrinfo(const char *host, const char *service, const struct addrinfo *hints, struct addrinfo **found)
{
	int (*next)(const char *, const char *, const struct addrinfo *, struct addrinfo **);
	const char *end = host == NULL ? NULL : strrchr(host, '.');

	*(void **)&next = dlsym(RTLD_NEXT, "getaddrinfo");
	if (end == NULL || strcmp(end, ".test") != 0)
		return next(host, service, hints, found);
	if (hints != NULL && (hints->ai_flags & AI_NUMERICHOST) != 0)
		return EAI_NONAME;
	while (has_line("hang"))
		usleep(10000);
	return has_line(host) ? next("127.0.0.1", service, hints, found) : EAI_NONAME;
}
