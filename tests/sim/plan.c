#include <assert.h>
#include <inttypes.h>
#include <string.h>
#include <strings.h>

#include "tests/sim/plan.h"

/* An entry of a client's write without its value, about. */
#define ENTRY_BYTES 128

struct fault_row {
	const char *name, *text;
	int nodes;
	uint64_t in_million;
};

static const struct fault_row rows[] = {
#define FAULT(NAME, text, nodes, in_million) { #NAME, text, nodes, in_million },
#include "tests/sim/fault.def"
#undef FAULT
};

const char *fault_text(enum fault f)
{
	return rows[f].text;
}

const char *fault_name(enum fault f)
{
	return rows[f].name;
}

bool fault_find(const char *name, enum fault *out)
{
	for (int f = 0; f < FAULTS; f++)
		if (strcasecmp(rows[f].name, name) == 0) {
			*out = (enum fault)f;
			return true;
		}
	return false;
}

static int draw_nodes(struct random *r)
{
	static const int sizes[] = { 1, 1, 2, 3, 3, 3, 3, 3, 3, 3, 3, 4, 4, 5, 5, 5, 6, 7 };

	return sizes[random_below(r, sizeof(sizes) / sizeof(sizes[0]))];
}

/* A swarm (Groce and others, "Swarm testing", 2012): each universe has some of the faults, and many have few, because
 * what one fault brings about another one covers up. */
static void draw_faults(struct plan *p, struct random *r)
{
	static const uint64_t parts[] = { 250, 500, 1000 };
	uint64_t part = parts[random_below(r, sizeof(parts) / sizeof(parts[0]))];
	bool any = false;

	/* One universe in twenty is a quiet one: its elections and its latency must be as well. */
	if (dice_chance(r, 50000))
		return;
	while (!any)
		for (int f = 0; f <= FAULT_CANCEL; f++) {
			p->faults[f] =
			    p->nodes >= rows[f].nodes && dice_chance(r, rows[f].in_million * part / 1000);
			any = any || p->faults[f];
		}
	/* One connection keeps its order or it does not. */
	p->in_order = dice_chance(r, 400000);
	if (p->in_order)
		p->faults[FAULT_LOSE] = p->faults[FAULT_DUPLICATE] = p->faults[FAULT_REORDER] = false;
}

static void draw_replica(struct plan *p, struct random *r)
{
	p->election = dice_span_skewed(r, span_ms(100), span_ms(1000));
	p->heartbeat = (struct span){ p->election.ns / (int64_t)dice_between(r, 4, 10) };
	p->request = dice_span_skewed(r, span_ms(1000), span_ms(8000));
	p->segment_bytes = dice_skewed(r, 64 * 1024, 512 * 1024);
	p->log_budget = p->segment_bytes * dice_between(r, 4, 8);
	p->image_budget = p->segment_bytes * dice_between(r, 1, 4);
	p->cache_bytes = dice_chance(r, 500000) ? dice_skewed(r, 256, 64 * 1024) : 8 * 1024 * 1024;
	p->requests_max = dice_chance(r, 200000) ? (uint32_t)dice_between(r, 2, 8) : 1024;
	p->request_bytes_max = 64 * 1024 * 1024;
	/* Down to one entry a message: then each is accepted, lost or overtaken by itself. */
	p->message_bytes = dice_chance(r, 500000) ? 0 : (size_t)dice_skewed(r, 1, 64 * 1024);
	p->window_bytes = dice_chance(r, 500000) ? 0 : (size_t)dice_skewed(r, 1, 256 * 1024);
	p->uncommitted_bytes = dice_chance(r, 700000) ? 0 : (size_t)dice_skewed(r, 32 * 1024, 1024 * 1024);
	for (int n = 0; n < p->nodes; n++)
		p->drift_ppm[n] = dice_chance(r, 500000) ? 0 : (int)dice_between(r, 0, 80000) - 40000;
}

/* By dice of their own, so that a seed that is known for something else still draws the same. */
static void draw_results(struct plan *p)
{
	struct random own = { p->seed ^ 0x726573756c7473 };

	p->lane_bytes = dice_chance(&own, 500000) ? 0 : (size_t)dice_skewed(&own, 1, 16 * 1024);
	if (dice_chance(&own, 600000))
		return;
	p->result_bytes = dice_skewed(&own, 64, 64 * 1024);
	p->taken_per_second = dice_skewed(&own, 256 * 1024, 4 * 1024 * 1024);
}

/* Between two faults there must be time to elect somebody now and then. */
static void draw_quiet(struct plan *p, struct random *r)
{
	int64_t more = 3 * p->election.ns;

	p->quiet_least = dice_span_skewed(r, span_ms(50), span_ms(1000));
	p->quiet_most = dice_span_skewed(r, span_ms(1500), (struct span){ span_ms(2500).ns + more });
}

static void draw_network(struct plan *p, struct random *r)
{
	p->latency_least = dice_span_skewed(r, span_us(20), span_us(500));
	p->latency_most = dice_span_skewed(
	    r, p->latency_least, (struct span){ p->election.ns / (dice_chance(r, 500000) ? 5 : 20) });
	p->delay_most = dice_span_skewed(r, p->latency_most, span_times(p->election, 2));
	p->overtake_most = dice_span_skewed(r, p->latency_most, span_times(p->election, 2));
	p->lag_most = dice_span_skewed(r, p->election, span_times(p->election, 4));
	p->lose = p->faults[FAULT_LOSE] ? dice_skewed(r, 1000, 100000) : 0;
	p->duplicate = p->faults[FAULT_DUPLICATE] ? dice_skewed(r, 1000, 100000) : 0;
	p->reorder = p->faults[FAULT_REORDER] ? dice_skewed(r, 1000, 200000) : 0;
	p->delay = p->faults[FAULT_DELAY] ? dice_skewed(r, 1000, 50000) : 0;
	p->turn = dice_chance(r, 500000) ? span_us(0) : dice_span_skewed(r, span_us(5), span_us(500));
}

static void draw_clients(struct plan *p, struct random *r)
{
	p->clients = (int)dice_between(r, 2, 8);
	p->think_most = dice_span_skewed(r, span_ms(5), span_ms(300));
	p->tokens = dice_between(r, 0, 1000000);
	p->registers = dice_between(r, 100000, 900000);
	p->reads = dice_between(r, 100000, 600000);
	p->hasty = dice_chance(r, 600000) ? dice_between(r, 100000, 800000) : 0;
	p->conditions = dice_between(r, 0, 500000);
	p->deletes = dice_between(r, 0, 300000);
	p->cancels = p->faults[FAULT_CANCEL] ? dice_skewed(r, 5000, 200000) : 0;
	p->register_keys = (int)dice_skewed(r, 1, 20);
	p->value_most = (size_t)dice_skewed(r, 16, 16 * 1024);
	p->impatient = dice_chance(r, 300000);
}

/* A narrow window makes a round trip of each of its loads, and so do few requests at a time. What all clients and probers
 * ask must get through in a quarter of the time that a request has, as disks take theirs too: else every attempt comes too
 * late, its repetition makes the others late, and nobody is ever served however whole the cluster is. */
static void quicken(struct plan *p)
{
	int64_t askers = p->clients + p->nodes, loads = p->requests_max;
	struct span most;

	if (p->window_bytes > 0 && p->window_bytes / (p->value_most + ENTRY_BYTES) < (uint64_t)loads)
		loads = 1 + (int64_t)(p->window_bytes / (p->value_most + ENTRY_BYTES));
	most.ns = p->request.ns / (8 * askers) * loads;
	if (p->latency_most.ns > most.ns)
		p->latency_most = most;
}

/* Where disks are lost for good nobody is removed: both at once can leave a majority that is no more. */
static void draw_members(struct plan *p, struct random *r)
{
	p->members = p->nodes;
	if (p->nodes < rows[FAULT_MEMBERS].nodes || !dice_chance(r, 350000))
		return;
	/* Who is added gets the whole log, and must have it soon. */
	p->message_bytes = 0;
	p->window_bytes = 0;
	p->faults[FAULT_COPY] = dice_chance(r, 500000);
	p->faults[FAULT_WIPE] = p->nodes >= rows[FAULT_WIPE].nodes && dice_chance(r, 400000);
	p->faults[FAULT_MEMBERS] = !p->faults[FAULT_WIPE] || dice_chance(r, 500000);
	if (p->faults[FAULT_WIPE])
		p->members = p->nodes - (p->nodes > 3 && dice_chance(r, 500000));
	else
		p->members = (int)dice_between(r, 1, (uint64_t)p->nodes);
}

/* Behind all else, which is drawn for a seed as it was before there was this. One of three or more goes wrong: the others
 * must be voters, all of them, and stay so. */
static void draw_rot(struct plan *p, struct random *r)
{
	p->hash_every = dice_skewed(r, 4, 64);
	p->faults[FAULT_ROT] = p->nodes >= rows[FAULT_ROT].nodes && !p->faults[FAULT_MEMBERS] &&
			       !p->faults[FAULT_WIPE] && p->members == p->nodes && dice_chance(r, 300000);
	/* Until it is noticed, a state that went wrong is believed, and whoever lags gets it by image: nobody is to. */
	if (p->faults[FAULT_ROT])
		p->log_budget = 0;
}

/* Nor may one lose what only it and one that is gone have had. */
static void draw_lost(struct plan *p, struct random *r)
{
	p->faults[FAULT_LOST] = p->nodes >= rows[FAULT_LOST].nodes && !p->faults[FAULT_MEMBERS] &&
				!p->faults[FAULT_WIPE] && !p->faults[FAULT_ROT] && p->members == p->nodes &&
				dice_chance(r, 400000);
}

/* It takes a node that is no member. */
static void draw_clone(struct plan *p, struct random *r)
{
	p->faults[FAULT_CLONE] = p->nodes >= rows[FAULT_CLONE].nodes &&
				 (p->faults[FAULT_MEMBERS] || p->members < p->nodes) &&
				 dice_chance(r, 500000);
}

/* Nodes begin with a program that knows feature level 0, and get one that knows more while everything else goes wrong. Some
 * deletes say a limit, which no cluster of level 0 knows. */
static void draw_upgrade(struct plan *p, struct random *r)
{
	p->faults[FAULT_UPGRADE] = dice_chance(r, 300000);
	p->limits = p->faults[FAULT_UPGRADE] || dice_chance(r, 300000) ? dice_between(r, 100000, 900000) : 0;
	if (p->limits > 0 && p->deletes < 100000)
		p->deletes = 100000;
}

/* Whoever has no cluster yet looks for the others where its list has them. */
static void draw_move(struct plan *p, struct random *r)
{
	p->faults[FAULT_MOVE] = p->nodes >= rows[FAULT_MOVE].nodes && !p->faults[FAULT_MEMBERS] &&
				!p->faults[FAULT_WIPE] && p->members == p->nodes && dice_chance(r, 400000);
}

void plan_draw(struct plan *p, uint64_t seed, struct span length)
{
	struct random r = { seed * 2 + 1 };

	memset(p, 0, sizeof(*p));
	p->seed = seed;
	p->length = length;
	p->nodes = draw_nodes(&r);
	draw_faults(p, &r);
	draw_replica(p, &r);
	draw_quiet(p, &r);
	draw_network(p, &r);
	p->disk_least = dice_span_skewed(&r, span_us(20), span_us(1000));
	p->disk_most = dice_span_skewed(&r, p->disk_least, span_ms(5));
	p->disk_slow_most = dice_span_skewed(&r, span_ms(50), span_ms(3000));
	p->sweep_from = dice_skewed(&r, 1, 200);
	draw_clients(p, &r);
	draw_members(p, &r);
	quicken(p);
	draw_rot(p, &r);
	draw_lost(p, &r);
	draw_clone(p, &r);
	draw_upgrade(p, &r);
	draw_move(p, &r);
	draw_results(p);
}

void plan_command(const struct plan *p, struct buf *out)
{
	const char *between = " --only ";

	if (p->without == 0 && p->length.ns == PLAN_LENGTH.ns) {
		buf_printf(out, "make sim SEED=%" PRIu64, p->seed);
		return;
	}
	buf_printf(out, "build/tests/sim --verbose --seed %" PRIu64 " --seconds %d", p->seed,
	    (int)(span_to_ms(p->length) / 1000));
	for (int f = 0; f < FAULTS && p->without != 0; f++) {
		if (!p->faults[f])
			continue;
		buf_printf(out, "%s%s", between, rows[f].name);
		between = ",";
	}
	if (p->without != 0 && between[0] == ' ')
		buf_append_text(out, " --only none");
}

void plan_drop(struct plan *p, uint64_t without)
{
	p->without = without;
	for (int f = 0; f < FAULTS; f++)
		p->faults[f] = p->faults[f] && (without >> f & 1) == 0;
	p->lose = p->faults[FAULT_LOSE] ? p->lose : 0;
	p->duplicate = p->faults[FAULT_DUPLICATE] ? p->duplicate : 0;
	p->reorder = p->faults[FAULT_REORDER] ? p->reorder : 0;
	p->delay = p->faults[FAULT_DELAY] ? p->delay : 0;
	p->cancels = p->faults[FAULT_CANCEL] ? p->cancels : 0;
}

void plan_tell(const struct plan *p, struct buf *out)
{
	const char *between = "";

	buf_printf(out,
	    "%d nodes, election %d ms, %d clients, values to %zu, segments %d KiB, logs to %d KiB, %s; ",
	    p->nodes, (int)span_to_ms(p->election), p->clients, p->value_most, (int)(p->segment_bytes / 1024),
	    (int)(p->log_budget / 1024), p->in_order ? "in order" : "any order");
	for (int f = 0; f < FAULTS; f++) {
		if (!p->faults[f])
			continue;
		buf_printf(out, "%s%s", between, rows[f].text);
		between = ", ";
	}
	if (between[0] == '\0')
		buf_append_text(out, "no faults");
}
