#ifndef WORKER_HTTP_PLAIN_H
#define WORKER_HTTP_PLAIN_H

#include <jansson.h>

#include "worker/http/dialect.h"

/*
 * What the five dialects have in common: small texts, values as they are, forms, and objects of strings.
 */

#define PLAIN_TEXT "text/plain; charset=utf-8"
#define PLAIN_JSON "application/json"

/* --- requests --- */

/* The value of the first parameter of that name, decoded, appended to `to`; false when there is none. One that is not
 * well encoded is passed over as if it were not there. */
bool plain_parameter(struct bytes query, const char *name, struct buf *to);
/* The same, looked for in the body first where that is a form. */
bool plain_form(const struct request *q, const char *name, struct buf *to);

/* The body as an object all of whose members are strings; the caller decrefs it. NULL: it is none, or not strictly JSON,
 * and op->why says so. */
json_t *plain_object(const struct request *q, struct operation *op);
/* A member's bytes, borrowed from the object; empty where there is none. */
struct bytes plain_member(json_t *object, const char *name);

/* A write of one step; a read of one key. They take op->key and check it; `in_path`: see operation_check_key(). */
enum err plain_parse_put(struct operation *op, struct bytes value);
enum err plain_parse_delete(struct operation *op, bool in_path);
enum err plain_parse_get(struct operation *op, bool in_path);

/* --- responses --- */

/* False, and no value, where the key is absent; the same with a response made by `error`, whose status is set, when the
 * answer is none to a read of one key. */
bool plain_found(const struct answer *a, void (*error)(const struct answer *a, struct response *out),
    struct response *out, struct bytes *value);
/* The same answer with the error that JSON cannot hold the value, which is not UTF-8. */
struct answer plain_unfit(const struct answer *a);
/* The value as it is: as text where it is UTF-8. */
void plain_render_value(struct bytes value, struct response *out);
/* A whole answer; the text is copied. */
void plain_text(struct response *out, int status, const char *text);
/* 200 without a body. */
void plain_render_empty(const struct answer *a, struct response *out);
/* The headers that an error has. */
void plain_error_headers(const struct answer *a, struct response *out);
/* The sentence about an error, without an end of line, appended. What a node says that does not lead, and knows of no
 * leader, is what theirs said. */
void plain_put_reason(const struct answer *a, struct buf *to);
/* The sentence as a line of text, under the error's own status. */
void plain_error(const struct answer *a, struct response *out);

#endif
