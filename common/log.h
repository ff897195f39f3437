#ifndef COMMON_LOG_H
#define COMMON_LOG_H

/*
 * Log lines, to stderr (journald or the terminal reads it). One line: a sentence first, then facts as name=value:
 *
 *	became leader term=7 votes=2/3 log=7.1042
 *
 * State changes are info; never a line for each request. The plain functions append ": strerror(errno)", those
 * with an x do not. Lines are cut at 4 KiB; bytes that are no printable ASCII are shown as \xNN, so that no input can
 * forge a line. When stderr is the journal's stream ($JOURNAL_STREAM) each line begins with its priority as <N>;
 * otherwise with the local time and its offset from UTC.
 *
 * Any thread may log, and none ever waits for whoever reads the lines. A line that a pipe, a terminal or a socket has no
 * room for is lost and counted; once there is room again, the next line says how many were lost. A line is written whole
 * or not at all; should a socket or terminal take a part of it, the next one begins on a line of its own. A regular file
 * always has room: its lines wait in the page cache.
 */
enum log_level { LOG_LEVEL_ERROR, LOG_LEVEL_WARN, LOG_LEVEL_INFO, LOG_LEVEL_DEBUG };

/* Names this process in its lines ("supervisor", "consensus", "http 2"); copies. Until then no name is shown. */
void log_open(const char *process);
void log_set_level(enum log_level most);

/* For the supervisor, before it starts anything: opens stderr again where it is a pipe or a terminal, so that it can be
 * non-blocking for this process and its children without being so for the shell that they share it with. */
void log_own_stderr(void);

/* Lines lost from now on, and those that nobody was told of yet, are added to this counter, by any thread. Borrows it for
 * the life of the process. */
struct metric_counter;
void log_count_lost(struct metric_counter *total);
/* Says how many lines were lost, if any were and there is room. To be called now and then: perhaps nothing else is logged
 * for a long time. */
void log_tell_lost(void);

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
