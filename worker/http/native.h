#ifndef WORKER_HTTP_NATIVE_H
#define WORKER_HTTP_NATIVE_H

#include "worker/http/dialect.h"

/*
 * The native dialect: native.c has the routes and the hot path, printed by hand; native_json.c what is JSON beyond a
 * number or two; native_node.c what a node says of itself; native_members.c changes of members; native_index.c what there
 * is to be asked; native_backup.c the one answer
 * that is a stream.
 */

/* Headers that every native answer has: Holdfast-Revision, Holdfast-Age, Holdfast-Replayed. */
void native_headers(const struct answer *a, struct response *out);
/* Status, headers and Content-Type of a JSON answer; the body is what stands in out->own. */
void native_finish_json(const struct answer *a, int status, struct response *out);
/* The first result of a step, which every single operation has; false when there is none. */
bool native_first_step(const struct answer *a, struct kv_step_result *step);

void native_error(const struct answer *a, struct response *out);
void native_render_list(const struct answer *a, struct response *out);
enum err native_parse_batch(const struct request *q, struct bytes rest, struct operation *op);
void native_render_batch(const struct answer *a, struct response *out);

enum err native_parse_status(const struct request *q, struct bytes rest, struct operation *op);
/* The same, once it is known whether a client would be served. */
enum err native_parse_probe(const struct request *q, struct bytes rest, struct operation *op);
void native_render_status(const struct answer *a, struct response *out);
enum err native_parse_transfer(const struct request *q, struct bytes rest, struct operation *op);
void native_render_transfer(const struct answer *a, struct response *out);
enum err native_parse_add_member(const struct request *q, struct bytes rest, struct operation *op);
enum err native_parse_remove_member(const struct request *q, struct bytes rest, struct operation *op);
void native_render_members(const struct answer *a, struct response *out);
enum err native_parse_local(const struct request *q, struct bytes rest, struct operation *op);
void native_render_livez(const struct answer *a, struct response *out);
void native_render_metrics(const struct answer *a, struct response *out);
void native_render_readyz(const struct answer *a, struct response *out);
enum err native_parse_backup(const struct request *q, struct bytes rest, struct operation *op);
void native_render_backup(const struct answer *a, struct response *out);
void native_render_health(const struct answer *a, struct response *out);
void native_health_error(const struct answer *a, struct response *out);
enum err native_parse_index(const struct request *q, struct bytes rest, struct operation *op);
void native_render_index(const struct answer *a, struct response *out);
void native_render_version(const struct answer *a, struct response *out);
void native_render_leader(const struct answer *a, struct response *out);

#endif
