"""What the log tells an operator: what must be seen is a warning, and nothing else is."""

import re

import requests

from nodes import wait_until
from under_load import is_ready, leader_of

TIME = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}[+-]\d\d:\d\d"


def complaints(node):
    return re.findall(r"^.* (?:warning|error): (.*)$", node.log(), re.M)


def facts(node):
    return re.findall(r"^.* info: (.*)$", node.log(), re.M)


def put(node):
    return requests.put(node.url + "/v1/kv/a", data=b"1", timeout=10)


def test_a_leader_that_is_missed_is_a_warning_that_names_who_is_missing(nodes):
    a, b, c = members = nodes.cluster(3, limits_request="1500ms", log_slow="1s")
    leader_of(members)
    b.kill_all()
    c.kill_all()
    a.wait_log(r"warning: no leader: 1 of 3 voters answers; missing n2, n3\n")
    assert put(a).status_code == 503  # slow, and no news
    b.launch()
    wait_until(lambda: put(a).ok, "a leader of two")
    a.wait_log("info: (became leader|follows n2)")
    said = complaints(a)
    assert [line for line in said if line.startswith("no leader")] == ["no leader: 1 of 3 voters answers; missing n2, n3"]
    assert sorted(line.split(" at ")[0] for line in said if line.startswith("lost")) == ["lost node n2", "lost node n3"]
    assert not [line for line in said if "slow" in line]


def test_a_cluster_that_is_not_formed_is_a_warning_that_names_who_does_not_answer(nodes):
    made = [nodes.node(f"n{i}") for i in (1, 2, 3)]
    for n in made:
        n.options["members"] = ", ".join(f"{m.id}={m.peer}" for m in made)
    for n in made[1:]:
        n.start()
    for n in made[1:]:
        n.wait_log(r"warning: the cluster is not formed: n1 does not answer\n")
    made[0].start()
    leader_of(made)
    assert complaints(made[0]) == []


def test_a_node_begins_by_saying_what_it_is_where_and_of_which_cluster(nodes):
    n = nodes.node().start()
    said = facts(n)
    assert re.fullmatch(rf"node n1 starts version=\S+ data={n.data}", said[0])
    assert said[1] == f"clients are served on {n.http}"
    assert said[2] == f"other nodes connect to {n.peer}"
    assert "belongs to no cluster yet, and forms one alone at its first write" in said
    assert put(n).ok
    cluster = requests.get(n.url + "/v1/status", timeout=10).json()["cluster"]
    assert n.stop() == 0
    n.start()
    assert f"belongs to the cluster {cluster} of n1" in facts(n)
    assert all(re.match(TIME + " ", line) for line in n.log().splitlines())


def test_a_cluster_that_forms_and_grows_warns_of_nothing(nodes):
    members = nodes.cluster(3)
    assert put(leader_of(members)).ok
    fourth = nodes.node("n4", join=members[0].http).start()
    wait_until(lambda: is_ready(fourth), "a fourth member")
    for n in [*members, fourth]:
        assert complaints(n) == []
        assert "lost node" not in n.log()


def test_the_first_write_of_a_node_warns_of_nothing(nodes):
    n = nodes.node().start()
    assert put(n).ok  # it listened for a cluster of its own before that
    assert complaints(n) == []
