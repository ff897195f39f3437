"""GET /metrics: it counts what was done, all of it and nothing else, on any HTTP worker, whoever dies."""

import os
import re
import socket
import threading
import time

import pytest
import requests

from nodes import wait_until
from metric_text import Malformed, Metrics, assert_rose, scrape
from reload_test import Configured
from under_load import status

KV = "/v1/kv/*"


def count(metrics, method, route, code):
    return metrics.value("holdfast_http_requests_total", method=method, route=route, code=code)


def requests_of(metrics):
    return sum(value for (name, _), value in metrics.samples.items() if name == "holdfast_http_requests_total")


def put(node, key, **options):
    return requests.put(f"{node.url}/v1/kv/{key}", data=b"1", timeout=10, **options)


@pytest.fixture
def node(nodes):
    made = nodes.node("n1", http_workers=2).start()
    wait_until(lambda: put(made, "first").status_code == 201, "a first write")
    return made


@pytest.mark.parametrize(
    "text",
    [
        "",
        "# TYPE holdfast_a gauge\nholdfast_a 1\n",
        "# HELP holdfast_a x\n# TYPE holdfast_a gauge\nholdfast_a 1",
        "# HELP holdfast_a x\n# TYPE holdfast_a gauge\nholdfast_b 1\n",
        "# HELP holdfast_a x\n# TYPE holdfast_a gauge\nholdfast_a 1\nholdfast_a 1\n",
        '# HELP holdfast_a x\n# TYPE holdfast_a gauge\nholdfast_a{b="\\x"} 1\n',
        '# HELP holdfast_a x\n# TYPE holdfast_a gauge\nholdfast_a{b="1",} 1\n',
        "# HELP holdfast_a x\n# TYPE holdfast_a counter\nholdfast_a 1\n",
        '# HELP holdfast_a x\n# TYPE holdfast_a histogram\nholdfast_a_bucket{le="1"} 1\nholdfast_a_sum 1\n'
        "holdfast_a_count 1\n",
        '# HELP holdfast_a x\n# TYPE holdfast_a histogram\nholdfast_a_bucket{le="1"} 2\n'
        'holdfast_a_bucket{le="+Inf"} 1\nholdfast_a_sum 1\nholdfast_a_count 1\n',
    ],
)
def test_the_reader_is_strict(text):
    with pytest.raises(Malformed):
        Metrics(text)


def test_requests_are_counted_exactly_by_route_and_code(node):
    before = scrape(node)
    with requests.Session() as kept:
        for n in range(40):
            # A connection of its own goes to any of the workers, a kept one to one.
            client = kept if n % 2 else requests
            assert client.put(f"{node.url}/v1/kv/k{n}", data=b"1", timeout=10).status_code == 201
            assert client.put(f"{node.url}/v1/kv/k{n}", data=b"2", timeout=10).status_code == 200
            assert client.get(f"{node.url}/v1/kv/k{n}", timeout=10).status_code == 200
        for n in range(7):
            assert kept.get(f"{node.url}/v1/kv/none{n}", timeout=10).status_code == 404
        assert kept.head(f"{node.url}/v1/kv/k1", timeout=10).status_code == 200
        assert kept.put(f"{node.url}/v1/kv/k1", headers={"If-None-Match": "*"}, timeout=10).status_code == 412
        assert kept.get(f"{node.url}/livez", timeout=10).status_code == 200
        assert kept.get(f"{node.url}/nowhere", timeout=10).status_code == 404
        assert kept.patch(f"{node.url}/v1/kv/k1", timeout=10).status_code == 405
        assert kept.get(f"{node.url}/metrics?x=1", timeout=10).status_code == 400
    after = scrape(node)

    def rise(method, route, code):
        return count(after, method, route, code) - count(before, method, route, code)

    assert rise("PUT", KV, "201") == 40
    assert rise("PUT", KV, "200") == 40
    assert rise("GET", KV, "200") == 41  # with HEAD
    assert rise("GET", KV, "404") == 7
    assert rise("PUT", KV, "412") == 1
    assert rise("GET", "/livez", "200") == 1
    assert rise("other", "none", "404") == 1
    assert rise("other", "none", "405") == 1
    assert rise("GET", "/metrics", "200") == 1  # the one before: an answer does not count itself
    assert rise("GET", "/metrics", "400") == 1
    assert requests_of(after) - requests_of(before) == 134
    timed = after.value("holdfast_http_request_seconds_count", method="PUT", route=KV)
    assert timed - before.value("holdfast_http_request_seconds_count", method="PUT", route=KV) == 81
    assert after.value("holdfast_apply_entries_sum") - before.value("holdfast_apply_entries_sum") == 81
    assert_rose(before, after)


def test_what_is_no_request_is_counted_too(node):
    before = scrape(node)
    with socket.create_connection(("127.0.0.1", int(node.http.split(":")[1]))) as s:
        s.sendall(b"GET / HTTP/1.1\nHost: x\n\n")
        assert s.recv(100).startswith(b"HTTP/1.1 400")
    assert count(scrape(node), "other", "none", "400") == count(before, "other", "none", "400") + 1


PROCESS_METRICS = {
    "process_cpu_seconds_total": "counter",
    "process_resident_memory_bytes": "gauge",
    "process_virtual_memory_bytes": "gauge",
    "process_open_fds": "gauge",
    "process_max_fds": "gauge",
    "process_start_time_seconds": "gauge",
}


def test_each_process_is_described_as_the_clients_of_prometheus_do(node):
    def processes():
        return {name.replace(" ", "-"): pid for name, pid in {"supervisor": node.process.pid, **node.workers()}.items()}

    def shown(metrics, name):
        return {dict(labels)["process"] for (n, labels) in metrics.samples if n == name}

    pids, metrics = processes(), scrape(node)
    for name, kind in PROCESS_METRICS.items():
        assert metrics.types[name] == kind and shown(metrics, name) == set(pids) and len(pids) == 4
    with open("/proc/stat") as f:
        boot = int(re.search(r"btime (\d+)", f.read())[1])
    for process, pid in pids.items():
        with open(f"/proc/{pid}/stat") as f:
            started = int(f.read().rsplit(") ", 1)[1].split()[19]) / os.sysconf("SC_CLK_TCK") + boot
        assert abs(metrics.value("process_start_time_seconds", process=process) - started) < 2
        with open(f"/proc/{pid}/statm") as f:
            resident = int(f.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
        assert resident / 4 < metrics.value("process_resident_memory_bytes", process=process) < resident * 4
        limit = re.search(r"Max open files +(\d+)", open(f"/proc/{pid}/limits").read())
        assert metrics.value("process_max_fds", process=process) == int(limit[1])
        counted = lambda: scrape(node).value("process_open_fds", process=process)
        wait_until(lambda: abs(counted() - len(os.listdir(f"/proc/{pid}/fd"))) <= 3, "the descriptors to be counted")
    assert metrics.value("process_cpu_seconds_total", process="consensus") > 0
    node.kill("http 0")
    node.wait_workers()
    wait_until(lambda: shown(scrape(node), "process_open_fds") == set(processes()), "a successor to be shown")


def test_bytes_are_counted(node):
    before = scrape(node)
    requests.put(f"{node.url}/v1/kv/large", data=bytes(1000000), timeout=10)
    requests.get(f"{node.url}/v1/kv/large", timeout=10)
    after = scrape(node)
    for name in ("holdfast_http_received_bytes_total", "holdfast_http_sent_bytes_total"):
        assert 1000000 < after.value(name) - before.value(name) < 1100000


def test_counters_survive_the_http_workers(node):
    for n in range(20):
        put(node, f"k{n}")
    before = scrape(node)
    for name in ("http 0", "http 1"):
        node.kill(name)
        node.wait_workers()
    after = scrape(node)
    assert_rose(before, after)
    assert count(after, "PUT", KV, "201") == count(before, "PUT", KV, "201") == 21
    assert after.value("holdfast_worker_restarts_total", worker="http") == 2
    assert after.value("holdfast_worker_restarts_total", worker="consensus") == 0
    wait_until(lambda: scrape(node).value("holdfast_workers", worker="http") == 2, "both workers")
    put(node, "k0")
    assert count(scrape(node), "PUT", KV, "200") == count(before, "PUT", KV, "200") + 1


def test_connections_of_a_dead_worker_are_none(node):
    port = int(node.http.split(":")[1])
    idle = [socket.create_connection(("127.0.0.1", port)) for _ in range(30)]
    wait_until(lambda: scrape(node).value("holdfast_http_connections") > 30, "all to be accepted")
    for name in ("http 0", "http 1"):
        node.kill(name)
    node.wait_workers()
    assert scrape(node).value("holdfast_http_connections") < 30
    for s in idle:
        s.close()


def test_they_are_shown_while_the_consensus_worker_is_away(node):
    put(node, "a")
    before = scrape(node)
    assert before.value("holdfast_role", role="leader") == 1
    for _ in range(2):
        node.kill("consensus")
        assert_rose(before, scrape(node))
        node.wait_workers()
        wait_until(lambda: put(node, "a").status_code == 200, "a write")  # so it leads, before it is killed again
    after = scrape(node)
    assert_rose(before, after)
    assert after.value("holdfast_worker_restarts_total", worker="consensus") == 2
    assert after.value("holdfast_role", role="leader") == 1
    assert after.value("holdfast_elections_won_total") == before.value("holdfast_elections_won_total") + 2
    assert after.value("holdfast_term") >= before.value("holdfast_term") + 2


def test_no_counter_falls_while_all_work_and_die(node):
    stopped = threading.Event()

    def work(number):
        while not stopped.is_set():
            try:
                put(node, f"w{number}")
            except requests.RequestException:
                pass

    threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
    for t in threads:
        t.start()
    try:
        last = scrape(node)
        for name in ("http 0", "consensus", "http 1"):
            node.kill(name)
            node.wait_workers()
            for _ in range(10):
                now = scrape(node)
                assert_rose(last, now)
                last = now
    finally:
        stopped.set()
        for t in threads:
            t.join()


def test_counters_go_on_while_workers_are_replaced(nodes):
    c = Configured(nodes).start()
    n = c.node
    wait_until(lambda: put(n, "a").status_code in (200, 201), "a write")
    before = scrape(n)
    for workers in ("3", "1"):
        c.reload(http_workers=workers)
        assert put(n, "a").status_code == 200
        wait_until(lambda: scrape(n).value("holdfast_workers", worker="http") == int(workers), f"{workers} workers")
        now = scrape(n)
        assert_rose(before, now)
    assert count(now, "PUT", KV, "200") == count(before, "PUT", KV, "200") + 2
    assert now.value("holdfast_worker_restarts_total", worker="http") == 0
    # And what counts as slow is another time at once.
    c.reload(log_slow="20ms")
    assert requests.get(n.url + "/v1/kv/a?min_revision=1000&timeout=100ms", timeout=10).status_code == 504
    n.wait_log("a request was slow")


def test_a_cluster_has_one_leader_and_the_same_indexes(nodes):
    cluster = nodes.cluster(3)
    wait_until(lambda: put(cluster[0], "a").status_code in (200, 201), "a write")
    for n in range(20):
        put(cluster[n % 3], f"k{n}")

    def settled():
        shown = [scrape(n) for n in cluster]
        names = ("term", "commit_index", "applied_index", "last_index")
        places = {tuple(m.value("holdfast_" + name) for name in names) for m in shown}
        return shown if len(places) == 1 else None

    shown = wait_until(settled, "the nodes to be equal")
    assert sorted(m.value("holdfast_role", role="leader") for m in shown) == [0, 0, 1]
    leader = next(m for m in shown if m.value("holdfast_role", role="leader") == 1)
    assert leader.value("holdfast_elections_won_total") >= 1
    assert leader.value("holdfast_elections_started_total") >= leader.value("holdfast_elections_won_total")
    assert leader.value("holdfast_commit_seconds_count") >= 1
    for m in shown:
        assert m.value("holdfast_log_sync_seconds_count") >= 1
        assert m.value("holdfast_log_sync_entries_sum") >= 20
        assert m.value("holdfast_peer_sent_bytes_total") > 0
        assert m.value("holdfast_peer_received_bytes_total") > 0
        assert m.value("holdfast_log_bytes") > 0
        assert m.value("holdfast_requests_in_flight") == 0
        assert m.value("holdfast_http_requests_in_flight") == 0


def test_a_slow_request_is_logged_with_where_its_time_went(nodes):
    n = nodes.node("n1", log_slow="100ms").start()
    wait_until(lambda: put(n, "a").status_code in (200, 201), "a write")
    before = scrape(n).value("holdfast_http_slow_requests_total")
    assert requests.get(n.url + "/v1/kv/a?min_revision=1000&timeout=300ms", timeout=10).status_code == 504
    said = n.wait_log(
        r"a request was slow method=GET route=/v1/kv/\* status=504 total=([\d.]+)ms queue=([\d.]+)ms "
        r"replicate=([\d.]+)ms sync=([\d.]+)ms apply=([\d.]+)ms elsewhere=([\d.]+)ms"
    )
    total, queue, replicate, _, apply, elsewhere = map(float, said.groups())
    assert total >= 100
    assert apply >= 250  # it waited for the revision; how slow the rest was is the machine's
    assert abs(queue + replicate + apply + elsewhere - total) < 1
    assert scrape(n).value("holdfast_http_slow_requests_total") == before + 1


def test_a_write_that_waits_for_other_nodes_says_so(nodes):
    cluster = nodes.cluster(3, log_slow="100ms", raft_election="5s")
    wait_until(lambda: put(cluster[0], "a").status_code in (200, 201), "a write")
    leader = next(n for n in cluster if scrape(n).value("holdfast_role", role="leader") == 1)
    others = [n for n in cluster if n is not leader]
    said = len(leader.log())
    for n in others:
        n.freeze()
    writer = threading.Thread(target=put, args=(leader, "a"))
    writer.start()
    wait_until(lambda: (s := status(leader)) and s["last"] > s["commit"], "the write in the leader's log")
    time.sleep(0.3)
    for n in others:
        n.thaw()
    writer.join()
    line = wait_until(
        lambda: re.search(r"was slow method=PUT .*replicate=([\d.]+)ms sync=([\d.]+)ms apply=([\d.]+)", leader.log()[said:]),
        "the line about it",
    )
    assert float(line[1]) >= 250
    assert scrape(leader).value("holdfast_commit_seconds_bucket", le="0.1") < scrape(leader).value(
        "holdfast_commit_seconds_count"
    )
