#include <stdlib.h>
#include <string.h>

#include "common/mem.h"
#include "tests/linear/memo.h"

/* An entry: these words, then the placed bits, then the counts, two in a word. */
enum { NEXT, HASH, VALUE, FIRST, WORDS, HEAD_WORDS };

static size_t used_words(const struct memo_key *k)
{
	return (k->classes + 1) / 2;
}

static uint64_t mix(uint64_t hash, uint64_t word)
{
	hash = (hash ^ word) * 0x9e3779b97f4a7c15;
	return hash ^ (hash >> 29);
}

/* The counts are left out: all that differ in nothing else are found together. */
static uint64_t hash_of(const struct memo_key *k)
{
	uint64_t hash = mix(k->value, k->first);

	for (size_t i = 0; i < k->words; i++)
		hash = mix(hash, k->placed[i]);
	return hash;
}

static bool covers(const uint64_t *entry, const struct memo_key *k)
{
	const uint32_t *used = (const uint32_t *)(entry + HEAD_WORDS + k->words);

	if (entry[VALUE] != k->value || entry[FIRST] != k->first || entry[WORDS] != k->words ||
	    (k->words > 0 && memcmp(entry + HEAD_WORDS, k->placed, k->words * sizeof(*k->placed)) != 0))
		return false;
	for (size_t i = 0; i < k->classes; i++)
		if (used[i] > k->used[i])
			return false;
	return true;
}

static size_t size_of(const uint64_t *entry, const struct memo_key *k)
{
	return HEAD_WORDS + entry[WORDS] + used_words(k);
}

static void link_entry(struct memo *m, size_t at)
{
	size_t *bucket = &m->buckets[m->entries[at + HASH] & (m->bucket_count - 1)];

	m->entries[at + NEXT] = *bucket;
	*bucket = at + 1;
}

static void grow_buckets(struct memo *m, const struct memo_key *k)
{
	m->bucket_count = m->bucket_count == 0 ? 1024 : m->bucket_count * 2;
	free(m->buckets);
	m->buckets = xcalloc(m->bucket_count, sizeof(*m->buckets));
	for (size_t at = 0; at < m->size; at += size_of(m->entries + at, k))
		link_entry(m, at);
}

static void remember(struct memo *m, const struct memo_key *k, uint64_t hash)
{
	size_t at = m->size, size = HEAD_WORDS + k->words + used_words(k);
	uint64_t *entry;

	if (m->count >= m->bucket_count)
		grow_buckets(m, k);
	while (m->size + size > m->room) {
		m->room = m->room == 0 ? 4096 : m->room * 2;
		m->entries = xreallocarray(m->entries, m->room, sizeof(*m->entries));
	}
	entry = m->entries + at;
	entry[HASH] = hash;
	entry[VALUE] = k->value;
	entry[FIRST] = k->first;
	entry[WORDS] = k->words;
	if (k->words > 0)
		memcpy(entry + HEAD_WORDS, k->placed, k->words * sizeof(*k->placed));
	if (k->classes > 0)
		memcpy(entry + HEAD_WORDS + k->words, k->used, k->classes * sizeof(*k->used));
	m->size += size;
	m->count++;
	link_entry(m, at);
}

bool memo_seen(struct memo *m, const struct memo_key *k, uint64_t *steps)
{
	uint64_t hash = hash_of(k);
	size_t at = m->bucket_count == 0 ? 0 : m->buckets[hash & (m->bucket_count - 1)];

	for (; at != 0; at = m->entries[at - 1 + NEXT]) {
		++*steps;
		if (m->entries[at - 1 + HASH] == hash && covers(m->entries + at - 1, k))
			return true;
	}
	remember(m, k, hash);
	return false;
}

size_t memo_bytes(const struct memo *m)
{
	return m->room * sizeof(*m->entries) + m->bucket_count * sizeof(*m->buckets);
}

void memo_fini(struct memo *m)
{
	free(m->entries);
	free(m->buckets);
}
