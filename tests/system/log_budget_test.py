"""The raft log has a budget: whatever is written, its files take no more, a start finds its way with what is left of it,
and who misses too much gets an image."""

import os
import threading

import requests

from metric_text import scrape
from nodes import restart_all, wait_until
from under_load import Loads, leader_of, status, wait_equal

KIB = 1024
BUDGET = 1024 * KIB
# Large enough that a busy machine's checkpoints do not slow writes.
IMAGE_BUDGET = 8192 * KIB
OPTIONS = {"log_segment": "64KiB", "log_budget": "1MiB", "log_image_budget": "8MiB"}


def log_bytes(node):
    total = 0
    directory = os.path.join(node.data, "log")
    for name in os.listdir(directory):
        try:
            total += os.path.getsize(os.path.join(directory, name))
        except FileNotFoundError:
            pass
    return total


class Watch:
    """The most that the log of each node took, looked at all the time."""

    def __init__(self, cluster):
        self.most = {n.id: 0 for n in cluster}
        self.over = threading.Event()
        self.thread = threading.Thread(target=self.look, args=(cluster,), daemon=True)
        self.thread.start()

    def look(self, cluster):
        while not self.over.wait(0.005):
            for n in cluster:
                self.most[n.id] = max(self.most[n.id], log_bytes(n))

    def end(self):
        self.over.set()
        self.thread.join()
        return self.most


def test_the_log_stays_within_its_budget_through_load_and_kills(nodes):
    cluster = nodes.cluster(3, **OPTIONS)
    loads = Loads(nodes, cluster)
    loads.wait_writes(400)
    watch = Watch(cluster)
    for round_ in range(3):
        node = leader_of(cluster) if round_ % 2 == 0 else next(n for n in cluster if n is not leader_of(cluster))
        node.kill_all()
        loads.wait_writes(400)
        node.start()
        loads.wait_writes(200)
    restart_all(cluster)
    loads.wait_writes(200)
    most = watch.end()
    print("the most that the logs took:", most)
    assert all(bytes_ <= BUDGET + IMAGE_BUDGET for bytes_ in most.values()), most
    loads.end_and_check()
    # Operators see where it begins and how long it is.
    for node in cluster:
        wait_until(lambda node=node: log_bytes(node) <= BUDGET, f"a short log of {node.id}")
        s = status(node)
        metrics = scrape(node)
        assert 1 < s["first"] <= s["last"], s
        assert 0 < s["log_bytes"] <= BUDGET, s
        assert metrics.value("holdfast_log_bytes") == s["log_bytes"]
        assert metrics.value("holdfast_first_index") == s["first"]
        assert metrics.value("holdfast_writes_slowed") == 0


def test_a_node_alone_with_a_small_log_keeps_all_through_kills(nodes):
    node = nodes.node("n1", **OPTIONS).start()
    written = {}
    for round_ in range(4):
        for i in range(150):
            key, value = f"{round_}-{i % 40}", os.urandom(2000).hex()
            assert requests.put(f"{node.url}/v1/kv/{key}", data=value, timeout=10).status_code in (200, 201)
            written[key] = value
        node.kill_all()
        node.start()
        for key, value in written.items():
            assert requests.get(f"{node.url}/v1/kv/{key}", timeout=10).text == value
    assert wait_until(lambda: status(node)["first"] > 150, "a log that was cut")


def test_a_start_with_a_smaller_budget_cuts_the_log_without_any_write(nodes):
    node = nodes.node("n1", log_segment="64KiB", log_budget="64MiB").start()
    for i in range(300):
        assert requests.put(f"{node.url}/v1/kv/{i % 10}", data="x" * 8000, timeout=10).status_code in (200, 201)
    assert node.stop() == 0
    before = log_bytes(node)
    assert before > 2 * BUDGET
    node.options["log-budget"] = "1MiB"
    node.start()
    wait_until(lambda: log_bytes(node) <= BUDGET, "a shorter log")
    wait_until(lambda: status(node)["first"] > 1, "its beginning")
    assert requests.get(f"{node.url}/v1/kv/9", timeout=10).text == "x" * 8000
