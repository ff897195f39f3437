#ifndef WORKER_HTTP_TEXT_H
#define WORKER_HTTP_TEXT_H

#include "common/buf.h"

/*
 * Small texts of HTTP: numbers, spans, percent and base64 encoding, queries. Strict: what is not exactly the form
 * named is refused.
 */

/* True when `text` is `word`, upper and lower case being the same. */
bool text_is(struct bytes text, const char *word);
/* Without blanks and tabs around it; borrows. */
struct bytes text_trim(struct bytes text);

/* Decimal without sign, blanks or leading zeros, up to UINT64_MAX. */
bool text_number(struct bytes text, uint64_t *out);
/* "250ms", "2s", "1m": a number and its unit, in milliseconds, at least 1. */
bool text_span_ms(struct bytes text, uint64_t *out);
void text_put_number(struct buf *to, uint64_t value);

/* Appends the decoded bytes; false when a '%' is not followed by two hexadecimal digits. In a query '+' is a blank, as
 * forms and most clients write it; in a path it is itself. */
bool text_percent_decode(struct bytes text, bool query, struct buf *to);

/* Takes the next "name=value" (or "name") off the front of a query; borrows, still encoded. False at its end. */
bool text_query_next(struct bytes *query, struct bytes *name, struct bytes *value);

/* Appends a JSON string, quotation marks included (RFC 8259 §7); false, and nothing, when the text is not UTF-8. */
bool text_put_json(struct buf *to, struct bytes text);

/* UTF-8 without the bytes that no text has (WHATWG MIME Sniffing §3, binary data bytes). */
bool text_is_plain(struct bytes text);
bool text_is_utf8(struct bytes text);

/* RFC 4648 §4, with padding. */
void text_put_base64(struct buf *to, struct bytes from);
/* Appends the decoded bytes; false when it is not in the one form that text_put_base64() makes. */
bool text_base64_decode(struct bytes text, struct buf *to);

/* Digits and lower-case letters, 16 of them. */
void text_put_hex64(struct buf *to, uint64_t value);

#endif
