#include <assert.h>
#include <jansson.h>

#include "tests/fuzz/common/fuzz.h"
#include "worker/http/text.h"

/* The small texts of HTTP: what can be read in one form only is written as it was; what is written can be read. */

static void try_base64(struct bytes in)
{
	struct buf decoded = { 0 }, again = { 0 };

	if (text_base64_decode(in, &decoded)) {
		text_put_base64(&again, buf_bytes(&decoded));
		assert(bytes_equal(in, buf_bytes(&again)));
	}
	buf_clear(&decoded);
	buf_clear(&again);
	text_put_base64(&again, in);
	assert(text_base64_decode(buf_bytes(&again), &decoded) && bytes_equal(in, buf_bytes(&decoded)));
	buf_free(&decoded);
	buf_free(&again);
}

static void try_number(struct bytes in)
{
	struct buf again = { 0 };
	uint64_t value;

	if (text_number(in, &value)) {
		text_put_number(&again, value);
		assert(bytes_equal(in, buf_bytes(&again)));
	}
	if (text_span_ms(in, &value))
		assert(value > 0);
	buf_free(&again);
}

static void try_json(struct bytes in)
{
	struct buf made = { 0 };
	json_t *there = json_stringn((const char *)in.data, in.size), *again;

	assert(text_put_json(&made, in) == (there != NULL));
	if (there != NULL) {
		again =
		    json_loadb((const char *)made.data, made.size, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);
		assert(again != NULL && json_equal(there, again));
		json_decref(again);
		json_decref(there);
	} else
		assert(made.size == 0);
	buf_free(&made);
}

static void try_query(struct bytes in)
{
	struct bytes rest = in, name, value;
	struct buf decoded = { 0 };

	while (text_query_next(&rest, &name, &value)) {
		assert(name.size + value.size <= in.size);
		buf_clear(&decoded);
		if (text_percent_decode(value, true, &decoded))
			assert(decoded.size <= value.size);
	}
	assert(rest.size == 0);
	buf_clear(&decoded);
	if (text_percent_decode(in, false, &decoded))
		assert(decoded.size <= in.size);
	buf_free(&decoded);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct bytes in = bytes_of(data, size), trimmed = text_trim(in);

	assert(trimmed.size <= size);
	try_base64(in);
	try_number(in);
	if (size > 0)
		try_json(in);
	try_query(in);
	return 0;
}
