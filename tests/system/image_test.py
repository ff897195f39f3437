"""A node that the log does not reach back to gets the state as an image: under load, and whoever dies meanwhile."""

import glob
import os
import random
import time

import requests

from nodes import PATIENCE, wait_until
from under_load import Load, Loads, leader_of, status, wait_equal

# The log is cut all the time, and an image takes a while.
SMALL = {"log_segment": "64KiB", "log_budget": "256KiB"}
SLOW = {"raft_image_rate": "2MiB"}
VALUE = 4096


def fill(node, count, prefix="fill"):
    """So many keys, and enough bytes that the log is cut."""
    with requests.Session() as s:
        for i in range(count):
            s.put(f"{node.url}/v1/kv/{prefix}/{i:06}", data=os.urandom(VALUE), timeout=PATIENCE).raise_for_status()


def counter(node, name):
    text = requests.get(f"{node.url}/metrics", timeout=PATIENCE).text
    return sum(float(line.split()[-1]) for line in text.splitlines() if line.startswith(f"holdfast_{name}"))


def wait_cut(nodes, beyond):
    """The logs of all of them begin behind this index."""
    wait_until(lambda: all((s := status(n)) and s["first"] > beyond for n in nodes), f"the logs to be cut behind {beyond}")


def leave_behind(cluster):
    """A follower that is down, and too far behind for anybody's log."""
    leader = leader_of(cluster)
    follower = next(n for n in cluster if n is not leader)
    last = status(follower)["last"]
    follower.kill_all()
    others = [n for n in cluster if n is not follower]
    for round_ in range(100):
        fill(leader, 100, f"behind/{round_}")
        if all(status(n)["first"] > last + 1 for n in others):
            return leader, follower
    raise AssertionError("the log is not cut")


def test_a_follower_that_was_down_long_catches_up_by_an_image_under_load(nodes):
    cluster = nodes.cluster(3, **SMALL)
    fill(cluster[0], 500)
    loads = Loads(nodes, cluster)
    leader, follower = leave_behind(cluster)
    follower.start()
    wait_until(lambda: "the state is that of an image now" in follower.log(), "the image")
    loads.wait_writes()
    loads.end_and_check()
    assert counter(follower, "images_received_total") >= 1
    # Once more: what it got is what it starts from.
    follower.kill_all()
    follower.start()
    wait_equal(cluster)
    assert "image" not in follower.log()


def test_sender_and_receiver_are_killed_in_the_middle(nodes):
    cluster = nodes.cluster(3, **SMALL, **SLOW)
    fill(cluster[0], 1500)
    loads = Loads(nodes, cluster)
    leader, follower = leave_behind(cluster)
    follower.start()
    for victim in (follower, leader, follower, follower):
        # In the middle of an image, whoever sends it by now.
        wait_until(lambda: any("sends an image" in n.log() for n in cluster), "an image to begin")
        time.sleep(random.uniform(0.05, 1.0))
        victim.kill_all()
        victim.start()
    loads.wait_writes(50)
    wait_until(lambda: (s := status(follower)) and s["caught_up"], "the follower to catch up", 4 * PATIENCE)
    loads.end_and_check()
    for n in cluster:
        states = [os.path.basename(path) for path in glob.glob(os.path.join(n.data, "state.*"))]
        wait_until(
            lambda: len(glob.glob(os.path.join(n.data, "state.*"))) == 1, f"one state in the data of {n.id}: {states}"
        )


def test_a_newcomer_of_a_cluster_that_has_cut_its_log(nodes):
    n1 = nodes.node("n1", **SMALL).start()
    fill(n1, 600)
    wait_cut([n1], 1)
    load = Load(nodes, [n1], "--connections", "4", "--keys", "100")
    others = [nodes.node(name, join=n1.http, **SMALL).start() for name in ("n2", "n3")]
    cluster = [n1, *others]
    wait_until(
        lambda: [m["role"] for m in requests.get(f"{n1.url}/v1/members", timeout=PATIENCE).json()["members"]]
        == ["voter"] * 3,
        "three voters",
    )
    load.stop()
    wait_equal(cluster)
    key = requests.get(f"{n1.url}/v1/kv/fill/000001", timeout=PATIENCE)
    for n in others:
        got = requests.get(f"{n.url}/v1/kv/fill/000001", params={"level": "stale"}, timeout=PATIENCE)
        assert (got.content, got.headers["ETag"]) == (key.content, key.headers["ETag"])


def test_a_connection_that_breaks_costs_what_was_on_its_way(nodes):
    # A frozen receiver loses its connections; the image goes on where it was.
    cluster = nodes.cluster(3, **SMALL, **SLOW)
    fill(cluster[0], 1500)
    leader, follower = leave_behind(cluster)
    follower.start()
    leader.wait_log("sends an image of the state")
    time.sleep(0.5)
    follower.freeze()
    wait_until(lambda: not next(m for m in status(leader)["members"] if m["id"] == follower.id)["connected"], "the loss", 60)
    follower.thaw()
    leader.wait_log("an image of the state was taken over")
    wait_equal(cluster)
    assert leader.log().count("sends an image of the state") == 1


def test_s8_the_follower_has_all_in_the_end_however_fast_others_write(nodes):
    # An image takes longer than the log has room for what is written meanwhile: the writes wait, and not one is refused.
    little = {"log_image_budget": "1MiB", "raft_image_rate": "256KiB", "limits_request": "20s"}
    cluster = nodes.cluster(3, **{**SMALL, **little})
    fill(cluster[0], 600)
    leader, follower = leave_behind(cluster)
    others = [n for n in cluster if n is not follower]
    load = Load(nodes, others, "--connections", "8", "--keys", "50", "--value_size", "2000", "--timeout", "25000", "--drain", "25000")
    follower.start()
    leader.wait_log("writes are slowed until it can be cut")
    wait_until(lambda: (s := status(follower)) and s["caught_up"], "the follower to catch up", 4 * PATIENCE)
    leader.wait_log("writes are not slowed any more")
    figures = load.stop()
    assert figures["writes"]["failed"] == figures["writes"]["unknown"] == 0, figures
    wait_equal(cluster)
    assert leader.log().count("an image of the state was taken over") == 1
    assert status(leader)["log_bytes"] < 4 << 20
