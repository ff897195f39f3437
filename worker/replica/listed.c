#include "worker/replica/listed.h"

#include <stdlib.h>
#include <string.h>

static struct bytes trim(struct bytes b)
{
	while (b.size > 0 && strchr(" \t", b.data[0]) != NULL)
		b = bytes_of(b.data + 1, b.size - 1);
	while (b.size > 0 && strchr(" \t", b.data[b.size - 1]) != NULL)
		b.size--;
	return b;
}

static void add_node(struct list *l, struct bytes id, struct bytes peer)
{
	l->nodes = xreallocarray(l->nodes, l->count + 1, sizeof(*l->nodes));
	l->nodes[l->count++] = (struct listed){ bytes_dup_text(id), bytes_dup_text(peer) };
}

static bool parse_item(struct list *l, struct bytes item)
{
	const uint8_t *equals = memchr(item.data, '=', item.size);
	struct bytes id, peer;

	if (equals == NULL)
		return false;
	id = trim(bytes_of(item.data, (size_t)(equals - item.data)));
	peer = trim(bytes_of(equals + 1, item.size - (size_t)(equals - item.data) - 1));
	if (id.size == 0 || peer.size == 0 || l->count == RAFT_MEMBERS_MAX)
		return false;
	if (l->first == NULL)
		l->first = bytes_dup_text(id);
	add_node(l, id, peer);
	return true;
}

static int compare_ids(const void *a, const void *b)
{
	return strcmp(((const struct listed *)a)->id, ((const struct listed *)b)->id);
}

static void sort_nodes(struct list *l)
{
	if (l->count > 1)
		qsort(l->nodes, l->count, sizeof(*l->nodes), compare_ids);
}

bool list_parse(struct list *out, struct bytes text)
{
	struct bytes left = trim(text);

	*out = (struct list){ 0 };
	while (left.size > 0) {
		const uint8_t *comma = memchr(left.data, ',', left.size);
		size_t size = comma == NULL ? left.size : (size_t)(comma - left.data);

		if (!parse_item(out, bytes_of(left.data, size)))
			return false;
		left = comma == NULL ? (struct bytes){ NULL, 0 } : bytes_of(comma + 1, left.size - size - 1);
	}
	sort_nodes(out);
	return true;
}

void list_free(struct list *l)
{
	for (size_t i = 0; i < l->count; i++) {
		free(l->nodes[i].id);
		free(l->nodes[i].peer);
	}
	free(l->nodes);
	free(l->first);
	*l = (struct list){ 0 };
}

char *list_text(const struct list *l)
{
	struct buf text = { 0 };
	char *made;

	for (size_t i = 0; i < l->count; i++)
		buf_printf(&text, "%s%s=%s", i == 0 ? "" : ", ", l->nodes[i].id, l->nodes[i].peer);
	made = xstrdup(buf_text(&text));
	buf_free(&text);
	return made;
}

char *list_text_of(const struct raft_config *c)
{
	struct list l = { 0 };
	struct raft_member m;
	char *text;

	for (size_t i = 0; i < c->count; i++)
		if (raft_config_find(c, c->members[i], &m))
			add_node(&l, m.id, m.peer);
	sort_nodes(&l);
	text = list_text(&l);
	list_free(&l);
	return text;
}

static const struct listed *find_id(const struct list *l, const char *id)
{
	for (size_t i = 0; i < l->count; i++)
		if (strcmp(l->nodes[i].id, id) == 0)
			return &l->nodes[i];
	return NULL;
}

/* Each node of one list that the other one does not have at that address. */
void list_put_difference(struct buf *out, const struct list *mine, const char *theirs)
{
	const char *between = "";
	struct list other;

	list_parse(&other, bytes_text(theirs));
	for (size_t i = 0; i < mine->count; i++) {
		const struct listed *here = &mine->nodes[i], *there = find_id(&other, here->id);

		if (there == NULL)
			buf_printf(out, "%sdoes not list %s, which this node lists at %s", between, here->id,
			    here->peer);
		else if (strcmp(here->peer, there->peer) != 0)
			buf_printf(out, "%slists %s at %s, where this node has %s", between, here->id,
			    there->peer, here->peer);
		else
			continue;
		between = ", ";
	}
	for (size_t i = 0; i < other.count; i++) {
		if (find_id(mine, other.nodes[i].id) != NULL)
			continue;
		buf_printf(out, "%slists %s at %s, which this node does not list", between, other.nodes[i].id,
		    other.nodes[i].peer);
		between = ", ";
	}
	list_free(&other);
}
