/* links: worker/peer/ways.c worker/peer/frame.c worker/replica/transport.c common/wire.c common/buf.c common/mem.c common/crc.c */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "worker/peer/frame.h"
#include "worker/peer/ways.h"
#include "worker/raft/message.h"

/* What leaves a connection first, and what becomes of long frames. */

#define LONG_BYTES ((size_t)1024 * 1024)

struct ends {
	struct ways ways;
	struct way_parts parts;
	struct buf wire;
};

static void put(struct ends *e, uint8_t type, uint8_t second, size_t size)
{
	struct buf frame = { 0 };

	memset(buf_extend(&frame, size), 'x', size);
	frame.data[0] = type;
	frame.data[1] = second;
	ways_put(&e->ways, buf_bytes(&frame));
	buf_free(&frame);
}

static void put_heartbeat(struct ends *e)
{
	put(e, PEER_RAFT, RAFT_HEARTBEAT, 60);
}

static void put_append(struct ends *e, size_t size)
{
	put(e, PEER_RAFT, RAFT_APPEND, size);
}

static void put_answer(struct ends *e, size_t size)
{
	put(e, PEER_TELL, 't', size);
}

/* The next frame or piece. */
static struct bytes next(struct ends *e, bool pieces)
{
	struct bytes payload;

	buf_clear(&e->wire);
	assert_true(ways_next(&e->ways, pieces, &e->wire));
	assert_int_equal(frame_get(buf_bytes(&e->wire), PEER_FRAME_BYTES_TAKEN, &payload), FRAME_WHOLE);
	return payload;
}

static void end(struct ends *e)
{
	assert_false(ways_next(&e->ways, true, &e->wire));
	ways_free(&e->ways);
	parts_free(&e->parts);
	buf_free(&e->wire);
}

static void a_heartbeat_waits_for_a_piece_and_not_for_what_is_long(void **state)
{
	struct ends e = { 0 };
	struct bytes whole;

	(void)state;
	put_answer(&e, LONG_BYTES);
	put_append(&e, LONG_BYTES);
	assert_true(next(&e, true).size < WAYS_PIECE_BYTES + 100);
	put_heartbeat(&e);
	assert_int_equal(next(&e, true).data[1], RAFT_HEARTBEAT);
	while (ways_unsent(&e.ways, WAY_ENTRIES) + ways_unsent(&e.ways, WAY_BULK) > 0) {
		assert_true(parts_take(&e.parts, next(&e, true), &whole));
		parts_drop(&e.parts, whole);
	}
	end(&e);
}

/* As they come among each other, and each as it was. */
static void pieces_make_their_frames_again(void **state)
{
	struct ends e = { 0 };
	struct bytes whole;
	unsigned answers = 0, appends = 0;

	(void)state;
	for (int i = 0; i < 3; i++) {
		put_answer(&e, LONG_BYTES + (size_t)i);
		put_append(&e, LONG_BYTES / 2 + (size_t)i);
	}
	put_append(&e, 100);
	while (answers + appends < 7) {
		struct bytes frame = next(&e, true);

		whole = frame;
		if (frame.data[0] == PEER_PIECE)
			assert_true(parts_take(&e.parts, frame, &whole));
		if (whole.size == 0)
			continue;
		if (whole.data[0] == PEER_TELL)
			assert_int_equal(whole.size, LONG_BYTES + answers++);
		else if (appends++ < 3)
			assert_int_equal(whole.size, LONG_BYTES / 2 + appends - 1);
		else
			assert_int_equal(whole.size, 100);
		for (size_t i = 2; i < whole.size; i++)
			assert_int_equal(whole.data[i], 'x');
		parts_drop(&e.parts, whole);
	}
	end(&e);
}

static void bulk_and_the_log_both_get_on(void **state)
{
	struct ends e = { 0 };
	size_t entries = 0, bulk = 0;

	(void)state;
	put_answer(&e, 2 * LONG_BYTES);
	for (int i = 0; i < 10000; i++)
		put_append(&e, 1000);
	while (ways_unsent(&e.ways, WAY_ENTRIES) > 0 && ways_unsent(&e.ways, WAY_BULK) > 0) {
		struct bytes frame = next(&e, true);

		*(frame.data[0] == PEER_PIECE ? &bulk : &entries) += frame.size;
	}
	assert_in_range(entries / (bulk / 100), 350, 450);
	while (ways_unsent(&e.ways, WAY_ENTRIES) + ways_unsent(&e.ways, WAY_BULK) > 0)
		next(&e, true);
	end(&e);
}

static void a_node_of_an_earlier_version_gets_whole_frames(void **state)
{
	struct ends e = { 0 };
	struct bytes frame;

	(void)state;
	put_answer(&e, LONG_BYTES);
	put_answer(&e, LONG_BYTES);
	assert_int_equal(next(&e, false).size, LONG_BYTES);
	put_append(&e, LONG_BYTES);
	put_heartbeat(&e);
	assert_int_equal(next(&e, false).data[1], RAFT_HEARTBEAT);
	assert_int_equal(next(&e, false).data[1], RAFT_APPEND);
	frame = next(&e, false);
	assert_int_equal(frame.size, LONG_BYTES);
	assert_int_equal(frame.data[0], PEER_TELL);
	end(&e);
}

static bool takes(struct ends *e, uint8_t way, uint8_t last, size_t size)
{
	struct buf piece = { 0 };
	struct bytes whole;
	bool taken;

	wire_put_u8(&piece, PEER_PIECE);
	peer_piece_put(&piece, &(struct peer_piece){ way, last });
	memset(buf_extend(&piece, size), 'x', size);
	taken = parts_take(&e->parts, buf_bytes(&piece), &whole);
	assert_true(taken || whole.size == 0);
	buf_free(&piece);
	return taken;
}

static void pieces_of_no_frame_are_refused(void **state)
{
	struct ends e = { 0 };

	(void)state;
	assert_false(takes(&e, WAY_COUNT, 0, 10));
	assert_false(takes(&e, WAY_BULK, 1, 0));
	assert_true(takes(&e, WAY_BULK, 0, PEER_FRAME_BYTES_TAKEN));
	assert_false(takes(&e, WAY_BULK, 0, 1));
	assert_true(takes(&e, WAY_ENTRIES, 0, 1));
	end(&e);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_heartbeat_waits_for_a_piece_and_not_for_what_is_long),
		cmocka_unit_test(pieces_make_their_frames_again),
		cmocka_unit_test(bulk_and_the_log_both_get_on),
		cmocka_unit_test(a_node_of_an_earlier_version_gets_whole_frames),
		cmocka_unit_test(pieces_of_no_frame_are_refused),
	};

	return cmocka_run_group_tests_name("ways", tests, NULL, NULL);
}
