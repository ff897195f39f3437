#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/log.h"

/* Stands in for common/log.c: a decoder that complains of every input says nothing here, but its line is made, so that
 * what is wrong with making it shows. A fatal end is a finding. */

__attribute__((format(printf, 1, 0))) static void swallow(const char *format, va_list ap)
{
	char line[4096];

	vsnprintf(line, sizeof(line), format, ap);
}

#define QUIET_FUNCTION(name)                                                                                 \
	void name(const char *format, ...)                                                                   \
	{                                                                                                    \
		va_list ap;                                                                                  \
                                                                                                             \
		va_start(ap, format);                                                                        \
		swallow(format, ap);                                                                         \
		va_end(ap);                                                                                  \
	}

QUIET_FUNCTION(log_error)
QUIET_FUNCTION(log_errorx)
QUIET_FUNCTION(log_warn)
QUIET_FUNCTION(log_warnx)
QUIET_FUNCTION(log_info)
QUIET_FUNCTION(log_debug)

#define FATAL_FUNCTION(name)                                                                                 \
	void name(int status, const char *format, ...)                                                       \
	{                                                                                                    \
		va_list ap;                                                                                  \
                                                                                                             \
		fprintf(stderr, "fatal, status %d: ", status);                                               \
		va_start(ap, format);                                                                        \
		vfprintf(stderr, format, ap);                                                                \
		va_end(ap);                                                                                  \
		fputc('\n', stderr);                                                                         \
		abort();                                                                                     \
	}

FATAL_FUNCTION(fatal)
FATAL_FUNCTION(fatalx)
