#include <assert.h>
#include <ctype.h>
#include <errno.h>
#include <stddef.h>

#include "common/err.h"

static const struct {
	const char *name, *text;
	int http;
	enum err_retry retry;
} errors[] = {
#define ERR(NAME, http, retry, text) { #NAME, text, http, RETRY_##retry },
#include "common/err.def"
#undef ERR
};

const char *err_name(enum err e)
{
	static char lower[ERR_COUNT][24];
	const char *name;

	assert(e < ERR_COUNT);
	name = errors[e].name;
	/* The same bytes whoever writes them, so two threads at once do no harm. */
	for (size_t i = 0; name[i] != '\0'; i++)
		lower[e][i] = (char)tolower((unsigned char)name[i]);
	return lower[e];
}

const char *err_text(enum err e)
{
	assert(e < ERR_COUNT);
	return errors[e].text;
}

int err_http(enum err e)
{
	assert(e < ERR_COUNT);
	return errors[e].http;
}

enum err_retry err_retry(enum err e)
{
	assert(e < ERR_COUNT);
	return errors[e].retry;
}

enum err err_from_errno(int error)
{
	switch (error) {
	case 0:
		return ERR_OK;
	case ENOENT:
		return ERR_NOT_FOUND;
	case EEXIST:
		return ERR_EXISTS;
	case ENOSPC:
	case EDQUOT:
		return ERR_NO_SPACE;
	case EACCES:
	case EPERM:
	case EROFS:
		return ERR_PERMISSION;
	case EWOULDBLOCK:
	case EBUSY:
	case EADDRINUSE:
		return ERR_IN_USE;
	default:
		return ERR_IO;
	}
}
