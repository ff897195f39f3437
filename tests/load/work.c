#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/load/work.h"

/* What stands in a history of a value that is not ours; the rest is left out. */
#define STRANGE_BYTES_SHOWN 32

const char *op_name(enum op_kind k)
{
	static const char *const names[] = {
		[OP_PUT] = "put",
		[OP_GET] = "get",
		[OP_DELETE] = "delete",
		[OP_CAS] = "cas",
		[OP_CREATE] = "cas",
	};

	return names[k];
}

bool op_is_write(enum op_kind k)
{
	return k != OP_GET;
}

bool op_has_condition(enum op_kind k)
{
	return k == OP_CAS || k == OP_CREATE;
}

static bool has_value(enum op_kind k)
{
	return k != OP_GET && k != OP_DELETE;
}

void work_init(struct work *w, struct options *o)
{
	*w = (struct work){ .options = o };
	if (o->seed == 0)
		o->seed = random_secret() >> 32;
	w->random.state = o->seed;
	w->prefix = *o->prefix != '\0' ? xstrdup(o->prefix) : xasprintf("load/%" PRIx64 "/", o->seed);
	if (o->keys > 0)
		w->heard = xcalloc(o->keys, sizeof(*w->heard));
}

void work_fini(struct work *w)
{
	free(w->prefix);
	free(w->heard);
}

bool work_chance(struct work *w, uint64_t per_cent)
{
	return random_below(&w->random, 100) < per_cent;
}

static enum op_kind choose_kind(struct work *w)
{
	const struct options *o = w->options;
	uint64_t dice = random_below(&w->random, 100);

	if (dice < o->reads)
		return OP_GET;
	if (dice < o->reads + o->deletes)
		return OP_DELETE;
	if (dice < o->reads + o->deletes + o->cas)
		return OP_CAS;
	return dice < o->reads + o->deletes + o->cas + o->creates ? OP_CREATE : OP_PUT;
}

static uint64_t choose_key(struct work *w, enum op_kind kind)
{
	if (w->options->keys > 0)
		return random_below(&w->random, w->options->keys);
	if (kind == OP_GET)
		return w->written > 0 ? random_below(&w->random, w->written) : 0;
	return w->written;
}

void work_next(struct work *w, bool read, struct op *out)
{
	*out = (struct op){ .kind = read ? OP_GET : choose_kind(w) };
	out->key = choose_key(w, out->kind);
	if (out->kind == OP_CAS && w->heard[out->key] == 0)
		out->kind = OP_PUT;
	if (out->kind == OP_CAS)
		out->expected = w->heard[out->key];
	if (has_value(out->kind))
		snprintf(
		    out->value, sizeof(out->value), "v%" PRIx64 "-%" PRIu64, w->options->seed, w->started);
	if (op_is_write(out->kind) && w->options->tokens)
		snprintf(
		    out->token, sizeof(out->token), "t%" PRIx64 "-%" PRIu64, w->options->seed, w->started);
	w->started++;
	w->written += op_is_write(out->kind);
}

void work_key(const struct work *w, const struct op *o, struct buf *out)
{
	buf_clear(out);
	buf_printf(out, "%s%08" PRIu64, w->prefix, o->key);
}

static size_t value_size(const struct work *w, size_t word)
{
	return w->options->value_size > word ? w->options->value_size : word;
}

static void put_value(const struct work *w, const struct op *o, struct buf *out)
{
	size_t word = strlen(o->value);
	size_t size = value_size(w, word);
	uint8_t *at;

	buf_printf(out, "Content-Length: %zu\r\n\r\n", size);
	at = buf_reserve(out, size);
	memset(at, '.', size);
	memcpy(at, o->value, word);
	out->size += size;
}

void work_request(const struct work *w, const struct op *o, struct buf *out)
{
	static const char *const methods[] = {
		[OP_PUT] = "PUT",
		[OP_GET] = "GET",
		[OP_DELETE] = "DELETE",
		[OP_CAS] = "PUT",
		[OP_CREATE] = "PUT",
	};

	buf_printf(out, "%s /v1/kv/%s%08" PRIu64, methods[o->kind], w->prefix, o->key);
	if (o->kind == OP_GET)
		buf_printf(out, "?level=%s", w->options->level);
	buf_append_text(out, " HTTP/1.1\r\nHost: holdfast\r\n");
	if (*o->token != '\0')
		buf_printf(out, "Idempotency-Key: %s\r\n", o->token);
	if (o->kind == OP_CAS)
		buf_printf(out, "If-Match: \"%" PRIu64 "\"\r\n", o->expected);
	if (o->kind == OP_CREATE)
		buf_append_text(out, "If-None-Match: *\r\n");
	if (has_value(o->kind))
		put_value(w, o, out);
	else
		buf_append_text(out, "\r\n");
}

void work_heard(struct work *w, const struct op *o, uint64_t revision)
{
	if (w->heard != NULL && w->heard[o->key] < revision)
		w->heard[o->key] = revision;
}

static bool is_ours(const struct work *w, struct bytes value, size_t word)
{
	if (word == 0 || word >= OP_WORD_BYTES || value.data[0] != 'v' || value.size != value_size(w, word))
		return false;
	for (size_t i = 0; i < value.size; i++)
		if (i < word ? value.data[i] <= ' ' || value.data[i] > '~' : value.data[i] != '.')
			return false;
	return true;
}

bool work_word(const struct work *w, struct bytes value, struct buf *out)
{
	const uint8_t *dot = value.size > 0 ? memchr(value.data, '.', value.size) : NULL;
	size_t word = dot != NULL ? (size_t)(dot - value.data) : value.size;

	buf_clear(out);
	if (is_ours(w, value, word)) {
		buf_append(out, bytes_of(value.data, word));
		return true;
	}
	buf_append_text(out, "?");
	for (size_t i = 0; i < value.size && i < STRANGE_BYTES_SHOWN; i++)
		buf_printf(out, "%02x", value.data[i]);
	return false;
}
