/*
 * Included once for each table of messages, without a guard: declares for every row
 *
 *	struct PREFIX_name { ...fields... };
 *	void PREFIX_name_put(struct buf *, const struct PREFIX_name *);
 *	bool PREFIX_name_get(struct reader *, struct PREFIX_name *);	false when short; does not ask for the end
 *
 * A field that was appended after the first version of a message is declared by LATER(type, name): it is always
 * written, and a sender that does not know it leaves it 0 or empty. So LATER works where a message reaches to the end
 * of what is read, and not where messages lie one behind the other.
 *
 * Before: #define WIRE_TABLE "the/table.def" and #define WIRE_PREFIX prefix. Both are undefined afterwards.
 * Fields of type bytes are borrowed on both ways.
 */
#include "common/wire.h"

#define F(type, name) wire_##type name;
#define LATER(type, name) wire_##type name;
#define MSG(NAME, name, mark, fields)                                                                        \
	struct WIRE_NAME(WIRE_PREFIX, name) {                                                                \
		fields                                                                                       \
	};
#include WIRE_TABLE
#undef F
#undef LATER
#undef MSG

#define F(type, name)
#define LATER(type, name)
#define MSG(NAME, name, mark, fields)                                                                        \
	void WIRE_NAME(WIRE_PREFIX, name##_put)(                                                             \
	    struct buf * b, const struct WIRE_NAME(WIRE_PREFIX, name) * m);                                  \
	bool WIRE_NAME(WIRE_PREFIX, name##_get)(struct reader * r, struct WIRE_NAME(WIRE_PREFIX, name) * m);
#include WIRE_TABLE
#undef F
#undef LATER
#undef MSG

#undef WIRE_TABLE
#undef WIRE_PREFIX
