"""What is over a limit, sent to a real node: the sentence names the limit, its value and what was sent."""

import json
import re
import threading

import pytest
import requests

from nodes import PATIENCE, wait_until
from raw_http import ask, connect, get, head, put, read_answer

# Of the node below.
OPTIONS = {"limits_key": "100", "limits_value": "2000", "http_body_max": "3MiB", "limits_requests": "2"}
LONG = "k" * 101


def post(path, body):
    return head(f"POST {path} HTTP/1.1", "Host: h", f"Content-Length: {len(body)}") + body


def batch(*steps):
    return post("/v1/batch", json.dumps(steps).encode())


def chunks(path, size):
    return head(f"PUT {path} HTTP/1.1", "Host: h", "Transfer-Encoding: chunked") + b"%x\r\n" % size + b"v" * size


STEP = {"delete": {"key": "k"}}

# The request, its status, and what stands in the sentence: what was sent, the limit's value and its name.
REFUSED = [
    ("value", put("/v1/kv/a", b"v" * 2001), 413, ("2001 bytes", "2000", "[limits] value")),
    ("value in chunks", chunks("/v1/kv/a", 2001), 413, ("more than 2000 bytes", "[limits] value")),
    ("value in a batch", batch({"put": {"key": "a", "value": "v" * 2001}}), 413, ("2001 bytes", "2000", "[limits] value")),
    ("body", post("/v1/batch", b" " * (3 * 2**20 + 1)), 413, ("3145729 bytes", "3145728", "[http] body_max")),
    ("steps", batch(*[STEP] * 10001), 413, ("10001 steps", "10000")),
    ("key in a batch", batch({"delete": {"key": LONG}}), 413, ("101 bytes", "100", "[limits] key")),
    ("key in a path", get(f"/v1/kv/{LONG}"), 414, ("101 bytes", "100", "[limits] key")),
    ("prefix", get(f"/v1/kv?prefix={LONG}"), 414, ("101 bytes", "100", "[limits] key")),
    ("another dialect's key", get(f"/key/{LONG}"), 414, ("101 bytes", "100", "[limits] key")),
    ("target", b"GET /v1/kv/" + b"k" * 40000, 414, ("more than 32768 bytes", "32 KiB")),
    ("head", head("GET /livez HTTP/1.1", "Host: h", "X: " + "y" * 40000), 431, ("more than 32768 bytes", "32 KiB")),
    ("headers", head("GET /livez HTTP/1.1", "Host: h", *["X: y"] * 100), 431, ("more than 64 headers", "the limit")),
    ("token", head("DELETE /v1/kv/a HTTP/1.1", "Host: h", "Idempotency-Key: " + "t" * 257), 400, ("257 bytes", "256")),
]


@pytest.fixture(name="node")
def node_fixture(nodes):
    made = nodes.node(**OPTIONS).start()
    wait_until(lambda: requests.get(made.url + "/readyz", timeout=PATIENCE).status_code == 200, "readiness")
    return made


def test_a_refusal_does_not_name_its_limit(node):
    wrong = []
    for name, request, status, words in REFUSED:
        with connect(node) as s:
            threading.Thread(target=send_all, args=(s, request), daemon=True).start()
            answer = read_answer(s.makefile("rb"))
        said = answer[2].decode()
        if answer[0] != status or not all(re.search(w if "\\" in w else re.escape(w), said) for w in words):
            wrong.append((name, answer[0], said))
    assert wrong == []


def send_all(s, request):
    try:
        s.sendall(request)
    except OSError:
        pass  # it was refused before all of it was there


def test_a_token_that_was_used_does_not_say_how_long(node):
    for path, status in (("a", 201), ("b", 422)):
        answer = requests.put(
            f"{node.url}/v1/kv/{path}", data=b"1", headers={"Idempotency-Key": "t"}, timeout=PATIENCE
        )
        assert answer.status_code == status, answer.text
    assert "10 minutes" in answer.json()["error"] and "use a new one" in answer.json()["error"]


def test_a_busy_node_does_not_name_its_limit(node):
    """Two reads wait for a revision that does not come."""
    waiting = [connect(node) for _ in range(2)]
    for s in waiting:
        s.sendall(get("/v1/kv/a?min_revision=1000000&level=stale&timeout=20s"))
    wait_until(lambda: ask(node, get("/v1/kv/a?level=stale"))[0] == 503, "the node to be busy")
    answer = ask(node, put("/v1/kv/a", b"1"))
    assert (answer[0], answer[1]["retry-after"]) == (503, "1")
    assert "2 requests are in flight at this node, the limit is 2 ([limits] requests)" in json.loads(answer[2])["error"]
    for s in waiting:
        s.close()
