#include <time.h>

#include "worker/http/conn.h"
#include "worker/http/text.h"

static const char *reason_of(int status)
{
	switch (status) {
#define CODE(number, reason)                                                                                 \
	case number:                                                                                         \
		return reason;
#include "worker/http/code.def"
#undef CODE
	}
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
	buf_append_text(out, reason_of(r->status));
	buf_append_text(out, "\r\n");
	put_date(s);
	/* Caches would keep what says nothing of it, and answer reads, and m2's GET /set, by themselves. */
	buf_append_text(out, "Cache-Control: no-store\r\n");
	if (r->stream) {
		if (!c->framing.http_1_0)
			buf_append_text(out, "Transfer-Encoding: chunked\r\n");
	} else if (r->status != 304) {
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
