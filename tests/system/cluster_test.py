"""Three nodes that nothing happens to: what one node was told all know, and what was promised of reads holds."""

import os
import signal
import time

import pytest
import requests

from nodes import PATIENCE, wait_until
from under_load import Load, check_history, judge_history, leader_of, status, wait_equal


@pytest.fixture
def cluster(nodes):
    return nodes.cluster(3)


def test_every_node_takes_writes_and_shows_them_to_all(cluster):
    revisions = []
    for n in cluster:
        answer = requests.put(f"{n.url}/v1/kv/from/{n.id}", data=n.id.encode(), timeout=PATIENCE)
        assert answer.status_code == 201
        revisions.append(answer.json()["revision"])
    assert revisions == sorted(set(revisions))
    for n in cluster:
        page = requests.get(f"{n.url}/v1/kv", params={"prefix": "from/"}, timeout=PATIENCE).json()
        assert [(k["key"], k["value"]) for k in page["keys"]] == [(f"from/{m.id}", m.id) for m in cluster]
    wait_equal(cluster)


def test_all_know_the_leader(cluster):
    def known():
        leader = leader_of(cluster)
        said = [requests.get(n.url + "/leader", timeout=PATIENCE).status_code for n in cluster]
        seen = [status(n) for n in cluster]
        return all(s and s["leader"] and s["leader"]["id"] == leader.id for s in seen) and said == [
            200 if n is leader else 503 for n in cluster
        ]

    wait_until(known, "all to know the leader")


@pytest.mark.parametrize("level", ["linearizable", "leader"])
def test_reads_miss_nothing(nodes, cluster, level):
    mixed = ["--keys", "5", "--reads", "50", "--cas", "10", "--deletes", "5"]
    load = Load(nodes, cluster, "--connections", "32", "--count", "10000", "--level", level, *mixed)
    load.finish()
    check_history([load], cluster, least=3000)


def stumble(follower, load):
    """While the load runs, the follower's consensus worker stands still again and again: what waits for it when it goes on is
    answered before it has heard of what the others did."""
    worker, stops = follower.workers()["consensus"], 0
    while load.process.poll() is None:
        for number in (signal.SIGSTOP, signal.SIGCONT):
            os.kill(worker, number)
            time.sleep(0.03)
        stops += 1
    return stops


def test_the_check_would_see_reads_that_miss_something(nodes, cluster):
    # level=stale promises less; judged as if it promised all, it must be found out.
    follower = next(n for n in cluster if n is not leader_of(cluster))
    load = Load(nodes, cluster, "--connections", "32", "--duration", "2", "--keys", "3", "--reads", "50", "--level", "stale")
    assert stumble(follower, load) > 1
    load.finish()
    assert judge_history(load, cluster).returncode == 0
    with open(load.history, "r+", encoding="ascii") as f:
        text = f.read().replace("level=stale", "level=linearizable", 1)
        f.seek(0)
        f.write(text)
        f.truncate()
    judged = judge_history(load, cluster)
    assert judged.returncode == 1, "no stale read was seen"
    assert all(": stale: " in line for line in judged.stdout.splitlines()[:-1])


def test_a_list_in_pages_has_every_key_whatever_their_size(cluster):
    # A page ends at 2 MiB; the first key of the next one was lost when its value was long.
    url = f"{cluster[0].url}/v1/kv"
    for i in range(120):
        requests.put(f"{url}/page/{i:03}", data=b"v" * 50000, timeout=PATIENCE).raise_for_status()
    seen, after = [], None
    while True:
        which = {"prefix": "page/", **({"after": after} if after else {})}
        page = requests.get(url, params=which, timeout=PATIENCE).json()
        seen += [k["key"] for k in page["keys"]]
        after = page["next"]
        if after is None:
            break
    assert seen == [f"page/{i:03}" for i in range(120)]
