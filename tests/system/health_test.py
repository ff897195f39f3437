"""What a node says of its health, on real processes: it is what a client would get."""

import threading

import requests

from nodes import PATIENCE, wait_until
from under_load import leader_of, status


def code(node, path):
    return requests.get(node.url + path, timeout=PATIENCE).status_code


def test_a_listed_node_alone_is_neither_ready_nor_leader(nodes):
    others = [nodes.node(name) for name in ("n2", "n3")]
    n1 = nodes.node("n1")
    n1.options["members"] = ", ".join(f"{n.id}={n.peer}" for n in (n1, *others))
    n1.start()
    said = status(n1)
    assert (code(n1, "/readyz"), code(n1, "/leader"), code(n1, "/v1/kv/a?timeout=100ms")) == (503, 503, 503)
    assert said["leader"] is None and said["role"] == "unformed" and said["members"] == []


def test_a_fresh_node_alone_shows_itself_as_leader_and_only_voter(nodes):
    n1 = nodes.node("n1").start()
    old = requests.get(f"{n1.url}/raft/status", timeout=PATIENCE).json()
    assert old["state"] == "Leader"
    assert old["latest_configuration"] == f"[{{Suffrage:Voter ID:n1 Address:{n1.peer}}}]"
    said = status(n1)
    assert said["role"] == "leader" and said["leader"]["id"] == "n1"
    assert [(m["id"], m["role"], m["leader"]) for m in said["members"]] == [("n1", "voter", True)]
    assert requests.get(f"{n1.url}/v1/members", timeout=PATIENCE).json()["members"] == said["members"]
    assert (code(n1, "/readyz"), code(n1, "/leader")) == (200, 200)


def test_a_node_without_its_majority_is_not_ready_and_comes_back(nodes):
    cluster = nodes.cluster(3)
    leader = leader_of(cluster)
    others = [n for n in cluster if n is not leader]
    wait_until(lambda: all(code(n, "/readyz") == 200 for n in cluster), "all to be ready")
    for n in others:
        n.freeze()
    wait_until(lambda: code(leader, "/readyz") == 503, "the leader to notice")
    assert code(leader, "/leader") == 503
    for n in others:
        n.thaw()
    wait_until(lambda: all(code(n, "/readyz") == 200 for n in cluster), "all to be ready again")


def test_a_node_that_joins_is_ready_when_it_counts(nodes):
    """Killed at that moment, the first node took the only majority with it: the second had said that it was ready."""
    n1 = nodes.node("n1").start()
    assert requests.put(f"{n1.url}/v1/kv/a", data=b"1", timeout=PATIENCE).status_code == 201
    n2, n3 = (nodes.node(name, join=n1.http).start() for name in ("n2", "n3"))
    for n in (n2, n3):
        wait_until(lambda: code(n, "/readyz") == 200, f"{n.id} to be ready")
    n1.kill_all()
    wait_until(lambda: requests.put(f"{n2.url}/v1/kv/a", data=b"2", timeout=PATIENCE).status_code == 200, "a write")
    assert requests.get(f"{n3.url}/v1/kv/a", timeout=PATIENCE).content == b"2"


def test_nodes_stay_ready_under_writes_and_when_leadership_is_handed_over(nodes):
    """What was committed and not applied yet, between two batches, said that every node was not ready, the leader too."""
    cluster = nodes.cluster(3)
    wait_until(lambda: all(code(n, "/readyz") == 200 for n in cluster), "all to be ready")
    over = threading.Event()

    def write(name):
        session = requests.Session()
        while not over.is_set():
            session.put(f"{cluster[0].url}/v1/kv/{name}", data=bytes(2000), timeout=PATIENCE)

    writers = [threading.Thread(target=write, args=(i,)) for i in range(12)]
    for w in writers:
        w.start()
    try:
        said = [(code(n, "/readyz"), n.id) for _ in range(60) for n in cluster]
    finally:
        over.set()
        for w in writers:
            w.join()
    assert [s for s in said if s[0] != 200] == []
    assert requests.post(f"{cluster[0].url}/v1/leader", timeout=PATIENCE).status_code == 200
    assert [code(n, "/readyz") for n in cluster] == [200, 200, 200]
