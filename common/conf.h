#ifndef COMMON_CONF_H
#define COMMON_CONF_H

#include <stdio.h>

#include "common/buf.h"
#include "common/clock.h"
#include "common/err.h"
#include "common/log.h"

/*
 * The configuration of a node: one typed field for each row of option.def, named section_name. Only the supervisor
 * parses it; a worker gets it as one message.
 *
 *	conf->raft_election	struct span
 *	conf->http_workers	uint64_t
 *	conf->node_id		const char *, never NULL
 */
typedef char *conf_text;
typedef uint64_t conf_number;
typedef struct span conf_span;
typedef struct span conf_silence; /* 0: never */
typedef uint64_t conf_bytes;
typedef bool conf_bool;
typedef char *conf_addr;
typedef char *conf_members;
typedef char *conf_addresses;
typedef enum log_level conf_level;

/* What a node that does not lead makes of the dialects' requests. */
enum on_follower { FOLLOWER_AS_DOCUMENTED, FOLLOWER_FORWARD, FOLLOWER_REDIRECT };
typedef enum on_follower conf_follower;

/* Which dialects are spoken: a set of bits. */
enum dialect_number {
#define DIALECT(NAME, name) DIALECT_NUMBER_##NAME,
#include "common/dialect.def"
#undef DIALECT
	DIALECT_COUNT
};
enum dialect_bit {
#define DIALECT(NAME, name) DIALECT_##NAME = 1 << DIALECT_NUMBER_##NAME,
#include "common/dialect.def"
#undef DIALECT
	DIALECTS_ALL = (1 << DIALECT_COUNT) - 1
};
typedef unsigned conf_dialects;

/* Does a node that finds its files damaged repair itself from the others? */
enum repair_wish { REPAIR_AUTO, REPAIR_YES, REPAIR_NO };
typedef enum repair_wish conf_repair;

enum {
	CONF_OPTIONS = 0 /* how many there are */
#define OPT(section, name, type, preset, min, max, effect, doc) +1
#include "common/option.def"
#undef OPT
};

struct conf {
#define OPT(section, name, type, preset, min, max, effect, doc) conf_##type section##_##name;
#include "common/option.def"
#undef OPT
	char *origins
	    [CONF_OPTIONS]; /* "FILE:LINE", "--port", "PORT": who gave it; NULL: nobody; does not travel */
};

/* A path of a socket in the run directory has at most this many bytes (sun_path holds 107). */
#define CONF_SOCKET_PATH_MAX 100

/* All defaults; the caller frees it. conf_free() accepts NULL. */
struct conf *conf_new(void);
void conf_free(struct conf *c);

/* What is wrong with a configuration leaves as one sentence in *why; ERR_BAD_REQUEST then. */

/* Sets one option from text. An unknown one names the nearest real one. A list goes on, unless it was reset. */
enum err conf_set(struct conf *c, const char *section, const char *name, const char *value, struct buf *why);
/* Back to its default. */
void conf_reset(struct conf *c, const char *section, const char *name);
/* Reads a file (inih's dialect: [section], name = value, # or ; comments, "; comment" behind a blank). Every option
 * at most once, lists excepted. Of a directory it reads holdfast.conf, then the files conf.d/NAME.conf in the
 * order of their names; what comes later wins. The sentence names file and line. ERR_NOT_FOUND where there is no file,
 * or none in the directory, ERR_PERMISSION where it must not be read. Not all or nothing: parse into a configuration of its own. */
enum err conf_read(struct conf *c, const char *path, struct buf *why);
/* Fills in what depends on other options or on the machine (id, data, run, the advertised addresses, the number of
 * workers), then checks the options against each other. To be called once, after the last conf_set(). */
enum err conf_complete(struct conf *c, struct buf *why);

/* Every option in the order of the table, with its meaning as a comment, readable by conf_read(): reading what was
 * printed gives an equal configuration. */
void conf_print(const struct conf *c, struct buf *to);
bool conf_equal(const struct conf *a, const struct conf *b);

/* Between the processes of one build. A configuration that was not encoded by it is ERR_MALFORMED; the caller
 * frees *out. */
void conf_encode(const struct conf *c, struct buf *to);
enum err conf_decode(struct bytes from, struct conf **out);

/* What a change asks for, when the supervisor reads the files anew; option.def says what the words mean. */
enum conf_effect { CONF_LIVE, CONF_HTTP, CONF_CONSENSUS, CONF_WORKERS, CONF_NEVER };

/* The rows themselves, for flags, help and manual; NULL behind the last. Static memory. */
struct conf_option {
	const char *section, *name, *type, *preset, *min, *max;
	enum conf_effect effect;
	const char *doc;
};
const struct conf_option *conf_option(size_t n);
/* The next option, from number *n on, in which the two differ; *n is moved behind it. NULL: no more. */
const struct conf_option *conf_difference(const struct conf *a, const struct conf *b, size_t *n);
/* Appends its value as text. */
void conf_put_value(const struct conf *c, const struct conf_option *o, struct buf *to);
/* Who gave it: copies. And NULL: it is as it was preset. */
void conf_set_origin(struct conf *c, const struct conf_option *o, const char *origin);
const char *conf_origin(const struct conf *c, const struct conf_option *o);
/* Appends who gave it, and a colon; or nothing. */
void conf_put_origin(const struct conf *c, const struct conf_option *o, struct buf *to);
/* What it costs to turn one word into the other, a letter at a time (Levenshtein). Of b the first 127 bytes count. */
unsigned conf_distance(const char *a, const char *b);
/* Appends the option most like it, as "[section] name". */
void conf_put_nearest(const char *section, const char *name, struct buf *to);

/* The socket between HTTP worker `number` and the consensus worker; the caller frees it. */
char *conf_socket_path(const struct conf *c, unsigned number);

#endif
