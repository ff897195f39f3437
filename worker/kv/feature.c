#include "worker/kv/feature.h"

#include "worker/kv/kv.h"

static const char *const texts[] = {
	"",
#define FEATURE(level, text) [level] = text,
#include "worker/kv/features.def"
#undef FEATURE
};

_Static_assert(
    sizeof(texts) / sizeof(texts[0]) == FEATURE_LEVEL_MOST + 1, "the last row is the highest level");

const char *feature_text(unsigned level)
{
	return level <= FEATURE_LEVEL_MOST ? texts[level] : "";
}

/* A limit that changes gets a row of the level that brings the change. The rows before it stay: they say what the log of
 * a cluster of a lower level means. */
static const struct {
	unsigned level;
	struct kv_limits limits;
} rows[] = {
	{ 0,
	    {
		.key_bytes = KV_KEY_BYTES_MAX,
		.value_bytes = KV_VALUE_BYTES_MAX,
		.content_type_bytes = KV_CONTENT_TYPE_BYTES_MAX,
		.token_bytes = KV_TOKEN_BYTES_MAX,
		.delete_keys = KV_DELETE_KEYS_MAX,
		.delete_bytes = KV_DELETE_BYTES_MAX,
		.page_keys = KV_PAGE_KEYS_MAX,
		.page_bytes = KV_PAGE_BYTES_MAX,
		.txn_steps = KV_TXN_STEPS_MAX,
		.txn_depth = KV_TXN_DEPTH_MAX,
		.txn_visits = KV_TXN_VISITS_MAX,
		.result_bytes = KV_RESULT_BYTES_MAX,
		.tokens = KV_TOKENS_MAX,
		.token_life_ms = KV_TOKEN_LIFE_MS,
	    } },
};

const struct kv_limits *kv_limits(unsigned level)
{
	size_t i = sizeof(rows) / sizeof(rows[0]) - 1;

	while (rows[i].level > level)
		i--;
	return &rows[i].limits;
}
