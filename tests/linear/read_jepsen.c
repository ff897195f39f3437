#include <stdio.h>
#include <string.h>

#include "tests/linear/reading.h"

static size_t jepsen_value(struct reading *r, const char *word)
{
	return strcmp(word, "nil") == 0 ? LINEAR_ABSENT : words_number(&r->file->values, word);
}

static bool jepsen_begin(struct reading *r, const char *process, const char *what, char *value)
{
	struct entry *e = reading_begin(r, process);
	char old[32], new[32];

	if (e == NULL)
		return false;
	e->op.key = words_number(&r->file->keys, "register");
	if (strcmp(what, ":read") == 0) {
		e->op.kind = LINEAR_GET;
	} else if (strcmp(what, ":write") == 0) {
		e->op.kind = LINEAR_PUT;
		e->op.value = jepsen_value(r, value);
	} else if (sscanf(value, "[%31[^] ] %31[^] ]]", old, new) == 2) {
		e->op.kind = LINEAR_CAS;
		e->op.expected = jepsen_value(r, old);
		e->op.value = jepsen_value(r, new);
	} else {
		return reading_complain(r, "a :cas without [OLD NEW]");
	}
	return true;
}

static bool jepsen_end(struct reading *r, const char *process, const char *event, char *value)
{
	struct entry *e = reading_opened(r, process);

	if (e == NULL)
		return false;
	if (e->op.kind == LINEAR_GET)
		e->op.value = jepsen_value(r, value);
	e->op.refused = e->op.kind == LINEAR_CAS && strcmp(event, "fail") == 0;
	e->op.found = LINEAR_UNTOLD;
	reading_end(r, e, event);
	return true;
}

bool reading_take_jepsen(struct reading *r, const char *line)
{
	char process[32], event[16], what[16], value[64];

	if (sscanf(line, "INFO jepsen.util - %31s :%15s %15s %63[^\n]", process, event, what, value) != 4)
		return reading_complain(r, "not PROCESS TYPE OPERATION VALUE");
	if (strcmp(event, "invoke") == 0)
		return jepsen_begin(r, process, what, value);
	return reading_is_end(event) ? jepsen_end(r, process, event, value)
				     : reading_complain(r, "what type is this?");
}
