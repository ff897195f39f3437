#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/raft/cluster.h"

/*
 * Plays scripts (*.txt): blocks of commands, a line "----", and the transcript, ended by an empty line. Prints TAP,
 * one test a file. With --update the transcripts are written anew; the change is then reviewed like code.
 *
 * Commands (ids are numbers, a list of ids is 1,2,3; without a list: all nodes):
 *	cluster N [outside=O] [learners=L] [message=BYTES] [uncommitted=BYTES] [cache=BYTES]
 *	campaign I		time passes on I until it stands for election
 *	tick I MS		time passes on I
 *	pause I MS		time passes on I, which is stopped and does not notice
 *	confirmed I		may I answer a read of level leader?
 *	pass MS [IDS]		time passes on these nodes, a heartbeat at a time, and everything moves among them
 *	ready I			takes what I's core gives out
 *	persist I [COUNT]	I's oldest writes become durable (all)
 *	deliver [FROM] [TO] [TYPE]	letters on their way arrive, 0 for any node
 *	repeat [FROM] [TO] [TYPE]	the same, but the letters stay on their way too
 *	drop [FROM] [TO] [TYPE]
 *	settle [IDS]		everything moves among these nodes until nothing does
 *	cut FROM TO | join FROM TO	letters this way are lost, those on their way too; or arrive again
 *	stall I | resume I	I's disk completes nothing but by persist; or as before
 *	quiet COMMAND ...	the same without its transcript
 *	propose I DATA | propose I bytes=N
 *	propose-config I [voters=IDS] [outgoing=IDS] [learners=IDS]
 *	add I MEMBER [name=N]	leader I takes it in; N: as another incarnation of node N
 *	remove I MEMBER		and out
 *	describe I MEMBER [peer=N] [start=N] [level=N]	leader I is told what it says of itself
 *	raise I 0 level=N	leader I raises the feature level
 *	read I NUMBER
 *	transfer I [TARGET]
 *	unfit I | fit I		I's disk hangs, or works again
 *	crash I [KEEP [half]]	power is lost; KEEP begun writes reached the disk all the same; of the next one the state
 *				that an image brings, not the log
 *	start I
 *	checkpoint I		I's state is durable as far as it is applied
 *	compact I INDEX		I's log is cut: it begins behind INDEX, or what is durable of the state; of a
 *				frozen node, or what is committed
 *	take K I		image K is the state that I has now
 *	image I K		image K is complete on I
 *	over I PEER INDEX	I, which was asked for an image for PEER, has brought it, or with 0 has not
 *	freeze I		I's state is found to be wrong
 *	lose I			the state of I, which is down, is gone
 *	lost I PEER		the connection on which PEER's messages come to I closed
 *	unreachable I PEER	and the other one
 *	reachable I PEER
 *	show [IDS]
 *	members [IDS [MEMBER]]	the configuration in force; what that member said of itself
 */

#define WORDS_MAX 8

struct words {
	char *at[WORDS_MAX];
	size_t count;
};

static void split(char *line, struct words *w)
{
	w->count = 0;
	for (char *p = strtok(line, " "); p != NULL && w->count < WORDS_MAX; p = strtok(NULL, " "))
		w->at[w->count++] = p;
}

static uint64_t number(const struct words *w, size_t i, uint64_t otherwise)
{
	return i < w->count ? strtoull(w->at[i], NULL, 10) : otherwise;
}

static size_t option(const struct words *w, const char *name, size_t otherwise)
{
	size_t size = strlen(name);

	for (size_t i = 0; i < w->count; i++)
		if (strncmp(w->at[i], name, size) == 0 && w->at[i][size] == '=')
			return strtoul(w->at[i] + size + 1, NULL, 10);
	return otherwise;
}

static unsigned parse_set(const char *list)
{
	unsigned set = 0;

	for (const char *p = list; p != NULL; p = strchr(p, ',') ? strchr(p, ',') + 1 : NULL)
		set |= 1u << strtoul(p, NULL, 10);
	return set;
}

static unsigned set_of(const struct words *w, size_t i)
{
	return i < w->count ? parse_set(w->at[i]) : ~0u;
}

static unsigned set_option(const struct words *w, const char *name)
{
	size_t size = strlen(name);

	for (size_t i = 0; i < w->count; i++)
		if (strncmp(w->at[i], name, size) == 0 && w->at[i][size] == '=')
			return parse_set(w->at[i] + size + 1);
	return 0;
}

static int type_of(const struct words *w, size_t i)
{
	if (i >= w->count)
		return -1;
#define MSG(NAME, name, number, fields)                                                                      \
	if (strcmp(w->at[i], #NAME) == 0)                                                                    \
		return RAFT_##NAME;
#include "worker/raft/message.def"
#undef MSG
	fprintf(stderr, "there is no message %s\n", w->at[i]);
	exit(1);
}

static void cmd_cluster(struct cluster *c, const struct words *w)
{
	struct buf *out = c->out;

	cluster_fini(c);
	cluster_init(c, number(w, 1, 3), option(w, "learners", 0), option(w, "outside", 0), out);
	c->message_bytes_max = option(w, "message", c->message_bytes_max);
	c->uncommitted_bytes_max = option(w, "uncommitted", c->uncommitted_bytes_max);
	c->cache_bytes = option(w, "cache", c->cache_bytes);
	for (size_t i = 1; i <= c->count; i++) {
		node_crash(&c->nodes[i], 0, false);
		c->nodes[i].start = 0;
		node_start(c, &c->nodes[i]);
	}
}

static void cmd_campaign(struct cluster *c, const struct words *w)
{
	struct node *n = cluster_node(c, number(w, 1, 0));

	n->now = raft_deadline(n->raft);
	raft_tick(n->raft, n->now);
	node_ready(c, n);
}

static void cmd_tick(struct cluster *c, const struct words *w)
{
	struct node *n = cluster_node(c, number(w, 1, 0));

	n->now = instant_add(n->now, span_ms((int64_t)number(w, 2, 0)));
	raft_tick(n->raft, n->now);
	node_ready(c, n);
}

static void cmd_pause(struct cluster *c, const struct words *w)
{
	struct node *n = cluster_node(c, number(w, 1, 0));

	n->now = instant_add(n->now, span_ms((int64_t)number(w, 2, 0)));
}

static void cmd_confirmed(struct cluster *c, const struct words *w)
{
	const struct node *n = cluster_node(c, number(w, 1, 0));

	buf_printf(c->out, "%s\n", raft_confirmed(n->raft, n->now) ? "yes" : "no");
}

static void cmd_pass(struct cluster *c, const struct words *w)
{
	unsigned set = set_of(w, 2);

	for (uint64_t ms = 0; ms < number(w, 1, 0); ms += HEARTBEAT_MS) {
		for (size_t i = 1; i <= c->count; i++) {
			struct node *n = &c->nodes[i];

			if (!(set & 1u << i) || n->raft == NULL)
				continue;
			n->now = instant_add(n->now, span_ms(HEARTBEAT_MS));
			raft_tick(n->raft, n->now);
			node_ready(c, n);
		}
		cluster_settle(c, set);
	}
}

static void cmd_ready(struct cluster *c, const struct words *w)
{
	node_ready(c, cluster_node(c, number(w, 1, 0)));
}

static void cmd_persist(struct cluster *c, const struct words *w)
{
	struct node *n = cluster_node(c, number(w, 1, 0));
	uint64_t count = number(w, 2, UINT64_MAX);

	for (; count > 0 && node_persist(c, n); count--)
		node_ready(c, n);
}

static void cmd_deliver(struct cluster *c, const struct words *w)
{
	cluster_deliver(c, number(w, 1, 0), number(w, 2, 0), type_of(w, 3), false);
}

static void cmd_repeat(struct cluster *c, const struct words *w)
{
	cluster_deliver(c, number(w, 1, 0), number(w, 2, 0), type_of(w, 3), true);
}

static void cmd_drop(struct cluster *c, const struct words *w)
{
	size_t dropped = cluster_drop(c, number(w, 1, 0), number(w, 2, 0), type_of(w, 3));

	buf_printf(c->out, "dropped %zu\n", dropped);
}

static void cmd_cut(struct cluster *c, const struct words *w)
{
	struct node *from = cluster_node(c, number(w, 1, 0));
	unsigned to = 1u << cluster_node(c, number(w, 2, 0))->id;

	from->unheard = w->at[0][0] == 'c' ? from->unheard | to : from->unheard & ~to;
}

static void cmd_stall(struct cluster *c, const struct words *w)
{
	cluster_node(c, number(w, 1, 0))->stalled = w->at[0][0] == 's';
}

static void cmd_settle(struct cluster *c, const struct words *w)
{
	cluster_settle(c, set_of(w, 1));
}

static void propose(struct cluster *c, const struct words *w, enum entry_type type, struct blob *data)
{
	struct node *n = cluster_node(c, number(w, 1, 0));
	struct raft_pos pos;
	enum err e;

	if ((e = raft_propose(n->raft, type, data, n->now, &pos)) != ERR_OK)
		buf_printf(c->out, "%s\n", err_name(e));
	else
		buf_printf(c->out, "proposed %" PRIu64 ".%" PRIu64 "\n", pos.term, pos.index);
	blob_unref(data);
}

static void cmd_propose(struct cluster *c, const struct words *w)
{
	struct blob *data = blob_alloc(option(w, "bytes", w->count > 2 ? strlen(w->at[2]) : 0));

	memset(data->data, 'x', data->size);
	if (w->count > 2 && strchr(w->at[2], '=') == NULL)
		memcpy(data->data, w->at[2], data->size);
	propose(c, w, ENTRY_WRITE, data);
}

static void cmd_propose_config(struct cluster *c, const struct words *w)
{
	unsigned voters = set_option(w, "voters"), outgoing = set_option(w, "outgoing"),
		 learners = set_option(w, "learners");
	struct buf b = { 0 };

	for (uint64_t id = 1; id <= NODES_MAX; id++) {
		struct raft_member m = { .incarnation = id, .id = cluster_name(id) };

		m.roles = (uint8_t)((voters >> id & 1) * RAFT_VOTER | (outgoing >> id & 1) * RAFT_OUTGOING |
				    (learners >> id & 1) * RAFT_LEARNER);
		if (m.roles != 0)
			raft_member_put(&b, &m);
	}
	propose(c, w, ENTRY_CONFIG, blob_new(buf_bytes(&b)));
	buf_free(&b);
}

static void change(struct cluster *c, const struct words *w, enum raft_change_kind kind)
{
	struct node *n = cluster_node(c, number(w, 1, 0));
	uint64_t id = number(w, 2, 0), peer = option(w, "peer", 0);
	struct raft_member m = { .incarnation = id,
		.id = cluster_name(option(w, "name", id)),
		.peer = peer != 0 ? cluster_name(peer) : (struct bytes){ 0 },
		.start = option(w, "start", 0),
		.level = (unsigned)option(w, "level", 0) };
	struct raft_pos pos;
	enum err e = raft_change(n->raft, kind, &m, n->now, &pos);

	if (e != ERR_OK)
		buf_printf(c->out, "%s\n", err_name(e));
	else
		buf_printf(c->out, "proposed %" PRIu64 ".%" PRIu64 "\n", pos.term, pos.index);
}

static void cmd_add(struct cluster *c, const struct words *w)
{
	change(c, w, RAFT_ADD);
}

static void cmd_remove(struct cluster *c, const struct words *w)
{
	change(c, w, RAFT_REMOVE);
}

static void cmd_describe(struct cluster *c, const struct words *w)
{
	change(c, w, RAFT_DESCRIBE);
}

static void cmd_raise(struct cluster *c, const struct words *w)
{
	change(c, w, RAFT_RAISE);
}

static void cmd_read(struct cluster *c, const struct words *w)
{
	struct node *n = cluster_node(c, number(w, 1, 0));
	enum err e = raft_read(n->raft, number(w, 2, 0));

	if (e != ERR_OK)
		buf_printf(c->out, "%s\n", err_name(e));
}

static void cmd_transfer(struct cluster *c, const struct words *w)
{
	struct node *n = cluster_node(c, number(w, 1, 0));
	enum err e = raft_transfer(n->raft, number(w, 2, 0), n->now);

	if (e != ERR_OK)
		buf_printf(c->out, "%s\n", err_name(e));
}

static void cmd_unfit(struct cluster *c, const struct words *w)
{
	struct node *n = cluster_node(c, number(w, 1, 0));

	raft_set_unfit(n->raft, w->at[0][0] == 'u', n->now);
}

static void cmd_room(struct cluster *c, const struct words *w)
{
	static const char *const names[] = { "room", "full", "spent" };
	struct node *n = cluster_node(c, number(w, 1, 0));
	int room = 0;

	while (strcmp(w->at[0], names[room]) != 0)
		room++;
	raft_set_room(n->raft, (enum raft_room)room, n->now);
}

static void cmd_crash(struct cluster *c, const struct words *w)
{
	node_crash(cluster_node(c, number(w, 1, 0)), number(w, 2, 0), w->count > 3);
}

static void cmd_start(struct cluster *c, const struct words *w)
{
	node_start(c, cluster_node(c, number(w, 1, 0)));
}

static void cmd_checkpoint(struct cluster *c, const struct words *w)
{
	struct node *n = cluster_node(c, number(w, 1, 0));

	state_free(&n->state_disk);
	n->state_disk = state_of(&n->state);
}

static void cmd_compact(struct cluster *c, const struct words *w)
{
	node_compact(cluster_node(c, number(w, 1, 0)), number(w, 2, 0));
}

static struct image *image_of(struct cluster *c, const struct words *w, size_t i)
{
	if (number(w, i, IMAGES_MAX) >= IMAGES_MAX) {
		fprintf(stderr, "there are images 0 to %d\n", IMAGES_MAX - 1);
		exit(1);
	}
	return &c->images[number(w, i, 0)];
}

static void cmd_take(struct cluster *c, const struct words *w)
{
	struct image *i = image_of(c, w, 1);
	struct node *n = cluster_node(c, number(w, 2, 0));

	state_free(&i->state);
	i->state = state_of(&n->state);
	i->term = raft_view(n->raft).term;
	buf_printf(c->out, "image of %" PRIu64 ".%" PRIu64 " config=%" PRIu64 "\n", i->state.pos.term,
	    i->state.pos.index, i->state.config_index);
}

static void cmd_image(struct cluster *c, const struct words *w)
{
	struct node *n = cluster_node(c, number(w, 1, 0));
	struct image *i = image_of(c, w, 2);

	if (node_install(n, &i->state, i->term))
		node_ready(c, n);
	else
		buf_append_text(c->out, "no news\n");
}

static void cmd_over(struct cluster *c, const struct words *w)
{
	struct node *n = cluster_node(c, number(w, 1, 0));

	raft_image_over(n->raft, number(w, 2, 0), number(w, 3, 0), n->now);
	node_ready(c, n);
}

static void cmd_freeze(struct cluster *c, const struct words *w)
{
	struct node *n = cluster_node(c, number(w, 1, 0));

	n->state.frozen = n->state_disk.frozen = true;
	raft_freeze(n->raft, n->now);
	node_ready(c, n);
}

static void cmd_lose(struct cluster *c, const struct words *w)
{
	struct node *n = cluster_node(c, number(w, 1, 0));

	state_free(&n->state_disk);
	n->state_disk.frozen = true;
}

static void cmd_lost(struct cluster *c, const struct words *w)
{
	struct node *n = cluster_node(c, number(w, 1, 0));

	raft_lost(n->raft, number(w, 2, 0), n->now);
	buf_printf(c->out, "stands in at most %" PRId64 " ms: %s\n", (int64_t)50,
	    instant_passed(raft_deadline(n->raft), instant_add(n->now, span_ms(50))) ? "yes" : "no");
}

static void cmd_unreachable(struct cluster *c, const struct words *w)
{
	raft_unreachable(cluster_node(c, number(w, 1, 0))->raft, number(w, 2, 0));
}

static void cmd_reachable(struct cluster *c, const struct words *w)
{
	raft_reachable(cluster_node(c, number(w, 1, 0))->raft, number(w, 2, 0));
}

static void cmd_show(struct cluster *c, const struct words *w)
{
	unsigned set = set_of(w, 1);

	for (size_t i = 1; i <= c->count; i++)
		if (set & 1u << i)
			node_show(c, &c->nodes[i]);
}

static void tell_list(struct buf *out, const char *name, const uint64_t *ids, size_t count)
{
	for (size_t i = 0; i < count; i++)
		buf_printf(out, "%s%" PRIu64, i == 0 ? name : ",", ids[i]);
}

static void tell_half(struct buf *out, const char *name, const struct quorum_half *h)
{
	tell_list(out, name, h->ids, h->count);
}

static void tell_member(struct buf *out, const struct raft_config *config, uint64_t id)
{
	struct raft_member m;

	if (raft_config_find(config, id, &m))
		buf_printf(out, " %" PRIu64 ": peer=%.*s start=%" PRIu64 " level=%u", id, (int)m.peer.size,
		    (const char *)m.peer.data, m.start, m.level);
}

static void cmd_members(struct cluster *c, const struct words *w)
{
	unsigned set = set_of(w, 1);

	for (size_t i = 1; i <= c->count; i++) {
		const struct raft_config *now;

		if (!(set & 1u << i) || c->nodes[i].raft == NULL)
			continue;
		now = raft_config(c->nodes[i].raft);
		buf_printf(c->out, "%zu: config=%" PRIu64 " members=%zu", i, now->index, now->count);
		tell_half(c->out, " voters=", &now->quorum.incoming);
		tell_half(c->out, " outgoing=", &now->quorum.outgoing);
		tell_list(c->out, " gone=", now->gone, now->gone_count);
		if (now->level > 0)
			buf_printf(c->out, " level=%u", now->level);
		tell_member(c->out, now, number(w, 2, 0));
		buf_append_text(c->out, "\n");
	}
}

static const struct {
	const char *name;
	void (*run)(struct cluster *c, const struct words *w);
} commands[] = {
	{ "cluster", cmd_cluster },
	{ "campaign", cmd_campaign },
	{ "tick", cmd_tick },
	{ "pause", cmd_pause },
	{ "confirmed", cmd_confirmed },
	{ "pass", cmd_pass },
	{ "ready", cmd_ready },
	{ "persist", cmd_persist },
	{ "deliver", cmd_deliver },
	{ "repeat", cmd_repeat },
	{ "drop", cmd_drop },
	{ "cut", cmd_cut },
	{ "join", cmd_cut },
	{ "stall", cmd_stall },
	{ "resume", cmd_stall },
	{ "settle", cmd_settle },
	{ "propose", cmd_propose },
	{ "propose-config", cmd_propose_config },
	{ "add", cmd_add },
	{ "describe", cmd_describe },
	{ "raise", cmd_raise },
	{ "remove", cmd_remove },
	{ "read", cmd_read },
	{ "transfer", cmd_transfer },
	{ "unfit", cmd_unfit },
	{ "fit", cmd_unfit },
	{ "full", cmd_room },
	{ "spent", cmd_room },
	{ "room", cmd_room },
	{ "crash", cmd_crash },
	{ "start", cmd_start },
	{ "checkpoint", cmd_checkpoint },
	{ "compact", cmd_compact },
	{ "take", cmd_take },
	{ "image", cmd_image },
	{ "over", cmd_over },
	{ "freeze", cmd_freeze },
	{ "lose", cmd_lose },
	{ "lost", cmd_lost },
	{ "unreachable", cmd_unreachable },
	{ "reachable", cmd_reachable },
	{ "show", cmd_show },
	{ "members", cmd_members },
};

static void run_line(struct cluster *c, const char *line)
{
	bool quiet = strncmp(line, "quiet ", 6) == 0;
	char *copy = xstrdup(quiet ? line + 6 : line);
	size_t before = c->out->size;
	struct words w;

	split(copy, &w);
	for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++)
		if (w.count > 0 && strcmp(w.at[0], commands[i].name) == 0) {
			commands[i].run(c, &w);
			if (quiet)
				c->out->size = before;
			free(copy);
			return;
		}
	fprintf(stderr, "there is no command: %s\n", line);
	exit(1);
}

/* Plays one file; appends what it should look like to *now. */
static void play(FILE *f, struct buf *now)
{
	struct buf transcript = { 0 };
	struct cluster c = { .out = &transcript };
	char line[1024];
	bool skipping = false;

	while (fgets(line, sizeof(line), f) != NULL) {
		line[strcspn(line, "\n")] = '\0';
		if (strcmp(line, "----") == 0) {
			buf_append_text(now, "----\n");
			buf_append(
			    now, transcript.size > 0 ? buf_bytes(&transcript) : bytes_text("(nothing)\n"));
			buf_clear(&transcript);
			skipping = true;
			continue;
		}
		if (skipping && line[0] != '\0')
			continue;
		skipping = false;
		buf_printf(now, "%s\n", line);
		if (line[0] != '\0' && line[0] != '#')
			run_line(&c, line);
	}
	cluster_fini(&c);
	buf_free(&transcript);
}

static void read_all(FILE *f, struct buf *to)
{
	char chunk[4096];
	size_t got;

	while ((got = fread(chunk, 1, sizeof(chunk), f)) > 0)
		buf_append(to, bytes_of(chunk, got));
}

static void tell_difference(struct buf *was, struct buf *now)
{
	const char *a = buf_text(was), *b = buf_text(now);
	int line = 1;

	while (*a != '\0' && *a == *b) {
		line += *a == '\n';
		a++;
		b++;
	}
	while (a > buf_text(was) && a[-1] != '\n') {
		a--;
		b--;
	}
	printf("# line %d\n# expected: %.*s\n# got:      %.*s\n", line, (int)strcspn(a, "\n"), a,
	    (int)strcspn(b, "\n"), b);
}

static bool check_file(const char *path, bool update)
{
	struct buf was = { 0 }, now = { 0 };
	FILE *f = fopen(path, "r");
	bool same;

	if (f == NULL) {
		printf("# cannot open %s: %s\n", path, strerror(errno));
		return false;
	}
	read_all(f, &was);
	rewind(f);
	play(f, &now);
	fclose(f);
	same = bytes_equal(buf_bytes(&was), buf_bytes(&now));
	if (!same && update && (f = fopen(path, "w")) != NULL) {
		fwrite(now.data, 1, now.size, f);
		fclose(f);
		same = true;
	} else if (!same) {
		tell_difference(&was, &now);
	}
	buf_free(&was);
	buf_free(&now);
	return same;
}

int main(int argc, char **argv)
{
	bool update = argc > 1 && strcmp(argv[1], "--update") == 0;
	int first = update ? 2 : 1, failed = 0;

	setvbuf(stdout, NULL, _IOLBF, 0);
	printf("1..%d\n", argc - first);
	for (int i = first; i < argc; i++) {
		bool ok = check_file(argv[i], update);

		failed += !ok;
		printf("%s %d - %s\n", ok ? "ok" : "not ok", i - first + 1, argv[i]);
	}
	return failed > 0;
}
