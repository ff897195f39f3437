#include <stdlib.h>

#include "worker/raft/entry.h"

/* term, index, time, type, length: what an entry costs beside its data */
#define ENTRY_OVERHEAD 29

bool raft_pos_equal(struct raft_pos a, struct raft_pos b)
{
	return a.term == b.term && a.index == b.index;
}

int raft_pos_compare(struct raft_pos a, struct raft_pos b)
{
	if (a.term != b.term)
		return a.term < b.term ? -1 : 1;
	return (a.index > b.index) - (a.index < b.index);
}

void entries_add(struct entries *list, const struct entry *e)
{
	if (list->count == list->room) {
		list->room = list->room == 0 ? 16 : list->room * 2;
		list->data = xreallocarray(list->data, list->room, sizeof(*list->data));
	}
	list->data[list->count++] = *e;
	blob_ref(e->data);
}

void entries_free(struct entries *list)
{
	for (size_t i = 0; i < list->count; i++)
		blob_unref(list->data[i].data);
	free(list->data);
	*list = (struct entries){ 0 };
}

size_t entry_bytes(const struct entry *e)
{
	return ENTRY_OVERHEAD + e->data->size;
}

void wire_put_entries(struct buf *b, struct entries list)
{
	wire_put_u32(b, (uint32_t)list.count);
	for (size_t i = 0; i < list.count; i++) {
		const struct entry *e = &list.data[i];

		wire_put_u64(b, e->pos.term);
		wire_put_u64(b, e->pos.index);
		wire_put_u64(b, e->time_ms);
		wire_put_u8(b, (uint8_t)e->type);
		wire_put_bytes(b, blob_bytes(e->data));
	}
}

struct entries wire_get_entries(struct reader *r)
{
	struct entries list = { 0 };
	uint32_t count = wire_get_u32(r);

	for (uint32_t i = 0; i < count && !r->bad; i++) {
		struct entry e;
		struct bytes data;

		e.pos.term = wire_get_u64(r);
		e.pos.index = wire_get_u64(r);
		e.time_ms = wire_get_u64(r);
		e.type = (enum entry_type)wire_get_u8(r);
		data = wire_get_bytes(r);
		if (r->bad)
			break;
		e.data = blob_new(data);
		entries_add(&list, &e);
		blob_unref(e.data);
	}
	return list;
}
