"""What a node lets in and what is under way: no request may cost others their answers, or a leader its leadership."""

import json
import threading

import requests

from nodes import wait_until

MIB = 1 << 20


def leader_of(nodes):
    def find():
        for node in nodes:
            status = requests.get(node.url + "/v1/status", timeout=30).json()
            if status["role"] == "leader":
                return node
        return None

    return wait_until(find, "a leader")


def term_of(node):
    return requests.get(node.url + "/v1/status", timeout=30).json()["term"]


def batch(steps, size):
    return json.dumps([{"put": {"key": f"big/{i}", "value": "v" * size}} for i in range(steps)])


def test_a_batch_larger_than_a_frame_between_nodes_is_refused_and_costs_the_leader_nothing(nodes):
    cluster = nodes.cluster(3, http_body_max="16MiB", limits_value="1MiB")
    assert requests.put(cluster[0].url + "/v1/kv/a", data=b"1", timeout=30).status_code == 201
    leader = leader_of(cluster)
    term = term_of(leader)
    follower = next(node for node in cluster if node is not leader)
    for node in (leader, follower):
        answer = requests.post(node.url + "/v1/batch", data=batch(10, MIB), timeout=30)
        assert answer.status_code == 413, answer.text
        assert answer.json()["applied"] == "no", answer.text
        assert str(7 * MIB) in answer.json()["error"], answer.text
    for node in (leader, follower):
        answer = requests.post(node.url + "/v1/batch", data=batch(6, MIB), timeout=30)
        assert answer.status_code == 200, answer.text
    assert term_of(leader) == term
    for node in cluster:
        assert "reset by peer" not in node.log()
