#include "worker/http/native.h"
#include "worker/http/text.h"

/* GET /v1/backup: the state of this node as of the revision that the answer names, a stream (worker/kv/image.h says of what). */

enum err native_parse_backup(const struct request *q, struct bytes rest, struct operation *op)
{
	(void)q;
	(void)rest;
	op->kind = REQUEST_BACKUP;
	return ERR_OK;
}

/* The name that a browser, or curl -OJ, gives to the file: which cluster's, and as of when. */
static void add_file_name(const struct answer *a, struct response *out)
{
	struct buf text = { 0 };

	buf_append_text(&text, "attachment; filename=\"holdfast-");
	text_put_hex64(&text, a->status.cluster);
	buf_append_text(&text, "-");
	text_put_number(&text, a->revision);
	buf_append_text(&text, ".backup\"");
	response_header_bytes(out, "Content-Disposition", buf_bytes(&text));
	buf_free(&text);
}

void native_render_backup(const struct answer *a, struct response *out)
{
	struct buf cluster = { 0 };

	out->status = 200;
	native_headers(a, out);
	text_put_hex64(&cluster, a->status.cluster);
	response_header_bytes(out, "Holdfast-Cluster", buf_bytes(&cluster));
	response_header(out, "Content-Type", "application/octet-stream");
	add_file_name(a, out);
	buf_free(&cluster);
}
