"""Damage on the disk of a node that the others can do without: it says what it found, sets it aside and comes back by
itself, while the cluster goes on. Where they cannot, it ends with 74 and leaves every file as it is."""

import glob
import os
import re
import shutil
import time

import pytest
import requests

from nodes import PATIENCE, wait_until
from offline import RECORD
from under_load import Load, check_history, leader_of, status, wait_equal

DAMAGED = 74
PAGE = 4096


def put(node, key, value, **query):
    return requests.put(f"{node.url}/v1/kv/{key}", data=value, params=query, timeout=PATIENCE)


# --- what is done to a file ---


def flip(path):
    """One bit, where something is written: in the middle of what is not zeros behind the first page."""
    size = os.path.getsize(path)
    with open(path, "r+b") as f:
        content = f.read()
        end = len(content.rstrip(b"\0"))
        place = end // 2 if size <= PAGE or end <= PAGE + 64 else (PAGE + end) // 2
        while content[place] == 0 and place > 0:
            place -= 1
        f.seek(place)
        f.write(bytes([content[place] ^ 1]))


def truncate(path):
    with open(path, "r+b") as f:
        f.truncate(os.path.getsize(path) // 2)


def delete(path):
    os.unlink(path)


# --- the files ---


def segments(node):
    return sorted(glob.glob(os.path.join(node.data, "log", "*.log")))


def number_of(segment):
    return int(os.path.basename(segment)[:16], 16)


def first_number(node):
    """As log/begins says: segments before it were cut away; their files are removed a little later (wal_format.h)."""
    with open(os.path.join(node.data, "log", "begins"), "rb") as f:
        return int.from_bytes(f.read(36)[28:], "little")


def first_segment(node):
    return next(path for path in segments(node) if number_of(path) >= first_number(node))


def kill_with_a_cut_log(node, removed):
    """With `removed`, at a moment at which no file of a segment that was cut away is left: else log/begins is not missed."""
    begins = FILES["log/begins"](node)
    while True:
        wait_until(lambda: len(segments(node)) > 3 and os.path.exists(begins), "the node to have a log that was cut")
        before = status(node)
        node.kill_all()
        if not removed or number_of(segments(node)[0]) >= first_number(node):
            return before
        node.start()
        wait_until(lambda: is_back(node), "the node to be back")


def state(node, name):
    found = sorted(glob.glob(os.path.join(node.data, os.readlink(os.path.join(node.data, "state")), name)))
    return found[-1]


FILES = {
    "first segment": first_segment,
    "middle segment": lambda n: segments(n)[len(segments(n)) // 2],
    "last segment": lambda n: segments(n)[-1],
    "log/begins": lambda n: os.path.join(n.data, "log", "begins"),
    "identity": lambda n: os.path.join(n.data, "identity"),
    "state.db": lambda n: state(n, "state.db"),
    "log of the state": lambda n: state(n, "log.*"),
    "link to the state": lambda n: os.path.join(n.data, "state"),
}


def what_it_said(node):
    """The first line that names damage, without its head."""
    lines = [re.sub(r"^\S+ consensus\S* \w+: ", "", line) for line in node.log().splitlines() if " consensus[" in line]
    wanted = r"damaged|missing|does not hold|torn|there was no link|BDB.*(error|PANIC|fail)"
    return next((line for line in lines if re.search(wanted, line)), "-")


def what_it_did(node, before, path):
    now = status(node)
    log = node.log()
    if now["incarnation"] != before["incarnation"]:
        return "new incarnation"
    if "the state is set aside" in log:
        return "state by image"
    if os.path.dirname(path).endswith("/log") and not os.path.exists(path):
        return "went on: it was cut away before"
    return "torn tail cut" if "torn tail" in log else "went on: nothing has read it yet" if "state.db" in path else "went on"


def is_back(node):
    s = status(node)
    return s and s["role"] in ("follower", "leader") and s["caught_up"] and s["quarantined"] is None and s


def remove_what_is_aside(node):
    """As the operator is told."""
    for path in glob.glob(os.path.join(node.data, "*.damaged-*")):
        shutil.rmtree(path) if os.path.isdir(path) else os.unlink(path)


@pytest.fixture
def cluster(nodes):
    """Of three, with logs of several segments that were cut already."""
    made = nodes.cluster(3, log_segment="64KiB", log_budget="256KiB", state_cache="1MiB")
    with requests.Session() as session:
        for i in range(700):
            assert session.put(f"{made[0].url}/v1/kv/fill{i % 300:03}", data=b"%04d" % i * 300, timeout=PATIENCE).ok
    wait_until(lambda: all(status(n)["first"] > 1 for n in made), "logs that were cut")
    return made


def test_damage_of_one_of_three_under_load(nodes, cluster):
    a, b, c = cluster
    load = Load(nodes, (a, b, c), "--connections", "3", "--tokens", "--retry", "30", "--reads", "30", "--value_size", "6000")
    load.wait_writes(200)
    table = []
    for name, find in FILES.items():
        for how in (flip, truncate, delete):
            if name == "link to the state" and how is not delete:
                continue
            before = kill_with_a_cut_log(c, name == "log/begins")
            path = find(c)
            how(path)
            began = time.monotonic()
            load.wait_writes(50)  # the others go on without it
            c.launch()
            c.wait_workers()
            wait_until(lambda: is_back(c), f"n3 to be back: {how.__name__} {name}\n{c.log()}")
            table.append((name, how.__name__, what_it_did(c, before, path), time.monotonic() - began, what_it_said(c)))
            load.wait_writes(50)
            remove_what_is_aside(c)
    print("\n" + "\n".join(f"| {n} | {h} | {d} | {t:.1f} s | {s[:170]} |" for n, h, d, t, s in table))
    load.stop()
    wait_equal(cluster)
    check_history([load], cluster, least=1000)  # nothing wrong was ever answered
    did = {(n, h): d for n, h, d, _, _ in table}
    for how in ("flip", "truncate", "delete"):
        assert did["identity", how] == did["log/begins", how] == "new incarnation"
        assert did["middle segment", how] in ("new incarnation", "went on: it was cut away before")
    assert "new incarnation" in (did["middle segment", "flip"], did["middle segment", "truncate"])
    assert did["state.db", "truncate"] == did["state.db", "delete"] == "state by image"


def test_damage_of_a_majority_is_left_as_it_is(nodes, cluster):
    a, b, c = cluster
    for n in cluster:
        n.stop()
    for n, find in ((b, FILES["first segment"]), (c, FILES["state.db"])):
        truncate(find(n))
    names = {n: sorted(os.listdir(n.data)) for n in cluster}
    sizes = {n: os.path.getsize(find(n)) for n, find in ((b, FILES["first segment"]), (c, FILES["state.db"]))}
    a.start(), b.launch(), c.launch()
    for n in (b, c):
        wait_until(lambda n=n: n.process.poll() is not None, "the end of its patience", 2 * PATIENCE)
        assert n.wait_exit() == DAMAGED, n.log()
        assert re.search(r"is damaged, and the node does not repair itself: .*every file is left as it is", n.log())
        assert sorted(os.listdir(n.data)) == names[n]
    assert sizes == {b: os.path.getsize(FILES["first segment"](b)), c: os.path.getsize(FILES["state.db"](c))}
    assert put(a, "x", "1", timeout="500ms").status_code in (503, 504)


def test_repair_is_an_option(nodes, cluster):
    _, _, c = cluster
    c.options["node-repair"] = "no"
    c.stop()
    flip(FILES["identity"](c))
    assert c.launch().wait_exit() == DAMAGED
    assert "the identity is damaged, and the node does not repair itself: [node] repair is no" in c.log()
    c.options["node-repair"] = "yes"
    c.start()
    wait_until(lambda: is_back(c), "n3 to be back")
    wait_equal(cluster)


def test_one_that_was_removed_does_not_come_back_by_damage(nodes, cluster):
    a, _, c = cluster
    c.stop()
    assert requests.delete(f"{a.url}/v1/members/n3", timeout=PATIENCE).ok
    flip(FILES["identity"](c))
    assert c.launch().wait_exit() == DAMAGED
    assert "it is no member of the cluster" in c.log()
    assert [m["id"] for m in status(a)["members"]] == ["n1", "n2"]


def test_pages_that_are_damaged_at_work_end_the_worker_and_not_the_node(nodes, cluster):
    a = leader_of(cluster)
    c = next(n for n in cluster if n is not a)
    pid = c.workers()["consensus"]
    for i in range(200):
        assert put(a, f"k{i:03}", b"%04d" % i * 4096).ok
    wait_equal(cluster)
    path = FILES["state.db"](c)
    wait_until(lambda: os.path.getsize(path) > 600 * PAGE, "pages that the cache has no room for")
    with open(path, "r+b") as f:
        for page in range(2 * PAGE, os.path.getsize(path), PAGE):
            f.seek(page + 2000)
            f.write(b"\xff\x01\xff")
    for i in range(200):
        try:
            answer = requests.get(f"{c.url}/v1/kv/k{i:03}", params={"level": "stale"}, timeout=5)
            assert not answer.ok or answer.content == b"%04d" % i * 4096
        except requests.RequestException:
            pass
        if "damage was found at work" in c.log():
            break
    wait_until(lambda: "damage was found at work" in c.log(), "the worker to find it")
    wait_until(lambda: is_back(c), "it to be back")
    assert c.process.poll() is None and c.workers()["consensus"] != pid
    assert "the state is set aside" in c.log() and not os.path.exists(os.path.join(c.data, "repair"))
    wait_equal(cluster)


def test_a_log_that_is_damaged_at_work_ends_the_worker_and_not_the_node(nodes):
    """A leader reads its log again for a follower that was away, and finds it damaged."""
    cluster = nodes.cluster(3, log_segment="256KiB", raft_cache="1MiB")
    a = leader_of(cluster)
    c = next(n for n in cluster if n is not a)
    c.kill_all()
    with requests.Session() as session:
        for i in range(400):
            assert session.put(f"{a.url}/v1/kv/k{i}", data=b"x" * 8000, timeout=PATIENCE).ok
    # From the last page that c can have on: all that is read for it.
    for path in segments(a)[:6]:
        flip(path)
    c.start()
    a.wait_log("the raft log is damaged file=log/")
    a.wait_log("the log was damaged: log, identity and state are set aside")
    wait_until(lambda: is_back(a), "it to be back", 60)
    assert a.process.poll() is None
    wait_equal(cluster)


def test_killed_in_any_step_a_repair_goes_on(nodes, cluster):
    """The worker dies in the middle of a call that changes the disk, while it sets aside, begins anew and joins; its
    successor brings it to its end."""
    a, _, c = cluster
    record = os.path.join(nodes.directory, "record")

    def calls():
        with open(record, "rb") as f:
            return int.from_bytes(f.read(16)[8:], "little")

    def repaired(at):
        before = status(c)["incarnation"]
        c.kill_all()
        flip(FILES["identity"](c))
        with open(record, "wb"):
            pass
        where = {"LD_PRELOAD": RECORD, "POWER_RECORD": record, "POWER_DATA": c.data, "POWER_NODE": "1"}
        c.launch(POWER_KILL=str(at), **where)

        def back():
            if c.process.poll() is not None:  # it was the supervisor that died
                c.launch(POWER_KILL=str(at), **where)
            return is_back(c)

        wait_until(back, f"n3 to be back, killed in call {at}")
        assert status(c)["incarnation"] != before
        wait_until(lambda: [m["role"] for m in status(a)["members"]] == ["voter"] * 3, "three voters")
        assert put(c, f"after-{at}", "1").ok
        wait_equal(cluster)
        remove_what_is_aside(c)
        return c.log()

    repaired(1 << 40)
    whole = calls()
    every = int(os.environ.get("EVERY", max(1, whole // 12)))
    died = sum("consensus worker was killed" in repaired(at) for at in range(2, whole, every))
    print(f"{whole} calls, killed in each {every}th: {died} died")
    assert died > 5
