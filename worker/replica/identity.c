#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "common/log.h"
#include "common/random.h"
#include "common/wire.h"
#include "worker/replica/identity.h"
#include "worker/replica/sealed.h"

#define WIRE_TABLE "worker/replica/identity.def"
#define WIRE_PREFIX identity
#include "common/wire_declare.h"
#define WIRE_TABLE "worker/replica/identity.def"
#define WIRE_PREFIX identity
#include "common/wire_define.h"

#define IDENTITY_FORMAT 1
#define IDENTITY_BYTES_MAX (1024 * 1024)

static uint64_t new_incarnation(void)
{
	uint64_t v;

	do
		v = random_secret() >> 1;
	while (v == 0);
	return v;
}

enum err identity_save(const struct identity *i, struct disk *d)
{
	struct identity_record record = {
		IDENTITY_FORMAT,
		bytes_text(i->id),
		i->incarnation,
		i->start,
		(uint8_t)i->phase,
		i->cluster,
		blob_bytes(i->founding),
	};
	struct buf b = { 0 };

	identity_record_put(&b, &record);
	return sealed_save(d, "identity", &b);
}

static enum err take(struct identity *out, struct bytes file)
{
	struct reader r = reader_of(file);
	struct identity_record record;

	if (file.size < 4) {
		log_errorx("the file identity is damaged: it cannot be read size=%zu", file.size);
		return ERR_DAMAGED;
	}
	if (wire_load_u32(file.data) != IDENTITY_FORMAT) {
		log_errorx("the file identity has the format %" PRIu32
			   ", which this version does not know: upgrade this node",
		    wire_load_u32(file.data));
		return ERR_VERSION;
	}
	if (!identity_record_get(&r, &record) || !reader_done(&r) || record.phase > IDENTITY_REMOVED) {
		log_errorx("the file identity is damaged: it cannot be read size=%zu", file.size);
		return ERR_DAMAGED;
	}
	out->id = bytes_dup_text(record.id);
	out->incarnation = record.incarnation;
	out->start = record.start;
	out->phase = (enum identity_phase)record.phase;
	out->cluster = record.cluster;
	out->founding = out->phase == IDENTITY_UNFORMED ? NULL : blob_new(record.founding);
	return ERR_OK;
}

uint64_t identity_new_cluster(void)
{
	uint64_t v;

	do
		v = random_secret();
	while (v == 0);
	return v;
}

struct identity identity_new(const char *id)
{
	return (struct identity){ .id = xstrdup(id), .incarnation = new_incarnation() };
}

static void note_name(void *arg, const char *name)
{
	if (strcmp(name, "log") == 0 || strcmp(name, "state") == 0)
		*(const char **)arg = strcmp(name, "log") == 0 ? "log" : "state";
}

/* A log or a state without an identity is a node that lost its name, not a new one. */
static enum err make(struct identity *out, struct disk *d, const char *id)
{
	const char *there = NULL;
	enum err e;

	if ((e = disk_list(d, "", note_name, &there)) != ERR_OK)
		return e;
	if (there != NULL) {
		log_errorx("the file identity is missing, but there is a %s", there);
		return ERR_DAMAGED;
	}
	*out = identity_new(id);
	return ERR_OK;
}

enum err identity_read(struct identity *out, struct disk *d)
{
	struct buf file = { 0 };
	enum err e;

	*out = (struct identity){ 0 };
	e = sealed_read(d, "identity", IDENTITY_BYTES_MAX, &file);
	if (e == ERR_OK)
		e = take(out, buf_bytes(&file));
	buf_free(&file);
	return e;
}

enum err identity_open(struct identity *out, struct disk *d, const char *id)
{
	enum err e = identity_read(out, d);

	if (e == ERR_NOT_FOUND)
		e = make(out, d, id);
	if (e == ERR_OK && strcmp(out->id, id) != 0) {
		log_errorx(
		    "the data directory belongs to node %s, not to %s: give the node that id, or a data "
		    "directory that is empty",
		    out->id, id);
		e = ERR_CONFLICT;
	}
	if (e == ERR_OK) {
		out->start++;
		out->boot = random_secret();
		e = identity_save(out, d);
	}
	if (e != ERR_OK)
		identity_free(out);
	return e;
}

void identity_free(struct identity *i)
{
	free(i->id);
	blob_unref(i->founding);
	*i = (struct identity){ 0 };
}
