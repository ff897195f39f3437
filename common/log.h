#ifndef COMMON_LOG_H
#define COMMON_LOG_H

/*
 * Log lines, to stderr (journald or the terminal reads it). One line: a sentence first, then facts as name=value:
 *
 *	became leader term=7 votes=2/3 log=7.1042
 *
 * State changes are info; never a line for each request. The plain functions append ": strerror(errno)", those
 * with an x do not. Lines are written whole, from any thread, and cut at 4 KiB; bytes that are no printable ASCII
 * are shown as \xNN, so that no input can forge a line. When stderr is a journal's stream (JOURNAL_STREAM) each line begins with its
 * priority as <N>; otherwise with the local time.
 */
enum log_level { LOG_LEVEL_ERROR, LOG_LEVEL_WARN, LOG_LEVEL_INFO, LOG_LEVEL_DEBUG };

/* Names this process in its lines ("supervisor", "consensus", "http 2"); copies. Until then no name is shown. */
void log_open(const char *process);
void log_set_level(enum log_level most);

void log_error(const char *format, ...) __attribute__((format(printf, 1, 2)));
void log_errorx(const char *format, ...) __attribute__((format(printf, 1, 2)));
void log_warn(const char *format, ...) __attribute__((format(printf, 1, 2)));
void log_warnx(const char *format, ...) __attribute__((format(printf, 1, 2)));
void log_info(const char *format, ...) __attribute__((format(printf, 1, 2)));
void log_debug(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Says why, as an error, and ends the process at once with `status` (a number of sysexits.h), without running
 * exit handlers. fatal() appends strerror(errno). */
void fatal(int status, const char *format, ...) __attribute__((noreturn, format(printf, 2, 3)));
void fatalx(int status, const char *format, ...) __attribute__((noreturn, format(printf, 2, 3)));

#endif
