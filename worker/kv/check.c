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

/* What is too large: so many of a unit, of which there may be so many. Where counting ends at the limit `sent` is 0. */
struct excess {
	const char *what, *unit;
	size_t sent, limit;
};

struct check {
	unsigned level;
	const struct kv_limits *limits;
	bool writes;
	unsigned depth;
	unsigned steps, guards; /* seen so far, nested ones included */
	struct excess excess; /* when something was */
};

static enum err check_txn(struct check *c, struct bytes txn);

static enum err note_excess(
    struct check *c, enum err e, const char *what, const char *unit, size_t sent, size_t limit)
{
	c->excess = (struct excess){ what, unit, sent, limit };
	return e;
}

static enum err check_key(struct check *c, struct bytes key, bool may_be_empty)
{
	if (key.size > c->limits->key_bytes)
		return note_excess(c, ERR_KEY_TOO_LONG, "a key", "bytes", key.size, c->limits->key_bytes);
	return key.size == 0 && !may_be_empty ? ERR_BAD_REQUEST : ERR_OK;
}

static enum err check_guard(struct check *c, const struct kv_guard *g)
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
		if (++c->guards > c->limits->txn_steps)
			return note_excess(
			    c, ERR_TOO_LARGE, "the operation", "conditions", 0, c->limits->txn_steps);
		e = check_guard(c, &g);
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
	if (s->value.size > c->limits->value_bytes)
		return note_excess(
		    c, ERR_TOO_LARGE, "a value", "bytes", s->value.size, c->limits->value_bytes);
	if (s->content_type.size > c->limits->content_type_bytes)
		return note_excess(c, ERR_TOO_LARGE, "a content type", "bytes", s->content_type.size,
		    c->limits->content_type_bytes);
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
		if (++c->steps > c->limits->txn_steps)
			return note_excess(
			    c, ERR_TOO_LARGE, "the operation", "steps", 0, c->limits->txn_steps);
		e = check_step(c, &s);
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
		return note_excess(
		    c, ERR_TOO_LARGE, "the operation", "levels of nesting", 0, c->limits->txn_depth);
	if ((e = check_guards(c, t.guards)) == ERR_OK && (e = check_steps(c, t.steps)) == ERR_OK)
		e = check_steps(c, t.otherwise);
	c->depth--;
	return e;
}

static struct check begin_check(bool writes, unsigned level)
{
	return (struct check){ .level = level, .limits = kv_limits(level), .writes = writes };
}

static enum err check_whole(struct check *c, struct bytes txn)
{
	if (txn.size > KV_TXN_BYTES_MAX)
		return note_excess(c, ERR_TOO_LARGE, "the operation", "bytes", txn.size, KV_TXN_BYTES_MAX);
	return check_txn(c, txn);
}

enum err check_rules(struct bytes txn, bool writes, unsigned level)
{
	struct check c = begin_check(writes, level);

	return check_txn(&c, txn);
}

enum err kv_txn_check(struct bytes txn, bool writes, unsigned level)
{
	struct check c = begin_check(writes, level);

	return check_whole(&c, txn);
}

void kv_txn_excess(struct bytes txn, bool writes, unsigned level, struct buf *why)
{
	struct check c = begin_check(writes, level);
	const struct excess *x = &c.excess;

	check_whole(&c, txn);
	if (x->what == NULL)
		return;
	if (x->sent == 0)
		buf_printf(why, "%s has more than %zu %s, the limit", x->what, x->limit, x->unit);
	else
		buf_printf(why, "%s has %zu %s, the limit is %zu", x->what, x->sent, x->unit, x->limit);
}

unsigned kv_txn_level(struct bytes txn, bool writes, unsigned level, unsigned most)
{
	for (unsigned l = level; l <= most; l++)
		if (kv_txn_check(txn, writes, l) != ERR_BAD_REQUEST)
			return l;
	return level;
}
