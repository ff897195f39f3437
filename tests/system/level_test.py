"""Feature levels with real processes: a cluster whose nodes are alike begins at the highest level, shows it, and does what
it brings. What happens while versions differ is in unit/level_test.c and in the simulation (sim/upgrade.c)."""

import os
import subprocess

import requests

from metric_text import scrape
from nodes import BUILD, wait_until
from under_load import leader_of, status, wait_equal


def delete_first(node, limit):
    answer = requests.delete(node.url + f"/v1/kv?prefix=k/&limit={limit}", timeout=10)
    assert answer.status_code == 200, answer.text
    return answer.json()["deleted"], answer.json()["more"]


def test_a_cluster_of_nodes_that_are_alike_begins_at_the_highest_level(nodes):
    cluster = nodes.cluster(3)
    leader_of(cluster)
    for node in cluster:
        shown = wait_until(lambda: (s := status(node)) and s["applied"] > 0 and s, f"{node.id} to apply")
        most = shown["feature_level_most"]
        assert shown["feature_level"] == most >= 1
        assert [m["feature_level_most"] for m in shown["members"]] == [most] * 3
        metrics = wait_until(lambda: (m := scrape(node)).value("holdfast_feature_level") == most and m, "the metric")
        assert metrics.value("holdfast_feature_level_most") == most


def test_a_limited_delete_takes_the_first_keys_whichever_node_is_asked(nodes):
    cluster = nodes.cluster(3)
    leader_of(cluster)
    for i in range(8):
        requests.put(cluster[0].url + f"/v1/kv/k/{i}", data=b"v", timeout=10).raise_for_status()
    assert [delete_first(node, 2) for node in cluster] == [(2, True)] * 3
    left = requests.get(cluster[1].url + "/v1/kv?prefix=k/", timeout=10).json()["keys"]
    assert [key["key"] for key in left] == ["k/6", "k/7"]
    assert delete_first(cluster[2], 2) == (2, False)
    wait_equal(cluster)


def test_a_node_alone_is_at_the_highest_level_and_still_is_after_a_restart(nodes):
    node = nodes.node().start()
    requests.put(node.url + "/v1/kv/k/1", data=b"v", timeout=10).raise_for_status()
    assert delete_first(node, 5) == (1, False)
    assert status(node)["feature_level"] == status(node)["feature_level_most"]
    assert node.stop() == 0
    node.start()
    wait_until(lambda: (s := status(node)) and s["feature_level"] == s["feature_level_most"], "the level after a restart")


def test_a_node_on_data_of_a_later_version_ends_with_78_says_so_and_is_not_restarted(nodes):
    cluster = nodes.cluster(3)
    leader_of(cluster)
    requests.put(cluster[0].url + "/v1/kv/k/1", data=b"v", timeout=10).raise_for_status()
    node = cluster[2]
    assert node.stop() == 0
    later = status(cluster[0])["feature_level_most"] + 1
    subprocess.run([os.path.join(BUILD, "tests/system/tool/rot"), node.data, "--level", str(later)], check=True)
    node.options["join"] = cluster[0].http  # whom it might ask whether it may repair itself
    before = sorted(os.listdir(node.data)), sorted(os.listdir(os.path.join(node.data, "log")))
    assert node.launch().wait_exit() == 78, node.log()
    assert f"the state of this node is of feature level {later}" in node.log()
    assert "upgrade this node, and start it again with its data as they are" in node.log()
    assert node.log().count("consensus worker started") == 1, node.log()
    assert before == (sorted(os.listdir(node.data)), sorted(os.listdir(os.path.join(node.data, "log"))))
