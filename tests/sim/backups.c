#include <inttypes.h>

#include "tests/common/mem_table.h"
#include "tests/sim/universe.h"
#include "worker/kv/image.h"
#include "worker/replica/scan.h"

/* Beyond the credit there is one slice at most, and a record in it may be long. */
#define BEYOND_BYTES ((int64_t)(SCAN_SLICE_BYTES + IMAGE_FRAME_BYTES + KV_VALUE_BYTES_MAX))

static const struct event_kind next_kind, credit_kind;

static struct random *dice(struct universe *u)
{
	return &u->backups.dice;
}

static void come_back(struct universe *u)
{
	struct span most = u->backups.ending ? span_ms(5) : span_ms(20000);

	universe_add(u, dice_span_skewed(dice(u), span_ms(1), most), &next_kind, NOBODY, 0, 0, NULL);
}

static bool is_alive(const struct universe *u)
{
	const struct backups *b = &u->backups;

	return b->on && node_up(&u->nodes[b->node]) && u->nodes[b->node].life == b->life;
}

/* The client goes, or with it all that its process asked for. */
static void give_up(struct universe *u)
{
	struct backups *b = &u->backups;
	struct node *n = &u->nodes[b->node];

	b->on = false;
	story_tell(u, b->node, "is told that the backup %" PRIu64 " is given up", b->id);
	if (dice_chance(dice(u), 500000))
		replica_cancel(n->replica, BACKUP_CLIENT, b->id);
	else
		replica_forget(n->replica, BACKUP_CLIENT);
	node_touch(n);
}

static void ask(struct universe *u, struct node *n)
{
	struct backups *b = &u->backups;
	struct ipc_request q = { .id = ++b->id, .kind = REQUEST_BACKUP, .time_ms = 1000 };

	b->on = true;
	b->begun = false;
	b->node = n->number;
	b->life = n->life;
	b->credit = 0;
	b->misled = n->rotten;
	buf_clear(&b->image);
	story_tell(u, n->number, "is asked for the backup %" PRIu64, b->id);
	n->in_request = true;
	replica_request(n->replica, BACKUP_CLIENT, &q, node_now(n));
	n->in_request = false;
	node_touch(n);
}

static struct node *choose(struct universe *u)
{
	struct backups *b = &u->backups;

	if (!b->ending)
		return &u->nodes[random_below(dice(u), (uint64_t)u->plan.nodes)];
	for (int i = 0; i < u->plan.nodes; i++)
		if ((b->left >> i & 1) != 0)
			return &u->nodes[i];
	return NULL;
}

static void on_next(struct universe *u, const struct event *e)
{
	struct backups *b = &u->backups;
	struct node *n = choose(u);

	(void)e;
	if (b->resting)
		return;
	if (is_alive(u)) {
		if (!b->ending)
			give_up(u);
	} else if (n != NULL && node_up(n)) {
		ask(u, n);
	}
	if (n != NULL)
		come_back(u);
}

static void give_credit(struct universe *u)
{
	struct backups *b = &u->backups;
	uint64_t bytes = b->ending ? 1 << 20 : dice_skewed(dice(u), 1, 1 << 20);
	struct span most = b->ending ? span_ms(1) : span_ms(1000);

	universe_add(
	    u, dice_span_skewed(dice(u), span_us(20), most), &credit_kind, b->node, b->id, bytes, NULL);
}

static void on_credit(struct universe *u, const struct event *e)
{
	struct backups *b = &u->backups;
	struct node *n = &u->nodes[e->node];

	if (!b->on || e->a != b->id)
		return;
	b->credit += (int64_t)e->b;
	replica_credit(n->replica, BACKUP_CLIENT, b->id, (uint32_t)e->b);
	node_touch(n);
}

static const struct event_kind next_kind = { "backup", on_next }, credit_kind = { "credit", on_credit };

static bool may_happen(const struct universe *u, enum err e)
{
	switch (e) {
	case ERR_BUSY:
	case ERR_CONFLICT:
		return true;
	case ERR_FOREIGN:
		return u->plan.faults[FAULT_MEMBERS] || u->plan.faults[FAULT_WIPE] ||
		       u->plan.faults[FAULT_COPY];
	case ERR_QUARANTINED:
		return u->plan.faults[FAULT_ROT] || u->plan.faults[FAULT_LOST];
	default:
		return false;
	}
}

static void check_image(struct universe *u, struct node *n)
{
	struct backups *b = &u->backups;
	struct table *t = mem_table_new();
	struct image_load *l = image_load_begin(t, FEATURE_LEVEL_MOST);
	struct image_head head;
	enum err e = image_load_frames(l, buf_bytes(&b->image));

	if (e == ERR_OK)
		e = image_load_end(l);
	if (e != ERR_OK || !image_load_head(l, &head) || head.index != b->index ||
	    head.cluster != replica_view(n->replica).cluster)
		universe_fail(u, "n%d gave a backup as of %" PRIu64 " that does not load: %s %s",
		    n->number + 1, b->index, err_text(e), image_load_why(l));
	if (!b->misled && !n->rotten)
		laws_on_backup(u, n, head.index, &head.hash);
	image_load_free(l);
	mem_table_free(t);
}

static void finish(struct universe *u, struct node *n)
{
	struct backups *b = &u->backups;

	b->on = false;
	check_image(u, n);
	story_tell(u, n->number, "gave the backup %" PRIu64 " as of %" PRIu64 ", %zu bytes", b->id, b->index,
	    b->image.size);
	u->deeds.backups++;
	b->left &= ~((uint64_t)1 << n->number);
}

static void take_slice(struct universe *u, struct node *n, const struct ipc_answer *a)
{
	struct backups *b = &u->backups;

	if (b->credit <= 0)
		universe_fail(u, "n%d goes on with a backup without credit", n->number + 1);
	b->credit -= (int64_t)a->result.size;
	if (b->credit < -BEYOND_BYTES)
		universe_fail(u, "n%d sends %" PRId64 " bytes of a backup beyond its credit", n->number + 1,
		    -b->credit);
	buf_append(&b->image, a->result);
	if (a->more == 0)
		finish(u, n);
	else if (b->credit <= 0)
		give_credit(u);
}

void backups_on_answer(struct universe *u, struct node *n, const struct ipc_answer *a)
{
	struct backups *b = &u->backups;

	if (!b->on || a->id != b->id || n->number != b->node) {
		if (a->error == ERR_OK)
			universe_fail(u, "n%d goes on with a backup that was given up", n->number + 1);
	} else if (a->error != ERR_OK) {
		if (!may_happen(u, (enum err)a->error))
			universe_fail(
			    u, "n%d refuses a backup: %s", n->number + 1, err_name((enum err)a->error));
		story_tell(
		    u, n->number, "gives no backup: %.*s", (int)a->text.size, (const char *)a->text.data);
		b->on = false;
	} else if (b->begun) {
		take_slice(u, n, a);
	} else {
		b->begun = true;
		b->index = a->revision;
		give_credit(u);
	}
}

void backups_start(struct universe *u)
{
	u->backups.dice = dice_fork(&u->dice);
	come_back(u);
}

void backups_fini(struct universe *u)
{
	buf_free(&u->backups.image);
}

void backups_heal(struct universe *u)
{
	if (is_alive(u))
		give_up(u);
	u->backups.resting = true;
}

void backups_end(struct universe *u)
{
	struct backups *b = &u->backups;

	b->resting = false;
	b->ending = true;
	for (int i = 0; i < u->plan.nodes; i++)
		if (laws_member(u, &u->nodes[i]))
			b->left |= (uint64_t)1 << i;
	come_back(u);
}

bool backups_ended(const struct universe *u)
{
	return u->backups.left == 0;
}
