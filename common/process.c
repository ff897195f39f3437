#include "common/process.h"

#include <dirent.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define NS_IN_SECOND UINT64_C(1000000000)
#define START_FIELD 22 /* of proc_pid_stat(5) */
#define COMMAND_FIELD 2

/* A file of /proc as text; false where there is none. */
static bool read_proc(const char *path, char *text, size_t size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t got;

	if (fd == -1)
		return false;
	got = read(fd, text, size - 1);
	close(fd);
	if (got <= 0)
		return false;
	text[got] = '\0';
	return true;
}

static uint64_t read_clock(clockid_t clock)
{
	struct timespec t;

	if (clock_gettime(clock, &t) == -1)
		return 0;
	return (uint64_t)t.tv_sec * NS_IN_SECOND + (uint64_t)t.tv_nsec;
}

/* In nanoseconds of Unix time; 0: not known. The kernel says how long after its own start the process was started. */
static uint64_t find_start(void)
{
	char text[1024], *at;
	uint64_t ticks;
	long in_second = sysconf(_SC_CLK_TCK);

	/* The name of the command may hold blanks and parentheses, and what follows it does not. */
	if (in_second <= 0 || !read_proc("/proc/self/stat", text, sizeof(text)) ||
	    (at = strrchr(text, ')')) == NULL)
		return 0;
	for (int field = COMMAND_FIELD; field < START_FIELD && at != NULL; field++)
		at = strchr(at + 1, ' ');
	if (at == NULL || sscanf(at, "%" SCNu64, &ticks) != 1)
		return 0;
	return read_clock(CLOCK_REALTIME) - read_clock(CLOCK_BOOTTIME) +
	       ticks * (NS_IN_SECOND / (uint64_t)in_second);
}

/* The one that reads the directory counts itself. */
static uint64_t count_entries(const char *path)
{
	DIR *d = opendir(path);
	uint64_t count = 0;
	const struct dirent *entry;

	if (d == NULL)
		return 0;
	while ((entry = readdir(d)) != NULL)
		count += entry->d_name[0] != '.';
	closedir(d);
	return count > 0 ? count - 1 : 0;
}

/* Linux 6.2 and later say it as the size of the directory. */
static uint64_t count_descriptors(void)
{
	struct stat s;

	if (stat("/proc/self/fd", &s) == 0 && s.st_size > 0)
		return (uint64_t)s.st_size;
	return count_entries("/proc/self/fd");
}

void process_measure(struct metrics *m)
{
	static uint64_t start_ns;
	uint64_t pages, resident, page_bytes = (uint64_t)sysconf(_SC_PAGESIZE);
	struct rlimit limit;
	char text[128];

	if (start_ns == 0)
		start_ns = find_start();
	metric_set(m->process_start_time_seconds, start_ns);
	metric_read(m->process_cpu_seconds_total, read_clock(CLOCK_PROCESS_CPUTIME_ID));
	if (read_proc("/proc/self/statm", text, sizeof(text)) &&
	    sscanf(text, "%" SCNu64 " %" SCNu64, &pages, &resident) == 2) {
		metric_set(m->process_virtual_memory_bytes, pages * page_bytes);
		metric_set(m->process_resident_memory_bytes, resident * page_bytes);
	}
	metric_set(m->process_open_fds, count_descriptors());
	if (getrlimit(RLIMIT_NOFILE, &limit) == 0)
		metric_set(m->process_max_fds, limit.rlim_cur);
}
