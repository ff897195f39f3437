/* links: tests/unit/wal_model.c tests/common/fake_disk.c tests/unit/kept_log.c worker/log/ worker/raft/entry.c common/mem.c common/buf.c common/wire.c common/crc.c common/disk.c common/random.c */
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
/* cmocka wants these before it. */
#include <cmocka.h>

#include "tests/unit/kept_log.h"
#include "tests/unit/wal_model.h"

/*
 * The log against its model: random appends, overwrites, hard states, syncs, fills, cuts, new beginnings, crashes of
 * every kind and at every point. The environment variable SEED repeats one run.
 */

#define RUNS 60
#define STEPS 250

struct run {
	struct model m;
	struct random r;
	uint64_t committed; /* nothing up to here is discarded by an entry */
	unsigned opens, appends, overwrites, crashes, cuts, resets;
};

static uint64_t pick(struct run *run, uint64_t limit)
{
	return random_below(&run->r, limit);
}

static size_t pick_size(struct run *run)
{
	switch (pick(run, 20)) {
	case 0:
		return (size_t)pick(run, 90000);
	case 1:
	case 2:
		return (size_t)pick(run, 8000);
	default:
		return (size_t)pick(run, 200);
	}
}

static enum err append(struct run *run)
{
	struct model *m = &run->m;
	uint64_t index = m->last.index + 1, term = m->last.term;

	if (m->hard.term > term && pick(run, 2))
		term = m->hard.term;
	if (pick(run, 8) == 0) {
		/* Another leader's entries; mostly they discard little. */
		uint64_t most = m->last.index - run->committed;
		uint64_t back = pick(run, 1 + (pick(run, 4) == 0 ? most : most / 20));

		index -= back;
		term = (m->hard.term > m->last.term ? m->hard.term : m->last.term) + pick(run, 2);
		run->overwrites += back > 0;
	}
	run->appends++;
	return model_append(m, index, term, 1 + (size_t)pick(run, 5), pick_size(run));
}

static enum err sync_and_commit(struct run *run)
{
	struct model *m = &run->m;
	enum err e = model_sync(m);

	if (e == ERR_OK && pick(run, 2))
		run->committed += pick(run, m->last.index - run->committed + 1);
	return e;
}

static enum err cut(struct run *run)
{
	struct model *m = &run->m;
	uint64_t before = wal_base(m->wal).index;
	enum err e = model_cut(m, run->committed, pick(run, 3) == 0 ? 0 : pick(run, 200000));

	run->cuts += e == ERR_OK && wal_base(m->wal).index > before;
	return e;
}

static enum err reset(struct run *run)
{
	struct model *m = &run->m;
	struct raft_hard hard = { m->hard.term + pick(run, 2), pick(run, 4) };
	struct raft_pos base = { hard.term - (hard.term > 1 && pick(run, 2)),
		run->committed + pick(run, m->last.index - run->committed + 30) };
	enum err e = model_reset(m, base, hard);

	if (e == ERR_OK) {
		run->committed = base.index;
		run->resets++;
	}
	return e;
}

static enum err step(struct run *run)
{
	struct model *m = &run->m;

	switch (pick(run, 18)) {
	case 16:
		return pick(run, 6) == 0 ? reset(run) : cut(run);
	case 17:
		return model_sweep(m, (unsigned)pick(run, 4));
	case 0:
		return model_hard(m, (struct raft_hard){ m->hard.term + pick(run, 2), pick(run, 4) });
	case 1:
		return model_settle(m);
	case 2:
		return model_fill(m, (unsigned)pick(run, 3));
	case 3:
		model_check_reads(m);
		return ERR_OK;
	case 4:
	case 5:
	case 6:
	case 7:
		return sync_and_commit(run);
	default:
		return append(run);
	}
}

static void come_back(struct run *run)
{
	static const unsigned permille[] = { 0, 1000, 500, 100, 900 };

	model_close(&run->m);
	if (pick(run, 3) == 0)
		fake_disk_after_kill(run->m.disk);
	else
		fake_disk_after_power_cut(run->m.disk, &run->r, permille[pick(run, 5)]);
	run->crashes++;
}

/* Opens it, perhaps dying on the way, perhaps losing all that is not synced right after. */
static void open_again(struct run *run)
{
	struct model *m = &run->m;

	for (;;) {
		enum err e;

		if (pick(run, 3) == 0)
			fake_disk_die_at(
			    m->disk, fake_disk_calls(m->disk) + pick(run, 20), (size_t)pick(run, 600));
		if (pick(run, 20) == 0)
			fake_disk_fail_sync(m->disk);
		e = model_open(m);
		if (e == ERR_OK && pick(run, 3) > 0)
			break;
		assert_true(e == ERR_OK || e == ERR_IO);
		come_back(run);
	}
	/* A new beginning that was under way may have come through. */
	if (run->committed < run->m.cut_least)
		run->committed = run->m.cut_least;
	run->opens++;
}

static void live(struct run *run)
{
	struct model *m = &run->m;

	fake_disk_die_at(m->disk, fake_disk_calls(m->disk) + pick(run, 80), (size_t)pick(run, 3000));
	for (unsigned i = 0; i < STEPS; i++) {
		enum err e = step(run);

		if (pick(run, 200) == 0)
			fake_disk_fail_sync(m->disk);
		if (e == ERR_OK && pick(run, 40) > 0)
			continue;
		assert_true(e == ERR_OK || e == ERR_IO);
		come_back(run);
		open_again(run);
		if (pick(run, 2))
			fake_disk_die_at(
			    m->disk, fake_disk_calls(m->disk) + pick(run, 80), (size_t)pick(run, 3000));
	}
	model_close(m);
	fake_disk_after_power_cut(m->disk, &run->r, 0);
	model_must_open(m);
	model_check_reads(m);
}

static void run_seed(uint64_t seed, struct run *total)
{
	struct run run = { .r = { seed } };

	kept_forget();
	model_init(&run.m);
	assert_int_equal(model_create(&run.m), ERR_OK);
	model_must_open(&run.m);
	live(&run);
	if (kept_line(LOG_LEVEL_ERROR)[0] != '\0')
		fail_msg("%s", kept_line(LOG_LEVEL_ERROR));
	model_fini(&run.m);
	total->opens += run.opens;
	total->appends += run.appends;
	total->overwrites += run.overwrites;
	total->crashes += run.crashes;
	total->cuts += run.cuts;
	total->resets += run.resets;
}

static void a_log_holds_what_its_model_holds(void **state)
{
	const char *text = getenv("SEED");
	struct run total = { 0 };

	(void)state;
	if (text != NULL) {
		run_seed(strtoull(text, NULL, 10), &total);
		return;
	}
	for (uint64_t seed = 1; seed <= RUNS; seed++) {
		printf("# SEED=%" PRIu64 "\n", seed);
		run_seed(seed, &total);
	}
	printf("# %u appends, %u of them overwrites; %u cuts, %u new beginnings; %u crashes, %u recoveries\n",
	    total.appends, total.overwrites, total.cuts, total.resets, total.crashes, total.opens);
	/* A run that did too little shows nothing. */
	assert_true(total.appends > 20 * RUNS && total.overwrites > RUNS && total.opens > 3 * RUNS);
	assert_true(total.cuts > RUNS && total.resets > RUNS);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_log_holds_what_its_model_holds),
	};

	return cmocka_run_group_tests_name("wal_random", tests, NULL, NULL);
}
