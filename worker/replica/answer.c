#include <stdlib.h>

#include "worker/replica/inside.h"

/* A request leaves with its one answer: to the HTTP worker that handed it over, or to the node that passed it on. */

void answer_at_turn_end(struct replica *r, uint32_t client, uint64_t id, enum err e, const char *text)
{
	if (r->prompt_count == r->prompt_room) {
		r->prompt_room = r->prompt_room == 0 ? 16 : r->prompt_room * 2;
		r->prompts = xreallocarray(r->prompts, r->prompt_room, sizeof(*r->prompts));
	}
	r->prompts[r->prompt_count++] = (struct prompt){ client, id, e, xstrdup(text) };
}

void answer_prompts(struct replica *r)
{
	struct buf status = { 0 };

	for (size_t i = 0; i < r->prompt_count; i++) {
		struct prompt *p = &r->prompts[i];
		struct ipc_answer a = {
			.id = p->id,
			.error = (uint16_t)p->error,
			.revision = r->meta.applied_index,
			.text = bytes_text(p->text),
		};

		if (p->error == ERR_OK) {
			if (status.size == 0)
				status_put(r, &status);
			a.result = buf_bytes(&status);
		}
		r->env.answer(r->env.arg, p->client, &a);
		free(p->text);
	}
	r->prompt_count = 0;
	buf_free(&status);
}

void prompts_forget(struct replica *r, uint32_t client)
{
	size_t kept = 0;

	for (size_t i = 0; i < r->prompt_count; i++)
		if (r->prompts[i].client != client)
			r->prompts[kept++] = r->prompts[i];
		else
			free(r->prompts[i].text);
	r->prompt_count = kept;
}

void prompts_fini(struct replica *r)
{
	for (size_t i = 0; i < r->prompt_count; i++)
		free(r->prompts[i].text);
	free(r->prompts);
}

static void tell(struct replica *r, const struct pending *p, const struct ipc_answer *a)
{
	struct peer_tell m = { p->remote_start, p->id, a->error, a->revision, a->result, a->applied,
		a->text };

	wire_put_u8(&r->frame, PEER_TELL);
	peer_tell_put(&r->frame, &m);
	send_frame(r, p->remote);
}

void answer_by(struct replica *r, struct pending *p, struct ipc_answer *a)
{
	if (p->remote != 0) {
		tell(r, p, a);
	} else {
		a->unled = p->unled;
		measure_answer(r, p, a);
		r->env.answer(r->env.arg, p->client, a);
	}
	pending_free(&r->pendings, p);
}

void answer_error(struct replica *r, struct pending *p, enum err e, enum applied applied, const char *text)
{
	answer_by(r, p,
	    &(struct ipc_answer){
		.id = p->id,
		.error = (uint16_t)e,
		.applied = (uint8_t)applied,
		.revision = r->meta.applied_index,
		.text = bytes_text(text),
	    });
}

void answer_result(struct replica *r, struct pending *p, struct bytes result, uint64_t revision)
{
	answer_by(r, p,
	    &(struct ipc_answer){
		.id = p->id, .revision = revision, .age_ms = status_leader_age_ms(r), .result = result });
}

void answer_status(struct replica *r, struct pending *p)
{
	struct buf status = { 0 };

	status_put(r, &status);
	answer_result(r, p, buf_bytes(&status), r->meta.applied_index);
	buf_free(&status);
}
