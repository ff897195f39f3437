#include "worker/http/text.h"

#include <inttypes.h>
#include <string.h>

static uint8_t lower(uint8_t c)
{
	return c >= 'A' && c <= 'Z' ? (uint8_t)(c + 'a' - 'A') : c;
}

bool text_is(struct bytes text, const char *word)
{
	for (size_t i = 0; i < text.size; i++)
		if (word[i] == '\0' || lower(text.data[i]) != lower((uint8_t)word[i]))
			return false;
	return word[text.size] == '\0';
}

struct bytes text_trim(struct bytes text)
{
	while (text.size > 0 && (text.data[0] == ' ' || text.data[0] == '\t')) {
		text.data++;
		text.size--;
	}
	while (text.size > 0 && (text.data[text.size - 1] == ' ' || text.data[text.size - 1] == '\t'))
		text.size--;
	return text;
}

bool text_number(struct bytes text, uint64_t *out)
{
	uint64_t value = 0;

	if (text.size == 0 || (text.size > 1 && text.data[0] == '0'))
		return false;
	for (size_t i = 0; i < text.size; i++) {
		unsigned digit = (unsigned)text.data[i] - '0';

		if (digit > 9 || value > (UINT64_MAX - digit) / 10)
			return false;
		value = value * 10 + digit;
	}
	*out = value;
	return true;
}

bool text_span_ms(struct bytes text, uint64_t *out)
{
	static const struct {
		const char *unit;
		uint64_t ms;
	} units[] = { { "ms", 1 }, { "s", 1000 }, { "m", 60 * 1000 } };
	size_t digits = 0;
	uint64_t count;

	while (digits < text.size && text.data[digits] >= '0' && text.data[digits] <= '9')
		digits++;
	if (!text_number(bytes_of(text.data, digits), &count) || count == 0)
		return false;
	for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++)
		if (bytes_equal(bytes_of(text.data + digits, text.size - digits), bytes_text(units[i].unit)))
			return !__builtin_mul_overflow(count, units[i].ms, out);
	return false;
}

void text_put_number(struct buf *to, uint64_t value)
{
	uint8_t digits[20];
	size_t at = sizeof(digits);

	do {
		digits[--at] = (uint8_t)('0' + value % 10);
		value /= 10;
	} while (value > 0);
	buf_append(to, bytes_of(digits + at, sizeof(digits) - at));
}

static int hex_digit(uint8_t c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c = lower(c);
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

bool text_percent_decode(struct bytes text, bool query, struct buf *to)
{
	uint8_t *at = buf_reserve(to, text.size);

	for (size_t i = 0; i < text.size; i++) {
		int high, low;

		if (text.data[i] != '%') {
			*at++ = query && text.data[i] == '+' ? ' ' : text.data[i];
			continue;
		}
		if (text.size - i < 3 || (high = hex_digit(text.data[i + 1])) == -1 ||
		    (low = hex_digit(text.data[i + 2])) == -1)
			return false;
		*at++ = (uint8_t)(high * 16 + low);
		i += 2;
	}
	to->size = (size_t)(at - to->data);
	return true;
}

/* Takes what stands before the first `mark` off the front; all of it when there is none. */
static struct bytes cut(struct bytes *text, uint8_t mark)
{
	const uint8_t *found = text->size > 0 ? memchr(text->data, mark, text->size) : NULL;
	struct bytes first = *text;

	if (found == NULL) {
		*text = bytes_of(text->data + text->size, 0);
		return first;
	}
	first.size = (size_t)(found - text->data);
	*text = bytes_of(found + 1, text->size - first.size - 1);
	return first;
}

bool text_query_next(struct bytes *query, struct bytes *name, struct bytes *value)
{
	while (query->size > 0) {
		*value = cut(query, '&');
		if (value->size == 0)
			continue;
		*name = cut(value, '=');
		return true;
	}
	return false;
}

/* The size of the character that begins here; 0 when it is none (RFC 3629 §4). */
static size_t utf8_size(const uint8_t *at, size_t left)
{
	uint8_t first = at[0], low = 0x80, high = 0xbf;
	size_t size = first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;

	if (first < 0x80)
		return 1;
	if (first < 0xc2 || first > 0xf4 || size > left)
		return 0;
	if (first == 0xe0)
		low = 0xa0;
	else if (first == 0xed)
		high = 0x9f;
	else if (first == 0xf0)
		low = 0x90;
	else if (first == 0xf4)
		high = 0x8f;
	if (at[1] < low || at[1] > high)
		return 0;
	for (size_t i = 2; i < size; i++)
		if ((at[i] & 0xc0) != 0x80)
			return 0;
	return size;
}

bool text_is_utf8(struct bytes text)
{
	size_t size;

	for (size_t at = 0; at < text.size; at += size)
		if ((size = utf8_size(text.data + at, text.size - at)) == 0)
			return false;
	return true;
}

bool text_is_plain(struct bytes text)
{
	for (size_t i = 0; i < text.size; i++)
		if (text.data[i] < ' ' && strchr("\t\n\f\r\033", text.data[i]) == NULL)
			return false;
	return memchr(text.data != NULL ? text.data : (const uint8_t *)"", '\0', text.size) == NULL &&
	       text_is_utf8(text);
}

static void put_json_escape(struct buf *to, uint8_t c)
{
	static const char from[] = "\"\\\b\f\n\r\t", into[] = "\"\\bfnrt", digits[] = "0123456789ABCDEF";
	const char *known = c != 0 ? strchr(from, c) : NULL;
	char text[6] = { '\\', 'u', '0', '0', digits[c >> 4], digits[c & 15] };

	if (known != NULL)
		text[1] = into[known - from];
	buf_append(to, bytes_of(text, known != NULL ? 2 : sizeof(text)));
}

bool text_put_json(struct buf *to, struct bytes text)
{
	size_t before = to->size, from = 0, at = 0, size;

	buf_append_text(to, "\"");
	while (at < text.size) {
		uint8_t c = text.data[at];

		if (c < ' ' || c == '"' || c == '\\') {
			buf_append(to, bytes_of(text.data + from, at - from));
			put_json_escape(to, c);
			from = ++at;
		} else if ((size = utf8_size(text.data + at, text.size - at)) == 0) {
			to->size = before;
			return false;
		} else
			at += size;
	}
	buf_append(to, bytes_of(text.data + from, at - from));
	buf_append_text(to, "\"");
	return true;
}

static const char base64_digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

void text_put_base64(struct buf *to, struct bytes from)
{
	uint8_t *at = buf_extend(to, (from.size + 2) / 3 * 4);

	for (size_t i = 0; i < from.size; i += 3) {
		size_t have = from.size - i;
		uint32_t group = (uint32_t)from.data[i] << 16;

		if (have > 1)
			group |= (uint32_t)from.data[i + 1] << 8;
		if (have > 2)
			group |= from.data[i + 2];
		*at++ = (uint8_t)base64_digits[group >> 18];
		*at++ = (uint8_t)base64_digits[group >> 12 & 63];
		*at++ = have > 1 ? (uint8_t)base64_digits[group >> 6 & 63] : '=';
		*at++ = have > 2 ? (uint8_t)base64_digits[group & 63] : '=';
	}
}

static int base64_value(uint8_t c)
{
	const char *found = c != '\0' ? strchr(base64_digits, c) : NULL;

	return found != NULL ? (int)(found - base64_digits) : -1;
}

bool text_base64_decode(struct bytes text, struct buf *to)
{
	size_t padding = 0;

	if (text.size % 4 != 0)
		return false;
	while (padding < 2 && padding < text.size && text.data[text.size - 1 - padding] == '=')
		padding++;
	for (size_t i = 0; i < text.size; i += 4) {
		size_t missing = i + 4 == text.size ? padding : 0;
		uint32_t group = 0;
		uint8_t three[3];

		for (size_t j = 0; j < 4; j++) {
			int value = j < 4 - missing ? base64_value(text.data[i + j]) : 0;

			if (value == -1)
				return false;
			group = group << 6 | (uint32_t)value;
		}
		/* Bits behind the last byte must be zero, or one value would have several forms. */
		if ((group & ((1u << (8 * missing)) - 1)) != 0)
			return false;
		three[0] = (uint8_t)(group >> 16);
		three[1] = (uint8_t)(group >> 8);
		three[2] = (uint8_t)group;
		buf_append(to, bytes_of(three, 3 - missing));
	}
	return true;
}

void text_put_hex64(struct buf *to, uint64_t value)
{
	buf_printf(to, "%016" PRIx64, value);
}
