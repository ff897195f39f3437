"""holdfastd --recover-alone: a cluster of three that has lost two for good, and what its one survivor makes of it."""

import os
import re
import shutil

import requests

from nodes import PATIENCE, wait_until
from offline import AHEAD, Steps, offline
from under_load import leader_of, status, wait_equal


def put(node, key, value):
    return requests.put(f"{node.url}/v1/kv/{key}", data=value, timeout=PATIENCE)


def get(node, key):
    return requests.get(f"{node.url}/v1/kv/{key}", timeout=PATIENCE)


def recover(node, *more, typed=None):
    return offline(node, "--recover-alone", *more, typed=typed)


def is_untouched(node, identity):
    return not os.path.exists(os.path.join(node.data, "unfinished")) and identity_of(node) == identity


def identity_of(node):
    with open(os.path.join(node.data, "identity"), "rb") as f:
        return f.read()


def left_alone(nodes, keys=20):
    """n1 of three, stopped, as are the others; and what was acknowledged."""
    a, b, c = nodes.cluster(3, log_segment="64KiB")
    written = {}
    for i in range(keys):
        answer = put((a, b, c)[i % 3], f"k{i}", str(i))
        assert answer.ok
        written[f"k{i}"] = (str(i), answer.json()["revision"])
    wait_until(lambda: status(a)["applied"] >= max(r for _, r in written.values()), "n1 to have all of it")
    for n in (a, b, c):
        n.kill_all()
    return a, b, c, written


def has_all(node, written):
    for key, (value, revision) in written.items():
        answer = get(node, key)
        assert (answer.text, answer.headers["ETag"]) == (value, f'"{revision}"'), key


def test_m9_m12_the_last_of_three_goes_on_alone(nodes):
    a, b, c, written = left_alone(nodes)
    last = max(revision for _, revision in written.values())
    old = cluster_shown(a)
    code, said = recover(a, typed="yes\n")
    print(said)  # the transcript
    assert code == 0
    assert f"node n1 of the cluster {old}" in said and "Connection refused" in said
    new = re.search(r"n1 is the new cluster ([0-9a-f]{16}), which goes on after revision (\d+)", said)
    assert new[1] != old and int(new[2]) >= last + AHEAD
    kept = re.search(r"remove (log\.before-recovery-\w+) and (identity\.before-recovery-\w+) from", said)
    assert all(os.path.exists(os.path.join(a.data, name)) for name in kept.groups())
    a.start()
    assert leader_of([a]) is a
    assert status(a)["cluster"] == new[1]
    assert [m["id"] for m in status(a)["members"]] == ["n1"]
    has_all(a, written)
    assert put(a, "k0", "new").json()["revision"] > int(new[2])
    a.kill_all()
    for n in (a, b, c):  # those that were given up come back
        n.start()
    a.wait_log("belongs to another cluster")
    leader_of([b, c])  # the zombies lead among themselves
    assert put(b, "zombie", "1").ok
    assert status(a)["cluster"] == new[1] and [m["id"] for m in status(a)["members"]] == ["n1"]
    assert get(a, "k0").text == "new" and get(a, "zombie").status_code == 404
    del written["k0"]
    for n in (b, c):  # as the operator is told: wiped, and told to join
        n.kill_all()
        shutil.rmtree(n.data)
        del n.options["members"]
        n.options["join"] = a.http
        n.start()
    wait_until(lambda: [m["role"] for m in status(a)["members"]] == ["voter"] * 3, "three voters")
    wait_equal((a, b, c))
    for n in (b, c):
        has_all(n, written)


def cluster_shown(node):
    """The cluster of a node that is stopped, as a refused recovery shows it."""
    _, said = recover(node)
    return re.search(r"of the cluster ([0-9a-f]{16})", said)[1]


def test_refused_while_another_member_answers_or_is_only_stopped(nodes):
    a, b, c = nodes.cluster(3)
    assert put(a, "a", "1").ok
    code, said = recover(a, "--yes")
    assert code == 75 and "is in use by process" in said
    a.kill_all(), c.kill_all()
    identity = identity_of(a)
    code, said = recover(a, "--yes")
    assert code == 69 and f"n2 at {b.peer}: ANSWERS" in said and f"member n2 at {b.peer} lives" in said
    b.freeze()
    code, said = recover(a, "--yes")
    assert code == 69 and f"n2 at {b.peer}: SOMETHING ANSWERS (no hello in time)" in said
    assert is_untouched(a, identity)
    b.thaw()
    a.start(), c.start()
    leader_of([a, b, c])
    assert get(a, "a").text == "1"


def test_asks_and_takes_only_yes_for_an_answer(nodes):
    a, _, _, written = left_alone(nodes, keys=3)
    identity = identity_of(a)
    for typed, text in ((None, "there is no terminal to ask at"), ("no\n", "not done"), ("y\n", "not done")):
        code, said = recover(a, typed=typed)
        assert code == 64 and text in said, said
        assert is_untouched(a, identity)
    assert recover(a, "--yes")[0] == 0
    code, said = recover(a, "--yes")
    assert code == 64 and "this node is alone in its cluster already" in said
    a.start()
    assert leader_of([a]) is a
    has_all(a, written)


def test_what_it_is_not_for(nodes):
    a = nodes.node("n1")
    code, said = recover(a, "--yes")
    assert code == 66 and "cannot look at the data directory" in said
    a.start()
    a.stop()
    code, said = recover(a, "--yes")
    assert code == 78 and "this node has no cluster yet" in said
    a.id = "n9"
    code, said = recover(a, "--yes")
    assert code == 78 and "the directory is that of node n1, not of n9" in said
    os.unlink(os.path.join(a.data, "identity"))
    code, said = recover(a, "--yes")
    assert code == 66 and "it has no identity" in said


def test_killed_in_any_step_it_is_repeated(nodes):
    """The process dies in the middle of a call that changes the disk; no node starts, and the next try comes to the end."""
    a, _, _, written = left_alone(nodes)
    steps = Steps(a, "--recover-alone")
    before = steps.attempt()[2]  # looks, and is refused
    steps.begin_again()
    code, said, calls = steps.attempt("--yes")
    assert code == 0, said
    every = int(os.environ.get("EVERY", max(1, (calls - before) // 8)))
    taken_up = 0
    for at in range(before, calls + 1, every):
        steps.begin_again()
        code, said, _ = steps.attempt("--yes", at=at)
        assert code == -9, said
        if steps.is_unfinished():
            assert a.launch().wait_exit() == 78, a.log()
            assert "the recovery of this node did not come to its end; repeat it" in a.log()
        code, said = recover(a, "--yes")
        taken_up += "this one goes on where it was" in said
        if code == 64:  # only the last words were lost
            assert "alone in its cluster already" in said
        else:
            assert code == 0, said
        a.start()
        assert leader_of([a]) is a
        assert [m["id"] for m in status(a)["members"]] == ["n1"]
        has_all(a, written)
        assert put(a, "again", "1").json()["revision"] > AHEAD
        a.kill_all()
    print(f"{calls - before} calls, killed in each {every}th; {taken_up} were taken up where they broke off")
    assert taken_up > 1
