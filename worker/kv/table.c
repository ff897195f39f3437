#include "worker/kv/table.h"

enum err table_get(struct table *t, enum kv_table table, struct bytes key, struct buf *record)
{
	return t->ops->get(t, table, key, record);
}

enum err table_put(struct table *t, enum kv_table table, struct bytes key, struct bytes record)
{
	return t->ops->put(t, table, key, record);
}

enum err table_remove(struct table *t, enum kv_table table, struct bytes key)
{
	return t->ops->remove(t, table, key);
}

enum err table_scan(struct table *t, enum kv_table table, struct bytes from,
    bool (*visit)(void *arg, struct bytes key, struct bytes record), void *arg)
{
	return t->ops->scan(t, table, from, visit, arg);
}

enum err table_commit(struct table *t)
{
	return t->ops->commit(t);
}

enum err table_flush(struct table *t)
{
	return t->ops->flush(t);
}

enum err table_checkpoint(struct table *t)
{
	return t->ops->checkpoint(t);
}
