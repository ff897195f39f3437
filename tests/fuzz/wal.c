#include <assert.h>
#include <stdio.h>

#include "tests/common/fake_disk.h"
#include "tests/fuzz/common/fuzz.h"
#include "worker/log/wal.h"
#include "worker/log/wal_format.h"

/*
 * A whole directory of segments, made as the input says: heads, batches and records with fields of its choice under
 * checksums that fit, raw bytes, zeros, flipped and missing ones, files that are not there, a mark of where the log was
 * cut. Opened, it is a log or it is not. What is no log is left as it was; a log can be read to its end, takes another
 * entry, can be cut or begun anew, and is the same when it is opened again.
 */
#define OPS_MOST 100
#define ENTRIES_MOST 8 /* in a batch */
#define FILE_BYTES_MOST ((size_t)256 * 1024)
#define CLUSTER 7
#define INCARNATION 1

enum op { OP_BATCH, OP_ENTRIES, OP_SEGMENT, OP_RAW, OP_ZEROS, OP_BLOCK, OP_FLIP, OP_CUT, OP_COUNT };
#define OP_BEGINS 0xff /* this byte, else one of the others: what the corpus says keeps its meaning */

/* What a field is instead of what it should be, bit by bit of one byte. */
enum bend {
	BEND_FIRST = 1,
	BEND_SECOND = 2,
	BEND_THIRD = 4,
	BEND_FOURTH = 8,
	BEND_RAISE = 16,
	BEND_ALONE = 32
};

struct maker {
	struct fake_disk *disk;
	struct bytes input;
	struct buf file; /* of the segment under way */
	struct wal_head head;
	uint32_t seed, chain;
	uint64_t mark;
	struct raft_pos pos;
	uint64_t time_ms;
	struct raft_hard hard;
};

static void path_of(uint64_t number, char path[40])
{
	snprintf(path, 40, "log/%016llx.log", (unsigned long long)number);
}

/* Number 0: there is none, or it is to be missing. */
static void put_file(struct maker *m)
{
	char path[40];

	path_of(m->head.number, path);
	if (m->head.number != 0)
		fake_disk_put(m->disk, path, buf_bytes(&m->file));
	buf_clear(&m->file);
}

static uint64_t bent(struct maker *m, uint8_t bend, enum bend bit, uint64_t value)
{
	return (bend & bit) != 0 ? fuzz_number(&m->input) : value;
}

static void begin_segment(struct maker *m, uint64_t number)
{
	uint8_t bend = fuzz_byte(&m->input);
	struct wal_head h = {
		.number = bent(m, bend, BEND_FIRST, number),
		.cluster = bent(m, bend, BEND_SECOND, CLUSTER),
		.incarnation = INCARNATION,
		.before = { number - 1, number > 1 ? bent(m, bend, BEND_THIRD, m->file.size) : 0, m->chain },
		.base = m->pos,
		.base_time_ms = m->time_ms,
		.hard = m->hard,
	};

	h.base.index = bent(m, bend, BEND_FOURTH, h.base.index);
	h.number >>= (bend & BEND_FIRST) != 0; /* none comes near the last that there is */
	if ((bend & BEND_ALONE) != 0)
		h.before = (struct wal_end){ 0 };
	put_file(m);
	m->head = h;
	m->seed = m->chain = wal_put_head(buf_extend(&m->file, WAL_HEAD_BYTES), &h);
	m->mark = WAL_HEAD_BYTES;
}

static void put_entry(struct maker *m, struct buf *records)
{
	uint8_t bend = fuzz_byte(&m->input);
	struct bytes data = fuzz_next(&m->input);
	struct entry e = { .type = ENTRY_WRITE, .data = blob_new(data) };

	e.pos.index = bent(m, bend, BEND_FIRST, m->pos.index + 1);
	e.pos.term = bent(m, bend, BEND_SECOND, m->pos.term + ((bend & BEND_RAISE) != 0));
	e.time_ms = bent(m, bend, BEND_THIRD, m->time_ms + 1);
	e.type = (enum entry_type)bent(m, bend, BEND_FOURTH, bend % 3 + 1);
	m->pos = e.pos;
	m->time_ms = e.time_ms;
	m->chain = wal_put_entry(buf_extend(records, wal_entry_bytes(&e)), m->chain, &e);
	blob_unref(e.data);
}

/* The head of a batch says how long its records are, which are chained to it: they are made twice. */
static void put_batch(struct maker *m, size_t entries)
{
	uint8_t bend = fuzz_byte(&m->input);
	struct wal_batch b = { .offset = m->file.size, .chain = m->chain };
	struct maker before = *m;
	struct buf records = { 0 };
	uint8_t head[WAL_BATCH_BYTES] = { 0 };

	b.mark = bent(m, bend, BEND_FIRST, m->mark);
	b.offset = bent(m, bend, BEND_SECOND, b.offset);
	for (int round = 0; round < 2; round++) {
		struct buf file = m->file;

		b.size = (uint32_t)records.size;
		if (round == 1) {
			*m = before;
			m->file = file;
			fuzz_byte(&m->input);
			bent(m, bend, BEND_FIRST, 0);
			bent(m, bend, BEND_SECOND, 0);
		}
		buf_clear(&records);
		m->chain = wal_put_batch(head, m->seed, &b);
		if ((bend & BEND_THIRD) != 0) {
			m->hard = (struct raft_hard){ m->pos.term + 1, bend };
			m->chain = wal_put_hard(buf_extend(&records, WAL_RECORD_BYTES), m->chain, m->hard);
		}
		for (size_t i = 0; i < entries; i++)
			put_entry(m, &records);
	}
	m->mark = b.offset;
	buf_append(&m->file, bytes_of(head, sizeof(head)));
	buf_append(&m->file, buf_bytes(&records));
	buf_free(&records);
}

static void damage(struct maker *m, enum op op)
{
	size_t at = m->file.size == 0 ? 0 : (size_t)(fuzz_number(&m->input) % m->file.size);

	if (m->file.size > 0 && op == OP_FLIP)
		m->file.data[at] ^= 1 << (at % 8);
	else if (op == OP_CUT)
		m->file.size = at;
}

/* It names the segment under way, if nothing else. */
static void put_begins(struct maker *m)
{
	uint8_t bend = fuzz_byte(&m->input), file[WAL_BEGINS_BYTES];
	struct wal_begins b = {
		.cluster = bent(m, bend, BEND_FIRST, CLUSTER),
		.incarnation = INCARNATION,
		.number = bent(m, bend, BEND_SECOND, m->head.number),
	};

	wal_put_begins(file, &b);
	if ((bend & BEND_THIRD) != 0)
		file[fuzz_byte(&m->input) % WAL_BEGINS_BYTES]++;
	fake_disk_put(m->disk, "log/begins",
	    bytes_of(file,
		(bend & BEND_FOURTH) != 0 ? fuzz_byte(&m->input) % WAL_BEGINS_BYTES : WAL_BEGINS_BYTES));
}

static void make(struct maker *m)
{
	for (int i = 0; i < OPS_MOST && m->input.size > 0 && m->file.size < FILE_BYTES_MOST; i++) {
		uint8_t byte = fuzz_byte(&m->input);
		enum op op = (enum op)(byte % OP_COUNT);

		if (byte == OP_BEGINS) {
			put_begins(m);
			continue;
		}
		switch (op) {
		case OP_BATCH:
			put_batch(m, 1);
			break;
		case OP_ENTRIES:
			put_batch(m, fuzz_byte(&m->input) % ENTRIES_MOST);
			break;
		case OP_SEGMENT:
			begin_segment(m, m->head.number + 1);
			break;
		case OP_RAW:
			buf_append(&m->file, fuzz_next(&m->input));
			break;
		case OP_ZEROS:
			buf_extend(&m->file, (size_t)fuzz_byte(&m->input) * 8);
			break;
		case OP_BLOCK:
			buf_extend(&m->file, (size_t)wal_round_up(m->file.size, WAL_BLOCK) - m->file.size);
			break;
		case OP_FLIP:
		case OP_CUT:
			damage(m, op);
			break;
		case OP_COUNT:
			break;
		}
	}
	put_file(m);
}

/* --- what is made of it --- */

static enum err open_log(struct fake_disk *d, struct wal **w, struct wal_found *found)
{
	struct wal_options o = {
		.disk = fake_disk_of(d),
		.cluster = CLUSTER,
		.incarnation = INCARNATION,
		.segment_bytes = WAL_SEGMENT_LEAST,
	};

	*found = (struct wal_found){ 0 };
	return wal_open(w, &o, found);
}

static void read_all(struct wal *w, const struct wal_found *found)
{
	struct raft_pos at = found->base;
	struct entries list = { 0 };

	while (at.index < found->last.index) {
		assert(wal_read(w, at.index + 1, 64 * 1024, &list) == ERR_OK && list.count > 0);
		for (size_t i = 0; i < list.count; i++) {
			assert(list.data[i].pos.index == at.index + 1);
			assert(list.data[i].pos.term >= at.term);
			at = list.data[i].pos;
		}
		entries_free(&list);
	}
	assert(raft_pos_equal(at, found->last));
}

static bool go_on(struct wal *w, struct wal_found *found)
{
	struct entry e = { { found->last.term, found->last.index + 1 }, found->last_time_ms, ENTRY_WRITE,
		NULL };
	bool can = found->last.index < UINT64_MAX - 1;

	if (can) {
		e.data = blob_new(bytes_text("one more"));
		assert(wal_append(w, NULL, &e, 1) == ERR_OK);
		assert(wal_sync(w) == ERR_OK && wal_settle(w) == ERR_OK);
		blob_unref(e.data);
	}
	return can;
}

/* What is left of it is found again as the last one. */
static void take_away(struct wal *w, struct raft_pos *last, const struct wal_found *found, uint64_t seed)
{
	bool more = true;

	if (seed % 3 == 1)
		assert(wal_cut(w, last->index, seed % 100000) == ERR_OK);
	if (seed % 3 == 2 && last->index < UINT64_MAX - 10) {
		*last = (struct raft_pos){ found->hard.term, last->index + seed % 5 };
		assert(wal_reset(w, *last, found->last_time_ms, found->hard) == ERR_OK);
	}
	while (more && seed % 2 == 0)
		assert(wal_sweep(w, &more) == ERR_OK);
}

static void try_log(struct fake_disk *d, uint64_t seed)
{
	uint64_t calls = fake_disk_calls(d);
	struct wal_found found, again;
	struct raft_pos base, last;
	struct wal *w;

	if (open_log(d, &w, &found) != ERR_OK) {
		assert(fake_disk_calls(d) == calls);
		wal_found_free(&found);
		return;
	}
	read_all(w, &found);
	last = found.last;
	last.index += go_on(w, &found);
	take_away(w, &last, &found, seed);
	base = wal_base(w);
	wal_close(w);
	assert(open_log(d, &w, &again) == ERR_OK);
	assert(raft_pos_equal(again.last, last) && again.cut_bytes == 0);
	assert(again.hard.term == found.hard.term && again.hard.vote == found.hard.vote);
	assert(raft_pos_equal(again.base, base) && again.config_count <= found.config_count);
	read_all(w, &again);
	wal_close(w);
	wal_found_free(&found);
	wal_found_free(&again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct maker m = { .disk = fake_disk_new(), .input = bytes_of(data, size) };

	disk_make_dir(fake_disk_of(m.disk), "log");
	begin_segment(&m, 1);
	make(&m);
	try_log(m.disk, fuzz_seed(bytes_of(data, size)));
	buf_free(&m.file);
	fake_disk_free(m.disk);
	return 0;
}
