#ifndef WORKER_HTTP_HEAD_H
#define WORKER_HTTP_HEAD_H

#include "common/err.h"
#include "worker/http/message.h"

/*
 * The head of a request: request line and headers. Finding its end and taking it apart are pure; the HTTP library
 * is visible here alone. It is lenient where leniency lets two readers of one stream disagree about where a request
 * ends, so what it lets through is checked again: bare LF, folded lines, blanks in names, doubled Host or
 * Content-Length, Content-Length beside Transfer-Encoding, any transfer coding but chunked.
 */

/* Where the search stands; zeroed memory is the start. */
struct head_search {
	size_t at, line;
};

enum head_found { HEAD_MORE, HEAD_WHOLE, HEAD_BAD };

/* Looks for the end of the head that begins with data. HEAD_MORE: call again with the same bytes and what came
 * behind them. HEAD_WHOLE: it has *size bytes. HEAD_BAD: a bare LF or a folded line. */
enum head_found head_find(struct head_search *s, struct bytes data, size_t *size);

struct framing {
	uint64_t body_bytes; /* when not chunked */
	bool chunked;
	bool keep_alive;
	bool http_1_0;
	bool expects_continue;
};

/* Takes a whole head apart. The request borrows from `head`; its body is empty. ERR_BAD_REQUEST or
 * ERR_HEADER_TOO_LARGE, with one sentence in *why (static memory). What was understood until then is in the request,
 * so that whoever answers knows the method, if there was one. */
enum err head_parse(struct bytes head, struct request *q, struct framing *f, const char **why);

#endif
