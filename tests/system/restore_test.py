"""GET /v1/backup under load, and holdfastd --restore of it elsewhere."""

import os
import re
import shutil
import threading

import pytest
import requests

from nodes import PATIENCE, wait_until
from offline import AHEAD, Steps, offline
from under_load import leader_of, status, wait_equal

WRITERS = 4
KEYS = 50  # of each writer


def restore(node, source, **options):
    return offline(node, "--restore", source, **options)


def backup_of(node):
    answer = requests.get(f"{node.url}/v1/backup", timeout=PATIENCE)
    assert answer.status_code == 200, answer.text
    return answer


def content(node):
    """{key: (value, create, modify, version)} of all keys, page by page."""
    found, after = {}, ""
    while after is not None:
        page = requests.get(f"{node.url}/v1/kv", params={"after": after}, timeout=PATIENCE).json()
        for k in page["keys"]:
            found[k["key"]] = (k["value"], k["create"], k["modify"], k["version"])
        after = page.get("next")
    return found


class Writer(threading.Thread):
    """Puts and deletes its own keys, one operation after the other, and writes down what each came to."""

    def __init__(self, number, node):
        super().__init__()
        self.number = number
        self.node = node
        self.past = {}  # key: [(revision, value or None)]
        self.doubtful = set()  # keys with an operation of unknown outcome
        self.done = 0
        self.ending = threading.Event()

    def run(self):
        with requests.Session() as session:
            while not self.ending.is_set():
                self.write(session, f"w{self.number}/{self.done * 7 % KEYS:03}")
                self.done += 1

    def write(self, session, key):
        value = None if self.done % 11 == 10 else f"{self.done}:" + "x" * (self.done * 37 % 2000)
        url = f"{self.node.url}/v1/kv/{key}"
        try:
            answer = session.delete(url, timeout=5) if value is None else session.put(url, data=value, timeout=5)
        except requests.RequestException:
            self.doubtful.add(key)
            return
        if answer.status_code in (200, 201):
            self.past.setdefault(key, []).append((answer.json()["revision"], value))
        elif answer.headers.get("Holdfast-Applied") != "no" and answer.status_code != 404:
            self.doubtful.add(key)

    def as_of(self, revision):
        """{key: (value, revision)}"""
        last = {key: [o for o in past if o[0] <= revision] for key, past in self.past.items()}
        return {k: (past[-1][1], past[-1][0]) for k, past in last.items() if past and past[-1][1] is not None}


def written_under_load(over, take):
    """What take() returns while the writers write, and they, ended."""
    writers = [Writer(i, over[i % len(over)]) for i in range(WRITERS)]
    for w in writers:
        w.start()
    try:
        wait_until(lambda: all(w.done > 3 * KEYS for w in writers), "a past")
        taken = take()
        seen = [w.done for w in writers]
        wait_until(lambda: all(w.done > s + KEYS for w, s in zip(writers, seen)), "what comes after the backup")
    finally:
        for w in writers:
            w.ending.set()
        for w in writers:
            w.join()
    return taken, writers


def check_as_of(found, writers, revision):
    """How many keys were compared: all that there are, both ways."""
    expected = {}
    for w in writers:
        expected.update(w.as_of(revision))
    doubtful = set().union(*(w.doubtful for w in writers))
    assert {k: (v[0], v[2]) for k, v in found.items() if k not in doubtful} == {
        k: v for k, v in expected.items() if k not in doubtful
    }
    return len(found)


def grow(nodes, first, *names, **options):
    """Two more, by join."""
    grown = [first]
    for name in names:
        grown.append(nodes.node(name, join=first.http, **options).start())

    def all_vote():
        seen = [status(n) for n in grown]
        return all(s and [m["role"] for m in s["members"]] == ["voter"] * len(grown) for s in seen)

    wait_until(all_vote, "all to be voters")
    return grown


def test_s7_backup_under_load_is_restored_elsewhere(nodes):
    a, b, c = nodes.cluster(3)
    follower = next(n for n in (a, b, c) if n is not leader_of([a, b, c]))
    taken, writers = written_under_load((a, b, c), lambda: backup_of(follower))
    revision, old = int(taken.headers["Holdfast-Revision"]), taken.headers["Holdfast-Cluster"]
    last = wait_equal((a, b, c))[0]["applied"]
    assert last > revision
    m1 = nodes.node("m1")
    path = os.path.join(nodes.directory, "backup")
    with open(path, "wb") as f:
        f.write(taken.content)
    code, said = restore(m1, path)
    assert code == 0, said
    told = re.search(r"restored keys=(\d+) as of revision=(\d+) of the cluster (\w+)\n.* cluster (\w+), which", said)
    assert (int(told[2]), told[3]) == (revision, old) and told[4] != old
    m1.start()
    leader_of([m1])
    found = content(m1)
    compared = check_as_of(found, writers, revision)
    assert int(told[1]) == compared
    print(f"{compared} keys as of revision {revision}, of {last} in the end: as written down")
    assert status(m1)["cluster"] == told[4] and [m["id"] for m in status(m1)["members"]] == ["m1"]
    # None of the revisions that the old cluster has given out since.
    assert requests.put(f"{m1.url}/v1/kv/new", data="1", timeout=PATIENCE).json()["revision"] > revision + AHEAD > last
    cluster = grow(nodes, m1, "m2", "m3")
    wait_equal(cluster)
    assert {**found, "new": None}.keys() == content(cluster[2]).keys()
    for n in cluster[1:]:  # each follower dies, the others go on, it comes back
        n.kill_all()
        for i in range(20):
            url = f"{m1.url}/v1/kv/after-{n.id}-{i}"
            assert requests.put(url, data="1", timeout=PATIENCE).ok
        n.start()
        wait_equal(cluster)
    again = backup_of(cluster[1])
    assert again.headers["Holdfast-Cluster"] == told[4]
    before = content(m1)
    x = nodes.node("x1")
    code, said = restore(x, "-", text=again.content)  # of a restored cluster, through a pipe
    assert code == 0, said
    x.start()
    leader_of([x])
    assert content(x) == before
    for n in (a, b, c):
        assert status(n)["cluster"] == old


@pytest.fixture
def backup(nodes):
    n1 = nodes.node("n1").start()
    for i in range(300):
        assert requests.put(f"{n1.url}/v1/kv/k{i}", data=str(i) * 500, timeout=PATIENCE).ok
    taken = backup_of(n1).content
    n1.stop()
    return taken


def test_what_is_no_whole_backup_is_refused_with_the_place(nodes, backup):
    node = nodes.node("m1")
    flipped = bytearray(backup)
    flipped[len(backup) // 2] ^= 8
    for text, reason in (
        (b"", 'offset=0 reason="it is empty"'),
        (b'{"error":"no leader is known"}', 'offset=0 reason="frame 1: it is cut short, or no frame"'),
        (backup[: len(backup) // 2], 'reason="it ends within a frame"'),
        (backup[:-1], 'reason="it ends within a frame"'),
        (bytes(flipped), "its checksum is wrong"),
        (backup + backup, f'offset={len(backup)} reason="frame '),
    ):
        code, said = restore(node, "-", text=text)
        assert code == 65 and "standard input: the backup is damaged offset=" in said and reason in said, said
        assert "nothing was restored" in said
        assert node.launch().wait_exit() == 78
        assert "a restore into this directory did not come to its end; repeat it" in node.log()
    code, said = restore(node, "-", text=backup)
    assert code == 0 and "restored keys=300 " in said
    node.start()
    assert requests.get(f"{node.url}/v1/kv/k299", timeout=PATIENCE).text == "299" * 500


def test_only_into_an_empty_directory_that_nobody_is_in(nodes, backup):
    code, said = restore(nodes.node("m0"), os.path.join(nodes.directory, "none"))
    assert code == 66 and f"cannot open the backup {nodes.directory}/none: No such file" in said
    assert not os.path.exists(os.path.join(nodes.directory, "m0"))
    n1 = nodes.all[0]
    code, said = restore(n1, "-", text=backup)
    assert code == 73 and "is restored into an empty directory only" in said and "identity" in said
    n1.start()
    code, said = restore(n1, "-", text=backup)
    assert code == 75 and f"is in use by process {n1.process.pid}" in said


def test_killed_in_any_step_it_is_repeated(nodes, backup):
    node = nodes.node("m1", log_segment="64KiB")
    os.mkdir(node.data, 0o700)
    steps = Steps(node, "--restore", "-", text=backup)
    code, said, calls = steps.attempt()
    assert code == 0, said
    every = int(os.environ.get("EVERY", max(1, calls // 8)))
    unfinished = 0
    for at in range(2, calls + 1, every):
        steps.begin_again()
        code, said, _ = steps.attempt(at=at)
        assert code == -9, said
        if steps.is_unfinished():
            unfinished += 1
            assert node.launch().wait_exit() == 78, node.log()
            assert "a restore into this directory did not come to its end" in node.log()
        code, said = restore(node, "-", text=backup)
        if code == 73:  # only the last words were lost
            assert not steps.is_unfinished()
        else:
            assert code == 0, said
        node.start()
        leader_of([node])
        assert len(content(node)) == 300
        node.kill_all()
    print(f"{calls} calls, killed in each {every}th; {unfinished} were not finished")
    assert unfinished > 1
