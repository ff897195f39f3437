"""Bad input for an HTTP worker by raw sockets, each with its answer, while a bystander uses the same worker: it must
not see an error. How long it waited at worst during each attack is printed."""

import json
import multiprocessing
import os
import re
import resource
import select
import socket
import threading
import time

import pytest

from nodes import wait_until
from raw_http import ask, connect, get, head, put, read_answer

PAUSE = 0.06  # around each attack, so that the bystander's requests meet it
FORK = multiprocessing.get_context("fork")


# --- the bystander ---


def watch(node, pipe):
    """Writes and reads in turn on one connection until it is told to end; sends what it saw: (when, how long, what was
    wrong or None)."""
    seen = []
    s, number = connect(node), 0
    stream = s.makefile("rb")
    while not pipe.poll():
        number += 1
        value = b"%d" % (number // 2)
        began = time.monotonic()
        try:
            s.sendall(put("/v1/kv/bystander", value) if number % 2 == 0 else get("/v1/kv/bystander"))
            answer = read_answer(stream)
            good = answer and answer[0] in (200, 201) and (number % 2 == 0 or answer[2] == value)
            wrong = None if good else repr(answer)
        except (OSError, ValueError) as e:
            wrong = repr(e)
        seen.append((began, time.monotonic() - began, wrong))
        if wrong:
            break
        if number == 1:
            pipe.send("here")
        time.sleep(0.002)
    pipe.send(seen)


class Bystander:
    """In a process of its own: what an attack costs this one is not its latency."""

    def __init__(self, node):
        assert ask(node, put("/v1/kv/bystander", b"0"))[0] == 201
        self.pipe, far = FORK.Pipe()
        self.process = FORK.Process(target=watch, args=(node, far), daemon=True)
        self.process.start()
        far.close()
        assert self.pipe.recv() == "here"
        self.attacks = []  # name, beginning, end

    def during(self, name):
        return Attack(self, name)

    def end(self, capsys):
        """No error, and the figures."""
        self.pipe.send("end")
        seen = self.pipe.recv()
        self.process.join()
        assert [wrong for _, _, wrong in seen if wrong] == []
        with capsys.disabled():
            print()
            for name, began, ended in self.attacks:
                inside = [took for at, took, _ in seen if at + took >= began and at <= ended]
                assert inside, f"the bystander was not there during {name}"
                print(f"  {name}: bystander: {len(inside)} requests, 0 errors, worst {max(inside) * 1000:.1f} ms")


class Attack:
    def __init__(self, bystander, name):
        self.bystander, self.name = bystander, name

    def __enter__(self):
        self.began = time.monotonic()
        time.sleep(PAUSE)

    def __exit__(self, kind, *_):
        time.sleep(PAUSE)
        if kind is None:
            self.bystander.attacks.append((self.name, self.began, time.monotonic()))


@pytest.fixture
def victim(nodes):
    """One node, one HTTP worker, little patience."""
    # The sanitizers keep what was freed; then a worker's size says nothing.
    sanitizers = os.environ.get("ASAN_OPTIONS", "") + ":quarantine_size_mb=4:thread_local_quarantine_size_kb=64"
    options = {"http_header_timeout": "1s", "http_body_timeout": "1s", "http_workers": "1"}
    return nodes.node("n1", **options).start(ASAN_OPTIONS=sanitizers.lstrip(":"))


@pytest.fixture
def bystander(victim, capsys):
    made = Bystander(victim)
    try:
        yield made
        made.end(capsys)
    finally:
        made.process.kill()
        made.process.join()


# --- what is wrong and ends: the request as it is sent, the status, a word of the answer, must the connection end ---

SMUGGLED = put("/v1/kv/smuggled", b"1")
LONG = "k" * 5000


def batch(body):
    return head("POST /v1/batch HTTP/1.1", "Host: h", f"Content-Length: {len(body)}") + body


MISTAKES = [
    ("unknown route", get("/v2/nothing"), 404, "not_found", False),
    ("wrong method", head("POST /v1/status HTTP/1.1", "Host: h"), 405, "Allow: GET, HEAD", False),
    ("method of another protocol", head("PATCH /v1/kv/a HTTP/1.1", "Host: h"), 405, "Allow: GET, HEAD, PUT, DELETE", False),
    ("key too long", get(f"/v1/kv/{LONG}"), 414, "5000 bytes, the limit is 4096 ([limits] key)", False),
    ("key too long, write", put(f"/v1/kv/{LONG}", b"1"), 414, '"applied":"no"', False),
    ("key too long, in a body", batch(b'[{"delete":{"key":"%s"}}]' % LONG.encode()), 413, "step 0", False),
    ("target without end", b"GET /v1/kv/" + b"k" * 100000, 414, "32 KiB", True),
    ("no key", get("/v1/kv/"), 400, "the key is empty", False),
    ("bad JSON", batch(b'[{"put":'), 400, "not JSON", False),
    ("deep JSON", batch(b"[" * 100000), 400, "not JSON", False),
    ("JSON that is no batch", batch(b'{"put":{}}'), 400, "JSON array", False),
    ("bad percent-encoding of a key", get("/v1/kv/%zz"), 400, "hexadecimal", False),
    ("bad percent-encoding of a query", get("/v1/kv?prefix=%1"), 400, "hexadecimal", False),
    ("unknown parameter", get("/v1/kv/a?levle=stale"), 400, "level", False),
    ("many headers", head("GET /livez HTTP/1.1", "Host: h", *["X: y"] * 100), 431, "64 headers", True),
    ("long header", head("GET /livez HTTP/1.1", "Host: h", "X: " + "y" * 40000), 431, "32 KiB", True),
    ("headers without end", head("GET /livez HTTP/1.1", "Host: h")[:-2] + b"X: y\r\n" * 20000, 431, "32 KiB", True),
]

# What follows each must not be taken for a request, whoever reads it how.
PUT_A = ("PUT /v1/kv/a HTTP/1.1", "Host: h")
CHUNKED = "Transfer-Encoding: chunked"
SMUGGLING = [
    ("bare LF", b"GET /livez HTTP/1.1\nHost: h\n\n"),
    ("one bare LF", b"GET /livez HTTP/1.1\r\nHost: h\nX: y\r\n\r\n"),
    ("bare CR", b"GET /livez HTTP/1.1\r\nHost: h\rX: y\r\n\r\n"),
    ("space before the colon", head(*PUT_A, "Content-Length : 5")),
    ("space before the first header", head("GET /livez HTTP/1.1", " Host: h")),
    ("folded header", head("GET /livez HTTP/1.1", "Host: h", "X: y", " z")),
    ("no Host", head("GET /livez HTTP/1.1")),
    ("two Hosts", head("GET /livez HTTP/1.1", "Host: h", "Host: h")),
    ("two Content-Lengths", head(*PUT_A, "Content-Length: 0", "Content-Length: 5")),
    ("twice the same Content-Length", head(*PUT_A, "Content-Length: 0", "Content-Length: 0")),
    ("Content-Length of two numbers", head(*PUT_A, "Content-Length: 0, 5")),
    ("Content-Length with a sign", head(*PUT_A, "Content-Length: +5")),
    ("Content-Length over 64 bits", head(*PUT_A, "Content-Length: 18446744073709551616")),
    ("Content-Length with chunked", head(*PUT_A, "Content-Length: 5", CHUNKED) + b"0\r\n\r\n"),
    ("chunked with Content-Length", head(*PUT_A, CHUNKED, "Content-Length: 5") + b"0\r\n\r\n"),
    ("chunked is not the last coding", head(*PUT_A, CHUNKED + ", identity") + b"0\r\n\r\n"),
    ("a coding before chunked", head(*PUT_A, "Transfer-Encoding: gzip, chunked") + b"0\r\n\r\n"),
    ("chunked twice", head(*PUT_A, CHUNKED, CHUNKED) + b"0\r\n\r\n"),
    ("chunked in HTTP/1.0", head("PUT /v1/kv/a HTTP/1.0", "Host: h", CHUNKED) + b"0\r\n\r\n"),
    ("chunk of another size", head(*PUT_A, CHUNKED) + b"1\r\nabc\r\n0\r\n\r\n"),
    ("chunk size with a sign", head(*PUT_A, CHUNKED) + b"+1\r\na\r\n0\r\n\r\n"),
    ("chunk ended by LF", head(*PUT_A, CHUNKED) + b"1\na\n0\n\n"),
    ("trailer", head(*PUT_A, CHUNKED) + b"0\r\nContent-Length: 5\r\n\r\n"),
    ("NUL in a value", head("GET /livez HTTP/1.1", "Host: h", "X: a\0b")),
    ("NUL in a name", head("GET /livez HTTP/1.1", "Host: h", "X\0: a")),
    ("NUL in the target", head("GET /livez\0 HTTP/1.1", "Host: h")),
    ("another version", head("GET /livez HTTP/2.7", "Host: h")),
    ("a version without a number", head("GET /livez", "Host: h")),
    ("TLS", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n"),
]


def text_of(answer):
    status, headers, body = answer
    allow = f"Allow: {headers['allow']}\n" if "allow" in headers else ""
    return f"{status} {allow}{body.decode()}"


def is_closed(stream):
    """Nothing comes but the end."""
    try:
        return stream.read(1) == b""
    except ConnectionResetError:
        return True


def test_mistakes_have_an_answer_each(victim, bystander):
    for name, request, status, word, ends in MISTAKES:
        with bystander.during(name), connect(victim) as s, s.makefile("rb") as stream:
            s.sendall(request)
            answer = read_answer(stream)
            assert answer[0] == status and word in text_of(answer), (name, answer)
            assert "code" in json.loads(answer[2]), name
            if ends:
                assert answer[1]["connection"] == "close" and is_closed(stream), name
            else:
                s.sendall(get("/livez"))
                assert read_answer(stream)[0] == 200, name


def test_nothing_is_smuggled(victim, bystander):
    for name, request in SMUGGLING:
        with bystander.during(name), connect(victim) as s, s.makefile("rb") as stream:
            s.sendall(request + SMUGGLED)
            answer = read_answer(stream)
            assert answer[0] == 400 and answer[1]["connection"] == "close", (name, answer)
            assert is_closed(stream), name
            assert ask(victim, get("/v1/kv/smuggled"))[0] == 404, name
    assert ask(victim, get("/v1/kv/a"))[0] == 404


def test_large_value_is_refused_before_it_is_read(victim, bystander):
    announced = head(*PUT_A, "Content-Length: 2000000")
    asked = head(*PUT_A, "Content-Length: 2000000", "Expect: 100-continue")
    for name, request in (("value too large", announced), ("value too large, asked before", asked)):
        with bystander.during(name), connect(victim) as s, s.makefile("rb") as stream:
            s.sendall(request)
            answer = read_answer(stream)
            assert answer[0] == 413 and b'"applied":"no"' in answer[2], (name, answer)
            assert is_closed(stream)
    with bystander.during("value too large, in chunks"), connect(victim) as s, s.makefile("rb") as stream:
        s.sendall(head(*PUT_A, CHUNKED))
        with pytest.raises(OSError):
            for _ in range(200):
                s.sendall(b"10000\r\n" + b"v" * 65536 + b"\r\n")
                if select.select([s], [], [], 0)[0]:
                    answer = read_answer(stream)
                    assert answer[0] == 413, answer
                    raise ConnectionResetError
    assert ask(victim, get("/v1/kv/a"))[0] == 404


def drip(s, stream, data):
    """Sends byte by byte until an answer comes."""
    for i in range(len(data)):
        s.sendall(data[i : i + 1])
        if select.select([s], [], [], 0.1)[0]:
            return read_answer(stream)
    pytest.fail("nobody minded")


def test_slow_requests_are_told_so(victim, bystander):
    slow_head = get("/livez")[:-2] + b"X: " + b"y" * 3000
    for name, quick, slow in (
        ("slow header", b"", slow_head),
        ("slow body", head(*PUT_A, "Content-Length: 3000"), b"v" * 2999),
        ("slow chunks", head(*PUT_A, CHUNKED), b"1\r\nv\r\n" * 500),
    ):
        with bystander.during(name), connect(victim) as s, s.makefile("rb") as stream:
            s.sendall(quick)
            answer = drip(s, stream, slow)
            assert answer[0] == 408 and answer[1]["connection"] == "close", (name, answer)
            assert is_closed(stream)
    assert ask(victim, get("/v1/kv/a"))[0] == 404


def descriptors(node):
    return len(os.listdir(f"/proc/{node.workers()['http 0']}/fd"))


def test_half_a_request_then_close(victim, bystander):
    before = descriptors(victim)
    whole = put("/v1/kv/a", b"v" * 1000)
    for name, end in (("half a header then close", 30), ("half a body then close", len(whole) - 500)):
        with bystander.during(name):
            for _ in range(100):
                with connect(victim) as s:
                    s.sendall(whole[:end])
    with bystander.during("half a body then half a close"), connect(victim) as s, s.makefile("rb") as stream:
        s.sendall(whole[:-500])
        s.shutdown(socket.SHUT_WR)
        answer = read_answer(stream)
        assert answer[0] == 408 and b'"applied":"no"' in answer[2] and is_closed(stream)
    wait_until(lambda: descriptors(victim) <= before, "the end of the connections")
    assert ask(victim, get("/v1/kv/a"))[0] == 404


def test_pipelined_requests_are_answered_in_order(victim, bystander):
    count = 10000
    for i in range(10):
        ask(victim, put(f"/v1/kv/p{i}", b"%d" % i))
    every = b"".join(get(f"/v1/kv/p{i}?level=stale") for i in range(10))
    with bystander.during("10,000 pipelined requests"), connect(victim) as s, s.makefile("rb") as stream:
        sender = threading.Thread(target=s.sendall, args=(every * (count // 10),))
        sender.start()
        for i in range(count):
            answer = read_answer(stream)
            assert answer[0] == 200 and answer[2] == b"%d" % (i % 10), (i, answer)
        sender.join()


# --- too many ---


def crowd(node, count, pipe):
    """Opens so many connections; those that are told to go are counted: [status, has Retry-After, ends]."""
    resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
    all_of_them = [connect(node) for _ in range(count)]
    poll, by_number, told = select.poll(), {s.fileno(): s for s in all_of_them}, []
    for number in by_number:
        poll.register(number, select.POLLIN)
    while not pipe.poll():
        for number, _ in poll.poll(50):
            with by_number[number].makefile("rb") as stream:
                status, headers, _ = read_answer(stream)
                told.append([status, "retry-after" in headers, is_closed(stream)])
            poll.unregister(number)
        pipe.send(told)
    for s in all_of_them:  # without TIME_WAIT
        s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        s.close()
    pipe.send(None)


def test_the_10001st_connection_is_refused(victim, bystander):
    most, extra = 10000, 20
    if resource.getrlimit(resource.RLIMIT_NOFILE)[1] < most + 500:
        pytest.skip("a process may not have 10,500 descriptors here")
    before = descriptors(victim)
    pipe, far = FORK.Pipe()
    # The bystander has one of them.
    process = FORK.Process(target=crowd, args=(victim, most - 1 + extra, far), daemon=True)
    try:
        with bystander.during("10,001 connections"):
            process.start()
            far.close()
            wait_until(lambda: len(told := pipe.recv()) >= extra and told, "the refusals")
            time.sleep(0.3)
            pipe.send("end")
            told = []
            while (more := pipe.recv()) is not None:
                told = more or told
            assert told in ([], [[503, True, True]] * extra)
            process.join()
    finally:
        process.kill()
        process.join()
    wait_until(lambda: descriptors(victim) <= before, "the end of the connections")
    assert ask(victim, get("/livez"))[0] == 200


def resident_bytes(node):
    with open(f"/proc/{node.workers()['http 0']}/status") as f:
        return int(re.search(r"VmRSS:\s+(\d+)", f.read())[1]) * 1024


def is_reset(s):
    """The answer began, and was cut off."""
    try:
        while s.recv(1 << 16):
            pass
        return False
    except ConnectionResetError:
        return True


def test_reader_that_does_not_read_is_cut_off(victim, bystander, capsys):
    readers, lists = 10, 50
    for i in range(40):
        assert ask(victim, put(f"/v1/kv/big/{i:02}", b"v" * 65536))[0] == 201
    one = len(ask(victim, get("/v1/kv?prefix=big/"))[2])
    assert 2000000 < one < 2500000
    before, memory = descriptors(victim), resident_bytes(victim)
    with bystander.during("readers that do not read"):
        idle = [connect(victim, receive_bytes=4096) for _ in range(readers)]
        for s in idle:
            s.sendall(get("/v1/kv?prefix=big/") * lists)
        most = 0

        def are_cut_off():
            nonlocal most
            most = max(most, resident_bytes(victim) - memory)
            return descriptors(victim) <= before

        wait_until(lambda: descriptors(victim) > before, "the connections")
        wait_until(are_cut_off, "the end of the readers")
    assert all(map(is_reset, idle))
    for s in idle:
        s.close()
    with capsys.disabled():
        print(f"\n  {readers} readers asked for {readers * lists * one >> 20} MiB and made the worker {most >> 20} MiB larger", end="")
    # One page each, and what allocations leave behind. What the kernel holds for a connection is its own limit.
    assert most < readers * 3 * one
