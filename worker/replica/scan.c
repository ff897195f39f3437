#include <assert.h>

#include "worker/kv/image.h"
#include "worker/kv/tables.h"
#include "worker/replica/inside.h"

/* The lane works in order: a scan that begins sees what was given to the lane before and nothing else, and one that was
 * ended is over before the next begins. */

static struct state_job *new_job(struct replica *r, enum state_job_kind kind)
{
	struct state_job *j = state_job_new(r, kind);

	j->scan = r->scan.number;
	j->scan_index = r->scan.index;
	return j;
}

bool scan_begin(struct replica *r, struct scan_user *u)
{
	struct scan *s = &r->scan;

	assert(r->raft != NULL);
	if (s->user != NULL)
		return false;
	s->user = u;
	s->number++;
	s->index = r->submitted;
	s->out = false;
	state_job_submit(new_job(r, STATE_SCAN_BEGIN));
	return true;
}

uint64_t scan_index(const struct replica *r)
{
	assert(r->scan.user != NULL);
	return r->scan.index;
}

void scan_want(struct replica *r, struct scan_user *u, size_t bytes)
{
	struct state_job *j;

	assert(r->scan.user == u && bytes > 0);
	if (r->scan.out)
		return;
	r->scan.out = true;
	j = new_job(r, STATE_SCAN);
	j->slice_bytes = bytes < SCAN_SLICE_BYTES ? bytes : SCAN_SLICE_BYTES;
	state_job_submit(j);
}

static void leave(struct replica *r)
{
	state_job_submit(new_job(r, STATE_SCAN_END));
	r->scan.user = NULL;
}

void scan_end(struct replica *r, struct scan_user *u)
{
	if (r->scan.user == u)
		leave(r);
}

void scan_break(struct replica *r, const char *why)
{
	struct scan_user *u = r->scan.user;

	if (u == NULL)
		return;
	leave(r);
	u->broken(r, u, why);
}

void scan_fini(struct replica *r)
{
	image_scan_end(r->scan.image);
	tables_drop(r->env.tables, r->scan.aside);
}

/* What is wrong with the scratch table alone ends the scan and not the node. */
enum err scan_do_begin(struct state_job *j)
{
	struct scan *s = &j->r->scan;
	enum err e = tables_scratch(j->r->env.tables, &s->aside);

	if ((j->spoilt = e != ERR_OK))
		return ERR_OK;
	e = image_scan_begin(&s->image, j->r->kv, s->aside, j->r->identity.cluster);
	assert(e != ERR_OK || image_scan_index(s->image) == j->scan_index);
	return e;
}

enum err scan_do_slice(struct state_job *j)
{
	struct image_scan *s = j->r->scan.image;
	enum err e;

	if (s == NULL)
		return ERR_OK;
	e = image_scan_read(s, j->slice_bytes, &j->results, &j->more);
	j->spoilt = image_scan_is_spoilt(s);
	return j->spoilt ? ERR_OK : e;
}

/* Removing the scratch table may take long: that is left to another lane. */
void scan_do_end(struct state_job *j)
{
	struct scan *s = &j->r->scan;

	image_scan_end(s->image);
	j->aside = s->aside;
	s->image = NULL;
	s->aside = NULL;
}

static void take_slice(struct replica *r, struct state_job *j)
{
	struct scan_user *u = r->scan.user;

	r->scan.out = false;
	if (!j->more)
		leave(r);
	u->slice(r, u, buf_bytes(&j->results), !j->more);
}

void scan_take_job(struct replica *r, struct state_job *j)
{
	if (j->kind == STATE_SCAN_END) {
		upkeep_drop(r, j->aside);
	} else if (r->scan.user != NULL && j->scan == r->scan.number) {
		if (j->spoilt)
			scan_break(r, "what changes meanwhile could not be put aside");
		else if (j->kind == STATE_SCAN)
			take_slice(r, j);
	}
}
