#include <errno.h>
#include <inttypes.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <systemd/sd-daemon.h>
#include <time.h>
#include <unistd.h>

#include "common/buf.h"
#include "daemon/notify.h"

/*
 * sd_notify(3) waits where systemd does not read, so the datagrams are sent from here. What has no room is kept: the last
 * word about the state ("READY=1") and the last status. Later ones replace them; systemd does not miss what is over.
 */
static char *state, *status; /* not sent yet, each a line; NULL: nothing */

static bool put_address(struct sockaddr_un *to, socklen_t *size)
{
	const char *path = getenv("NOTIFY_SOCKET");
	size_t length = path == NULL ? 0 : strlen(path);

	if (length < 2 || length >= sizeof(to->sun_path) || (path[0] != '/' && path[0] != '@'))
		return false;
	*to = (struct sockaddr_un){ .sun_family = AF_UNIX };
	memcpy(to->sun_path, path, length);
	if (path[0] == '@')
		to->sun_path[0] = '\0'; /* an abstract address */
	*size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length);
	return true;
}

/* False when it should be tried again. */
static bool send_now(struct bytes text)
{
	struct sockaddr_un to;
	socklen_t size;
	bool sent;
	int fd;

	if (!put_address(&to, &size))
		return true;
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd == -1)
		return false;
	sent = sendto(fd, text.data, text.size, MSG_NOSIGNAL, (struct sockaddr *)&to, size) != -1 ||
	       (errno != EAGAIN && errno != ENOBUFS && errno != ENOMEM);
	close(fd);
	return sent;
}

static void replace(char **kept, char *line)
{
	free(*kept);
	*kept = line;
}

void notify_flush(void)
{
	struct buf text = { 0 };

	if (state != NULL)
		buf_append_text(&text, state);
	if (status != NULL)
		buf_append_text(&text, status);
	if (text.size > 0 && send_now(buf_bytes(&text))) {
		replace(&state, NULL);
		replace(&status, NULL);
	}
	buf_free(&text);
}

void notify_ready(const char *line)
{
	replace(&state, xstrdup("READY=1\n"));
	notify_status(line);
}

void notify_status(const char *line)
{
	replace(&status, xasprintf("STATUS=%s\n", line));
	notify_flush();
}

void notify_reloading(void)
{
	struct timespec ts;

	/* systemd tells by the time which of several reloads this is; it wants this very clock. */
	clock_gettime(CLOCK_MONOTONIC, &ts);
	replace(&state, xasprintf("RELOADING=1\nMONOTONIC_USEC=%" PRIu64 "\n",
			    (uint64_t)ts.tv_sec * 1000000 + (uint64_t)ts.tv_nsec / 1000));
	notify_status("reloading the configuration");
}

void notify_stopping(const char *line)
{
	replace(&state, xstrdup("STOPPING=1\n"));
	notify_status(line);
}

/* Said again and again, so nothing is kept of it. */
static void say_once(const char *line)
{
	notify_flush();
	if (state == NULL)
		send_now(bytes_text(line));
}

void notify_extend(struct span s)
{
	char *line = xasprintf("EXTEND_TIMEOUT_USEC=%" PRIi64, s.ns / 1000);

	say_once(line);
	free(line);
}

bool notify_watchdog(struct span *every)
{
	uint64_t us;

	if (sd_watchdog_enabled(0, &us) <= 0)
		return false;
	*every = span_us((int64_t)us);
	return true;
}

void notify_alive(void)
{
	say_once("WATCHDOG=1");
}
