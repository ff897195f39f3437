"""Disasters under load: whatever happens, what was acknowledged is there afterwards, what carried a token is there
once, and all nodes have the same state."""

import time

import pytest

from nodes import is_alive, restart_all, wait_until
from under_load import Load, Loads, check_history, leader_of, status, wait_equal

FREEZE_SECONDS = 5


@pytest.fixture(params=[1, 3], ids=["one", "three"])
def cluster(nodes, request):
    if request.param == 1:
        return [nodes.node("n1").start()]
    return nodes.cluster(3)


@pytest.fixture
def loads(nodes, cluster):
    made = Loads(nodes, cluster)
    made.wait_writes()
    return made


def majority_is_there(cluster):
    return len(cluster) > 1


def test_kill_the_consensus_worker_of_the_leader(cluster, loads):
    for _ in range(2):
        leader = leader_of(cluster)
        leader.kill("consensus")
        loads.wait_writes()
        leader.wait_workers()
    loads.end_and_check()


def test_kill_an_http_worker_of_the_leader(cluster, loads):
    leader = leader_of(cluster)
    before = leader.workers()
    for _ in range(2):
        leader.kill("http 0")
        leader.wait_workers()
        loads.wait_writes()
    assert leader.workers()["consensus"] == before["consensus"]
    loads.end_and_check()


def test_kill_the_supervisor_of_the_leader(cluster, loads):
    leader = leader_of(cluster)
    workers = leader.workers().values()
    leader.kill()
    wait_until(lambda: not any(map(is_alive, workers)), "the end of its workers")
    wait_until(leader.ports_are_free, "its ports to be free")
    if majority_is_there(cluster):
        loads.wait_writes()
    leader.start()
    loads.wait_writes()
    loads.end_and_check()


def test_kill_the_whole_node_of_the_leader(cluster, loads):
    for _ in range(2):
        leader = leader_of(cluster)
        leader.kill_all()
        if majority_is_there(cluster):
            loads.wait_writes()
        leader.start()
        loads.wait_writes()
    loads.end_and_check()


def test_kill_all_nodes_at_once(cluster, loads):
    for _ in range(3):
        restart_all(cluster)
        loads.wait_writes()
    loads.end_and_check()


def test_stop_the_node_of_the_leader_and_let_it_go_on(cluster, loads):
    leader = leader_of(cluster)
    leader.freeze()
    until = time.monotonic() + FREEZE_SECONDS
    if majority_is_there(cluster):
        loads.wait_writes()
    time.sleep(max(0.0, until - time.monotonic()))
    leader.thaw()
    loads.wait_writes()
    loads.end_and_check()


def test_a_node_that_missed_a_hundred_thousand_writes_catches_up(nodes):
    # Little memory and small segments: what it missed must be read from the logs of the others.
    cluster = nodes.cluster(3, raft_cache="1MiB", log_segment="4MiB")
    leader = leader_of(cluster)
    away = next(n for n in cluster if n is not leader)
    others = [n for n in cluster if n is not away]
    wait_equal(cluster)
    assert away.stop() == 0
    bulk = Load(nodes, others, "--connections", "64", "--value-size", "64", "--count", "100000")
    assert bulk.finish()["writes"]["ok"] == 100000
    loads = Loads(nodes, others)
    loads.wait_writes()
    missed = status(leader)["applied"]
    away.start()
    wait_until(lambda: (s := status(away)) and s["applied"] >= missed, "what it missed", seconds=60)
    loads.wait_writes()
    loads.over = cluster
    loads.end_and_check()
    check_history([bulk], cluster, least=100000)
