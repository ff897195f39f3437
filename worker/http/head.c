#include "worker/http/head.h"

#include <http_parser.h>
#include <string.h>

#include "worker/http/text.h"

enum head_found head_find(struct head_search *s, struct bytes data, size_t *size)
{
	const uint8_t *lf;

	while (s->at < data.size && (lf = memchr(data.data + s->at, '\n', data.size - s->at)) != NULL) {
		size_t at = (size_t)(lf - data.data);
		uint8_t first = data.data[s->line];

		if (at == s->line || lf[-1] != '\r' || first == ' ' || first == '\t')
			return HEAD_BAD;
		if (at == s->line + 1) {
			*size = at + 1;
			return HEAD_WHOLE;
		}
		s->at = s->line = at + 1;
	}
	s->at = data.size;
	return HEAD_MORE;
}

struct parse {
	struct request *q;
	struct framing *f;
	struct bytes target;
	const char *why;
	enum err error;
	bool complete;
};

static int refuse(struct parse *p, enum err e, const char *why)
{
	p->error = e;
	p->why = why;
	return 1;
}

static int on_url(http_parser *parser, const char *at, size_t size)
{
	struct parse *p = parser->data;

	p->target = bytes_of(at, size);
	return 0;
}

/* RFC 9110 §5.6.2. The library as Debian builds it takes blanks too. */
static bool is_token(struct bytes name)
{
	for (size_t i = 0; i < name.size; i++)
		if (name.data[i] <= ' ' || name.data[i] >= 0x7f ||
		    strchr("\"(),/:;<=>?@[\\]{}", name.data[i]) != NULL)
			return false;
	return name.size > 0;
}

static int on_header_field(http_parser *parser, const char *at, size_t size)
{
	struct parse *p = parser->data;

	if (p->q->header_count == REQUEST_HEADERS_MAX)
		return refuse(p, ERR_HEADER_TOO_LARGE, "the request has more than 64 headers, the limit");
	if (!is_token(bytes_of(at, size)))
		return refuse(p, ERR_BAD_REQUEST, "the name of a header has a byte that must not be there");
	p->q->headers[p->q->header_count++] = (struct header){ .name = bytes_of(at, size) };
	return 0;
}

/* RFC 9110 §5.5. The library lets a control character pass where a value begins. */
static bool is_field_value(struct bytes value)
{
	for (size_t i = 0; i < value.size; i++)
		if ((value.data[i] < ' ' && value.data[i] != '\t') || value.data[i] == 0x7f)
			return false;
	return true;
}

static int on_header_value(http_parser *parser, const char *at, size_t size)
{
	struct parse *p = parser->data;

	if (!is_field_value(bytes_of(at, size)))
		return refuse(p, ERR_BAD_REQUEST, "the value of a header has a byte that must not be there");
	p->q->headers[p->q->header_count - 1].value = text_trim(bytes_of(at, size));
	return 0;
}

static enum method method_of(unsigned method)
{
	switch (method) {
	case HTTP_GET:
		return METHOD_GET;
	case HTTP_HEAD:
		return METHOD_HEAD;
	case HTTP_PUT:
		return METHOD_PUT;
	case HTTP_POST:
		return METHOD_POST;
	case HTTP_DELETE:
		return METHOD_DELETE;
	}
	return METHOD_OTHER;
}

/* Path and query from "/path?query" or "http://host/path?query". */
static int split_target(struct parse *p)
{
	struct bytes target = p->target;
	const uint8_t *mark;

	if (target.size > 7 && text_is(bytes_of(target.data, 7), "http://")) {
		target = bytes_of(target.data + 7, target.size - 7);
		if ((mark = memchr(target.data, '/', target.size)) == NULL)
			return refuse(p, ERR_BAD_REQUEST, "the target of the request has no path");
		target.size -= (size_t)(mark - target.data);
		target.data = mark;
	}
	if (target.size == 0 || target.data[0] != '/' || memchr(target.data, '#', target.size) != NULL)
		return refuse(
		    p, ERR_BAD_REQUEST, "the target of the request is no path that begins with '/'");
	p->q->path = target;
	if ((mark = memchr(target.data, '?', target.size)) != NULL) {
		p->q->path.size = (size_t)(mark - target.data);
		p->q->query = bytes_of(mark + 1, target.size - p->q->path.size - 1);
	}
	return 0;
}

static int check_framing(struct parse *p, const http_parser *parser)
{
	const struct bytes *coding = request_header(p->q, "transfer-encoding");
	const struct bytes *expect = request_header(p->q, "expect");
	size_t hosts = request_header_count(p->q, "host");

	if (parser->http_major != 1 || parser->http_minor > 1)
		return refuse(p, ERR_BAD_REQUEST, "only HTTP/1.0 and HTTP/1.1 are spoken here");
	p->f->http_1_0 = parser->http_minor == 0;
	if (hosts > 1 || (hosts == 0 && !p->f->http_1_0))
		return refuse(p, ERR_BAD_REQUEST, "a request needs exactly one Host header");
	if (coding != NULL && (!text_is(*coding, "chunked") || p->f->http_1_0 ||
				  request_header_count(p->q, "transfer-encoding") > 1))
		return refuse(p, ERR_BAD_REQUEST, "the only Transfer-Encoding taken is chunked");
	if (expect != NULL && !text_is(*expect, "100-continue"))
		return refuse(p, ERR_BAD_REQUEST, "the only Expect taken is 100-continue");
	p->f->chunked = coding != NULL;
	p->f->body_bytes = (parser->flags & F_CONTENTLENGTH) != 0 ? parser->content_length : 0;
	p->f->keep_alive = http_should_keep_alive(parser) != 0;
	p->f->expects_continue = expect != NULL && !p->f->http_1_0;
	return 0;
}

static int on_headers_complete(http_parser *parser)
{
	struct parse *p = parser->data;

	p->complete = true;
	return split_target(p) != 0 || check_framing(p, parser) != 0 ? -1 : 0;
}

static const http_parser_settings settings = {
	.on_url = on_url,
	.on_header_field = on_header_field,
	.on_header_value = on_header_value,
	.on_headers_complete = on_headers_complete,
};

enum err head_parse(struct bytes head, struct request *q, struct framing *f, const char **why)
{
	struct parse p = { .q = q, .f = f, .error = ERR_OK };
	http_parser parser;
	enum http_errno e;

	q->header_count = 0;
	q->path = q->query = q->body = (struct bytes){ 0 };
	q->method = METHOD_OTHER;
	*f = (struct framing){ 0 };
	http_parser_init(&parser, HTTP_REQUEST);
	parser.data = &p;
	http_parser_execute(&parser, &settings, (const char *)head.data, head.size);
	q->method = method_of(parser.method);
	e = HTTP_PARSER_ERRNO(&parser);
	if (e == HPE_OK && !p.complete)
		refuse(&p, ERR_BAD_REQUEST, "the head of the request is not whole");
	if (e == HPE_OK && p.complete)
		return ERR_OK;
	*why = p.error != ERR_OK ? p.why : http_errno_description(e);
	return p.error != ERR_OK ? p.error : ERR_BAD_REQUEST;
}
