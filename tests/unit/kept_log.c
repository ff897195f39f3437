#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "tests/unit/kept_log.h"

static char lines[LOG_LEVEL_DEBUG + 1][512];

const char *kept_line(enum log_level level)
{
	return lines[level];
}

void kept_forget(void)
{
	for (int i = 0; i <= LOG_LEVEL_DEBUG; i++)
		lines[i][0] = '\0';
}

__attribute__((format(printf, 2, 0))) static void keep(enum log_level level, const char *format, va_list ap)
{
	vsnprintf(lines[level], sizeof(lines[level]), format, ap);
}

#define KEEP_FUNCTION(name, level)                                                                           \
	void name(const char *format, ...)                                                                   \
	{                                                                                                    \
		va_list ap;                                                                                  \
                                                                                                             \
		va_start(ap, format);                                                                        \
		keep(level, format, ap);                                                                     \
		va_end(ap);                                                                                  \
	}

KEEP_FUNCTION(log_error, LOG_LEVEL_ERROR)
KEEP_FUNCTION(log_errorx, LOG_LEVEL_ERROR)
KEEP_FUNCTION(log_warnx, LOG_LEVEL_WARN)
KEEP_FUNCTION(log_info, LOG_LEVEL_INFO)
KEEP_FUNCTION(log_debug, LOG_LEVEL_DEBUG)
