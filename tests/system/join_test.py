"""Nodes that are told to join a cluster, by flag or variable, on real processes."""

import shutil
import socket

import pytest
import requests

from metric_text import scrape
from nodes import PATIENCE, wait_until
from under_load import leader_of, status, wait_equal


def put(node, key, value, **query):
    return requests.put(f"{node.url}/v1/kv/{key}", data=value, params=query, timeout=PATIENCE)


def get(node, key):
    return requests.get(f"{node.url}/v1/kv/{key}", timeout=PATIENCE)


def members(node):
    found = requests.get(f"{node.url}/v1/members", timeout=PATIENCE).json()["members"]
    return {m["id"]: m["role"] for m in found}


def wait_voters(nodes, *ids):
    wanted = {node_id: "voter" for node_id in ids}
    wait_until(lambda: all(members(n) == wanted for n in nodes), f"the voters {ids}")


def listed(nodes, *lists):
    """Nodes n1, n2 ... not started, each with the list of its place: the numbers of those that it lists."""
    made = [nodes.node(f"n{i + 1}") for i in range(len(lists))]
    for n, numbers in zip(made, lists):
        n.options["members"] = ", ".join(f"{made[i - 1].id}={made[i - 1].peer}" for i in numbers)
    return made


def launch_all(cluster):
    for n in cluster:
        n.launch()
    for n in cluster:
        n.wait_workers()


def readyz(node):
    answer = requests.get(f"{node.url}/readyz?verbose", timeout=PATIENCE)
    return answer.status_code, answer.text


def grown(nodes):
    """Three nodes, of which the second and third were told to join: through the first, and through the second."""
    n1 = nodes.node("n1").start()
    n2 = nodes.node("n2", join=n1.http).start()
    wait_voters([n1, n2], "n1", "n2")
    n3 = nodes.node("n3", join=n2.http).start()
    wait_voters([n1, n2, n3], "n1", "n2", "n3")
    return [n1, n2, n3]


def test_from_one_to_three_by_join_and_on_without(nodes):
    n1, n2, n3 = cluster = grown(nodes)
    assert put(n3, "a", b"1").status_code == 201
    assert [get(n, "a").content for n in cluster] == [b"1"] * 3
    assert len({status(n)["cluster"] for n in cluster}) == 1
    n2.stop(), n3.stop()
    del n2.options["join"]
    n2.start()
    assert "join" not in n2.log()
    n3.start()  # with it: nobody is asked to add it
    assert "already: the addresses of [cluster] join are only asked whether they do, too" in n3.log()
    assert "joins a cluster" not in n3.log()
    wait_until(lambda: put(n3, "a", b"2").status_code == 200, "the cluster to serve again")
    wait_equal(cluster)


def test_a_node_that_joins_is_there_before_the_one_that_it_asks(nodes):
    n1 = nodes.node("n1")
    n2 = nodes.node("n2")
    n2.options["join"] = f"{n2.http}, {n1.http}"  # itself is left out
    n2.start()
    n2.wait_log(f"{n1.http} does not add this node to its cluster, and is asked again: Couldn't connect")
    # It forms no cluster of its own, and does not take its emptiness for one's content.
    answer = put(n2, "a", b"1", timeout="2s")
    assert (answer.status_code, answer.headers["Holdfast-Applied"]) == (503, "no")
    assert "told to join" in answer.json()["error"]
    assert requests.get(f"{n2.url}/v1/kv/a?timeout=100ms", timeout=PATIENCE).status_code == 503
    assert requests.get(f"{n2.url}/readyz", timeout=PATIENCE).status_code == 503
    assert requests.get(f"{n2.url}/leader", timeout=PATIENCE).status_code == 503
    assert status(n2)["role"] == "unformed"
    n1.start()
    wait_voters([n1, n2], "n1", "n2")
    assert put(n2, "a", b"1").status_code == 201
    assert n2.log().count("is asked again: Couldn't connect") == 1
    assert n2.http not in "".join(line for line in n2.log().splitlines() if "does not add" in line)


def test_a_peer_address_to_join_at_is_said_to_be_one(nodes):
    n1 = nodes.node("n1").start()
    n2 = nodes.node("n2", join=n1.peer).start()
    n2.wait_log(f"{n1.peer} does not add this node.*is this a peer address\\? HTTP addresses are wanted here")


def test_a_node_that_joins_stops_at_once_while_it_asks(nodes):
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        n = nodes.node("n1", join=f"127.0.0.1:{silent.getsockname()[1]}").start()
        connection, _ = silent.accept()
        with connection:
            wait_until(lambda: b"/v1/members" in connection.recv(65536), "the request")
            assert n.stop() == 0
            # It did not wait for the answer, which never came: that ends the connection.
            connection.settimeout(PATIENCE)
            assert connection.recv(1) == b""
            assert "does not add this node" not in n.log()


@pytest.mark.parametrize("orders", [((1, 2, 3), (2, 3, 1), (3, 1, 2)), ((2, 3, 1), (3, 1, 2), (1, 2, 3))])
def test_lists_in_another_order_on_each_node_form_one_cluster(nodes, orders):
    """The first of each list founded a cluster: there were three of them, or none."""
    cluster = listed(nodes, *orders)
    launch_all(cluster)
    wait_voters(cluster, "n1", "n2", "n3")
    assert put(cluster[2], "a", b"1").status_code == 201
    assert len({status(n)["cluster"] for n in cluster}) == 1


def test_lists_that_differ_form_nothing_and_a_corrected_one_is_enough(nodes):
    n1, n2, n3 = cluster = listed(nodes, (1, 2, 3), (1, 2, 3), (1, 2, 3))
    right = n2.options["members"]
    n2.options["members"] = right.replace(n3.peer, "127.0.0.1:1")
    launch_all(cluster)
    for said in (n1, n3):
        found = said.wait_log(r"no cluster is formed while the lists .* differ: (.*); correct the list")[1]
        assert found == f"n2 at {n2.peer} lists n3 at 127.0.0.1:1, where this node has {n3.peer}"
        code, text = readyz(said)
        assert code == 503 and f"FAIL place: no cluster is formed while the lists" in text
        assert status(said)["problem"] in text
    n2.wait_log(f"n1 at {n1.peer} lists n3 at {n3.peer}, where this node has 127.0.0.1:1")
    assert all(status(n)["cluster"] is None for n in cluster)
    n2.stop()
    n2.options["members"] = right
    n2.start()
    wait_voters(cluster, "n1", "n2", "n3")
    assert all(status(n)["problem"] is None for n in cluster)


def test_nobody_is_drawn_into_a_cluster_that_another_list_formed(nodes):
    n1, n2, n3 = listed(nodes, (1, 2, 3), (2, 3), (2, 3))
    launch_all([n2, n3])
    wait_voters([n2, n3], "n2", "n3")
    n1.start()
    n1.wait_log(r"does not join the cluster [0-9a-f]{16}, which was formed by another list")
    code, text = readyz(n1)
    assert code == 503 and f"does not list n1, which this node lists at {n1.peer}" in text
    assert status(n1)["problem"] in text and status(n1)["cluster"] is None
    assert members(n2) == {"n2": "voter", "n3": "voter"}
    # An operator says so.
    answer = requests.post(f"{n2.url}/v1/members?wait=voter", json={"id": "n1", "peer": n1.peer}, timeout=PATIENCE)
    assert answer.status_code == 200, answer.text
    wait_voters([n1, n2, n3], "n1", "n2", "n3")
    assert status(n1)["problem"] is None


def test_d12_a_wiped_node_joins_again_under_its_id(nodes):
    cluster = grown(nodes)
    assert put(cluster[0], "a", b"1").status_code == 201
    leader = leader_of(cluster)
    lost = next(n for n in cluster[1:] if n is not leader)
    before = status(lost)["incarnation"]
    lost.kill()
    shutil.rmtree(lost.data)
    lost.start()
    wait_until(lambda: members(leader).get(lost.id) == "voter" and status(lost)["role"] == "follower", "it to be back")
    wait_voters(cluster, "n1", "n2", "n3")
    assert status(lost)["incarnation"] != before
    assert get(lost, "a").content == b"1"
    assert any(f"node {lost.id} is REPLACED" in n.log() for n in cluster)
    wait_equal(cluster)


def test_who_is_refused_says_why_once_and_keeps_asking(nodes):
    n1, stranger = nodes.node("n1").start(), nodes.node("x").start()
    assert put(n1, "a", b"1").status_code == 201
    assert put(stranger, "b", b"1").status_code == 201
    # By mistake it names as its own the peer address of a node of another cluster.
    n2 = nodes.node("n2", join=n1.http, peer_advertise=stranger.peer).start()
    n2.wait_log(f"{n1.http} does not add this node to its cluster, and is asked again: the node at that address")

    def refusals():
        return scrape(n1).value("holdfast_http_requests_total", method="POST", route="/v1/members", code="409")

    wait_until(lambda: refusals() >= 4, "it to ask again")
    assert n2.log().count("the node at that address") == 1
    assert members(n1) == {"n1": "voter"} and members(stranger) == {"x": "voter"}
    assert get(stranger, "b").content == b"1"
    # The mistake away, it is taken in.
    n2.stop()
    del n2.options["peer-advertise"]
    n2.start()
    wait_voters([n1, n2], "n1", "n2")


def clone_of(nodes, member, name="clone", **options):
    """A second node with the id of a member: another directory, other addresses."""
    clone = nodes.node(name, **options)
    clone.id = member.id
    return clone


def test_a_second_node_with_the_id_of_a_live_member_does_not_take_its_place(nodes):
    n1 = nodes.node("node1").start()
    n2 = nodes.node("node2", join=n1.http).start()
    wait_voters([n1, n2], "node1", "node2")
    assert put(n1, "user1", b"batman").status_code == 201
    clone = clone_of(nodes, n2, join=n1.http).start()
    clone.wait_log(f"does not add this node .*: the id node2 is in use by the member at {n2.peer}, which is alive")
    wait_until(lambda: status(clone)["problem"], "the clone to know it")
    code, text = readyz(clone)
    assert code == 503 and f"the id node2 is in use by the member at {n2.peer}" in text and text.count("in use by") == 1
    # It serves all the same, its emptiness is nobody's answer, and the member is what it was.
    assert get(clone, "user1").content == b"batman"
    assert requests.get(f"{clone.url}/v1/kv/user1?level=stale", timeout=PATIENCE).content == b"batman"
    assert put(clone, "user2", b"robin").status_code == 201
    assert [get(n, "user2").content for n in (n1, n2)] == [b"robin"] * 2
    body = {"id": "node2", "peer": clone.peer}
    for via in (n1, n2, clone):
        answer = requests.post(f"{via.url}/v1/members", json=body, timeout=PATIENCE)
        assert (answer.status_code, answer.json()["code"], answer.json()["applied"]) == (409, "id_in_use", "no")
        assert n2.peer in answer.json()["error"]
    assert members(n1) == {"node1": "voter", "node2": "voter"}
    assert status(n2)["problem"] is None
    # The member away for a while, as when it boots: its place is still its own.
    n2.kill_all()
    clone.wait_log(f"the id node2 is in use by the member at {n2.peer}, which may come back")
    n2.launch().wait_workers()
    wait_until(lambda: put(clone, "user2", b"joker").status_code == 200, "the cluster to serve again")
    assert status(n2)["problem"] is None


def test_a_second_node_with_the_id_of_a_member_takes_its_place_when_an_operator_says_so(nodes):
    n1, n2, n3 = grown(nodes)
    assert put(n1, "a", b"1").status_code == 201
    n3.kill_all()
    clone = clone_of(nodes, n3, join=f"{n1.http}, {n2.http}").start()
    clone.wait_log("the id n3 is in use by the member")
    clone.stop()
    clone.options["cluster-replace"] = "yes"
    clone.start()
    wait_until(lambda: status(clone)["role"] == "follower" and not status(clone)["problem"], "it to be a member")
    wait_voters([n1, n2, clone], "n1", "n2", "n3")
    assert get(clone, "a").content == b"1"
    assert "node n3 is REPLACED" in n1.log() + n2.log()
    n3.start()
    n3.wait_log("was removed from its cluster")


def test_two_nodes_that_are_no_members_pass_no_request_to_each_other(nodes):
    """A removed one and a clone that know of each other's addresses only as those of members."""
    n1, n2, n3 = grown(nodes)
    assert put(n1, "a", b"1").status_code == 201
    clone = clone_of(nodes, n3, join=f"{n1.http}, {n3.http}").start()
    clone.wait_log("the id n3 is in use by the member")
    wait_until(lambda: get(clone, "a").content == b"1", "the clone to pass it on")
    assert requests.delete(f"{n1.url}/v1/members/n3?timeout=10s", timeout=PATIENCE).status_code == 200
    wait_until(lambda: status(n3)["problem"], "the removed node to know it")
    for _ in range(6):
        for n in (n3, clone):
            assert get(n, "a").content == b"1"


def test_a_clone_of_the_whole_configuration_learns_that_it_is_not_the_member(nodes):
    """It gives the address of the member as its own, at which that one answers and is there already."""
    n1 = nodes.node("node1").start()
    n2 = nodes.node("node2", join=n1.http).start()
    wait_voters([n1, n2], "node1", "node2")
    clone = clone_of(nodes, n2, join=n1.http, peer_advertise=n2.peer).start()
    clone.wait_log("another node that is called node2 answers at the peer address that this one gave")
    assert "another node that is called node2" in readyz(clone)[1]
    assert members(n1) == {"node1": "voter", "node2": "voter"}


def test_a_clone_with_the_list_of_the_member_says_that_it_is_none(nodes):
    n1, n2, n3 = cluster = listed(nodes, (1, 2, 3), (1, 2, 3), (1, 2, 3))
    launch_all(cluster)
    wait_voters(cluster, "n1", "n2", "n3")
    clone = clone_of(nodes, n3, members=n3.options["members"], peer_advertise=n3.peer).start()  # says its address, too
    clone.wait_log(f"does not answer this node at the peer address {n3.peer} that it advertises")
    assert "of which this one is a copy?" in readyz(clone)[1]
    clone.stop()
    clone.options["peer-advertise"] = clone.peer
    clone.start()
    clone.wait_log("the other listed nodes are members of the cluster")
    assert "the other listed nodes are members" in readyz(clone)[1]
    assert members(n1) == {"n1": "voter", "n2": "voter", "n3": "voter"} and status(n3)["problem"] is None


def warnings(node):
    return status(node)["warnings"]


def test_a_node_that_has_a_cluster_of_its_own_says_that_join_names_another(nodes):
    """It said «info: join is ignored», and served data of its own."""
    n1, n2 = nodes.node("n1").start(), nodes.node("n2").start()
    assert put(n1, "a", b"1").status_code == 201
    assert put(n2, "a", b"other").status_code == 201  # without --join: a cluster of its own
    absent = nodes.node("absent")
    for _ in range(2):  # at each start
        n2.stop()
        n2.options["join"] = f"{absent.http}, {n1.http}"
        n2.start()
        found = n2.wait_log("warning: (this node belongs to the cluster .*, which .*cluster. join names, to another .*)")[1]
        assert n1.http in found and status(n1)["cluster"] in found and status(n2)["cluster"] in found
        assert "stop this node, empty its data directory and start it with --join" in found
        assert warnings(n2) == [found]
        code, text = readyz(n2)
        assert code == 200 and f"warn cluster: {found}" in text
    # One that comes up later is asked, too: it belongs to the same cluster as n2, so nothing is said of it.
    n2.stop()
    shutil.rmtree(n2.data)
    n2.start()
    wait_voters([n1, n2], "n1", "n2")
    assert warnings(n2) == []


def test_a_first_node_that_lost_its_data_while_the_others_were_down_is_found_out(nodes):
    n1, n2, n3 = cluster = grown(nodes)
    assert put(n1, "a", b"1").status_code == 201
    for n in cluster:
        n.stop()
    shutil.rmtree(n1.data)
    n1.start()  # without join it is a cluster of its own
    assert put(n1, "a", b"other").status_code == 201
    n2.start(), n3.start()
    for n in (n2, n3):
        n.wait_log(f"warning: the node at {n1.peer}, where this cluster, .*, has its member n1, belongs to another cluster, {status(n1)['cluster']}")
        assert any("stop it, empty its data directory and start it with --join" in w for w in warnings(n))
    n1.wait_log(f"warning: the node n[23] at .* takes this one for a member of its cluster, {status(n2)['cluster']}")
    assert any("stop it, empty its data directory and start it with --join" in w for w in warnings(n1))
    assert f"warn cluster: {warnings(n1)[0]}" in readyz(n1)[1]
    # Nothing was merged, and the remedy is one.
    assert get(n2, "a").content == b"1" and get(n1, "a").content == b"other"
    n1.stop()
    shutil.rmtree(n1.data)
    n1.options["join"] = n2.http
    n1.start()
    wait_voters(cluster, "n1", "n2", "n3")
    assert get(n1, "a").content == b"1"


def joined_everywhere(nodes):
    """Three nodes, each with the HTTP addresses of all in join: one configuration for all of them."""
    cluster = [nodes.node(f"n{i}") for i in (1, 2, 3)]
    for n in cluster:
        n.options["join"] = ", ".join(other.http for other in cluster)
    return cluster


def test_join_on_every_node_the_first_is_told_once_to_found(nodes):
    n1, n2, n3 = cluster = joined_everywhere(nodes)
    n1.options["cluster-bootstrap"] = "yes"
    launch_all(cluster)
    wait_voters(cluster, "n1", "n2", "n3")
    assert put(n1, "a", b"1").status_code == 201
    # Wiped and alone, it forms nothing: it waits for the others.
    for n in cluster:
        n.stop()
    shutil.rmtree(n1.data)
    del n1.options["cluster-bootstrap"]
    n1.start()
    assert put(n1, "a", b"other", timeout="500ms").status_code == 503
    assert readyz(n1)[0] == 503 and status(n1)["cluster"] is None
    n2.start(), n3.start()
    wait_voters(cluster, "n1", "n2", "n3")
    wait_until(lambda: get(n1, "a").content == b"1", "the cluster to serve again")


def test_a_node_that_is_told_to_found_joins_the_cluster_that_is_there(nodes):
    n1, n2, n3 = cluster = joined_everywhere(nodes)
    n1.options["cluster-bootstrap"] = "yes"
    launch_all(cluster)
    wait_voters(cluster, "n1", "n2", "n3")
    assert put(n1, "a", b"1").status_code == 201
    n1.kill_all()
    shutil.rmtree(n1.data)
    n1.start()  # the word was left in its configuration
    n1.wait_log("belongs to a cluster: this node founds none")
    wait_voters(cluster, "n1", "n2", "n3")
    wait_until(lambda: get(n1, "a").content == b"1", "it to serve again")


def test_join_and_addresses_by_the_environment(nodes):
    """As raft-kv-example's containers are told: the peer address is the name."""

    def variables(node, **more):
        port = node.http.rsplit(":", 1)[1]
        return {"BIND": node.peer, "PORT": port, "DATA_DIR": node.data, **more}

    a, b = nodes.node("a"), nodes.node("b")
    for n in (a, b):
        n.command = lambda n=n: [n.program, "--http-workers=1"]
    a.start(**variables(a, BOOTSTRAP="True"))
    b.start(**variables(b, JOIN=a.http))
    wait_voters([a, b], a.peer, b.peer)
    assert put(b, "k", b"v").status_code == 201
    a.stop()
    a.start(**variables(a, BOOTSTRAP="True"))
    assert "bootstrap is ignored" in a.log()
    b.stop()
    b.start(**variables(b, JOIN=a.http))
    assert "the addresses of [cluster] join are only asked" in b.log()
    wait_until(lambda: get(b, "k").content == b"v", "the cluster to serve again")
