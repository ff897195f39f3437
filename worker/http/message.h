#ifndef WORKER_HTTP_MESSAGE_H
#define WORKER_HTTP_MESSAGE_H

#include "common/buf.h"

/*
 * A request and a response as dialects see them: no connection, no framing, no HTTP library.
 */
enum method {
	METHOD_GET,
	METHOD_HEAD,
	METHOD_PUT,
	METHOD_POST,
	METHOD_DELETE,
	METHOD_OTHER,
	METHOD_ANY, /* of a route, never of a request */
};

/* "GET"; "?" for METHOD_OTHER, "any". Static memory. */
const char *method_name(enum method m);

#define REQUEST_HEADERS_MAX 64

struct header {
	struct bytes name, value; /* the value without blanks around it */
};

/* Everything is borrowed from what was received, valid for the call that it is handed to. */
struct request {
	enum method method;
	struct bytes path, query; /* still percent-encoded; the path begins with '/' */
	struct bytes body;
	size_t header_count;
	struct header headers[REQUEST_HEADERS_MAX];
};

/* The value of the first header of that name, or NULL. */
const struct bytes *request_header(const struct request *q, const char *name);
/* How many headers have that name. */
size_t request_header_count(const struct request *q, const char *name);

/* Zeroed memory is an empty response; it is meant to be used again. */
struct response {
	int status;
	struct buf
	    head; /* header lines, each ended by CRLF; those of framing and the date are the server's */
	struct bytes body; /* borrowed, valid until the response has been sent */
	struct buf own; /* where a body made here lies; response_own_body() */
	bool stream; /* the body comes in pieces behind it, nobody knows how many */
};

void response_clear(struct response *r);
void response_free(struct response *r);
/* Names and values that this program made or checked. */
void response_header(struct response *r, const char *name, const char *value);
void response_header_number(struct response *r, const char *name, uint64_t value);
/* A value that came from elsewhere: false, and no header, when it has bytes that a header must not have. */
bool response_header_bytes(struct response *r, const char *name, struct bytes value);
/* ETag: "N" */
void response_etag(struct response *r, uint64_t revision);
/* The body is what was appended to r->own. */
void response_own_body(struct response *r);

#endif
