#ifndef WORKER_KV_TABLES_H
#define WORKER_KV_TABLES_H

#include "worker/kv/table.h"

/*
 * Where whole states come from and go to: one is in force, others are built beside it and take its place. The real
 * one is store/, the simulator has its own.
 *
 * One thread at a time calls these, except that drop and close may run beside anything else, and each table is used
 * as table.h says. After a crash there is what was in force, before or after an adoption that was under way, and
 * nothing else.
 */
struct tables {
	const struct tables_ops *ops;
};

struct tables_ops {
	enum err (*open)(struct tables *, struct table **out);
	enum err (*make)(struct tables *, struct table **out);
	enum err (*adopt)(struct tables *, struct table *t);
	void (*drop)(struct tables *, struct table *t);
	void (*close)(struct tables *, struct table *t);
	enum err (*scratch)(struct tables *, struct table **out);
	enum err (*set_aside)(struct tables *, const char *suffix);
};

/* The state in force; made, empty, where there is none. What earlier lives left of others is removed. ERR_DAMAGED
 * (logged: file and reason), ERR_VERSION, ERR_NO_SPACE, ERR_PERMISSION, ERR_IO. */
enum err tables_open(struct tables *ts, struct table **out);
/* A new empty one beside it, to be filled: quickest in the order of tables and keys. It fails with ERR_NO_SPACE
 * rather than take what is put by for the one in force, and no error of it is the end of the process. A checkpoint of it
 * makes durable what it holds so far, so that less is left for the adoption. */
enum err tables_make(struct tables *ts, struct table **out);
/* All that is committed in `t` (of tables_make()) becomes durable, and then it is the one in force. The one before can
 * still be read until it is dropped. After an error either of them may be in force at the next start. */
enum err tables_adopt(struct tables *ts, struct table *t);
/* Closes it and removes what it takes on disk; the one in force it only closes. Takes long for a big one. Accepts
 * NULL. */
void tables_drop(struct tables *ts, struct table *t);
/* Closes it: what is not committed is gone, the rest stays on disk. Accepts NULL. */
void tables_close(struct tables *ts, struct table *t);
/* A table that needs no commits and is gone with tables_drop() or a crash: in little memory, the rest in a temporary
 * file. It fails like one of tables_make(). */
enum err tables_scratch(struct tables *ts, struct table **out);
/* The state in force (not open) is damaged: it gets another name that ends in `suffix`, and the next tables_open()
 * makes an empty one. ERR_NOT_FOUND: there is none. */
enum err tables_set_aside(struct tables *ts, const char *suffix);

#endif
