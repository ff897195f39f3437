"""A state that is wrong and that no checksum tells: the nodes compare theirs, and who differs takes its own out of use, is
still of use to its clients, and gets the state of another."""

import os
import subprocess

import requests

from metric_text import scrape
from nodes import BUILD, wait_until
from under_load import Load, check_history, leader_of, status, wait_equal

TIMEOUT = 30
KEYS = 200
VALUE = b"0123456789abcdef" * 128
LEVELS = ("stale", "leader", "linearizable")


def url(node, number):
    return f"{node.url}/v1/kv/rot%2F{number}"


def read(node, number, level):
    return requests.get(url(node, number), params={"level": level}, timeout=TIMEOUT)


def fill(node):
    for i in range(KEYS):
        assert requests.put(url(node, i), data=VALUE + b"%d" % i, timeout=TIMEOUT).ok


def rot(node, number):
    subprocess.run([os.path.join(BUILD, "tests/system/tool/rot"), node.data, f"rot/{number}"], check=True)


def restart(nodes, **options):
    for n in nodes:
        assert n.stop() == 0
    for n in nodes:
        n.options |= options
        n.launch()
    for n in nodes:
        n.wait_workers()


def expect_quarantine(node, others):
    """It says so in every way, answers rightly, and hands its state to nobody."""
    ready = requests.get(node.url + "/readyz", timeout=TIMEOUT)
    assert ready.status_code == 503 and "quarantined" in ready.text
    assert scrape(node).value("holdfast_quarantined") == 1
    assert all(scrape(n).value("holdfast_quarantined") == 0 and status(n)["quarantined"] is None for n in others)
    backup = requests.get(node.url + "/v1/backup", timeout=TIMEOUT)
    assert backup.status_code == 503 and "quarantined" in backup.text
    for level in LEVELS:
        for i in range(20):
            assert read(node, i, level).content == VALUE + b"%d" % i
    answer = requests.put(url(node, 0), data=VALUE + b"0", timeout=TIMEOUT)
    assert answer.ok
    seen = read(others[0], 0, "linearizable")
    assert int(seen.headers["Holdfast-Revision"]) >= int(answer.headers["Holdfast-Revision"])


def test_a_state_that_rots_unseen_is_taken_out_of_use_and_replaced(nodes):
    # An image of what is there takes minutes at first.
    cluster = nodes.cluster(3, **{"raft_image_rate": "4KiB"})
    fill(cluster[0])
    bad = next(n for n in cluster if n is not leader_of(cluster))
    others = [n for n in cluster if n is not bad]
    wait_equal(cluster)
    assert bad.stop() == 0
    rot(bad, 7)
    bad.start()
    wait_equal(cluster)
    # Nobody knows: the hash follows from what changes, and this did not change in that way.
    assert read(bad, 7, "stale").content != VALUE + b"7"
    assert requests.put(url(others[0], 7), data=VALUE + b"7", timeout=TIMEOUT).ok
    load = Load(nodes, cluster, "--connections", "64", "--keys", "1000", "--count", "70000")
    load.finish()
    said = wait_until(lambda: (s := status(bad)) and s["quarantined"], "the quarantine")
    assert "as of revision 65536 " in said
    bad.wait_log("this node is quarantined: its state as of revision 65536 had the hash")
    assert status(leader_of(others))["agreed"]["revision"] == 65536
    expect_quarantine(bad, others)
    bad.kill_all()
    bad.start()
    assert status(bad)["quarantined"] == said
    wait_until(lambda: status(bad)["leader"], "a leader")
    expect_quarantine(bad, others)
    restart(cluster, **{"raft-image-rate": "0"})
    wait_until(lambda: (s := status(bad)) and s["quarantined"] is None, "the end of the quarantine")
    bad.wait_log("is trusted again")
    wait_equal(cluster)
    assert requests.get(bad.url + "/readyz", timeout=TIMEOUT).ok
    for level in LEVELS:
        assert read(bad, 7, level).content == VALUE + b"7"
    check_history([load], cluster)


def test_two_states_that_differ_stop_writes_until_one_is_taken_out(nodes):
    cluster = nodes.cluster(2)
    fill(cluster[0])
    good = leader_of(cluster)
    bad = next(n for n in cluster if n is not good)
    wait_equal(cluster)
    assert bad.stop() == 0
    rot(bad, 7)
    bad.start()
    wait_until(lambda: requests.put(url(good, 7), data=VALUE, timeout=TIMEOUT).ok, "a write")
    Load(nodes, cluster, "--connections", "64", "--keys", "1000", "--count", "70000").finish()
    for n in cluster:
        wait_until(lambda: status(n)["disputed"] == 65536, f"{n.id} to know that states differ")
        refused = requests.put(url(n, 1), data=VALUE, timeout=TIMEOUT)
        assert refused.status_code == 503 and refused.json()["code"] == "disputed"
        assert refused.headers["Holdfast-Applied"] == "no"
        assert status(n)["quarantined"] is None
        assert requests.get(n.url + "/readyz", timeout=TIMEOUT).status_code == 503
        assert scrape(n).value("holdfast_disputed_index") == 65536
        assert read(n, 1, "linearizable").status_code == read(n, 1, "leader").status_code == 503
        assert read(n, 1, "stale").content == VALUE + b"1"
    leader_of(cluster).wait_log("THE STATES OF THE VOTERS DIFFER")
    assert requests.delete(f"{good.url}/v1/members/{bad.id}", timeout=TIMEOUT).ok
    assert requests.put(url(good, 1), data=VALUE, timeout=TIMEOUT).ok
    assert read(good, 1, "linearizable").content == VALUE
    # The point, or where they came to rest behind it.
    assert status(good)["disputed"] is None and status(good)["agreed"]["revision"] >= 65536
