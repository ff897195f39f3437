#include "worker/kv/tables.h"

enum err tables_open(struct tables *ts, struct table **out)
{
	return ts->ops->open(ts, out);
}

enum err tables_make(struct tables *ts, struct table **out)
{
	return ts->ops->make(ts, out);
}

enum err tables_adopt(struct tables *ts, struct table *t)
{
	return ts->ops->adopt(ts, t);
}

void tables_drop(struct tables *ts, struct table *t)
{
	if (t != NULL)
		ts->ops->drop(ts, t);
}

void tables_close(struct tables *ts, struct table *t)
{
	if (t != NULL)
		ts->ops->close(ts, t);
}

enum err tables_scratch(struct tables *ts, struct table **out)
{
	return ts->ops->scratch(ts, out);
}

enum err tables_set_aside(struct tables *ts, const char *suffix)
{
	return ts->ops->set_aside(ts, suffix);
}
