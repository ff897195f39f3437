#ifndef WORKER_KV_RECORD_H
#define WORKER_KV_RECORD_H

#include "common/wire.h"
#include "worker/kv/kv.h"

/*
 * How records look in the tables, the same on every node. Each begins with a format (u8) that is never reused;
 * numbers that are mostly small are written in 7 bits a byte, the least first. Golden bytes in tests/unit hold this
 * still. Reading gives ERR_VERSION for an unknown format and ERR_DAMAGED for bytes that make no sense; fields of
 * type bytes are borrowed.
 */

/* TABLE_KEYS: format, create, modify, version, lease, flags, attributes as (tag u8, size, bytes) up to tag 0, value.
 * What comes later is a new tag; a reader skips those that it does not know. */
struct record {
	uint64_t create, modify, version;
	uint64_t lease; /* 0: none yet */
	uint64_t flags; /* 0 */
	struct bytes content_type;
	struct bytes value;
};
void record_put(struct buf *b, const struct record *r);
enum err record_get(struct bytes from, struct record *out);

/* TABLE_TOKENS under (1, principal, token): format, time, index, hash of the operation, first result. */
struct token_record {
	uint64_t time_ms, index;
	struct kv_hash operation;
	struct bytes result;
};
void token_record_put(struct buf *b, const struct token_record *r);
enum err token_record_get(struct bytes from, struct token_record *out);

/* TABLE_TOKENS under (2, index): format, time, key of the token record: the tokens by age. */
struct age_record {
	uint64_t time_ms;
	struct bytes token_key;
};
void age_record_put(struct buf *b, const struct age_record *r);
enum err age_record_get(struct bytes from, struct age_record *out);

/* TABLE_MEMBERS: format, index of the entry, what it said. */
struct members_record {
	uint64_t index;
	struct bytes members;
};
void members_record_put(struct buf *b, const struct members_record *r);
enum err members_record_get(struct bytes from, struct members_record *out);

/* TABLE_SETTINGS: format, value. */
struct setting_record {
	uint64_t value;
};
void setting_record_put(struct buf *b, const struct setting_record *r);
enum err setting_record_get(struct bytes from, struct setting_record *out);

/* TABLE_META: format and the numbers of kv_meta in their order, 8 bytes each, the hash's low half first. Above feature
 * level 0 the format is another one: the first version, which would take a configuration of that level for damage, stops at it. */
void meta_record_put(struct buf *b, const struct kv_meta *m);
enum err meta_record_get(struct bytes from, struct kv_meta *out);

/* TABLE_META, marks of the whole state: format, the index when it was made, what it says. */
struct mark_record {
	uint64_t index;
	struct bytes text;
};
void mark_record_put(struct buf *b, const struct mark_record *r);
enum err mark_record_get(struct bytes from, struct mark_record *out);

#endif
