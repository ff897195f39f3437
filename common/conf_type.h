#ifndef COMMON_CONF_TYPE_H
#define COMMON_CONF_TYPE_H

#include "common/conf.h"

/*
 * The types that an option can have: how each is read from text and shown as text. Private to conf*.c.
 *
 * Text is the one form that leaves memory (file, flags, messages between processes), so showing and reading again
 * must give an equal value, always.
 */
struct conf_type {
	/* Reads `text` into the field, whose old value is released when that succeeds. On ERR_BAD_REQUEST *why
	 * gets what is wrong, as the rest of a sentence that began with the option, and the field is unchanged. */
	enum err (*read)(void *field, const char *text, const struct conf_option *o, struct buf *why);
	void (*show)(const void *field, struct buf *to);
	void (*release)(void *field);
	bool repeats; /* a second value is appended, behind a comma */
};

/* conf_type_text, conf_type_span ...: one for each word of option.def's third column. */
extern const struct conf_type conf_type_text, conf_type_number, conf_type_span, conf_type_bytes,
    conf_type_bool, conf_type_addr, conf_type_addresses, conf_type_members, conf_type_level,
    conf_type_follower, conf_type_dialects, conf_type_repair, conf_type_silence;

/* The option with this name and its type, or NULL. */
const struct conf_option *conf_find(const char *section, const char *name, const struct conf_type **type);

#endif
