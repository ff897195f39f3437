#include "worker/http/message.h"

#include <assert.h>

#include "worker/http/text.h"

const char *method_name(enum method m)
{
	switch (m) {
	case METHOD_GET:
		return "GET";
	case METHOD_HEAD:
		return "HEAD";
	case METHOD_PUT:
		return "PUT";
	case METHOD_POST:
		return "POST";
	case METHOD_DELETE:
		return "DELETE";
	case METHOD_ANY:
		return "any";
	case METHOD_OTHER:
		break;
	}
	return "?";
}

const struct bytes *request_header(const struct request *q, const char *name)
{
	for (size_t i = 0; i < q->header_count; i++)
		if (text_is(q->headers[i].name, name))
			return &q->headers[i].value;
	return NULL;
}

size_t request_header_count(const struct request *q, const char *name)
{
	size_t count = 0;

	for (size_t i = 0; i < q->header_count; i++)
		count += text_is(q->headers[i].name, name);
	return count;
}

void response_clear(struct response *r)
{
	r->status = 0;
	buf_clear(&r->head);
	buf_clear(&r->own);
	r->body = (struct bytes){ 0 };
	r->stream = false;
}

void response_free(struct response *r)
{
	buf_free(&r->head);
	buf_free(&r->own);
}

static void begin_header(struct response *r, const char *name)
{
	buf_append_text(&r->head, name);
	buf_append_text(&r->head, ": ");
}

void response_header(struct response *r, const char *name, const char *value)
{
	bool good = response_header_bytes(r, name, bytes_text(value));

	assert(good);
}

void response_header_number(struct response *r, const char *name, uint64_t value)
{
	begin_header(r, name);
	text_put_number(&r->head, value);
	buf_append_text(&r->head, "\r\n");
}

bool response_header_bytes(struct response *r, const char *name, struct bytes value)
{
	for (size_t i = 0; i < value.size; i++)
		if ((value.data[i] < ' ' && value.data[i] != '\t') || value.data[i] == 0x7f)
			return false;
	begin_header(r, name);
	buf_append(&r->head, value);
	buf_append_text(&r->head, "\r\n");
	return true;
}

void response_etag(struct response *r, uint64_t revision)
{
	begin_header(r, "ETag");
	buf_append_text(&r->head, "\"");
	text_put_number(&r->head, revision);
	buf_append_text(&r->head, "\"\r\n");
}

void response_own_body(struct response *r)
{
	r->body = buf_bytes(&r->own);
}
