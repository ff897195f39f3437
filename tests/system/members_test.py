"""Members come and go, over HTTP, on real processes."""

import random
import shutil
import threading

import pytest
import requests

from nodes import PATIENCE, free_port, wait_until
from under_load import Load, check_history, leader_of, status, wait_equal


def put(node, key, value):
    return requests.put(f"{node.url}/v1/kv/{key}", data=value, timeout=PATIENCE)


def get(node, key, level="linearizable"):
    return requests.get(f"{node.url}/v1/kv/{key}", params={"level": level}, timeout=PATIENCE)


def add(via, node, node_id=None, wait=True, **more):
    query = {"wait": "voter", "timeout": "10s"} if wait else {"timeout": "10s"}
    body = {"id": node_id or node.id, "peer": node.peer, **more}
    return requests.post(f"{via.url}/v1/members", params=query, json=body, timeout=PATIENCE)


def remove(via, node_id):
    return requests.delete(f"{via.url}/v1/members/{node_id}", params={"timeout": "10s"}, timeout=PATIENCE)


def ask(change, via, what):
    """The answer, or none yet where the node that is asked was killed this moment."""
    try:
        return change(via, what)
    except requests.RequestException:
        return requests.Response()


def members(node):
    found = requests.get(f"{node.url}/v1/members", timeout=PATIENCE).json()["members"]
    return {m["id"]: m["role"] for m in found}


def wait_members(nodes, wanted):
    wait_until(lambda: all(members(n) == wanted for n in nodes), f"the members {wanted}")


def test_a_cluster_grows_from_one_to_three(nodes):
    n1, n2, n3 = (nodes.node(f"n{i}").start() for i in (1, 2, 3))
    assert put(n1, "first", b"1").status_code == 201
    answer = add(n1, n2)
    assert answer.status_code == 200, answer.text
    assert {m["id"]: m["role"] for m in answer.json()["members"]} == {"n1": "voter", "n2": "voter"}
    # Asked for through a node that does not lead.
    answer = add(n2, n3)
    assert answer.status_code == 200, answer.text
    wait_members([n1, n2, n3], {"n1": "voter", "n2": "voter", "n3": "voter"})
    for n in (n1, n2, n3):
        assert get(n, "first").content == b"1"
        assert put(n, f"from-{n.id}", b"x").status_code == 201
    wait_equal([n1, n2, n3])
    # Asked for again it is there already.
    assert add(n3, n2).status_code == 200
    for n in (n1, n2, n3):
        n.stop()
    for n in (n1, n2, n3):
        n.start()
    wait_until(lambda: get(n3, "from-n3").status_code == 200, "the cluster to serve again")


def test_who_cannot_be_added(nodes):
    n1 = nodes.node("n1").start()
    stranger = nodes.node("s1").start()
    absent = nodes.node("n2")  # nobody listens there
    assert put(n1, "a", b"1").status_code == 201
    assert put(stranger, "b", b"1").status_code == 201

    answer = add(n1, absent)
    assert (answer.status_code, answer.json()["code"], answer.json()["applied"]) == (503, "unreachable", "no")
    assert put(n1, "a", b"2").status_code == 200  # m11: and it cost nothing

    answer = add(n1, stranger)
    assert (answer.status_code, answer.json()["code"]) == (409, "conflict")
    assert "belongs to another cluster" in answer.json()["error"]
    assert get(stranger, "b").content == b"1"

    fresh = nodes.node("n3").start()
    answer = add(n1, fresh, node_id="n4")
    assert answer.status_code == 409 and "has another id" in answer.json()["error"]
    assert add(n1, n1).status_code == 200  # it is there already
    answer = add(n1, n1, node_id="n4")
    assert answer.status_code == 409 and "is this node itself" in answer.json()["error"]
    assert members(n1) == {"n1": "voter"}
    assert remove(n1, "n9").status_code == 404
    answer = remove(n1, "n1")
    assert answer.status_code == 409 and "last voter" in answer.json()["error"]


def test_a_removed_follower_and_a_removed_leader_still_serve(nodes):
    cluster = nodes.cluster(3)
    assert put(cluster[0], "a", b"1").status_code == 201
    wait_equal(cluster)  # who is out applies no more, and what it has by then is what it shows as stale
    leader = leader_of(cluster)
    follower = next(n for n in cluster if n is not leader)
    rest = [n for n in cluster if n is not follower]

    assert remove(leader, follower.id).status_code == 200
    wait_until(lambda: status(follower)["problem"], "the removed node to know it")
    assert "removed" in follower.log()
    assert put(leader, "a", b"2").status_code == 200
    assert get(follower, "a").content == b"2"
    assert put(follower, "b", b"1").status_code == 201
    assert get(leader, "b").content == b"1"
    assert requests.get(follower.url + "/readyz", timeout=PATIENCE).status_code == 503
    stale = get(follower, "a", level="stale")
    assert stale.status_code == 200 and int(stale.headers["Holdfast-Age"]) >= 0

    # m7: the leader, through itself.
    last = next(n for n in rest if n is not leader)
    assert remove(leader, leader.id).status_code == 200
    wait_members([last], {last.id: "voter"})
    assert put(last, "c", b"1").status_code == 201
    wait_until(lambda: status(leader)["problem"], "the removed leader to know it")
    assert get(leader, "c").content == b"1"

    # It stays out, also when it starts anew.
    leader.stop()
    leader.start()
    assert get(leader, "c").content == b"1"
    assert status(leader)["problem"]
    assert members(last) == {last.id: "voter"}


def test_m10_a_wiped_node_comes_back_as_another_incarnation(nodes):
    cluster = nodes.cluster(3)
    assert put(cluster[0], "a", b"1").status_code == 201
    leader = leader_of(cluster)
    lost = next(n for n in cluster if n is not leader)
    before = status(lost)["incarnation"]
    lost.kill()
    shutil.rmtree(lost.data)
    del lost.options["members"]
    lost.start()
    answer = add(leader, lost)
    assert answer.status_code == 200, answer.text
    wait_members(cluster, {n.id: "voter" for n in cluster})
    assert status(lost)["incarnation"] != before
    assert get(lost, "a").content == b"1"
    assert "REPLACED" in leader.log()
    wait_equal(cluster)


def test_a_removed_node_that_is_started_again_says_everywhere_what_to_do(nodes):
    """It said that it must be told to join again, and the answer to adding it spoke of the last voter."""
    cluster = nodes.cluster(3)
    leader = leader_of(cluster)
    removed = next(n for n in cluster if n is not leader)
    assert remove(leader, removed.id).status_code == 200
    wait_until(lambda: status(removed)["problem"], "the removed node to know it")
    removed.stop()
    removed.options["join"] = leader.http
    removed.start()
    remedy = "it must be stopped, its data directory emptied, and started with --join"
    said = removed.wait_log("error: (this node was removed from its cluster .*) revision=")[1]
    assert remedy in said and "[cluster] join are only asked" not in removed.log()
    assert status(removed)["problem"] == said
    answer = requests.get(f"{removed.url}/readyz", timeout=PATIENCE)
    assert answer.status_code == 503 and remedy in answer.text
    answer = add(leader, removed)
    assert (answer.status_code, answer.json()["applied"]) == (409, "no")
    assert "was removed from this cluster: stop it, empty its data directory" in answer.json()["error"]
    # That is all that it takes.
    removed.stop()
    shutil.rmtree(removed.data)
    removed.start()
    wait_members(cluster, {n.id: "voter" for n in cluster})


def test_two_live_nodes_of_one_id_the_older_is_out_when_an_operator_says_so(nodes):
    cluster = nodes.cluster(3)
    assert put(cluster[0], "a", b"1").status_code == 201
    leader = leader_of(cluster)
    older = next(n for n in cluster if n is not leader)
    newer = nodes.node("newer")
    newer.id = older.id
    newer.start()
    answer = add(leader, newer)
    assert (answer.status_code, answer.json()["code"]) == (409, "id_in_use"), answer.text
    assert status(older)["problem"] is None
    assert add(leader, newer, replace=True).status_code == 200
    wait_until(lambda: status(older)["problem"], "the older one to know that it is out")
    assert "removed" in older.log()
    older.stop()
    older.start()
    assert status(older)["problem"]
    for n in (*cluster, newer):
        assert get(n, "a").content == b"1"


@pytest.mark.parametrize("crashes", [False, True])
def test_one_three_five_three_one_under_load(nodes, crashes):
    """Writes with tokens, repeated until they are answered; with crashes, a random member is killed in the middle of each step."""
    first = nodes.node("n1").start()
    assert put(first, "seed", b"1").status_code == 201
    members_now = [first]
    load = Load(nodes, [first], "--connections", "8", "--tokens", "--reads", "30", "--keys", "50")
    dice = random.Random(seed := random.randrange(10**6))
    print(f"seed {seed}")

    def step(change, what):
        victim = dice.choice(members_now) if crashes else None
        changing = threading.Thread(target=lambda: wait_until(lambda: change().status_code in (200, 404), what))
        changing.start()
        if victim:
            victim.kill()
            victim.start()
        changing.join()
        load.wait_writes(50)

    for i in range(2, 6):
        n = nodes.node(f"n{i}").start()
        step(lambda n=n: ask(add, first, n), f"{n.id} to be a voter")
        members_now.append(n)
    wait_members(members_now, {n.id: "voter" for n in members_now})
    for n in members_now[:0:-1]:
        members_now.remove(n)
        step(lambda n=n: ask(remove, first, n.id), f"{n.id} to be out")
    wait_members([first], {"n1": "voter"})
    figures = load.stop()
    print(f"writes {figures['writes']}")
    assert figures["writes"]["unknown"] == 0
    check_history([load], [first], least=400)


def test_d12_a_voter_that_lost_its_volume_serves_no_key_of_its_own(nodes):
    n1, n2 = nodes.node("n1").start(), nodes.node("n2").start()
    assert put(n1, "a", b"1").status_code == 201
    assert add(n1, n2).status_code == 200
    n3 = nodes.node("n3").start()
    assert add(n1, n3).status_code == 200
    n2.kill()
    shutil.rmtree(n2.data)
    n2.start()
    answer = put(n2, "b", b"1")
    assert (answer.status_code, answer.json()["code"], answer.json()["applied"]) == (503, "foreign", "no")
    assert status(n1)["cluster"] in answer.json()["error"]
    assert get(n2, "a").status_code == 503
    assert add(n1, n2).status_code == 200
    assert get(n2, "a").content == b"1"
    assert status(n2)["problem"] is None


def test_two_clusters_are_not_merged_and_a_mistaken_add_leaves_no_trace(nodes):
    n1, other = nodes.node("n1").start(), nodes.node("x").start()
    assert put(n1, "a", b"1").status_code == 201
    # Dialed under a wrong name, a node without a cluster is what it was.
    assert add(n1, other, node_id="y").status_code == 409
    assert put(other, "b", b"1").status_code == 201
    assert status(other)["cluster"] != status(n1)["cluster"]
    answer = add(n1, other)
    assert answer.status_code == 409 and "belongs to another cluster" in answer.json()["error"]


def test_a_member_that_moved_is_found_again(nodes):
    cluster = nodes.cluster(3)
    assert put(cluster[0], "a", b"1").status_code == 201
    leader = leader_of(cluster)
    moved = next(n for n in cluster if n is not leader)
    moved.stop()
    del moved.options["members"]
    moved.peer = f"127.0.0.1:{free_port()}"
    moved.start()
    wait_until(lambda: {m["id"]: m["peer"] for m in requests.get(leader.url + "/v1/members", timeout=PATIENCE).json()["members"]}[moved.id] == moved.peer, "the new address")
    assert put(moved, "b", b"2").status_code == 201
    assert get(moved, "b").content == b"2"
    wait_equal(cluster)
