#include "daemon/reload.h"

static void tell(
    const struct conf *from, const struct conf *to, const struct conf_option *o, struct buf *told)
{
	buf_printf(told, "%s[%s] %s = ", told->size > 0 ? ", " : "", o->section, o->name);
	conf_put_value(to, o, told);
	buf_append_text(told, " (");
	conf_put_value(from, o, told);
	buf_append_text(told, ")");
}

static enum err refuse(
    const struct conf *from, const struct conf *to, const struct conf_option *o, struct buf *told)
{
	buf_clear(told);
	conf_put_origin(to, o, told);
	buf_printf(told, "[%s] %s: it cannot change while the node runs; it is \"", o->section, o->name);
	conf_put_value(from, o, told);
	buf_append_text(told, "\", and would be \"");
	conf_put_value(to, o, told);
	buf_append_text(told, "\"");
	return ERR_BAD_REQUEST;
}

enum err reload_plan(const struct conf *from, const struct conf *to, struct reload *plan, struct buf *told)
{
	const struct conf_option *o;
	size_t n = 0;

	*plan = (struct reload){ 0 };
	while ((o = conf_difference(from, to, &n)) != NULL) {
		plan->changes++;
		switch (o->effect) {
		case CONF_LIVE:
			break;
		case CONF_HTTP:
			plan->replace_http = true;
			break;
		case CONF_CONSENSUS:
			plan->replace_consensus = true;
			break;
		case CONF_WORKERS:
			plan->replace_http = plan->replace_consensus = true;
			break;
		case CONF_NEVER:
			return refuse(from, to, o, told);
		}
		tell(from, to, o, told);
	}
	return ERR_OK;
}
