#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <poll.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "common/log.h"
#include "common/metric.h"

/* A pipe takes up to this much whole, or nothing of it. */
#define LINE_MAX_BYTES PIPE_BUF

static char process_name[32];
static enum log_level most_level = LOG_LEVEL_INFO;

static _Atomic uint64_t lost; /* lines that nobody was told of yet */
static _Atomic bool is_cut; /* the last line that was written is not whole */
static struct metric_counter *_Atomic lost_total; /* NULL: not counted */

static const struct {
	const char *word, *priority; /* syslog(3) priorities, as sd-daemon(3) reads them */
} levels[] = {
	[LOG_LEVEL_ERROR] = { "error", "<3>" },
	[LOG_LEVEL_WARN] = { "warning", "<4>" },
	[LOG_LEVEL_INFO] = { "info", "<6>" },
	[LOG_LEVEL_DEBUG] = { "debug", "<7>" },
};

void log_open(const char *process)
{
	snprintf(process_name, sizeof(process_name), "%s", process);
}

void log_set_level(enum log_level most)
{
	most_level = most;
}

/* $JOURNAL_STREAM names the socket of whoever set it, which need not be ours: a shell of a user's session hands it on
 * although its programs write to a terminal. */
static bool is_journal(void)
{
	const char *stream = getenv("JOURNAL_STREAM");
	unsigned long long device, inode;
	struct stat s;

	return stream != NULL && sscanf(stream, "%llu:%llu", &device, &inode) == 2 &&
	       fstat(STDERR_FILENO, &s) == 0 && s.st_dev == device && s.st_ino == inode;
}

/* By RFC 3339: 2026-12-01T01:02:03.123+00:00 */
static size_t put_time(char *line, size_t room)
{
	struct timespec now;
	struct tm tm;
	size_t size;
	long minutes;

	clock_gettime(CLOCK_REALTIME, &now);
	localtime_r(&now.tv_sec, &tm);
	minutes = tm.tm_gmtoff / 60;
	size = strftime(line, room, "%Y-%m-%dT%H:%M:%S", &tm);
	return size + (size_t)snprintf(line + size, room - size, ".%03ld%c%02ld:%02ld ",
			  now.tv_nsec / 1000000, minutes < 0 ? '-' : '+', labs(minutes) / 60,
			  labs(minutes) % 60);
}

static size_t put_head(char *line, size_t room, enum log_level level)
{
	size_t size =
	    is_journal() ? (size_t)snprintf(line, room, "%s", levels[level].priority) : put_time(line, room);

	return size + (size_t)snprintf(line + size, room - size,
			  "%s[%d] %s: ", process_name[0] ? process_name : "holdfast", (int)getpid(),
			  levels[level].word);
}

static size_t put_escaped(char *line, size_t at, const char *text)
{
	for (; *text != '\0' && at + 5 < LINE_MAX_BYTES; text++) {
		unsigned char c = (unsigned char)*text;

		if (c >= 0x20 && c < 0x7f)
			line[at++] = (char)c;
		else
			at += (size_t)snprintf(line + at, 5, "\\x%02x", c);
	}
	return at;
}

/* --- writing without waiting --- */

static bool has_room(void)
{
	struct pollfd p = { .fd = STDERR_FILENO, .events = POLLOUT };

	return poll(&p, 1, 0) == 1;
}

/* -1 when nothing can be written now. A socket, the journal's for one, may be shared with others, who must not find it
 * non-blocking: so the call is. */
static ssize_t write_some(const char *text, size_t size)
{
	ssize_t written;

	do {
		written = send(STDERR_FILENO, text, size, MSG_DONTWAIT | MSG_NOSIGNAL);
		if (written == -1 && errno == ENOTSOCK && has_room())
			written = write(STDERR_FILENO, text, size);
	} while (written == -1 && errno == EINTR);
	return written;
}

/* The text begins with a line feed, which is left out unless a line that was cut short stands before it. False when it
 * is lost. */
static bool write_text(const char *text, size_t size)
{
	size_t skipped = atomic_load(&is_cut) ? 0 : 1;
	ssize_t written = write_some(text + skipped, size - skipped);

	if (written > 0)
		atomic_store(&is_cut, (size_t)written < size - skipped);
	return written == (ssize_t)(size - skipped);
}

static void lose(uint64_t lines)
{
	struct metric_counter *total = atomic_load(&lost_total);

	atomic_fetch_add(&lost, lines);
	if (total != NULL)
		atomic_fetch_add(&total->value, lines);
}

/* False when there is still no room. */
static bool tell_lost(void)
{
	uint64_t lines = atomic_exchange(&lost, 0);
	char line[LINE_MAX_BYTES] = "\n";
	size_t size;

	if (lines == 0)
		return true;
	size = 1 + put_head(line + 1, sizeof(line) - 1, LOG_LEVEL_WARN);
	size += (size_t)snprintf(line + size, sizeof(line) - size,
	    "lines of this log were lost: whoever reads it was too slow lost=%" PRIu64 "\n", lines);
	if (write_text(line, size))
		return true;
	atomic_fetch_add(&lost, lines);
	return false;
}

void log_own_stderr(void)
{
	struct stat s;
	int fd;

	if (fstat(STDERR_FILENO, &s) == -1 || (!S_ISFIFO(s.st_mode) && !S_ISCHR(s.st_mode)))
		return;
	fd = open("/proc/self/fd/2", O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	if (fd != -1) {
		dup2(fd, STDERR_FILENO);
		close(fd);
	} else if (S_ISFIFO(s.st_mode)) {
		/* It is another user's. Whoever else writes to it, while we do, is a wrapper of ours at most. */
		fcntl(STDERR_FILENO, F_SETFL, fcntl(STDERR_FILENO, F_GETFL) | O_NONBLOCK);
	}
}

void log_count_lost(struct metric_counter *total)
{
	atomic_store(&lost_total, total);
	atomic_fetch_add(&total->value, atomic_load(&lost));
}

void log_tell_lost(void)
{
	tell_lost();
}

__attribute__((format(printf, 3, 0))) static void write_line(
    enum log_level level, int error, const char *format, va_list ap)
{
	char line[LINE_MAX_BYTES] = "\n", text[LINE_MAX_BYTES];
	size_t size;

	if (level > most_level)
		return;
	size = 1 + put_head(line + 1, sizeof(line) - 1, level);
	vsnprintf(text, sizeof(text), format, ap);
	size = put_escaped(line, size, text);
	if (error != 0) {
		size = put_escaped(line, size, ": ");
		size = put_escaped(line, size, strerror(error));
	}
	line[size++] = '\n';
	if (!tell_lost() || !write_text(line, size))
		lose(1);
}

#define LOG_FUNCTION(name, level, error)                                                                     \
	void name(const char *format, ...)                                                                   \
	{                                                                                                    \
		int saved = errno;                                                                           \
		va_list ap;                                                                                  \
                                                                                                             \
		va_start(ap, format);                                                                        \
		write_line(level, error, format, ap);                                                        \
		va_end(ap);                                                                                  \
		errno = saved;                                                                               \
	}

LOG_FUNCTION(log_error, LOG_LEVEL_ERROR, saved)
LOG_FUNCTION(log_errorx, LOG_LEVEL_ERROR, 0)
LOG_FUNCTION(log_warn, LOG_LEVEL_WARN, saved)
LOG_FUNCTION(log_warnx, LOG_LEVEL_WARN, 0)
LOG_FUNCTION(log_info, LOG_LEVEL_INFO, 0)
LOG_FUNCTION(log_debug, LOG_LEVEL_DEBUG, 0)

#define FATAL_FUNCTION(name, error)                                                                          \
	void name(int status, const char *format, ...)                                                       \
	{                                                                                                    \
		int saved = errno;                                                                           \
		va_list ap;                                                                                  \
                                                                                                             \
		(void)saved;                                                                                 \
		va_start(ap, format);                                                                        \
		write_line(LOG_LEVEL_ERROR, error, format, ap);                                              \
		va_end(ap);                                                                                  \
		_exit(status);                                                                               \
	}

FATAL_FUNCTION(fatal, saved)
FATAL_FUNCTION(fatalx, 0)
