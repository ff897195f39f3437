#include <time.h>

#include "worker/http/conn.h"
#include "worker/http/text.h"

/* The statuses that are used; the words are for people alone. */
static const char *reason(int status)
{
	static const struct {
		int status;
		const char *reason;
	} reasons[] = {
		{ 200, "OK" },
		{ 201, "Created" },
		{ 301, "Moved Permanently" },
		{ 304, "Not Modified" },
		{ 307, "Temporary Redirect" },
		{ 400, "Bad Request" },
		{ 404, "Not Found" },
		{ 405, "Method Not Allowed" },
		{ 408, "Request Timeout" },
		{ 409, "Conflict" },
		{ 412, "Precondition Failed" },
		{ 413, "Content Too Large" },
		{ 414, "URI Too Long" },
		{ 422, "Unprocessable Content" },
		{ 431, "Request Header Fields Too Large" },
		{ 500, "Internal Server Error" },
		{ 503, "Service Unavailable" },
		{ 504, "Gateway Timeout" },
	};

	for (size_t i = 0; i < sizeof(reasons) / sizeof(reasons[0]); i++)
		if (reasons[i].status == status)
			return reasons[i].reason;
	return "";
}

/* RFC 9110 §6.6.1 wants a date; formatting it once a second is enough. */
static void put_date(struct server *s)
{
	struct timespec now;
	struct tm parts;

	clock_gettime(CLOCK_REALTIME_COARSE, &now);
	if (now.tv_sec != s->date_second) {
		s->date_second = now.tv_sec;
		gmtime_r(&now.tv_sec, &parts);
		strftime(s->date, sizeof(s->date), "Date: %a, %d %b %Y %H:%M:%S GMT\r\n", &parts);
	}
	buf_append_text(&s->out, s->date);
}

void server_compose(struct server *s, const struct conn *c, const struct response *r)
{
	struct buf *out = &s->out;

	buf_clear(out);
	buf_append_text(out, "HTTP/1.1 ");
	text_put_number(out, (uint64_t)r->status);
	buf_append_text(out, " ");
	buf_append_text(out, reason(r->status));
	buf_append_text(out, "\r\n");
	put_date(s);
	if (r->status != 304) {
		buf_append_text(out, "Content-Length: ");
		text_put_number(out, r->body.size);
		buf_append_text(out, "\r\n");
	}
	if (c->closing)
		buf_append_text(out, "Connection: close\r\n");
	else if (c->framing.http_1_0)
		buf_append_text(out, "Connection: keep-alive\r\n");
	buf_append(out, buf_bytes(&r->head));
	buf_append_text(out, "\r\n");
}
