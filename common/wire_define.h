/*
 * The bodies of what wire_declare.h declares; included by one .c file for each table, with the same two defines.
 */
#define F(type, name) wire_put_##type(b, m->name);
#define LATER(type, name) wire_put_##type(b, m->name);
#define MSG(NAME, name, mark, fields)                                                                        \
	void WIRE_NAME(WIRE_PREFIX, name##_put)(                                                             \
	    struct buf * b, const struct WIRE_NAME(WIRE_PREFIX, name) * m)                                   \
	{                                                                                                    \
		(void)b;                                                                                     \
		(void)m;                                                                                     \
		fields                                                                                       \
	}
#include WIRE_TABLE
#undef F
#undef LATER
#undef MSG

#define F(type, name) m->name = wire_get_##type(r);
#define LATER(type, name) m->name = r->left > 0 && !r->bad ? wire_get_##type(r) : (wire_##type){ 0 };
#define MSG(NAME, name, mark, fields)                                                                        \
	bool WIRE_NAME(WIRE_PREFIX, name##_get)(struct reader * r, struct WIRE_NAME(WIRE_PREFIX, name) * m)  \
	{                                                                                                    \
		(void)m;                                                                                     \
		fields return !r->bad;                                                                       \
	}
#include WIRE_TABLE
#undef F
#undef LATER
#undef MSG

#undef WIRE_TABLE
#undef WIRE_PREFIX
