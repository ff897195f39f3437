#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "common/log.h"
#include "tests/sim/universe.h"

struct universe *universe_running;

static void print_line(const struct story_line *l)
{
	char text[STORY_TEXT];
	const uint64_t *n = l->numbers;

	if (l->format != NULL)
		snprintf(text, sizeof(text), l->format, n[0], n[1], n[2], n[3], n[4], n[5]);
	printf("# %10.6f ", (double)l->time.ns / 1e9);
	if (l->node == NOBODY)
		printf("--  ");
	else
		printf("n%d  ", l->node + 1);
	printf("%s\n", l->format != NULL ? text : l->text);
}

static struct story_line *next_line(struct universe *u, int node)
{
	struct story_line *l = &u->story.ring[u->story.count++ % STORY_LINES];

	l->time = u->now;
	l->node = node;
	return l;
}

void story_note(struct universe *u, int node, const char *format, const uint64_t numbers[6])
{
	struct story_line *l = next_line(u, node);

	l->format = format;
	for (int i = 0; i < 6; i++)
		l->numbers[i] = numbers[i];
	if (u->story.aloud)
		print_line(l);
}

static void tell(struct universe *u, int node, const char *format, va_list ap)
{
	struct story_line *l = next_line(u, node);

	l->format = NULL;
	vsnprintf(l->text, sizeof(l->text), format, ap);
	if (u->story.aloud)
		print_line(l);
}

void story_tell(struct universe *u, int node, const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	tell(u, node, format, ap);
	va_end(ap);
}

void story_print(const struct story *s)
{
	uint64_t first = s->count > STORY_LINES ? s->count - STORY_LINES : 0;

	for (uint64_t i = first; i < s->count && !s->aloud; i++)
		print_line(&s->ring[i % STORY_LINES]);
}

void universe_fail(struct universe *u, const char *format, ...)
{
	struct buf command = { 0 };
	char why[512];
	va_list ap;

	va_start(ap, format);
	vsnprintf(why, sizeof(why), format, ap);
	va_end(ap);
	story_print(&u->story);
	printf("# seed %" PRIu64 " failed after %.6f simulated seconds: %s\n", u->plan.seed,
	    (double)u->now.ns / 1e9, why);
	plan_command(&u->plan, &command);
	printf("# to see it again: %s\n", buf_text(&command));
	fflush(stdout);
	if (u->on_fail != NULL)
		u->on_fail(u, why);
	_exit(1);
}

/* ---- what common/log.h promises, here as lines of the story ---- */

static const char *const level_names[] = { "ERROR", "warn", "info", "debug" };

static void log_line(enum log_level level, const char *format, va_list ap)
{
	char text[STORY_TEXT];

	if (universe_running == NULL)
		return;
	vsnprintf(text, sizeof(text), format, ap);
	story_tell(universe_running, universe_running->story.speaker, "%s: %s", level_names[level], text);
}

void log_open(const char *process)
{
	(void)process;
}

void log_set_level(enum log_level most)
{
	(void)most;
}

#define LOG(name, level)                                                                                     \
	void name(const char *format, ...)                                                                   \
	{                                                                                                    \
		va_list ap;                                                                                  \
                                                                                                             \
		va_start(ap, format);                                                                        \
		log_line(level, format, ap);                                                                 \
		va_end(ap);                                                                                  \
	}
LOG(log_error, LOG_LEVEL_ERROR)
LOG(log_errorx, LOG_LEVEL_ERROR)
LOG(log_warn, LOG_LEVEL_WARN)
LOG(log_warnx, LOG_LEVEL_WARN)
LOG(log_info, LOG_LEVEL_INFO)
LOG(log_debug, LOG_LEVEL_DEBUG)

static void die(const char *format, va_list ap) __attribute__((noreturn));
static void die(const char *format, va_list ap)
{
	char text[STORY_TEXT];

	vsnprintf(text, sizeof(text), format, ap);
	if (universe_running == NULL)
		abort();
	universe_fail(universe_running, "fatal: %s", text);
}

void fatal(int status, const char *format, ...)
{
	va_list ap;

	(void)status;
	va_start(ap, format);
	die(format, ap);
}

void fatalx(int status, const char *format, ...)
{
	va_list ap;

	(void)status;
	va_start(ap, format);
	die(format, ap);
}
