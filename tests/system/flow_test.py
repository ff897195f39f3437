"""What a node lets in and what is under way: no request may cost others their answers, or a leader its leadership."""

import json
import socket
import threading

import requests

from nodes import SANITIZED, wait_until

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


# 300 clients at once, each of which lists a page of 2 MiB.
LISTERS = 300


def fill_a_page(node):
    for start in range(0, 64, 32):
        steps = [{"put": {"key": f"page/{i:03}", "value": "v" * (32 * 1024)}} for i in range(start, start + 32)]
        answer = requests.post(node.url + "/v1/batch", data=json.dumps(steps), timeout=30)
        assert answer.status_code == 200, answer.text


def list_at_once(node, query, count):
    """The answers' (status, size) of that many clients, each with a connection of its own."""
    seen = []
    begin = threading.Barrier(count)

    def ask():
        begin.wait()
        answer = requests.get(f"{node.url}/v1/kv?prefix=page/&{query}", timeout=120)
        seen.append((answer.status_code, len(answer.content)))

    threads = [threading.Thread(target=ask) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return seen


def memory(pid, name):
    with open(f"/proc/{pid}/status") as f:
        return next(int(line.split()[1]) * 1024 for line in f if line.startswith(name + ":"))


def forget_peak(pid):
    with open(f"/proc/{pid}/clear_refs", "w") as f:
        f.write("5")
    return memory(pid, "VmHWM")


def test_lists_of_many_clients_take_a_bounded_part_of_memory(nodes):
    node = nodes.node(limits_request="60s").start()
    fill_a_page(node)
    assert all(status == 200 for status, _ in list_at_once(node, "timeout=60s", 2))
    workers = node.workers()
    before = {name: forget_peak(pid) for name, pid in workers.items()}
    seen = list_at_once(node, "timeout=60s", LISTERS)
    assert [status for status, _ in seen] == [200] * LISTERS
    assert min(size for _, size in seen) > 2 * MIB - 64 * 1024
    grown = {name: memory(pid, "VmHWM") - before[name] for name, pid in workers.items()}
    print({name: f"{bytes / MIB:.0f} MiB" for name, bytes in grown.items()})
    assert node.workers() == workers
    if not SANITIZED:
        assert grown["consensus"] < 64 * MIB, grown
        assert grown["http 0"] < 192 * MIB, grown


def test_large_reads_through_a_follower_are_all_answered_and_the_leader_stays(nodes):
    cluster = nodes.cluster(3, limits_request="60s")
    assert requests.put(cluster[0].url + "/v1/kv/a", data=b"1", timeout=30).status_code == 201
    leader = leader_of(cluster)
    term = term_of(leader)
    fill_a_page(leader)
    follower = next(node for node in cluster if node is not leader)
    seen = list_at_once(follower, "level=leader&timeout=60s", 100)
    assert [status for status, _ in seen] == [200] * 100
    assert term_of(leader) == term


def test_clients_that_read_nothing_stop_no_get_and_no_list_once_they_have_gone(nodes):
    node = nodes.node(http_workers=2, limits_result_bytes="8MiB", limits_request="60s").start()
    fill_a_page(node)
    stuck = []
    host, port = node.http.split(":")
    for _ in range(20):
        s = socket.socket()
        s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        s.connect((host, int(port)))
        s.sendall(b"GET /v1/kv?prefix=page/ HTTP/1.1\r\nHost: x\r\n\r\n")
        stuck.append(s)
    # A get finds room, and so do lists once those who hold it have gone.
    for _ in range(20):
        assert requests.get(node.url + "/v1/kv/page/000", timeout=120).status_code == 200
    for s in stuck:
        s.close()
    assert [status for status, _ in list_at_once(node, "timeout=60s", 20)] == [200] * 20
