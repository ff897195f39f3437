#include "worker/kv/inside.h"

/* What each kind of step may say. */
enum field { VALUE = 1, CONTENT_TYPE = 2, AFTER = 4, LIMIT = 8, KEYS_ONLY = 16 };

/* A row holds from its feature level on, until a later row of its kind. */
static const struct step_rule {
	enum kv_step_kind kind;
	unsigned level;
	bool writes, prefix;
	unsigned fields;
} rules[] = {
	{ STEP_PUT, 0, true, false, VALUE | CONTENT_TYPE },
	{ STEP_DELETE, 0, true, false, 0 },
	{ STEP_DELETE_PREFIX, 0, true, true, 0 },
	{ STEP_GET, 0, false, false, 0 },
	{ STEP_RANGE, 0, false, true, AFTER | LIMIT | KEYS_ONLY },
	{ STEP_TXN, 0, false, true, VALUE },
	{ STEP_DELETE_PREFIX, 1, true, true, LIMIT },
};

struct check {
	unsigned level;
	const struct kv_limits *limits;
	bool writes;
	unsigned depth;
	unsigned steps, guards; /* seen so far, nested ones included */
};

static enum err check_txn(struct check *c, struct bytes txn);

static enum err check_key(const struct check *c, struct bytes key, bool may_be_empty)
{
	if (key.size > c->limits->key_bytes)
		return ERR_KEY_TOO_LONG;
	return key.size == 0 && !may_be_empty ? ERR_BAD_REQUEST : ERR_OK;
}

static enum err check_guard(const struct check *c, const struct kv_guard *g)
{
	switch ((enum kv_guard_kind)g->kind) {
	case GUARD_MODIFY:
		return check_key(c, g->key, false);
	case GUARD_ABSENT:
	case GUARD_EXISTS:
		return g->modify != 0 ? ERR_BAD_REQUEST : check_key(c, g->key, false);
	}
	return ERR_BAD_REQUEST;
}

static enum err check_guards(struct check *c, struct bytes guards)
{
	struct reader r = reader_of(guards);
	enum err e = ERR_OK;

	while (e == ERR_OK && r.left > 0) {
		struct kv_guard g;

		if (!kv_guard_get(&r, &g))
			return ERR_BAD_REQUEST;
		e = ++c->guards > c->limits->txn_steps ? ERR_TOO_LARGE : check_guard(c, &g);
	}
	return e;
}

static unsigned fields_said(const struct kv_step *s)
{
	return (s->value.size > 0 ? VALUE : 0U) | (s->content_type.size > 0 ? CONTENT_TYPE : 0U) |
	       (s->after.size > 0 ? AFTER : 0U) | (s->limit > 0 ? LIMIT : 0U) |
	       (s->keys_only > 0 ? KEYS_ONLY : 0U);
}

static const struct step_rule *find_rule(uint8_t kind, unsigned level)
{
	const struct step_rule *found = NULL;

	for (size_t i = 0; i < sizeof(rules) / sizeof(rules[0]); i++)
		if (rules[i].kind == kind && rules[i].level <= level)
			found = &rules[i];
	return found;
}

static enum err check_step(struct check *c, const struct kv_step *s)
{
	const struct step_rule *rule = find_rule(s->kind, c->level);
	enum err e;

	if (rule == NULL || (rule->writes && !c->writes))
		return ERR_BAD_REQUEST;
	if ((fields_said(s) & ~rule->fields) != 0 || s->keys_only > 1)
		return ERR_BAD_REQUEST;
	if (s->kind == STEP_TXN)
		return s->key.size > 0 ? ERR_BAD_REQUEST : check_txn(c, s->value);
	if ((e = check_key(c, s->key, rule->prefix)) != ERR_OK ||
	    (e = check_key(c, s->after, true)) != ERR_OK)
		return e;
	if (s->value.size > c->limits->value_bytes || s->content_type.size > c->limits->content_type_bytes)
		return ERR_TOO_LARGE;
	return ERR_OK;
}

static enum err check_steps(struct check *c, struct bytes steps)
{
	struct reader r = reader_of(steps);
	enum err e = ERR_OK;

	while (e == ERR_OK && r.left > 0) {
		struct kv_step s;

		if (!kv_step_get(&r, &s))
			return ERR_BAD_REQUEST;
		e = ++c->steps > c->limits->txn_steps ? ERR_TOO_LARGE : check_step(c, &s);
	}
	return e;
}

static enum err check_txn(struct check *c, struct bytes txn)
{
	struct reader r = reader_of(txn);
	struct kv_txn t;
	enum err e;

	kv_txn_get(&r, &t);
	if (!reader_done(&r))
		return ERR_BAD_REQUEST;
	if (++c->depth > c->limits->txn_depth)
		return ERR_TOO_LARGE;
	if ((e = check_guards(c, t.guards)) == ERR_OK && (e = check_steps(c, t.steps)) == ERR_OK)
		e = check_steps(c, t.otherwise);
	c->depth--;
	return e;
}

enum err check_rules(struct bytes txn, bool writes, unsigned level)
{
	struct check c = { .level = level, .limits = kv_limits(level), .writes = writes };

	return check_txn(&c, txn);
}

enum err kv_txn_check(struct bytes txn, bool writes, unsigned level)
{
	return txn.size > KV_TXN_BYTES_MAX ? ERR_TOO_LARGE : check_rules(txn, writes, level);
}

unsigned kv_txn_level(struct bytes txn, bool writes, unsigned level, unsigned most)
{
	for (unsigned l = level; l <= most; l++)
		if (kv_txn_check(txn, writes, l) != ERR_BAD_REQUEST)
			return l;
	return level;
}
