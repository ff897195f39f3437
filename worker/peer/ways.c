#include "worker/peer/ways.h"

#include "worker/peer/frame.h"

/* Of the bytes that leave while both wait, the log has so many times as many as bulk. */
#define LOG_SHARE 4
#define LENGTH_BYTES 4
/* A buffer that a burst blew up is given back when it is empty. */
#define KEEP_BYTES_MAX ((size_t)1024 * 1024)

void ways_free(struct ways *w)
{
	for (int i = 0; i < WAY_COUNT; i++)
		buf_free(&w->of[i].frames);
	buf_free(&w->piece);
}

void ways_put(struct ways *w, struct bytes frame)
{
	wire_put_bytes(&w->of[peer_way(frame)].frames, frame);
}

size_t ways_unsent(const struct ways *w, enum peer_way way)
{
	const struct way_queue *q = &w->of[way];

	return q->frames.size - q->from - q->cut;
}

static bool waits(const struct ways *w, enum peer_way way)
{
	return w->of[way].frames.size > w->of[way].from;
}

static enum peer_way pick(const struct ways *w)
{
	if (waits(w, WAY_URGENT))
		return WAY_URGENT;
	if (!waits(w, WAY_ENTRIES))
		return WAY_BULK;
	return waits(w, WAY_BULK) && w->ahead >= LOG_SHARE * WAYS_PIECE_BYTES ? WAY_BULK : WAY_ENTRIES;
}

static void count(struct ways *w, enum peer_way way, size_t size)
{
	if (way == WAY_ENTRIES && waits(w, WAY_BULK))
		w->ahead += size;
	else if (way == WAY_BULK)
		w->ahead -= LOG_SHARE * size < w->ahead ? LOG_SHARE * size : w->ahead;
}

static struct bytes first_of(const struct way_queue *q)
{
	const uint8_t *at = q->frames.data + q->from;

	return bytes_of(at + LENGTH_BYTES, wire_load_u32(at));
}

static void drop_first(struct way_queue *q)
{
	q->from += LENGTH_BYTES + first_of(q).size;
	q->cut = 0;
	/* What is left moves to the front only when it is the smaller part: no more is moved than has left. */
	if (q->from >= q->frames.size / 2) {
		buf_consume(&q->frames, q->from);
		q->from = 0;
	}
	if (q->frames.size == 0 && q->frames.room > KEEP_BYTES_MAX)
		buf_free(&q->frames);
}

static size_t put_piece(struct ways *w, enum peer_way way, struct bytes frame, struct buf *out)
{
	size_t at = w->of[way].cut, left = frame.size - at;
	size_t size = left < WAYS_PIECE_BYTES ? left : WAYS_PIECE_BYTES;

	buf_clear(&w->piece);
	wire_put_u8(&w->piece, PEER_PIECE);
	peer_piece_put(&w->piece, &(struct peer_piece){ (uint8_t)way, size == left });
	buf_append(&w->piece, bytes_of(frame.data + at, size));
	frame_put(out, buf_bytes(&w->piece));
	return size;
}

bool ways_next(struct ways *w, bool pieces, struct buf *out)
{
	enum peer_way way = pick(w);
	struct way_queue *q = &w->of[way];
	struct bytes frame;
	size_t size;

	if (!waits(w, way))
		return false;
	frame = first_of(q);
	size = frame.size;
	if (pieces && frame.size > WAYS_PIECE_BYTES)
		size = put_piece(w, way, frame, out);
	else
		frame_put(out, frame);
	q->cut += size;
	count(w, way, size);
	if (q->cut == frame.size)
		drop_first(q);
	return true;
}

void parts_free(struct way_parts *p)
{
	for (int i = 0; i < WAY_COUNT; i++)
		buf_free(&p->of[i]);
}

void parts_drop(struct way_parts *p, struct bytes whole)
{
	for (int i = 0; i < WAY_COUNT; i++) {
		if (p->of[i].data != whole.data)
			continue;
		buf_clear(&p->of[i]);
		if (p->of[i].room > KEEP_BYTES_MAX)
			buf_free(&p->of[i]);
		return;
	}
}

bool parts_take(struct way_parts *p, struct bytes piece, struct bytes *whole)
{
	struct reader r = reader_of(bytes_of(piece.data + 1, piece.size - 1));
	struct peer_piece m;
	struct buf *b;

	*whole = (struct bytes){ 0 };
	if (!peer_piece_get(&r, &m) || m.way >= WAY_COUNT)
		return false;
	b = &p->of[m.way];
	if (r.left == 0 || b->size + r.left > PEER_FRAME_BYTES_TAKEN)
		return false;
	buf_append(b, bytes_of(r.at, r.left));
	if (m.last != 0)
		*whole = buf_bytes(b);
	return true;
}
