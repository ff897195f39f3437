#include <assert.h>
#include <string.h>

#include "common/crc.h"
#include "worker/log/wal_format.h"

#define FORMAT 1

static const char magic[8] = "holdfast";

/* The head's fields, in the order in which they lie there. */
enum {
	AT_MAGIC = 0,
	AT_FORMAT = 8,
	AT_NUMBER = 12,
	AT_CLUSTER = 20,
	AT_INCARNATION = 28,
	AT_BEFORE_NUMBER = 36,
	AT_BEFORE_END = 44,
	AT_BEFORE_CHAIN = 52,
	AT_BASE_TERM = 56,
	AT_BASE_INDEX = 64,
	AT_BASE_TIME = 72,
	AT_HARD_TERM = 80,
	AT_HARD_VOTE = 88,
	AT_CRC = WAL_HEAD_BYTES - 4
};

static const char begins_magic[8] = "hfbegins";

/* The same of where the log begins. */
enum {
	BEGINS_AT_FORMAT = 8,
	BEGINS_AT_CLUSTER = 12,
	BEGINS_AT_INCARNATION = 20,
	BEGINS_AT_NUMBER = 28,
	BEGINS_AT_CRC = WAL_BEGINS_BYTES - 4
};

uint64_t wal_round_up(uint64_t n, uint64_t step)
{
	return (n + step - 1) & ~(step - 1);
}

uint32_t wal_put_head(uint8_t *at, const struct wal_head *h)
{
	uint32_t crc;

	memset(at, 0, WAL_HEAD_BYTES);
	memcpy(at + AT_MAGIC, magic, sizeof(magic));
	wire_store_u32(at + AT_FORMAT, FORMAT);
	wire_store_u64(at + AT_NUMBER, h->number);
	wire_store_u64(at + AT_CLUSTER, h->cluster);
	wire_store_u64(at + AT_INCARNATION, h->incarnation);
	wire_store_u64(at + AT_BEFORE_NUMBER, h->before.number);
	wire_store_u64(at + AT_BEFORE_END, h->before.end);
	wire_store_u32(at + AT_BEFORE_CHAIN, h->before.chain);
	wire_store_u64(at + AT_BASE_TERM, h->base.term);
	wire_store_u64(at + AT_BASE_INDEX, h->base.index);
	wire_store_u64(at + AT_BASE_TIME, h->base_time_ms);
	wire_store_u64(at + AT_HARD_TERM, h->hard.term);
	wire_store_u64(at + AT_HARD_VOTE, h->hard.vote);
	crc = crc32c(0, bytes_of(at, AT_CRC));
	wire_store_u32(at + AT_CRC, crc);
	return crc;
}

const char *wal_get_head(const uint8_t *at, struct wal_head *out, uint32_t *seed, enum err *e)
{
	*e = ERR_DAMAGED;
	*seed = wire_load_u32(at + AT_CRC);
	if (*seed != crc32c(0, bytes_of(at, AT_CRC)))
		return "the head's checksum is wrong";
	if (memcmp(at + AT_MAGIC, magic, sizeof(magic)) != 0)
		return "this is no segment";
	if (wire_load_u32(at + AT_FORMAT) != FORMAT) {
		*e = ERR_VERSION;
		return "the format is not known to this version";
	}
	*out = (struct wal_head){
		.number = wire_load_u64(at + AT_NUMBER),
		.cluster = wire_load_u64(at + AT_CLUSTER),
		.incarnation = wire_load_u64(at + AT_INCARNATION),
		.before = { wire_load_u64(at + AT_BEFORE_NUMBER), wire_load_u64(at + AT_BEFORE_END),
		    wire_load_u32(at + AT_BEFORE_CHAIN) },
		.base = { wire_load_u64(at + AT_BASE_TERM), wire_load_u64(at + AT_BASE_INDEX) },
		.base_time_ms = wire_load_u64(at + AT_BASE_TIME),
		.hard = { wire_load_u64(at + AT_HARD_TERM), wire_load_u64(at + AT_HARD_VOTE) },
	};
	*e = ERR_OK;
	return NULL;
}

void wal_put_begins(uint8_t *at, const struct wal_begins *b)
{
	memcpy(at, begins_magic, sizeof(begins_magic));
	wire_store_u32(at + BEGINS_AT_FORMAT, FORMAT);
	wire_store_u64(at + BEGINS_AT_CLUSTER, b->cluster);
	wire_store_u64(at + BEGINS_AT_INCARNATION, b->incarnation);
	wire_store_u64(at + BEGINS_AT_NUMBER, b->number);
	wire_store_u32(at + BEGINS_AT_CRC, crc32c(0, bytes_of(at, BEGINS_AT_CRC)));
}

const char *wal_get_begins(struct bytes file, struct wal_begins *out, enum err *e)
{
	const uint8_t *at = file.data;

	*e = ERR_DAMAGED;
	if (file.size != WAL_BEGINS_BYTES)
		return "it has not the size that it should have";
	if (wire_load_u32(at + BEGINS_AT_CRC) != crc32c(0, bytes_of(at, BEGINS_AT_CRC)))
		return "the checksum is wrong";
	if (memcmp(at, begins_magic, sizeof(begins_magic)) != 0)
		return "this does not say where a log begins";
	if (wire_load_u32(at + BEGINS_AT_FORMAT) != FORMAT) {
		*e = ERR_VERSION;
		return "the format is not known to this version";
	}
	*out = (struct wal_begins){ wire_load_u64(at + BEGINS_AT_CLUSTER),
		wire_load_u64(at + BEGINS_AT_INCARNATION), wire_load_u64(at + BEGINS_AT_NUMBER) };
	*e = ERR_OK;
	return NULL;
}

static void store_kind(uint8_t *at, enum wal_kind kind, unsigned type)
{
	wire_store_u32(at, (uint32_t)kind | (uint32_t)type << 16);
}

/* Everything of `size` bytes at `at` is there but the CRC. */
static uint32_t seal(uint8_t *at, size_t size, uint32_t chain)
{
	uint32_t crc = crc32c(chain, bytes_of(at + 4, size - 4));

	wire_store_u32(at, crc);
	return crc;
}

static bool sealed(const uint8_t *at, size_t size, uint32_t chain, uint32_t *crc)
{
	*crc = wire_load_u32(at);
	return *crc == crc32c(chain, bytes_of(at + 4, size - 4));
}

uint32_t wal_put_batch(uint8_t *at, uint32_t seed, const struct wal_batch *b)
{
	wire_store_u32(at + 4, b->size);
	store_kind(at + 8, WAL_BATCH, 0);
	wire_store_u32(at + 12, b->chain);
	wire_store_u64(at + 16, b->offset);
	wire_store_u64(at + 24, b->mark);
	return seal(at, WAL_BATCH_BYTES, seed);
}

bool wal_get_batch(const uint8_t *at, uint32_t seed, uint64_t offset, struct wal_batch *out, uint32_t *crc)
{
	/* Nearly every place that is asked about is no batch, so the cheap questions come first. */
	if (wire_load_u32(at + 8) != WAL_BATCH || wire_load_u64(at + 16) != offset)
		return false;
	if (!sealed(at, WAL_BATCH_BYTES, seed, crc))
		return false;
	*out = (struct wal_batch){ .offset = offset,
		.mark = wire_load_u64(at + 24),
		.size = wire_load_u32(at + 4),
		.chain = wire_load_u32(at + 12) };
	return out->mark <= offset;
}

static uint32_t put_record(uint8_t *at, uint32_t chain, const struct wal_record *r)
{
	size_t padded = (size_t)wal_round_up(r->data.size, 8);

	wire_store_u32(at + 4, (uint32_t)r->data.size);
	store_kind(at + 8, r->kind, r->type);
	wire_store_u32(at + 12, 0);
	wire_store_u64(at + 16, r->pos.term);
	wire_store_u64(at + 24, r->pos.index);
	wire_store_u64(at + 32, r->time_ms);
	if (r->data.size > 0) {
		memset(at + WAL_RECORD_BYTES + padded - 8, 0, 8);
		memcpy(at + WAL_RECORD_BYTES, r->data.data, r->data.size);
	}
	return seal(at, WAL_RECORD_BYTES + padded, chain);
}

uint32_t wal_put_hard(uint8_t *at, uint32_t chain, struct raft_hard hard)
{
	return put_record(
	    at, chain, &(struct wal_record){ .kind = WAL_HARD, .pos = { hard.term, hard.vote } });
}

uint32_t wal_put_entry(uint8_t *at, uint32_t chain, const struct entry *e)
{
	return put_record(at, chain,
	    &(struct wal_record){ .kind = WAL_ENTRY,
		.pos = e->pos,
		.time_ms = e->time_ms,
		.type = e->type,
		.data = blob_bytes(e->data) });
}

size_t wal_entry_bytes(const struct entry *e)
{
	assert(e->data->size <= UINT32_MAX / 2);
	return WAL_RECORD_BYTES + (size_t)wal_round_up(e->data->size, 8);
}

uint64_t wal_record_claims(const uint8_t *at)
{
	return WAL_RECORD_BYTES + wal_round_up(wire_load_u32(at + 4), 8);
}

bool wal_get_record(const uint8_t *at, size_t size, uint32_t chain, struct wal_record *out, uint32_t *crc)
{
	uint32_t kind = wire_load_u32(at + 8);

	assert(size == wal_record_claims(at));
	if (!sealed(at, size, chain, crc))
		return false;
	*out = (struct wal_record){ .kind = kind & 0xffff,
		.pos = { wire_load_u64(at + 16), wire_load_u64(at + 24) },
		.time_ms = wire_load_u64(at + 32),
		.type = kind >> 16,
		.data = bytes_of(at + WAL_RECORD_BYTES, wire_load_u32(at + 4)) };
	out->hard = (struct raft_hard){ out->pos.term, out->pos.index };
	return out->kind != WAL_NOTHING && out->kind != WAL_BATCH;
}
