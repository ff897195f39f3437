"""Damage on the disk: a node says which file it is and ends with 74, it never serves what is damaged, and it leaves
every file as it was: mended, it goes on."""

import os

import pytest
import requests

from nodes import wait_until

DAMAGED = 74
PAGE = 4096


def flip(path, *places):
    with open(path, "r+b") as f:
        for place in places:
            f.seek(place)
            byte = f.read(1)
            f.seek(place)
            f.write(bytes([byte[0] ^ 0x80]))


def first_segment(node):
    log = os.path.join(node.data, "log")
    return os.path.join("log", sorted(os.listdir(log))[0])


DAMAGES = {
    "identity": (lambda node: "identity", [20], r"the file identity is damaged"),
    "raft log": (first_segment, [PAGE + 50], r"the raft log is damaged file=log/0000"),
    # A length beyond all bounds: Berkeley DB itself would die of it.
    "head of a log file of the state": (lambda node: "state/log.0000000001", [7], r"the state is damaged file=\S*/state\.0/log\.0000000001 offset=0"),
    "page of the state": (lambda node: "state/state.db", [PAGE + 100], r"state\.db|page 1"),
}


@pytest.mark.parametrize("what", DAMAGES)
def test_a_start_names_what_is_damaged_and_leaves_it_as_it_is(nodes, what):
    find, places, said = DAMAGES[what]
    n1 = nodes.node("n1").start()
    for i in range(50):
        assert requests.put(f"{n1.url}/v1/kv/k{i}", data=b"v%d" % i, timeout=30).ok
    assert n1.stop() == 0
    path = os.path.join(n1.data, find(n1))
    flip(path, *places)
    assert n1.launch().wait_exit() == DAMAGED
    n1.wait_log(said)
    assert os.path.exists(path)
    flip(path, *places)
    n1.start()
    for i in range(50):
        assert requests.get(f"{n1.url}/v1/kv/k{i}", timeout=30).content == b"v%d" % i


def test_a_page_that_is_damaged_at_work_ends_the_node_and_is_not_served(nodes):
    n1 = nodes.node("n1", state_cache="1MiB").start()
    put = requests.Session()
    for i in range(200):
        assert put.put(f"{n1.url}/v1/kv/k{i:04}", data=b"%04d" % i * 4096, timeout=30).ok
    path = os.path.join(n1.data, "state", "state.db")
    wait_until(lambda: os.path.getsize(path) > 100 * PAGE, "pages that the cache has no room for")
    flip(path, *range(PAGE + 2000, os.path.getsize(path) - PAGE, PAGE))
    try:
        for i in range(200):
            answer = put.get(f"{n1.url}/v1/kv/k{i:04}", timeout=30)
            assert not answer.ok or answer.content == b"%04d" % i * 4096
    except requests.RequestException:
        pass
    assert n1.wait_exit() == DAMAGED
    n1.wait_log(r"checksum error")
