#ifndef WORKER_HTTP_KEY_H
#define WORKER_HTTP_KEY_H

#include "worker/http/plain.h"

/*
 * Three dialects share the routes /key and /join (API 2): key.c has the routes, decides by the shape of a request which
 * one is meant, and renders their errors; hraft.c, raftdb.c and raft_kv_demo.c have what is each one's own.
 */

void key_error(const struct answer *a, struct response *out);

/* hraft: the body is a map; a key in the path, JSON out. */
enum err hraft_take_map(json_t *object, struct operation *op);
enum err hraft_parse_get(struct bytes rest, struct operation *op);
void hraft_render_get(const struct answer *a, struct response *out);
bool hraft_is_join(json_t *object);
enum err hraft_take_join(json_t *object, struct operation *op);

/* raftdb: hraft's, and more. */
enum err raftdb_parse_delete(struct bytes rest, struct operation *op);
bool raftdb_is_join(json_t *object);
enum err raftdb_take_join(json_t *object, struct operation *op);

/* raft-kv-demo: the body is one pair; a key in the query, the raw value out; members by query. */
bool raft_kv_demo_is_pair(json_t *object);
enum err raft_kv_demo_take_pair(json_t *object, struct operation *op);
enum err raft_kv_demo_parse_get(const struct request *q, struct operation *op);
void raft_kv_demo_render_get(const struct answer *a, struct response *out);
enum err raft_kv_demo_parse_delete(const struct request *q, struct operation *op);
enum err raft_kv_demo_parse_join(const struct request *q, struct operation *op);
enum err raft_kv_demo_parse_remove(const struct request *q, struct bytes rest, struct operation *op);

/* What stands in a path for a key, decoded into op->key: one segment. */
enum err key_take_segment(struct bytes rest, struct operation *op);

#endif
