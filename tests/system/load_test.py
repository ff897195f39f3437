"""holdfast-load against servers that are not Holdfast: a small honest one, and others that break one promise each.
What the client records is then judged by check-history, so both are shown at once."""

import http.server
import json
import os
import random
import socketserver
import subprocess
import threading
import urllib.parse

import pytest

from nodes import BUILD, ROOT, free_port
from under_load import run_linear


class Store:
    """What all ports of a fake cluster share. `fault` is what it does wrong."""

    def __init__(self, fault):
        self.fault = fault
        self.lock = threading.Lock()
        self.random = random.Random(1)
        self.revision = 0
        self.keys = {}  # key: (value, revision, version)
        self.before = {}  # what a key was before its last write
        self.tokens = {}  # token: (status, revision)

    def apply(self, key, value, token, condition):
        """Returns (status, revision, replayed)."""
        with self.lock:
            if token in self.tokens and self.fault != "applies twice":
                return *self.tokens[token], True
            present = self.keys.get(key)
            if condition and (present is None or present[1] != condition) and self.fault != "ignores conditions":
                answer = (412, present[1] if present else 0)
            else:
                self.revision += 1
                answer = (201 if value is not None and present is None else 200, self.revision)
                self.before[key] = present
                if value is None:
                    self.keys.pop(key, None)
                elif self.fault != "loses writes" or self.random.random() > 0.02:
                    self.keys[key] = (value, self.revision, present[2] + 1 if present else 1)
            if token:
                self.tokens[token] = answer
            return *answer, False

    def read(self, key):
        with self.lock:
            stale = self.fault == "reads are stale" and self.random.random() < 0.2
            return self.before.get(key) if stale else self.keys.get(key)


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    store = None
    drops = 0.0  # share of the requests that get no answer, half of them done all the same

    def log_message(self, *_):
        pass

    def answer(self, status, body=b"", **headers):
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), str(value))
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def hang_up(self):
        self.close_connection = True

    def write(self, value):
        chance = self.store.random.random()
        if chance < self.drops / 2:
            self.hang_up()
            return
        condition = self.headers.get("If-Match", '"0"')
        status, revision, replayed = self.store.apply(
            self.path, value, self.headers.get("Idempotency-Key"), int(condition.strip('"'))
        )
        if chance < self.drops:
            self.hang_up()
            return
        headers = {"ETag": f'"{revision}"'} if revision and value is not None else {}
        if replayed:
            headers["Holdfast-Replayed"] = "true"
        self.answer(status, b'{"revision":%d}' % revision, **headers)

    def do_PUT(self):
        self.write(self.rfile.read(int(self.headers["Content-Length"])))

    def do_DELETE(self):
        self.write(None)

    def do_GET(self):
        path, _, query = self.path.partition("?")
        if path == "/v1/kv":
            self.list(urllib.parse.parse_qs(query))
            return
        found = self.store.read(path)
        if found is None:
            self.answer(404)
        else:
            self.answer(200, found[0], ETag=f'"{found[1]}"', Holdfast_Version=found[2])

    def list(self, query):
        prefix, after = query["prefix"][0], query.get("after", [""])[0]
        with self.store.lock:
            keys = {k.removeprefix("/v1/kv/"): v for k, v in self.store.keys.items()}
        page = sorted(k for k in keys if k.startswith(prefix) and k > after)[:100]
        entries = [{"key": k, "value": keys[k][0].decode(), "modify": keys[k][1], "version": keys[k][2]} for k in page]
        body = {"revision": self.store.revision, "keys": entries, "next": page[-1] if len(page) == 100 else None}
        self.answer(200, json.dumps(body).encode())


class Server(socketserver.ThreadingMixIn, http.server.HTTPServer):
    daemon_threads = True
    allow_reuse_address = True
    request_queue_size = 128

    def handle_error(self, *_):
        pass  # a client that left


@pytest.fixture
def fake():
    """fake(fault, drops, ports) gives the addresses of a cluster that is none."""
    servers = []

    def make(fault=None, drops=0.0, ports=2):
        handler = type("Bound", (Handler,), {"store": Store(fault), "drops": drops})
        made = [Server(("127.0.0.1", free_port()), handler) for _ in range(ports)]
        for server in made:
            servers.append(server)
            threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        return [f"127.0.0.1:{server.server_address[1]}" for server in made]

    yield make
    for server in servers:
        server.shutdown()
        server.server_close()


def run(addresses, *arguments):
    done = subprocess.run(
        [os.path.join(BUILD, "holdfast-load"), "--json", "--nodes", ",".join(addresses), *arguments],
        capture_output=True,
        text=True,
        timeout=60,
    )
    return done, json.loads(done.stdout) if done.stdout else None


def judge(path, *nodes):
    """(exit status, kinds of violations)"""
    done = subprocess.run(
        [os.path.join(ROOT, "tests", "load", "check-history"), str(path), *(f"--node={n}" for n in nodes)],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode < 2, done.stderr
    lines = done.stdout.splitlines()[:-1]
    return done.returncode, {word for line in lines for word in ("once", "stale", "never", "end", "condition") if f" {word}: " in line}


TOKENS = ["--tokens", "--retry", "30"]
MIXED = ["--keys", "10", "--reads", "40", "--deletes", "10", "--cas", "20"]


@pytest.mark.parametrize("drops", [0.0, 0.2])
@pytest.mark.parametrize("what", [[], TOKENS, TOKENS + MIXED, MIXED])
def test_an_honest_server_is_found_honest(fake, tmp_path, drops, what):
    nodes = fake(drops=drops)
    path = tmp_path / "history"
    done, figures = run(nodes, "--count", "600", "--connections", "8", "--reads", "30", "--history", str(path), *what)
    assert done.returncode == 0, done.stderr
    assert judge(path, *nodes) == (0, set())
    assert run_linear(path).returncode == 0
    sums = [figures[kind][outcome] for kind in ("writes", "reads") for outcome in ("ok", "failed", "unknown")]
    assert sum(sums) == 600
    assert figures["wrong"] == 0
    if what and what[0] == "--tokens":
        assert figures["writes"]["unknown"] == 0  # repeated until answered
        assert figures["forced"] > 0 and figures["replayed"] > 0
    elif drops:
        assert figures["writes"]["unknown"] > 0 and figures["repeated"] == 0


@pytest.mark.parametrize(
    "fault, what, kind, linear",
    [
        ("applies twice", TOKENS, "once", 0),  # nothing was read in between
        ("applies twice", TOKENS + MIXED, "once", 1),
        ("loses writes", TOKENS, "end", 0),  # only check-history reads what is there in the end
        ("reads are stale", MIXED, "stale", 1),
        ("ignores conditions", MIXED, "condition", 1),
    ],
)
def test_a_server_that_breaks_a_promise_is_found_out(fake, tmp_path, fault, what, kind, linear):
    nodes = fake(fault)
    path = tmp_path / "history"
    run(nodes, "--count", "800", "--connections", "8", "--history", str(path), *what)
    status, kinds = judge(path, *nodes)
    assert status == 1 and kind in kinds
    assert run_linear(path).returncode == linear


def test_answers_that_must_not_be_are_told_at_once(fake):
    done, figures = run(fake("applies twice"), "--count", "200", *TOKENS)
    assert done.returncode == 1 and figures["wrong"] > 0
    assert "as if it were new" in done.stderr


def test_a_node_that_is_not_there_is_left_for_the_next(fake, tmp_path):
    nodes = [f"127.0.0.1:{free_port()}", *fake(ports=1)]
    path = tmp_path / "history"
    done, figures = run(nodes, "--count", "200", "--connections", "4", "--tokens", "--history", str(path))
    assert done.returncode == 0 and figures["writes"]["ok"] == 200
    assert judge(path, nodes[1]) == (0, set())


def test_without_a_token_nothing_is_repeated_and_what_was_not_sent_has_failed():
    done, figures = run([f"127.0.0.1:{free_port()}"], "--count", "20", "--connections", "2")
    assert done.returncode == 1
    assert figures["writes"]["failed"] == 20 and figures["repeated"] == 0


def test_a_rate_is_kept(fake):
    _, figures = run(fake(), "--rate", "100", "--count", "50", "--connections", "8")
    assert figures["seconds"] > 0.45


def test_it_says_what_it_cannot_do():
    for arguments in ([], ["--nodes", "x"], ["--nodes", "127.0.0.1:1", "--retry", "5"], ["--nodes", "127.0.0.1:1", "--count", "-1"]):
        done = subprocess.run([os.path.join(BUILD, "holdfast-load"), *arguments], capture_output=True, timeout=60)
        assert done.returncode == 64
