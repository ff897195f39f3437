"""Clients that close their sending side behind a request (`printf ... | nc -N`): a FIN only says that no other request
comes. Each request is answered, then the connection is closed; only a broken connection cancels anything."""

import glob
import os
import re
import socket

import pytest

from backup_file import read_backup
from metric_text import scrape
from nodes import wait_until
from raw_http import connect, get, head, put, read_answer, read_head
from slow_reader import SlowReader, fill, is_filled
from under_load import leader_of

SOURCES = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../worker/http/*.c")
AT_ONCE = b"\1\0\0\0\0\0\0\0"  # struct linger: closing resets


def routes():
    """(method, path) of each row of each dialect's table."""
    found = []
    for name in sorted(glob.glob(SOURCES)):
        with open(name) as f:
            found += re.findall(r'^\t\{ METHOD_(\w+), "(/[^"]*)"', f.read(), re.MULTILINE)
    assert len(found) > 30
    return [("GET" if method == "ANY" else method, pattern.replace("*", "x")) for method, pattern in found]


def say(node, request):
    """Sends it and closes the sending side."""
    s = connect(node)
    s.sendall(request)
    s.shutdown(socket.SHUT_WR)
    return s


def ask(node, request):
    """The answer, behind which the connection is closed."""
    with say(node, request) as s, s.makefile("rb") as stream:
        answer = read_answer(stream)
        assert answer is None or stream.read() == b""
        return answer


def request(method, path, body=b"", version="1.1", *headers):
    return head(f"{method} {path} HTTP/{version}", "Host: h", f"Content-Length: {len(body)}", *headers) + body


@pytest.mark.parametrize("version", ["1.0", "1.1"])
def test_no_route_drops_its_answer_at_a_fin(nodes, version):
    node = nodes.node("n1").start()
    unanswered = []
    for method, path in routes():
        with say(node, request(method, path, version=version)) as s, s.makefile("rb") as stream:
            answer = read_head(stream)
            if answer is None:
                unanswered.append(f"{method} {path}")
            else:
                assert answer[1].get("cache-control") == "no-store", (method, path, answer)
    assert unanswered == []


# The request, the status, the body or a pattern that it matches; in order, on a single node.
FORM = "Content-Type: application/x-www-form-urlencoded"
ANSWERS = [
    ("native", request("PUT", "/v1/kv/x", version="1.0"), 201, rb'\{"revision":\d+\}'),
    ("native", put("/v1/kv/a", b"1"), 201, rb'\{"revision":\d+\}'),
    ("native", get("/v1/kv/a"), 200, b"1"),
    ("native", get("/v1/kv/none"), 404, rb'.*"code":"not_found".*'),
    ("native", get("/v1/kv/a?level=stale"), 200, b"1"),
    ("native", head("HEAD /v1/kv/a HTTP/1.1", "Host: h"), 200, b""),
    ("native", get("/v1/kv?prefix=a"), 200, rb'\{"revision":\d+,.*"key":"a".*'),
    ("native", request("POST", "/v1/batch", b'[{"put":{"key":"b","value":"2"}}]'), 200, rb'.*"results".*'),
    ("native", request("DELETE", "/v1/kv/a"), 200, rb'.*"deleted":1.*'),
    ("native", get("/v1/status"), 200, rb'(?s).*"node": "n1".*'),
    ("m2", get("/set?key=k&val=v"), 200, b"ok"),
    ("m2", request("POST", "/set", b"key=l&val=w", "1.1", FORM), 200, b"ok"),
    ("m2", get("/get?key=k"), 200, b"v"),
    ("m2", get("/del?key=k"), 200, b"ok"),
    ("hraft, raftdb", request("POST", "/key", b'{"h":"1","i":"2"}'), 200, b""),
    ("hraft, raftdb", get("/key/h"), 200, b'{"h":"1"}'),
    ("hraft, raftdb", get("/key/h?level=consistent"), 200, b'{"h":"1"}'),
    ("raftdb", request("DELETE", "/key/h"), 200, b""),
    ("raft-kv-demo", request("POST", "/key", b'{"key":"d","value":"3"}'), 200, b""),
    ("raft-kv-demo", get("/key?key=d"), 200, b"3"),
    ("raft-kv-demo", request("DELETE", "/key/?key=d"), 200, b""),
    ("raft-kv-example", request("POST", "/keys/e/", b'{"value":"4"}'), 200, b'{"value":"4"}'),
    ("raft-kv-example", get("/keys/e/"), 200, b'{"value":"4"}'),
    ("raft-kv-example", get("/keys/e"), 301, b""),
]


def test_every_dialect_answers_behind_a_fin(nodes):
    node = nodes.node("n1").start()
    for dialect, asked, status, wanted in ANSWERS:
        if asked.startswith(b"HEAD"):
            with say(node, asked) as s, s.makefile("rb") as stream:
                assert read_head(stream)[0] == status and stream.read() == b""
            continue
        answer = ask(node, asked)
        assert answer is not None, (dialect, asked, "no answer")
        assert answer[0] == status and re.fullmatch(wanted, answer[2]), (dialect, asked, answer)


def test_a_follower_answers_behind_a_fin(nodes):
    cluster = nodes.cluster(3)
    leader = leader_of(cluster)
    follower = next(n for n in cluster if n is not leader)
    assert ask(follower, put("/v1/kv/f", b"1"))[0] == 201
    assert ask(follower, get("/v1/kv/f"))[2] == b"1"
    assert ask(follower, get("/set?key=g&val=2"))[2] == b"ok"
    status, headers, _ = ask(follower, request("POST", "/key", b'{"h":"1"}'))
    assert status == 307 and headers["location"] == leader.url + "/key"


def test_requests_pipelined_before_a_fin_are_all_answered(nodes):
    node = nodes.node("n1").start()
    count = 500
    with connect(node) as s, s.makefile("rb") as stream:
        s.sendall(b"".join(put(f"/v1/kv/p{i}", b"%d" % i) + get(f"/v1/kv/p{i}") for i in range(count)))
        s.shutdown(socket.SHUT_WR)
        for i in range(count):
            assert read_answer(stream)[0] == 201, i
            assert read_answer(stream)[2] == b"%d" % i
        assert stream.read() == b""


def test_a_fin_within_a_request_drops_it_and_no_other(nodes):
    node = nodes.node("n1").start()
    whole, half = put("/v1/kv/whole", b"1"), put("/v1/kv/half", b"12345")[:-3]
    with say(node, whole + half) as s, s.makefile("rb") as stream:
        assert read_answer(stream)[0] == 201
        status, headers, body = read_answer(stream)
        assert status == 408 and headers["connection"] == "close" and b'"applied":"no"' in body
        assert stream.read() == b""
    assert ask(node, get("/v1/kv/whole"))[2] == b"1"
    assert ask(node, get("/v1/kv/half"))[0] == 404


# --- streams, and who is really gone ---


def streams(node):
    return scrape(node).value("holdfast_http_streams")


def broken_streams(node):
    return scrape(node).value("holdfast_http_broken_streams_total")


@pytest.mark.parametrize("version", ["1.0", "1.1"])
def test_a_backup_goes_on_behind_a_fin(nodes, version):
    node = nodes.node("n1").start()
    fill(node, 8)
    reader = SlowReader(node, version)
    wait_until(lambda: streams(node) == 1, "the stream to be counted")
    reader.socket.shutdown(socket.SHUT_WR)
    for i in range(20):  # longer than it takes to notice the FIN, with something else to do
        assert ask(node, put(f"/v1/kv/meanwhile/{i}", b"x"))[0] == 201
    assert streams(node) == 1
    body = reader.rest() if version == "1.1" else reader.stream.read()
    assert is_filled(read_backup(body), 8)
    reader.close()
    wait_until(lambda: streams(node) == 0, "the end of the stream")
    assert broken_streams(node) == 0


@pytest.mark.parametrize("how", ["reset", "closed"])
def test_a_backup_ends_when_its_client_goes_behind_a_fin(nodes, how):
    node = nodes.node("n1", http_body_timeout="1h").start()
    fill(node, 8)
    reader = SlowReader(node)
    wait_until(lambda: streams(node) == 1, "the stream to be counted")
    reader.socket.shutdown(socket.SHUT_WR)
    if how == "reset":
        reader.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, AT_ONCE)
    reader.close()
    wait_until(lambda: streams(node) == 0, "the end of the stream")
    assert broken_streams(node) == 1


def in_flight(node):
    return scrape(node).value("holdfast_http_requests_in_flight")


def test_a_write_that_waits_is_cancelled_by_a_reset_behind_a_fin(nodes):
    cluster = nodes.cluster(3, limits_request="1h")
    leader = leader_of(cluster)
    assert ask(leader, put("/v1/kv/a", b"1"))[0] == 201
    for other in cluster:
        if other is not leader:
            other.kill_all()
    s = say(leader, put("/v1/kv/a", b"2"))
    wait_until(lambda: in_flight(leader) == 1, "the write to wait")
    s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, AT_ONCE)
    s.close()
    wait_until(lambda: in_flight(leader) == 0, "the end of the write")


def timer_of(s):
    """Of the node's end of a connection, as the kernel shows it: 2 is a keep-alive."""
    ends = ["%02X%02X%02X%02X:%04X" % (*reversed(socket.inet_aton(host)), port) for host, port in (s.getpeername(), s.getsockname())]
    with open("/proc/net/tcp") as f:
        for line in f:
            fields = line.split()
            if fields[1:3] == ends:
                return int(fields[5].split(":")[0])
    return None


def test_a_silent_connection_is_kept_alive_by_probes(nodes):
    node = nodes.node("n1").start()
    with connect(node) as s, s.makefile("rb") as stream:
        s.sendall(get("/livez"))
        assert read_answer(stream)[0] == 200
        wait_until(lambda: timer_of(s) == 2, "the timer of keep-alives")
