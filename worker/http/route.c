#include <string.h>

#include "worker/http/dialect.h"

/* The pattern fits, and *rest is what stood for its '*'. */
static bool fits(const char *pattern, struct bytes path, struct bytes *rest)
{
	size_t before = strcspn(pattern, "*");
	bool open = pattern[before] == '*';
	const char *behind = pattern + before + open;
	size_t after = strlen(behind);

	if (path.size < before + after || (path.size > before + after && !open) ||
	    memcmp(path.data, pattern, before) != 0 ||
	    memcmp(path.data + path.size - after, behind, after) != 0)
		return false;
	*rest = bytes_of(path.data + before, path.size - before - after);
	return true;
}

static bool is_spoken(const struct route *r, unsigned spoken)
{
	return r->dialects == 0 || (r->dialects & spoken) != 0;
}

struct match route_find(
    const struct dialect *const *dialects, unsigned spoken, enum method method, struct bytes path)
{
	struct match m = { .dialect = dialects[0] };
	enum method wanted = method == METHOD_HEAD ? METHOD_GET : method;

	for (; *dialects != NULL; dialects++) {
		for (const struct route *r = (*dialects)->routes; r->pattern != NULL; r++) {
			bool meant = r->method == wanted || r->method == METHOD_ANY;

			if (!fits(r->pattern, path, &m.rest))
				continue;
			if (!is_spoken(r, spoken)) {
				m.silent |= meant ? r->dialects : 0;
				m.writes = m.writes || (meant && (r->flags & ROUTE_WRITE) != 0);
				continue;
			}
			m.dialect = *dialects;
			m.methods |= 1u << r->method;
			if (meant) {
				m.route = r;
				return m;
			}
		}
	}
	return m;
}

const char *route_allow(unsigned methods)
{
	static char text[64];

	text[0] = '\0';
	if ((methods & 1u << METHOD_GET) != 0)
		methods |= 1u << METHOD_HEAD;
	for (unsigned m = METHOD_GET; m < METHOD_OTHER; m++) {
		if ((methods & 1u << m) == 0)
			continue;
		if (text[0] != '\0')
			strcat(text, ", ");
		strcat(text, method_name((enum method)m));
	}
	return text;
}

size_t route_body_max(const struct match *m, const struct limits *limits, const char **option)
{
	bool value = m->route != NULL && (m->route->flags & ROUTE_VALUE) != 0;

	value = value && limits->value_bytes < limits->body_bytes;
	*option = value ? "[limits] value" : "[http] body_max";
	return value ? limits->value_bytes : limits->body_bytes;
}
