/* links: worker/http/plain.c worker/http/m2.c worker/http/key.c worker/http/hraft.c worker/http/raftdb.c worker/http/raft_kv_demo.c worker/http/raft_kv_example.c worker/http/native.c worker/http/native_json.c worker/http/json_body.c worker/http/native_node.c worker/http/native_members.c worker/http/native_backup.c worker/http/native_index.c worker/http/meter.c worker/http/dialect.c worker/http/route.c worker/http/operation.c worker/http/meaning.c worker/http/message.c worker/http/text.c worker/http/head.c worker/kv/op.c common/metric.c common/metric_text.c common/status.c common/member.c common/addr.c common/err.c common/wire.c common/crc.c common/clock.c common/log.c common/buf.c common/mem.c -ljansson -lhttp_parser */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/member.h"
#include "worker/http/dialect.h"
#include "worker/http/head.h"

/*
 * The dialects from text files, tests/http/NAME.txt: a case is a blank-line separated block of
 *
 *	# what it shows
 *	: redirect	what [http] on_follower says (as-documented, forward, redirect), until the next one
 *	: m2, hraft	what [http] dialects says, until the next one
 *	> the request, a line each; \xNN is a byte
 *	= the operation that it becomes, or the response that refuses it
 *	< an answer of the consensus worker
 *	! the response that it becomes; "and a stream" for a body that comes in pieces
 *
 * with < and ! as often as wanted. The test writes the lines = and ! anew and compares the whole; with UPDATE=1 in
 * the environment it writes the file.
 */
struct golden {
	struct buf made; /* the file as it should be */
	struct buf request; /* of the case under way */
	struct buf result, steps; /* of the answer under way */
	struct buf records, members;
	struct ipc_answer answer;
	struct bytes leader; /* its address, of the answer */
	struct kv_result kv;
	struct status_node status;
	struct match match;
	struct operation op;
	char *texts[256]; /* that an answer borrows */
	size_t text_count;
	unsigned spoken;
	bool answered;
};

static const struct dialect *const dialects[] = { &native, &m2, &shared_key, &raft_kv_example, NULL };
static const struct limits limits = { 16, 32, 1024 };

static void put_escaped(struct buf *to, struct bytes b)
{
	for (size_t i = 0; i < b.size; i++) {
		if (b.data[i] < ' ' || b.data[i] > '~' || b.data[i] == '\\')
			buf_printf(to, "\\x%02x", b.data[i]);
		else
			buf_append(to, bytes_of(b.data + i, 1));
	}
}

static void put_unescaped(struct buf *to, const char *text)
{
	unsigned byte;

	for (; *text != '\0'; text++) {
		uint8_t c = (uint8_t)*text;

		if (*text == '\\' && sscanf(text, "\\x%02x", &byte) == 1) {
			c = (uint8_t)byte;
			text += 3;
		}
		buf_append(to, bytes_of(&c, 1));
	}
}

static void put_bytes(struct buf *to, const char *name, struct bytes b)
{
	buf_printf(to, " %s=\"", name);
	put_escaped(to, b);
	buf_append_text(to, "\"");
}

/* --- the operation --- */

static void put_guard(struct golden *g, const struct kv_guard *guard)
{
	static const char *const kinds[] = { "?", "modify", "absent", "exists" };

	buf_printf(&g->made, "= guard %s", kinds[guard->kind]);
	put_bytes(&g->made, "key", guard->key);
	if (guard->kind == GUARD_MODIFY)
		buf_printf(&g->made, " modify=%llu", (unsigned long long)guard->modify);
	buf_append_text(&g->made, "\n");
}

static void put_step(struct golden *g, const struct kv_step *s)
{
	static const char *const kinds[] = { "?", "put", "delete", "delete_prefix", "get", "range", "txn" };

	buf_printf(&g->made, "= step %s", kinds[s->kind]);
	put_bytes(&g->made, "key", s->key);
	if (s->kind == STEP_PUT)
		put_bytes(&g->made, "value", s->value);
	if (s->content_type.size > 0)
		put_bytes(&g->made, "content_type", s->content_type);
	if (s->after.size > 0)
		put_bytes(&g->made, "after", s->after);
	if (s->kind == STEP_RANGE)
		buf_printf(&g->made, " limit=%u keys_only=%u", s->limit, s->keys_only);
	if (s->kind == STEP_DELETE_PREFIX && s->limit > 0)
		buf_printf(&g->made, " limit=%u", s->limit);
	buf_append_text(&g->made, "\n");
}

static void put_txn(struct golden *g)
{
	struct reader r = reader_of(buf_bytes(&g->op.txn)), inside;
	struct kv_txn t;
	struct kv_guard guard;
	struct kv_step s;

	kv_txn_get(&r, &t);
	assert_true(reader_done(&r));
	assert_int_equal(t.otherwise.size, 0);
	for (inside = reader_of(t.guards); inside.left > 0;) {
		assert_true(kv_guard_get(&inside, &guard));
		put_guard(g, &guard);
	}
	for (inside = reader_of(t.steps); inside.left > 0;) {
		assert_true(kv_step_get(&inside, &s));
		put_step(g, &s);
	}
}

static bool is_local(const struct golden *g)
{
	return (g->match.route->flags & ROUTE_LOCAL) != 0;
}

static void put_change(struct golden *g)
{
	struct reader r = reader_of(buf_bytes(&g->op.txn));
	struct member_change c;

	assert_true(member_change_get(&r, &c) && reader_done(&r));
	buf_append_text(&g->made, c.kind == MEMBER_ADD ? " add" : " remove");
	put_bytes(&g->made, "id", c.id);
	if (c.kind == MEMBER_ADD)
		put_bytes(&g->made, "peer", c.peer);
	if (c.http.size > 0)
		put_bytes(&g->made, "http", c.http);
	if (c.wait)
		buf_append_text(&g->made, " wait");
	if (c.replace)
		buf_append_text(&g->made, " replace");
}

static void put_operation(struct golden *g)
{
	static const char *const kinds[] = { "write", "read", "status", "probe", "transfer", "change",
		"backup" };
	static const char *const levels[] = { "linearizable", "leader", "stale" };
	const struct operation *op = &g->op;

	buf_printf(&g->made, "= %s", is_local(g) ? "local" : kinds[op->kind]);
	if (op->kind == REQUEST_READ)
		buf_printf(&g->made, " level=%s", levels[op->level]);
	if (op->leader_only)
		buf_append_text(&g->made, " leader_only");
	if (op->min_revision != 0)
		buf_printf(&g->made, " min_revision=%llu", (unsigned long long)op->min_revision);
	if (op->time_ms != 0)
		buf_printf(&g->made, " time_ms=%llu", (unsigned long long)op->time_ms);
	if (op->token.size > 0)
		put_bytes(&g->made, "token", op->token);
	if (op->kind == REQUEST_TRANSFER && op->txn.size > 0)
		put_bytes(&g->made, "id", buf_bytes(&op->txn));
	if (op->kind == REQUEST_CHANGE && op->txn.size > 0)
		put_change(g);
	buf_append_text(&g->made, "\n");
	if ((op->kind == REQUEST_WRITE || op->kind == REQUEST_READ) && !is_local(g))
		put_txn(g);
}

/* --- the response --- */

static void put_response(struct golden *g, char mark, const struct response *r)
{
	const char *line = buf_text((struct buf *)(uintptr_t)&r->head), *end;

	buf_printf(&g->made, "%c %d\n", mark, r->status);
	for (; (end = strstr(line, "\r\n")) != NULL; line = end + 2)
		buf_printf(&g->made, "%c %.*s\n", mark, (int)(end - line), line);
	assert_int_equal(*line, '\0');
	if (r->stream) {
		assert_int_equal(r->body.size, 0);
		buf_printf(&g->made, "%c and a stream\n", mark);
		return;
	}
	buf_printf(&g->made, "%c |", mark);
	put_escaped(&g->made, r->body);
	buf_append_text(&g->made, "\n");
}

/* --- the request --- */

static void parse_request(struct golden *g)
{
	struct bytes all = buf_bytes(&g->request);
	struct head_search search = { 0 };
	struct framing framing;
	struct request q;
	struct response out = { 0 };
	const char *why;
	size_t size;
	enum err e;

	assert_int_equal(head_find(&search, all, &size), HEAD_WHOLE);
	assert_int_equal(head_parse(bytes_of(all.data, size), &q, &framing, &why), ERR_OK);
	q.body = bytes_of(all.data + size, all.size - size);
	g->match = route_find(dialects, g->spoken, q.method, q.path);
	g->op.limits = &limits;
	g->op.spoken = g->spoken;
	e = dialect_parse(&g->match, &q, &g->op);
	if (e == ERR_OK) {
		put_operation(g);
		return;
	}
	dialect_refuse(&g->match, &g->op.note, e, APPLIED_NO, buf_bytes(&g->op.why), 9, &out);
	put_response(g, '=', &out);
	response_free(&out);
}

/* --- the answer --- */

/* name=value or name="bytes" from a line; the bytes live until the next answer. */
static struct bytes take_bytes(struct golden *g, const char *line, const char *name)
{
	char wanted[40];
	const char *at, *end;
	struct buf b = { 0 };

	snprintf(wanted, sizeof(wanted), " %s=", name);
	if ((at = strstr(line, wanted)) == NULL)
		return (struct bytes){ 0 };
	at += strlen(wanted);
	end = *at == '"' ? strchr(++at, '"') : at + strcspn(at, " ");
	buf_append(&b, bytes_of(at, (size_t)(end - at)));
	assert_true(g->text_count < sizeof(g->texts) / sizeof(g->texts[0]));
	g->texts[g->text_count] = xstrdup(buf_text(&b));
	buf_clear(&b);
	put_unescaped(&b, g->texts[g->text_count]);
	free(g->texts[g->text_count]);
	g->texts[g->text_count++] = (char *)b.data;
	return buf_bytes(&b);
}

static uint64_t take_number(struct golden *g, const char *line, const char *name)
{
	struct bytes b = take_bytes(g, line, name);
	char *text = bytes_dup_text(b);
	uint64_t value = strcmp(text, "never") == 0 ? UINT64_MAX : strtoull(text, NULL, 0);

	free(text);
	return value;
}

static uint16_t take_error(struct golden *g, const char *line, const char *name)
{
	struct bytes b = take_bytes(g, line, name);

	for (int e = 0; e < ERR_COUNT; e++)
		if (bytes_equal(b, bytes_text(err_name((enum err)e))))
			return (uint16_t)e;
	assert_int_equal(b.size, 0);
	return ERR_OK;
}

static void take_result_line(struct golden *g, const char *line)
{
	g->kv.error = take_error(g, line, "error");
	g->kv.revision = take_number(g, line, "revision");
	g->kv.replayed = (uint8_t)take_number(g, line, "replayed");
	g->kv.failed_guard = (uint32_t)take_number(g, line, "failed_guard");
	g->kv.present = take_number(g, line, "present");
}

static void take_step_line(struct golden *g, const char *line)
{
	struct kv_step_result s = {
		.kind = (uint8_t)take_number(g, line, "kind"),
		.count = take_number(g, line, "count"),
		.more = (uint8_t)take_number(g, line, "more"),
		.records = buf_bytes(&g->records),
	};

	kv_step_result_put(&g->steps, &s);
	buf_clear(&g->records);
}

static void take_record_line(struct golden *g, const char *line)
{
	struct kv_record r = {
		.key = take_bytes(g, line, "key"),
		.create = take_number(g, line, "create"),
		.modify = take_number(g, line, "modify"),
		.version = take_number(g, line, "version"),
		.content_type = take_bytes(g, line, "type"),
		.value = take_bytes(g, line, "value"),
	};

	kv_record_put(&g->records, &r);
}

static void take_member_line(struct golden *g, const char *line)
{
	struct status_member m = {
		.incarnation = take_number(g, line, "incarnation"),
		.id = take_bytes(g, line, "id"),
		.peer = take_bytes(g, line, "peer"),
		.http = take_bytes(g, line, "http"),
		.voter = (uint8_t)take_number(g, line, "voter"),
		.match = take_number(g, line, "match"),
		.contact_ms = take_number(g, line, "contact_ms"),
		.connected = (uint8_t)take_number(g, line, "connected"),
		.build = take_bytes(g, line, "build"),
		.level_most = (uint16_t)take_number(g, line, "level_most"),
	};

	status_member_put(&g->members, &m);
}

static void take_status_line(struct golden *g, const char *line)
{
	g->status = (struct status_node){
		.id = take_bytes(g, line, "id"),
		.peer = take_bytes(g, line, "peer"),
		.http = take_bytes(g, line, "http"),
		.incarnation = take_number(g, line, "incarnation"),
		.cluster = take_number(g, line, "cluster"),
		.start = take_number(g, line, "start"),
		.role = (uint8_t)take_number(g, line, "role"),
		.term = take_number(g, line, "term"),
		.leader = take_number(g, line, "leader"),
		.commit = take_number(g, line, "commit"),
		.applied = take_number(g, line, "applied"),
		.first = take_number(g, line, "first"),
		.base_term = take_number(g, line, "base_term"),
		.last = take_number(g, line, "last"),
		.last_term = take_number(g, line, "last_term"),
		.config = take_number(g, line, "config"),
		.hash_high = take_number(g, line, "hash_high"),
		.hash_low = take_number(g, line, "hash_low"),
		.leader_age_ms = take_number(g, line, "leader_age_ms"),
		.confirmed = (uint8_t)take_number(g, line, "confirmed"),
		.served = (uint8_t)take_number(g, line, "served"),
		.counts = (uint8_t)take_number(g, line, "counts"),
		.accepts = (uint8_t)take_number(g, line, "accepts"),
		.caught_up = (uint8_t)take_number(g, line, "caught_up"),
		.full = (uint8_t)take_number(g, line, "full"),
		.free_bytes = take_number(g, line, "free_bytes"),
		.free_mark = take_number(g, line, "free_mark"),
		.ballast = take_number(g, line, "ballast"),
		.ballast_whole = take_number(g, line, "ballast_whole"),
		.foreign = take_bytes(g, line, "foreign"),
		.warnings = take_bytes(g, line, "warnings"),
		.agreed = take_number(g, line, "agreed"),
		.agreed_high = take_number(g, line, "agreed_high"),
		.agreed_low = take_number(g, line, "agreed_low"),
		.disputed = take_number(g, line, "disputed"),
		.distrusted = take_bytes(g, line, "distrusted"),
		.level = (uint16_t)take_number(g, line, "level"),
		.level_most = (uint16_t)take_number(g, line, "level_most"),
	};
}

/* "answer" comes first; what it holds follows, records before their step. */
static void take_answer_line(struct golden *g, const char *line)
{
	if (strncmp(line, "answer", 6) == 0) {
		g->answer = (struct ipc_answer){
			.error = take_error(g, line, "error"),
			.applied = take_number(g, line, "unknown") != 0 ? APPLIED_UNKNOWN : APPLIED_NO,
			.revision = take_number(g, line, "applied"),
			.age_ms = take_number(g, line, "age_ms"),
			.more = (uint8_t)take_number(g, line, "more"),
			.text = take_bytes(g, line, "text"),
		};
		g->leader = take_bytes(g, line, "leader");
		g->answered = true;
	} else if (strncmp(line, "result", 6) == 0)
		take_result_line(g, line);
	else if (strncmp(line, "step", 4) == 0)
		take_step_line(g, line);
	else if (strncmp(line, "record", 6) == 0)
		take_record_line(g, line);
	else if (strncmp(line, "member", 6) == 0)
		take_member_line(g, line);
	else if (strncmp(line, "status", 6) == 0)
		take_status_line(g, line);
	else
		fail_msg("no such line: %s", line);
}

static void render_answer(struct golden *g)
{
	const struct about about = { "1.0", "a compiler", 65000, NULL, dialects, g->spoken };
	struct response out = { 0 };

	g->kv.steps = buf_bytes(&g->steps);
	g->status.members = buf_bytes(&g->members);
	if (g->op.kind != REQUEST_READ && g->op.kind != REQUEST_WRITE)
		status_node_put(&g->result, &g->status);
	else
		kv_result_put(&g->result, &g->kv);
	g->answer.result = g->answer.error == ERR_NOT_LEADER ? g->leader : buf_bytes(&g->result);
	if (is_local(g))
		dialect_render_local(&g->match, &g->op.note, g->answer.revision, &about, &out);
	else
		dialect_render(&g->match, g->op.kind, &g->op.note, &g->answer, &about, &out);
	put_response(g, '!', &out);
	response_free(&out);
}

static void forget_answer(struct golden *g)
{
	buf_clear(&g->result);
	buf_clear(&g->steps);
	buf_clear(&g->records);
	buf_clear(&g->members);
	g->kv = (struct kv_result){ 0 };
	g->status = (struct status_node){ 0 };
	g->answered = false;
	while (g->text_count > 0)
		free(g->texts[--g->text_count]);
}

/* Whatever was gathered becomes something once a line of another kind comes. */
static void close_part(struct golden *g, char next)
{
	if (g->request.size > 0 && next != '>') {
		parse_request(g);
		buf_clear(&g->request);
	}
	if (g->answered && next != '<') {
		render_answer(g);
		forget_answer(g);
	}
}

static void take_place(struct golden *g, const char *word)
{
	static const char *const words[] = { "as-documented", "forward", "redirect" };

	for (int i = 0; i < 3; i++)
		if (strcmp(word, words[i]) == 0) {
			g->op.on_follower = (enum on_follower)i;
			return;
		}
	g->spoken = 0;
#define DIALECT(NAME, name)                                                                                  \
	if (strcmp(word, "all") == 0 || strstr(word, name) != NULL)                                          \
		g->spoken |= DIALECT_##NAME;
#include "common/dialect.def"
#undef DIALECT
	if (g->spoken == 0 && strcmp(word, "none") != 0)
		fail_msg("no such word: %s", word);
}

static void take_line(struct golden *g, const char *line)
{
	static bool in_body;

	close_part(g, strncmp(line, "< answer", 8) == 0 ? '\0' : line[0]);
	if (line[0] == '=' || line[0] == '!')
		return;
	buf_printf(&g->made, "%s\n", line);
	if (line[0] == ':')
		take_place(g, line + 2);
	if (line[0] == '>') {
		in_body = in_body && g->request.size > 0;
		put_unescaped(&g->request, line + (line[1] == ' ' ? 2 : 1));
		if (!in_body)
			buf_append_text(&g->request, "\r\n");
		in_body = in_body || line[1] == '\0';
	} else if (line[0] == '<')
		take_answer_line(g, line + 2);
}

static void read_file(const char *path, struct buf *to)
{
	FILE *f = fopen(path, "r");

	assert_non_null(f);
	while (!feof(f)) {
		uint8_t *at = buf_reserve(to, 4096);

		(void)at;
		to->size += fread(to->data + to->size, 1, 4096, f);
	}
	fclose(f);
}

static void write_file(const char *path, struct bytes what)
{
	FILE *f = fopen(path, "w");

	assert_non_null(f);
	assert_int_equal(fwrite(what.data, 1, what.size, f), what.size);
	fclose(f);
}

static void check_file(const char *path)
{
	struct golden g = { .spoken = DIALECTS_ALL };
	struct buf file = { 0 };
	char *rest, *line;

	read_file(path, &file);
	rest = (char *)(uintptr_t)buf_text(&file);
	rest = xstrdup(rest);
	for (char *at = rest; (line = strsep(&at, "\n")) != NULL && at != NULL;)
		take_line(&g, line);
	close_part(&g, '\0');
	free(rest);
	if (getenv("UPDATE") != NULL)
		write_file(path, buf_bytes(&g.made));
	else
		assert_string_equal(buf_text(&g.made), buf_text(&file));
	buf_free(&file);
	buf_free(&g.made);
	buf_free(&g.request);
	buf_free(&g.result);
	buf_free(&g.steps);
	buf_free(&g.records);
	buf_free(&g.members);
	operation_free(&g.op);
}

static void keys_are_put_got_and_deleted(void **state)
{
	(void)state;
	check_file("tests/http/native_keys.txt");
}

static void lists_and_batches_are_json(void **state)
{
	(void)state;
	check_file("tests/http/native_json.txt");
}

static void a_node_says_how_it_is(void **state)
{
	(void)state;
	check_file("tests/http/native_node.txt");
}

static void members_are_asked_for(void **state)
{
	(void)state;
	check_file("tests/http/native_members.txt");
}

static void a_backup_is_a_stream(void **state)
{
	(void)state;
	check_file("tests/http/native_backup.txt");
}

static void what_is_wrong_is_refused_with_a_reason(void **state)
{
	(void)state;
	check_file("tests/http/native_refused.txt");
}

static void users_of_m2_find_what_they_know(void **state)
{
	(void)state;
	check_file("tests/http/m2.txt");
}

static void keys_of_hraft_and_raftdb_are_maps(void **state)
{
	(void)state;
	check_file("tests/http/hraft.txt");
	check_file("tests/http/raftdb.txt");
}

static void keys_of_raft_kv_demo_are_pairs(void **state)
{
	(void)state;
	check_file("tests/http/raft_kv_demo.txt");
}

static void raft_kv_example_is_as_its_users_know_it(void **state)
{
	(void)state;
	check_file("tests/http/raft_kv_example.txt");
}

static void a_follower_does_as_configured(void **state)
{
	(void)state;
	check_file("tests/http/on_follower.txt");
}

static void a_dialect_that_is_switched_off_is_not_found(void **state)
{
	(void)state;
	check_file("tests/http/dialects_off.txt");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(users_of_m2_find_what_they_know),
		cmocka_unit_test(keys_of_hraft_and_raftdb_are_maps),
		cmocka_unit_test(keys_of_raft_kv_demo_are_pairs),
		cmocka_unit_test(raft_kv_example_is_as_its_users_know_it),
		cmocka_unit_test(a_follower_does_as_configured),
		cmocka_unit_test(a_dialect_that_is_switched_off_is_not_found),
		cmocka_unit_test(keys_are_put_got_and_deleted),
		cmocka_unit_test(lists_and_batches_are_json),
		cmocka_unit_test(a_node_says_how_it_is),
		cmocka_unit_test(members_are_asked_for),
		cmocka_unit_test(a_backup_is_a_stream),
		cmocka_unit_test(what_is_wrong_is_refused_with_a_reason),
	};

	return cmocka_run_group_tests_name("dialect", tests, NULL, NULL);
}
