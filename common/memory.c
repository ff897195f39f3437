#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/mem.h"
#include "common/memory.h"

#define LINE_BYTES 4096

/* UINT64_MAX: the file is not there, or has a word for «no limit». */
static uint64_t number_in(const char *directory, const char *name)
{
	char *path = xasprintf("%s/%s", directory, name), line[64] = "";
	FILE *f = fopen(path, "re");
	uint64_t number = UINT64_MAX;

	if (f != NULL && fgets(line, sizeof(line), f) != NULL && line[0] >= '0' && line[0] <= '9')
		number = strtoull(line, NULL, 10);
	if (f != NULL)
		fclose(f);
	free(path);
	return number;
}

static uint64_t least(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

/* The lowest limit in the group at this path below `base` and in those above it. */
static uint64_t limit_of(const char *base, const char *group)
{
	char *directory = xasprintf("%s%s", base, group);
	uint64_t limit = UINT64_MAX;

	for (char *end = directory + strlen(directory); end >= directory + strlen(base);
	     end = strrchr(directory, '/')) {
		*end = '\0';
		limit = least(limit, number_in(directory, "memory.max"));
		limit = least(limit, number_in(directory, "memory.high"));
		limit = least(limit, number_in(directory, "memory.limit_in_bytes"));
	}
	free(directory);
	return limit;
}

/* HIERARCHY:CONTROLLERS:PATH; in version 2 the one line without controllers. */
static uint64_t limit_by_line(const char *root, char *line)
{
	char *controllers = strchr(line, ':'), *group, *base;
	uint64_t limit = UINT64_MAX;
	bool all;

	line[strcspn(line, "\n")] = '\0';
	if (controllers == NULL || (group = strchr(++controllers, ':')) == NULL)
		return UINT64_MAX;
	*group++ = '\0';
	all = *controllers == '\0';
	if (!all && strcmp(controllers, "memory") != 0)
		return UINT64_MAX;
	base = xasprintf("%s/sys/fs/cgroup%s", root, all ? "" : "/memory");
	limit = limit_of(base, group);
	free(base);
	return limit;
}

uint64_t memory_bytes_below(const char *root, uint64_t machine)
{
	char *path = xasprintf("%s/proc/self/cgroup", root), line[LINE_BYTES];
	FILE *f = fopen(path, "re");
	uint64_t bytes = machine;

	free(path);
	while (f != NULL && fgets(line, sizeof(line), f) != NULL)
		bytes = least(bytes, limit_by_line(root, line));
	if (f != NULL)
		fclose(f);
	return bytes;
}

uint64_t memory_bytes(void)
{
	return memory_bytes_below("", (uint64_t)sysconf(_SC_PHYS_PAGES) * (uint64_t)sysconf(_SC_PAGESIZE));
}
