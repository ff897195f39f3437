#include <jansson.h>
#include <string.h>

#include "worker/http/native.h"
#include "worker/http/text.h"

/*
 * GET /: what this node answers to, a line for each row of the dialects that it speaks; as JSON, or as a page for a browser.
 * GET /version.
 */

/* --- Accept --- */

#define WEIGHT_MOST 1000

/* The weight of "text/html;q=0.8", in thousandths (RFC 9110 §12.4.2); one that is malformed is the whole. */
static unsigned weight_of(struct bytes parameters)
{
	unsigned weight = 0, unit = WEIGHT_MOST;
	struct bytes q;

	for (; parameters.size > 0; parameters = bytes_of(parameters.data + 1, parameters.size - 1))
		if (parameters.size >= 3 && text_is(bytes_of(parameters.data, 2), "q="))
			break;
	if (parameters.size == 0)
		return WEIGHT_MOST;
	q = bytes_of(parameters.data + 2, parameters.size - 2);
	for (size_t i = 0; i < q.size && unit > 0; i++) {
		if (q.data[i] >= '0' && q.data[i] <= '9') {
			weight += unit * (unsigned)(q.data[i] - '0');
			unit /= 10;
		} else if (q.data[i] != '.')
			break;
	}
	return weight < WEIGHT_MOST ? weight : WEIGHT_MOST;
}

/* Takes the next element of a list off its front: its media type, and what is behind ';'. */
static bool take_range(struct bytes *list, struct bytes *type, struct bytes *parameters)
{
	size_t size = 0, semicolon;

	if (list->size == 0)
		return false;
	while (size < list->size && list->data[size] != ',')
		size++;
	for (semicolon = 0; semicolon < size && list->data[semicolon] != ';';)
		semicolon++;
	*type = text_trim(bytes_of(list->data, semicolon));
	*parameters = bytes_of(list->data + semicolon, size - semicolon);
	if (size < list->size)
		size++;
	*list = bytes_of(list->data + size, list->size - size);
	return true;
}

/* A browser names HTML and weighs everything else less; whoever takes anything gets JSON. */
static bool prefers_html(const struct request *q)
{
	const struct bytes *accept = request_header(q, "accept");
	struct bytes list = accept != NULL ? *accept : (struct bytes){ 0 }, type, parameters;
	unsigned html = 0, json = 0;

	while (take_range(&list, &type, &parameters)) {
		if (text_is(type, "text/html"))
			html = weight_of(parameters);
		else if (text_is(type, "application/json"))
			json = weight_of(parameters);
	}
	return html > json;
}

/* --- the index --- */

enum err native_parse_index(const struct request *q, struct bytes rest, struct operation *op)
{
	(void)rest;
	op->note.html = prefers_html(q);
	return ERR_OK;
}

static json_t *names_of(unsigned bits, const char *(*name)(size_t n))
{
	json_t *array = json_array();

	for (size_t n = 0; name(n) != NULL; n++)
		if ((bits & 1u << n) != 0)
			json_array_append_new(array, json_string(name(n)));
	return array;
}

static json_t *route_json(const struct route *r, unsigned spoken)
{
	json_t *object = json_pack(
	    "{s:s, s:s, s:s}", "method", method_name(r->method), "path", r->pattern, "does", r->says);

	if (r->parameters != 0)
		json_object_set_new(object, "parameters", names_of(r->parameters, parameter_name));
	if (r->headers != 0)
		json_object_set_new(object, "headers", names_of(r->headers, header_name));
	if (r->dialects != 0)
		json_object_set_new(object, "dialects", names_of(r->dialects & spoken, dialect_name));
	return object;
}

static int append_index(const char *text, size_t size, void *arg)
{
	buf_append(arg, bytes_of(text, size));
	return 0;
}

/* Calls `put` for each row that is spoken. */
static void for_each_route(const struct about *about, struct buf *to,
    void (*put)(struct buf *to, const struct route *r, unsigned spoken, bool first))
{
	bool first = true;

	for (const struct dialect *const *d = about->dialects; *d != NULL; d++)
		for (const struct route *r = (*d)->routes; r->pattern != NULL; r++) {
			if (r->dialects != 0 && (r->dialects & about->spoken) == 0)
				continue;
			put(to, r, about->spoken, first);
			first = false;
		}
}

static void put_json_route(struct buf *to, const struct route *r, unsigned spoken, bool first)
{
	json_t *object = route_json(r, spoken);

	buf_append_text(to, first ? "\n" : ",\n");
	json_dump_callback(object, append_index, to, JSON_COMPACT);
	json_decref(object);
}

static void put_html(struct buf *to, const char *text)
{
	for (; *text != '\0'; text++) {
		if (*text == '<')
			buf_append_text(to, "&lt;");
		else if (*text == '&')
			buf_append_text(to, "&amp;");
		else
			buf_append(to, bytes_of(text, 1));
	}
}

static void put_html_route(struct buf *to, const struct route *r, unsigned spoken, bool first)
{
	bool link = r->method == METHOD_GET && strchr(r->pattern, '*') == NULL;

	(void)spoken;
	(void)first;
	buf_printf(to, "<tr><td>%s<td>", method_name(r->method));
	if (link)
		buf_printf(to, "<a href=\"%s\">", r->pattern);
	put_html(to, r->pattern);
	buf_append_text(to, link ? "</a><td>" : "<td>");
	put_html(to, r->says);
	buf_append_text(to, "\n");
}

void native_render_index(const struct answer *a, struct response *out)
{
	const struct about *about = a->about;

	if (!a->note->html) {
		buf_printf(
		    &out->own, "{\"name\":\"holdfast\",\"version\":\"%s\",\"routes\":[", about->version);
		for_each_route(about, &out->own, put_json_route);
		buf_append_text(&out->own, "\n]}\n");
		native_finish_json(a, 200, out);
		return;
	}
	buf_printf(&out->own,
	    "<!DOCTYPE html>\n<html lang=\"en\"><meta charset=\"utf-8\"><title>Holdfast</title>\n"
	    "<h1>Holdfast %s</h1>\n<table>\n<tr><th>Method<th>Path<th>What it does\n",
	    about->version);
	for_each_route(about, &out->own, put_html_route);
	buf_append_text(&out->own, "</table>\n</html>\n");
	out->status = 200;
	native_headers(a, out);
	response_header(out, "Content-Type", "text/html; charset=utf-8");
	response_own_body(out);
}

/* --- the version --- */

void native_render_version(const struct answer *a, struct response *out)
{
	json_t *document = json_pack(
	    "{s:s, s:s, s:s}", "name", "holdfast", "version", a->about->version, "build", a->about->build);

	json_dump_callback(document, append_index, &out->own, JSON_COMPACT);
	json_decref(document);
	native_finish_json(a, 200, out);
}
