"""Filesystems that somebody else fills (DESIGN 4): a node is full before a write fails, says so, and comes back by itself.

Each node has a small filesystem of its own, and a foreign file on it takes what is free."""

import os
import re
import subprocess

import pytest
import requests

from nodes import wait_until
from under_load import Load, check_history, leader_of, status, wait_equal

FILLER = "lost+found"  # a new filesystem has one, so that an empty node takes the directory
MIB = 1024 * 1024
# With segments of 1 MiB: full below 6 MiB free, room again from 7.5 MiB on, a ballast of 9 MiB.
SEGMENT, BYTES = "1MiB", 96 * MIB


@pytest.fixture
def small(nodes):
    """small(node): gives it a filesystem of its own under its data directory."""
    made = []

    def mount(node):
        os.mkdir(node.data)
        done = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", f"size={BYTES},mode=700", "holdfast-test", node.data],
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            os.rmdir(node.data)
            pytest.skip(f"mounting is not permitted: {done.stderr.strip()}")
        made.append(node.data)
        return node

    try:
        yield mount
    finally:
        nodes.clean_up()
        for path in made:
            subprocess.run(["umount", "-l", path], check=True)


def free(node):
    v = os.statvfs(node.data)
    return v.f_bavail * v.f_frsize


def fill(node, leave=0):
    """A foreign file takes all but `leave` bytes, as fast as it goes; to the last byte when 0."""
    with open(os.path.join(node.data, FILLER), "ab", buffering=0) as f:
        try:
            while free(node) > leave:
                f.write(b"x" * max(1, min(MIB, free(node) - leave)))
        except OSError:
            pass


def empty(node):
    os.unlink(os.path.join(node.data, FILLER))


def put(node, key, value=b"1"):
    return requests.put(f"{node.url}/v1/kv/{key}", data=value, timeout=30)


def get(node, key, level="linearizable"):
    return requests.get(f"{node.url}/v1/kv/{key}?level={level}", timeout=30)


def ready(node):
    answer = requests.get(node.url + "/readyz?verbose", timeout=30)
    return answer.status_code, answer.text


def metric(node, name):
    for line in requests.get(node.url + "/metrics", timeout=30).text.splitlines():
        if line.startswith(name + " "):
            return float(line.split()[1])
    pytest.fail(f"there is no metric {name}")


def wait_full(node):
    wait_until(lambda: (s := status(node)) and s["full"], f"{node.id} to be full")
    found = node.wait_log(r"the filesystem is full: this node takes no writes free=(\d+) mark=(\d+) ballast=(\d+)")
    assert int(found[1]) < int(found[2]) == 6 * MIB or int(found[3]) < 9 * MIB
    code, text = ready(node)
    assert code == 503
    assert "FAIL room: the filesystem is full: no writes are taken" in text
    assert metric(node, "holdfast_full") == 1


def wait_room(node):
    wait_until(lambda: (s := status(node)) and not s["full"], f"{node.id} to have room")
    node.wait_log(r"there is room again on the filesystem: this node takes writes free=\d+ mark=\d+ ballast=9437184")
    assert "ok   room: there is room on the filesystem" in ready(node)[1]
    assert metric(node, "holdfast_full") == 0
    assert os.stat(os.path.join(node.data, "ballast")).st_blocks * 512 == 9 * MIB


def refused(answer):
    assert answer.status_code == 503, answer.text
    assert answer.headers["Retry-After"]
    assert answer.json()["code"] == "full"
    assert answer.json()["applied"] == "no"
    found = re.search(r"free_bytes(?: is (\d+), free_mark is (\d+))?", answer.json()["error"])
    assert found and found[2] in (None, str(6 * MIB)), answer.text  # the leader's are not known elsewhere
    return True


def test_one_node_is_full_then_two_then_none_under_load(nodes, small):
    made = nodes.cluster(3, prepare=small, log_segment=SEGMENT)
    first = leader_of(made)
    pids = {n.id: n.workers()["consensus"] for n in made}
    load = Load(nodes, made, "--connections", "4", "--tokens", "--retry", "20", "--reads", "30", "--value-size", "200")
    load.wait_writes(200)

    # The leader's filesystem, to the last byte: it hands over, and the others go on.
    fill(first)
    wait_full(first)
    others = [n for n in made if n is not first]
    second = leader_of(others)
    wait_until(lambda: status(first)["role"] == "follower", "the full leader to follow")
    refused(put(first, "refused"))
    load.wait_writes(200)
    assert get(first, "refused", "stale").status_code == 404

    # The next leader's too: a majority is full, and no write is accepted, whichever node is asked.
    fill(second)
    wait_full(second)
    third = next(n for n in others if n is not second)
    wait_until(lambda: leader_of(made) is third, "the last one with room to lead")
    for n in made:
        wait_until(lambda: put(n, "refused").status_code == 503 and refused(put(n, "refused")), "a refusal")
    before = status(third)["last"]
    for _ in range(3):
        for n in (second, third):
            assert get(n, "refused").status_code == 404
    assert "ok   room" in ready(third)[1]
    assert status(third)["last"] == before, "a write was proposed"

    # Space comes back, and so does everything.
    empty(first)
    empty(second)
    wait_room(first)
    wait_room(second)
    load.wait_writes(200)
    figures = load.stop()
    wait_equal(made)
    check_history([load], made, least=500)
    print(f"writes: {figures['writes']}")
    assert pids == {n.id: n.workers()["consensus"] for n in made}, "a worker ended"


def test_a_cluster_of_one_is_full_and_comes_back(nodes, small):
    n = small(nodes.node("n1", log_segment=SEGMENT)).start()
    assert put(n, "before").ok
    pid = n.workers()["consensus"]
    load = Load(nodes, [n], "--connections", "4", "--tokens", "--retry", "20", "--value-size", "200")
    load.wait_writes(200)
    fill(n)
    wait_full(n)
    wait_until(lambda: put(n, "refused").status_code == 503 and refused(put(n, "refused")), "a refusal")
    assert get(n, "before").content == b"1"
    assert get(n, "refused").status_code == 404

    # Killed and started on the full filesystem, it starts on what it has put by, and reads.
    n.kill_all()
    n.start()
    n.wait_log(r"the filesystem is full")
    assert get(n, "before").content == b"1"
    refused(put(n, "refused"))
    pid = n.workers()["consensus"]

    empty(n)
    wait_room(n)
    load.wait_writes(200)
    load.stop()
    check_history([load], [n], least=200)
    assert n.workers()["consensus"] == pid, "the worker ended"


def test_a_node_without_room_to_begin_says_so_and_ends(nodes, small):
    n = small(nodes.node("n1", log_segment=SEGMENT))
    fill(n)
    n.launch()
    assert n.wait_exit() == 69
    assert f"cannot start from {n.data}: no space is left on the device" in n.log()
    empty(n)
    n.start()
    assert put(n, "after").ok


def test_a_full_follower_catches_up_when_it_has_room(nodes, small):
    made = nodes.cluster(3, prepare=small, log_segment=SEGMENT)
    leader = leader_of(made)
    full = next(n for n in made if n is not leader)
    fill(full, leave=3 * MIB)
    wait_full(full)
    left = free(full)
    for i in range(24):
        assert put(leader, f"k{i}", os.urandom(MIB)).ok
    assert status(full)["applied"] < status(leader)["applied"]
    assert free(full) > left - 2 * MIB, "it was fed"
    empty(full)
    wait_room(full)
    wait_equal(made)
