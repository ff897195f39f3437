"""Nodes come back at other addresses, and find each other without an operator."""

import pytest
import requests

from nodes import PATIENCE, free_port, wait_until
from under_load import wait_equal


def put(node, key, value=b"1", **options):
    return requests.put(f"{node.url}/v1/kv/{key}", data=value, timeout=PATIENCE, **options)


def status(node):
    return requests.get(f"{node.url}/v1/status", timeout=PATIENCE).json()


def known(via):
    """Where the cluster has its members, as this node knows."""
    found = requests.get(f"{via.url}/v1/members", timeout=PATIENCE).json()["members"]
    return {m["id"]: (m["peer"], m["http"]) for m in found}


def are(nodes):
    return {n.id: (n.peer, n.url) for n in nodes}


def wait_known(nodes):
    wait_until(lambda: all(known(n) == are(nodes) for n in nodes), f"the members {are(nodes)}")


def wait_serving(node, key):
    wait_until(lambda: put(node, key).status_code == 201, f"{node.id} to serve")


def new_peer(node):
    node.peer = f"127.0.0.1:{free_port()}"


def new_http(node):
    node.http = f"127.0.0.1:{free_port()}"
    node.url = f"http://{node.http}"


def stop_all(nodes):
    for n in nodes:
        n.stop()


def start_all(nodes):
    for n in nodes:
        n.launch()
    for n in nodes:
        n.wait_workers()


def joined_cluster(nodes, count=3):
    """The first forms it, the others join; all know the HTTP addresses of all."""
    made = [nodes.node(f"n{i + 1}") for i in range(count)]
    made[0].start()
    assert put(made[0], "first").status_code == 201
    for n in made[1:]:
        n.options["join"] = made[0].http
        n.start()
    wait_known(made)
    wait_until(lambda: all(m["role"] == "voter" for m in status(made[0])["members"]), "all to be voters")
    return made


def swap(n1, n2):
    stop_all((n1, n2))
    n1.peer, n2.peer = n2.peer, n1.peer
    start_all((n1, n2))


def test_two_nodes_swap_addresses_and_the_third_stops(nodes):
    n1, n2, n3 = joined_cluster(nodes)
    swap(n1, n2)
    wait_serving(n1, "swapped")
    n3.stop()
    wait_serving(n1, "without-the-third")
    wait_serving(n2, "through-the-other")
    wait_until(lambda: known(n1)["n1"][0] == n1.peer and known(n1)["n2"][0] == n2.peer, "the swapped addresses")
    n3.start()
    wait_known((n1, n2, n3))
    wait_equal([n1, n2, n3])


def test_two_nodes_swap_addresses_while_the_third_is_away(nodes):
    n1, n2, n3 = joined_cluster(nodes)
    n3.stop()
    swap(n1, n2)
    wait_serving(n1, "swapped")
    n3.start()
    wait_known((n1, n2, n3))


@pytest.mark.parametrize("how", ["members", "join"])
def test_all_nodes_get_new_peer_addresses(nodes, how):
    made = nodes.cluster(3) if how == "members" else joined_cluster(nodes)
    wait_serving(made[0], "before")
    stop_all(made)
    for n in made:
        new_peer(n)
        new_http(n)
    for n in made:
        if how == "members":
            n.options["members"] = ", ".join(f"{m.id}={m.peer}" for m in made)
        else:
            n.options["join"] = ",".join(m.http for m in made)
    start_all(made)
    wait_serving(made[0], "after")
    wait_known(made)
    wait_equal(made)
    # What they know now needs neither list nor join.
    stop_all(made)
    for n in made:
        n.options.pop("members", None)
        n.options.pop("join", None)
    start_all(made)
    wait_serving(made[2], "again")


def test_one_node_that_nobody_knows_where_finds_the_others_by_join(nodes):
    n1, n2, n3 = joined_cluster(nodes)
    stop_all((n3,))
    stop_all((n1, n2))
    for n in (n1, n2):
        new_peer(n)
    n1.options["join"] = n2.http
    start_all((n1, n2))
    wait_serving(n1, "moved")
    # It was away when the others moved, and the one that it asks is not where the log has it.
    new_peer(n3)
    n3.options["join"] = n1.http
    n3.start()
    wait_serving(n3, "found")
    wait_known((n1, n2, n3))


def test_http_address_that_changed_is_where_redirects_lead(nodes):
    made = nodes.cluster(3)
    wait_serving(made[0], "before")
    for n in made:
        n.stop()
        new_http(n)
        n.start()
        wait_until(lambda: status(n)["leader"] is not None, "a leader")
    wait_known(made)
    for n in made:
        assert status(n)["http"] == n.url
        assert wait_until(lambda: status(n)["leader"], "its leader")["http"] in {m.url for m in made}

    def redirected():
        answers = [requests.post(f"{n.url}/key", json={"a": "b"}, allow_redirects=False, timeout=PATIENCE) for n in made]
        return [a.headers["Location"] for a in answers if a.status_code == 307] if len({a.status_code for a in answers} & {503, 504}) == 0 else []

    wait_until(lambda: set(redirected()) & {f"{n.url}/key" for n in made}, "redirects to where the leader is")


def test_restart_changes_no_address_that_an_operator_gave(nodes):
    n1, n2 = nodes.node("n1").start(), nodes.node("n2").start()
    assert put(n1, "first").status_code == 201
    proxy = f"http://127.0.0.1:{free_port()}"
    body = {"id": "n2", "peer": n2.peer, "http": proxy}
    answer = requests.post(f"{n1.url}/v1/members", params={"wait": "voter"}, json=body, timeout=PATIENCE)
    assert answer.status_code == 200, answer.text
    n2.stop()
    n2.start()
    wait_serving(n2, "again")
    n1.stop()
    n1.start()
    wait_serving(n1, "and-again")
    # Whatever the leaders take over, they had the time for it.
    new_http(n1)
    n1.stop()
    n1.start()
    wait_until(lambda: known(n2)["n1"] == (n1.peer, n1.url), "the other address")
    assert known(n1)["n2"] == (n2.peer, proxy)


def test_node_without_its_file_does_not_destroy_what_the_cluster_knows(nodes):
    """It says 127.0.0.1:9000, which leads every other machine to itself: here, to nobody or another member."""
    n1, n2, n3 = nodes.cluster(3)
    wait_serving(n1, "before")
    before = known(n1)
    n3.stop()
    # Where it listens it is reached; what it tells the others leads to n1.
    n3.options["peer-advertise"] = n1.peer
    n3.start()
    wait_serving(n3, "with-a-wrong-address")
    new_http(n2)
    n2.stop()
    n2.start()
    wait_until(lambda: known(n1)["n2"][1] == n2.url, "the address of another node to be taken over")
    assert known(n1)["n3"] == before["n3"]
    wait_equal([n1, n2, n3])
