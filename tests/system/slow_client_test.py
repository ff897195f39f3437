"""Clients that take an answer, or send a body, slowly: below [http] min_rate they are cut off and counted, above it they are
served to the end."""

import socket
import time

import pytest

from backup_file import read_backup
from metric_text import scrape
from nodes import wait_until
from raw_http import BrokenOff, connect, get, head, put, read_answer
from slow_reader import SlowReader, fill, is_filled

MIB = 1 << 20


def slow_clients(node):
    return scrape(node).value("holdfast_http_slow_clients_total")


def take(reader, bytes_each, seconds):
    """So much every fifth of a second; what of the backup's chunks came, or None when the connection was cut off."""
    taken, until = b"", time.monotonic() + seconds
    while time.monotonic() < until:
        try:
            part = reader.stream.read(bytes_each)
        except ConnectionResetError:
            return None
        if len(part) < bytes_each:
            return None
        taken += part
        time.sleep(0.2)
    return taken


def test_a_reader_that_took_a_little_now_and_then_was_kept_for_ever(nodes):
    node = nodes.node("n1", http_body_timeout="2s", http_min_rate="4MiB").start()
    fill(node, 32)
    reader = SlowReader(node)  # takes less than 1 MiB a second, and is never silent
    assert take(reader, 128 * 1024, 60) is None
    reader.close()
    wait_until(lambda: slow_clients(node) == 1, "the client to be counted")
    assert scrape(node).value("holdfast_http_broken_streams_total") == 1
    assert scrape(node).value("holdfast_http_streams") == 0


def test_a_slow_but_steady_reader_was_cut_off_because_sockets_take_much_at_a_time(nodes):
    node = nodes.node("n1", http_body_timeout="3s").start()
    fill(node, 16)
    reader = SlowReader(node)
    taken = take(reader, 8 * 1024, 15)  # 40 KB a second; the kernel holds megabytes for a connection
    assert taken is not None
    reader.stream.peek(1)
    body = dechunk(taken, reader)
    assert is_filled(read_backup(body), 16)
    reader.close()
    assert slow_clients(node) == 0


def dechunk(taken, reader):
    """The whole body, of which `taken` is the beginning, still in chunks."""
    reader.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, MIB)
    taken += reader.stream.read(16 * 1024)
    while not taken.endswith(b"\r\n0\r\n\r\n"):
        part = reader.stream.read1(MIB)
        assert part, "the backup ended before it was whole"
        taken += part
    body, at = b"", 0
    while True:
        end = taken.index(b"\r\n", at)
        size = int(taken[at:end], 16)
        if size == 0:
            return body
        body += taken[end + 2 : end + 2 + size]
        at = end + 4 + size


def test_a_list_that_is_taken_too_slowly_is_cut_off(nodes):
    node = nodes.node("n1", http_body_timeout="2s", http_min_rate="4MiB").start()
    for i in range(30):
        with connect(node) as s, s.makefile("rb") as stream:
            s.sendall(put(f"/v1/kv/big/{i:02}", b"v" * 65536))
            assert read_answer(stream)[0] == 201
    with connect(node, receive_bytes=4096) as s, s.makefile("rb") as stream:
        s.sendall(get("/v1/kv?prefix=big/") * 20)
        with pytest.raises((ConnectionResetError, BrokenOff)):
            for _ in range(1000):
                if not stream.read(64 * 1024):
                    raise BrokenOff
                time.sleep(0.2)
    wait_until(lambda: slow_clients(node) == 1, "the client to be counted")


def test_a_body_that_trickles_in_is_refused_by_the_name_of_the_limit(nodes):
    node = nodes.node("n1", http_body_timeout="2s", http_min_rate="100KiB").start()
    for begin, part in (
        (head("PUT /v1/kv/a HTTP/1.1", "Host: h", "Content-Length: 1000000"), b"v" * 100),
        (head("PUT /v1/kv/a HTTP/1.1", "Host: h", "Transfer-Encoding: chunked"), b"64\r\n" + b"v" * 100 + b"\r\n"),
    ):
        with connect(node) as s, s.makefile("rb") as stream:
            s.sendall(begin)
            s.setblocking(False)
            answer = b""
            for _ in range(1000):
                try:
                    s.send(part)
                    answer = s.recv(MIB)
                    break
                except BlockingIOError:
                    time.sleep(0.1)
            assert answer.startswith(b"HTTP/1.1 408 ") and b"[http] min_rate" in answer, answer
    assert slow_clients(node) == 2


def test_a_body_that_came_steadily_had_to_be_whole_in_time(nodes):
    node = nodes.node("n1", http_body_timeout="2s").start()
    with connect(node) as s, s.makefile("rb") as stream:
        s.sendall(head("PUT /v1/kv/a HTTP/1.1", "Host: h", "Content-Length: 200000"))
        for _ in range(40):  # four times as long as the time-out
            s.sendall(b"v" * 5000)
            time.sleep(0.2)
        assert read_answer(stream)[0] == 201
    assert slow_clients(node) == 0


def test_without_a_rate_only_silence_ends_it(nodes):
    node = nodes.node("n1", http_body_timeout="3s", http_min_rate="0").start()
    with connect(node) as s, s.makefile("rb") as stream:
        s.sendall(head("PUT /v1/kv/a HTTP/1.1", "Host: h", "Content-Length: 60"))
        for _ in range(50):
            s.sendall(b"v")
            time.sleep(0.2)
        status, _, body = read_answer(stream)
        assert status == 408 and b"[http] body_timeout" in body
