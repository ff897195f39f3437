"""A whole node under valgrind: nothing is lost, nothing is read or written that is not there. What is not ours stands
in tests/valgrind.supp, each with its reason."""

import glob
import os
import re
import shutil

import pytest
import requests

from nodes import ROOT, Node
from raw_http import ask, get
from under_load import Load

OPTIONS = ["--trace-children=yes", "--leak-check=full", "--show-leak-kinds=definite", "--errors-for-leak-kinds=definite"]
# In turn, or a thread of a library that is to free something may not run before the end.
OPTIONS += ["--fair-sched=try", f"--suppressions={ROOT}/tests/valgrind.supp"]
REQUESTS = 10000

pytestmark = pytest.mark.skipif(shutil.which("valgrind") is None, reason="there is no valgrind")


class Watched:
    """A node under valgrind."""

    def __init__(self, nodes, **options):
        self.node = nodes.node(supervisor_silence="1m", limits_request="30s", **options)
        self.reports = self.node.data + ".valgrind."
        command = ["valgrind", *OPTIONS, f"--log-file={self.reports}%p"]
        self.node.command = lambda: [*command, *Node.command(self.node)]

    def start(self, **environment):
        self.node.launch(**environment)
        self.node.wait_log("all workers are at work")
        return self.node

    def stop(self):
        """In order; what was found, by process: (its command, bytes lost, errors, the whole report)."""
        assert self.node.stop() == 0, self.node.log()
        assert "worker ended" not in self.node.log()
        found = []
        for path in glob.glob(self.reports + "*"):
            with open(path, encoding="utf-8", errors="replace") as f:
                text = f.read()
            command = re.search(r"Command: \S+/(holdfast\S*(?: \S+)?)", text)[1]
            freed = "All heap blocks were freed" in text
            lost = "0" if freed else re.search(r"definitely lost: ([\d,]+) bytes", text)[1]
            errors = re.search(r"ERROR SUMMARY: (\d+) errors", text)[1]
            found.append((command, int(lost.replace(",", "")), int(errors), text))
        return sorted(found)


def use_every_route(node):
    """What the load does not: batches, lists, what is local, what is refused."""
    kv = node.url + "/v1/kv"
    for i in range(50):
        assert requests.put(f"{kv}/list/{i:02}", data=b"v" * 20000, timeout=30).ok
    assert len(requests.get(f"{kv}?prefix=list/", timeout=30).json()) > 0
    batch = [{"put": {"key": "b", "value": "1"}, "if": {"absent": True}}, {"delete": {"key": "list/20"}}]
    assert requests.post(node.url + "/v1/batch", json=batch, timeout=30).ok
    assert requests.delete(f"{kv}?prefix=list/1", timeout=30).ok
    requests.put(f"{kv}/chunks", data=iter([b"a" * 1000, b"b" * 1000]), timeout=30)
    for path in ("/v1/status", "/metrics", "/livez", "/readyz", "/leader", "/nowhere", "/v1/kv/%zz", "/v1/kv/none"):
        requests.get(node.url + path, timeout=30)
    requests.post(node.url + "/v1/batch", data=b"{", timeout=30)
    requests.post(node.url + "/v1/leader", timeout=30)
    ask(node, get("/livez").replace(b"Host", b"Host "))


def test_nothing_is_lost_after_10000_requests_and_a_stop(nodes):
    w = Watched(nodes)
    n = w.start()
    use_every_route(n)
    load = Load(nodes, [n], *f"--connections 8 --count {REQUESTS} --keys 300 --reads 30 --cas 15 --deletes 10 --tokens".split(), "--timeout", "30000")
    figures = load.finish()
    assert figures["writes"]["ok"] + figures["reads"]["ok"] == REQUESTS, figures
    found = w.stop()
    for command, lost, errors, report in found:
        print(f"{command}: definitely lost: {lost} bytes, {errors} errors")
        assert (lost, errors) == (0, 0), report
    assert [command.split(" ")[0] for command, *_ in found] == ["holdfast-worker", "holdfast-worker", "holdfastd"]


def test_a_worker_that_has_lost_memory_is_told_of(nodes, fake):
    w = Watched(nodes, program=fake)
    w.start(FAKE_CONSENSUS="leaky")
    found = {command: lost for command, lost, *_ in w.stop()}
    assert found["holdfast-worker consensus"] == 4711
    assert found["holdfast-worker http"] == 0
