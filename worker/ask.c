#include <curl/curl.h>
#include <stdlib.h>
#include <sysexits.h>

#include "common/log.h"
#include "worker/ask.h"

#define CONNECT_MS 2000
/* Longer than the other side waits by default before it says no, shorter than a lane may be at one turn. */
#define ANSWER_MS 8000
#define ANSWER_BYTES_MAX 65536

static size_t take_answer(char *data, size_t size, size_t count, void *arg)
{
	struct buf *answer = arg;

	if (size * count > ANSWER_BYTES_MAX - answer->size)
		return 0;
	buf_append(answer, bytes_of(data, size * count));
	return size * count;
}

/* Every option is one that this library knows, or the code is wrong. */
#define SET(handle, option, value) must(curl_easy_setopt(handle, option, value))

static void must(CURLcode e)
{
	if (e != CURLE_OK)
		fatalx(EX_SOFTWARE, "libcurl: %s", curl_easy_strerror(e));
}

void ask_init(void)
{
	must(curl_global_init(CURL_GLOBAL_NOTHING));
}

static void set_up(
    CURL *handle, const char *url, struct curl_slist *headers, const char *body, struct buf *answer)
{
	SET(handle, CURLOPT_URL, url);
	SET(handle, CURLOPT_PROTOCOLS_STR, "http");
	SET(handle, CURLOPT_PROXY, ""); /* whatever the environment says */
	SET(handle, CURLOPT_NOSIGNAL, 1L);
	SET(handle, CURLOPT_CONNECTTIMEOUT_MS, (long)CONNECT_MS);
	SET(handle, CURLOPT_TIMEOUT_MS, (long)ANSWER_MS);
	if (body != NULL) {
		SET(handle, CURLOPT_HTTPHEADER, headers);
		SET(handle, CURLOPT_POSTFIELDS, body);
	}
	SET(handle, CURLOPT_WRITEFUNCTION, take_answer);
	SET(handle, CURLOPT_WRITEDATA, answer);
}

static const char *problem_of(CURLcode e)
{
	switch ((int)e) {
	case CURLE_GOT_NOTHING:
	case CURLE_RECV_ERROR:
	case CURLE_UNSUPPORTED_PROTOCOL: /* HTTP/0.9, which is whatever comes */
	case CURLE_WEIRD_SERVER_REPLY:
		return "there was no HTTP answer: is this a peer address? HTTP addresses are wanted here";
	}
	return curl_easy_strerror(e);
}

void ask(struct asked *out, const char *address, const char *path, const char *body)
{
	struct curl_slist *headers = curl_slist_append(NULL, "Content-Type: application/json");
	CURL *handle = curl_easy_init();
	char *url = xasprintf("http://%s%s", address, path);
	CURLcode e;

	if (handle == NULL || headers == NULL)
		fatalx(EX_OSERR, "libcurl cannot start");
	out->status = 0;
	out->problem = NULL;
	buf_clear(&out->body);
	set_up(handle, url, headers, body, &out->body);
	if ((e = curl_easy_perform(handle)) != CURLE_OK)
		out->problem = problem_of(e);
	else
		curl_easy_getinfo(handle, CURLINFO_RESPONSE_CODE, &out->status);
	curl_easy_cleanup(handle);
	curl_slist_free_all(headers);
	free(url);
}
