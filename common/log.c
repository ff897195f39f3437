#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "common/log.h"

#define LINE_MAX_BYTES 4096

static char process_name[32];
static enum log_level most_level = LOG_LEVEL_INFO;

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

static size_t put_head(char *line, size_t room, enum log_level level)
{
	struct timespec now;
	struct tm tm;
	size_t size;

	if (getenv("JOURNAL_STREAM") != NULL) {
		size = (size_t)snprintf(line, room, "%s", levels[level].priority);
	} else {
		clock_gettime(CLOCK_REALTIME, &now);
		localtime_r(&now.tv_sec, &tm);
		size = strftime(line, room, "%Y-%m-%d %H:%M:%S", &tm);
		size += (size_t)snprintf(line + size, room - size, ".%03ld ", now.tv_nsec / 1000000);
	}
	size += (size_t)snprintf(line + size, room - size,
	    "%s[%d] %s: ", process_name[0] ? process_name : "holdfast", (int)getpid(), levels[level].word);
	return size;
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

__attribute__((format(printf, 3, 0))) static void write_line(
    enum log_level level, int error, const char *format, va_list ap)
{
	char line[LINE_MAX_BYTES], text[LINE_MAX_BYTES];
	size_t size;
	ssize_t written;

	if (level > most_level)
		return;
	size = put_head(line, sizeof(line), level);
	vsnprintf(text, sizeof(text), format, ap);
	size = put_escaped(line, size, text);
	if (error != 0) {
		size = put_escaped(line, size, ": ");
		size = put_escaped(line, size, strerror(error));
	}
	line[size++] = '\n';
	do
		written = write(STDERR_FILENO, line, size);
	while (written == -1 && errno == EINTR);
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
