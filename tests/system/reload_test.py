"""HUP: another configuration while the node runs, all or nothing. With the real workers, under load."""

import os
import re
import signal
import subprocess

import pytest
import requests

from backup_file import read_backup
from nodes import BUILD, wait_until
from slow_reader import SlowReader, fill, is_filled
from under_load import Load, leader_of


class Configured:
    """A node whose options stand in a file, which is what HUP reads anew."""

    def __init__(self, nodes):
        self.node = nodes.node()
        self.path = self.node.data + ".conf"
        self.node.options = {"config": self.path, "http-workers": None}
        self.node.command = self.command
        self.wanted = {"[node] id": "n1", "[http] workers": "1", "[limits] request": "30s"}
        self.write()

    def command(self):
        n = self.node
        return [n.program, "-c", self.path, "--data", n.data, "--http", n.http, "--peer", n.peer]

    def write(self, **changes):
        """The file, with these options changed: http_workers=3; None takes one out."""
        for name, value in changes.items():
            section, name = name.split("_", 1)
            self.wanted[f"[{section}] {name}"] = value
        with open(self.path + ".new", "w") as f:
            for name, value in self.wanted.items():
                if value is not None:
                    section, name = name.split()
                    f.write(f"{section}\n{name} = {value}\n")
        os.rename(self.path + ".new", self.path)
        self.node.options["http-workers"] = self.wanted["[http] workers"]

    def start(self):
        self.node.start()
        return self

    def hang_up(self):
        """HUP; what the supervisor says of it."""
        said = len(self.node.log())
        self.node.signal(signal.SIGHUP)
        return wait_until(
            lambda: re.search(r"the configuration is (?:not )?reloaded.*\n", self.node.log()[said:]), "an answer to HUP"
        )[0]

    def reload(self, **changes):
        """HUP with these changes, and waits until all workers that are wanted, and no others, are there."""
        self.write(**changes)
        said = self.hang_up()
        assert "not reloaded" not in said
        self.node.wait_workers()
        return said



@pytest.fixture
def configured(nodes):
    return lambda: Configured(nodes)


class FreshConnections:
    """Writes, each over a connection of its own, until stop()."""

    SCRIPT = """
import http.client, signal, sys
failed, count, going = [], 0, True
def stop(*_):
    global going
    going = False
signal.signal(signal.SIGTERM, stop)
while going:
    try:
        c = http.client.HTTPConnection(sys.argv[1], timeout=20)
        c.request("PUT", "/v1/kv/fresh/%d" % (count % 100), body=b"x")
        status = c.getresponse().status
        if status not in (200, 201):
            failed.append(status)
        c.close()
    except Exception as e:
        failed.append(repr(e))
    count += 1
print(count, failed)
"""

    def __init__(self, node):
        self.process = subprocess.Popen(
            ["/usr/bin/python3", "-c", self.SCRIPT, node.http],
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, **node.nodes.environment()},
        )

    def stop(self):
        """(requests, [what failed])"""
        self.process.send_signal(signal.SIGTERM)
        count, failed = self.process.communicate(timeout=60)[0].strip().split(" ", 1)
        return int(count), failed


def http_pids(node):
    return {name: pid for name, pid in node.workers().items() if name.startswith("http")}


def test_log_level_and_workers_change_under_load_without_a_failed_request(nodes, configured):
    c = configured().start()
    n = c.node
    assert requests.put(n.url + "/v1/kv/first", data=b"1", timeout=30).status_code == 201
    load = Load(nodes, [n], "--connections", "64", "--timeout", "30000")
    fresh = FreshConnections(n)
    load.wait_writes(500)
    consensus, first = n.workers()["consensus"], http_pids(n)

    assert "[http] workers = 3 (1)" in c.reload(log_level="debug", http_workers="3")
    n.wait_log(r"consensus\[\d+\] debug: ")
    load.wait_writes(500)
    three = http_pids(n)
    assert len(three) == 3 and first.items() <= three.items()

    c.reload(log_level="info", http_workers="1")
    load.wait_writes(500)
    assert http_pids(n) == first  # the one that was there from the start
    said = n.log()[n.log().rindex("the configuration is reloaded") :]
    assert " debug: " not in said

    # And one that cannot take over its options while it lives.
    c.reload(http_connections_max="5000")
    wait_until(lambda: len(http_pids(n)) == 1 and not http_pids(n).items() & first.items(), "only the successor")
    load.wait_writes(500)
    last = http_pids(n)

    assert n.workers()["consensus"] == consensus
    figures = load.stop()
    count, failed = fresh.stop()
    assert figures["writes"]["failed"] == figures["writes"]["unknown"] == 0, figures
    assert failed == "[]"
    print(f"{figures['writes']['ok']} + {count} requests, 0 failed; http workers {first} -> {three} -> {first} -> {last}")


def test_a_misspelt_option_changes_nothing(configured):
    c = configured().start()
    n = c.node
    before = n.workers()
    c.write(http_workers="3", log_level="debug", log_levle="debug")
    said = c.hang_up()
    line = open(c.path).read().split("\n").index("levle = debug") + 1
    why = f"{c.path}:{line}: there is no option [log] levle; the nearest is [log] level"
    assert f"the configuration is not reloaded: {why}" in said
    tested = subprocess.run([n.program, "-c", c.path, "-t"], capture_output=True, text=True, check=False)
    assert (tested.returncode, tested.stderr) == (78, f"holdfastd: {why}\n")
    assert requests.get(n.url + "/livez", timeout=10).status_code == 200
    assert n.workers() == before
    assert " debug: " not in n.log()


@pytest.mark.parametrize(
    "change, said",
    [
        ({"node_id": "n9"}, '[node] id: it cannot change while the node runs; it is "n1", and would be "n9"'),
        ({"log_segment": "1MiB"}, "[log] segment: it cannot change while the node runs"),
        ({"cluster_members": "n1=127.0.0.1:9000", "peer_advertise": "127.0.0.1:9000"}, "[cluster] members: it cannot change while the node runs"),
    ],
)
def test_what_never_changes_is_refused_with_its_line_and_nothing_else_changes(configured, change, said):
    c = configured().start()
    before = c.node.workers()
    c.write(http_workers="2", **change)
    answer = c.hang_up()
    assert f"the configuration is not reloaded: {c.path}:" in answer and said in answer
    assert c.node.workers() == before
    c.write(**({name: None for name in change if name != "node_id"} or {"node_id": "n1"}))
    assert "changes=1: [http] workers = 2 (1)" in c.hang_up()
    c.node.wait_workers()


def test_a_limit_changes_at_once(configured):
    c = configured().start()
    n = c.node
    before = n.workers()
    assert requests.put(n.url + "/v1/kv/k", data=b"x" * 2000, timeout=30).status_code == 201
    c.reload(limits_value="1KiB")
    wait_until(lambda: requests.put(n.url + "/v1/kv/k", data=b"x" * 2000, timeout=30).status_code == 413, "413")
    assert n.workers() == before


def test_a_dialect_is_switched_off_and_on_at_once(configured):
    c = configured().start()
    n = c.node
    before = n.workers()
    ask = lambda: requests.get(n.url + "/set?key=a&val=1", timeout=30).status_code
    assert ask() == 200
    c.reload(http_dialects="raftdb")
    wait_until(lambda: ask() == 404, "m2 to be switched off")
    assert requests.get(n.url + "/key/a", timeout=30).text == '{"a":"1"}'
    c.write(http_dialects="m2, raft")
    assert '[http] dialects: "raft" is none of m2, hraft, raftdb' in c.hang_up()
    c.reload(http_dialects=None)
    wait_until(lambda: ask() == 200, "m2 to be switched on")
    assert n.workers() == before


def test_a_consensus_worker_is_replaced_for_what_it_cannot_take_over(configured):
    c = configured().start()
    n = c.node
    before = n.workers()
    assert requests.put(n.url + "/v1/kv/k", data=b"1", timeout=30).status_code == 201
    c.reload(raft_election="700ms")
    wait_until(lambda: n.workers().get("consensus", before["consensus"]) != before["consensus"], "another one")
    c.node.wait_workers()
    leader_of([n])
    assert requests.get(n.url + "/v1/kv/k", timeout=30).content == b"1"
    assert n.workers()["http 0"] == before["http 0"]
    assert "consensus worker ended" not in n.log()  # it was asked, and ended in order


def is_ending(node):
    """The consensus worker takes nothing more: what comes waits for the next."""
    try:
        requests.get(node.url + "/v1/status", timeout=0.5)
        return False
    except requests.Timeout:
        return True


def test_a_backup_under_way_comes_to_its_end_while_its_workers_are_replaced(configured):
    c = configured().start()
    n = c.node
    fill(n, 8)
    for worker, change in (("http", {"http_connections_max": "5000"}), ("consensus", {"raft_election": "700ms"})):
        before = {pid for name, pid in n.workers().items() if name.startswith(worker)}
        reader = SlowReader(n)
        c.write(**change)
        c.hang_up()
        if worker == "http":
            n.wait_log("http 1 worker is at work")
        else:
            wait_until(lambda: is_ending(n), "the consensus worker to end")
        assert is_filled(read_backup(reader.rest(), sums=False), 8)
        reader.close()
        wait_until(lambda: not before & set(n.workers().values()), f"the end of the old {worker}")
        n.wait_workers()


def test_an_idle_connection_is_told_to_close_with_its_next_answer(configured):
    c = configured().start()
    n = c.node
    kept = requests.Session()
    assert "close" not in kept.get(n.url + "/livez", timeout=10).headers.get("Connection", "")
    old = http_pids(n)
    c.write(http_connections_max="100", http_drain="1h")
    c.hang_up()
    told = lambda: kept.get(n.url + "/livez", timeout=10).headers.get("Connection") == "close"
    wait_until(told, "an answer that says close")
    wait_until(lambda: not http_pids(n).items() & old.items(), "the end of the old worker")


def test_a_connection_that_stays_idle_does_not_keep_a_worker_for_ever(configured):
    c = configured().start()
    n = c.node
    kept = requests.Session()
    kept.get(n.url + "/livez", timeout=10)
    old = http_pids(n)
    c.reload(http_connections_max="100", http_drain="200ms")
    wait_until(lambda: not http_pids(n).items() & old.items(), "the end of the old worker")
    assert n.stop() == 0


def test_a_node_stops_at_once_though_a_worker_drains(configured):
    c = configured().start()
    n = c.node
    kept = requests.Session()
    kept.get(n.url + "/livez", timeout=10)
    c.write(http_connections_max="100", http_drain="1h")
    c.hang_up()
    wait_until(lambda: len(http_pids(n)) == 2, "two workers")
    assert n.stop() == 0
    assert "does not stop in time" not in n.log()


def test_a_draining_worker_that_is_killed_is_not_missed(configured):
    c = configured().start()
    n = c.node
    kept = requests.Session()
    kept.get(n.url + "/livez", timeout=10)
    (name, old), = http_pids(n).items()
    c.write(http_connections_max="100", http_drain="1h")
    c.hang_up()
    wait_until(lambda: len(http_pids(n)) == 2, "two workers")
    n.kill(name)
    wait_until(lambda: len(http_pids(n)) == 1 and old not in http_pids(n).values(), "one worker")
    assert requests.get(n.url + "/livez", timeout=10).status_code == 200


def test_many_reloads_in_a_row_end_where_the_last_one_says(configured):
    c = configured().start()
    n = c.node
    for i in range(12):
        c.write(http_workers=str(1 + i % 4), http_connections_max=str(100 + i))
        n.signal(signal.SIGHUP)
    c.write(http_workers="2")
    c.hang_up()
    wait_until(lambda: len(http_pids(n)) == 2, "two workers")
    assert requests.put(n.url + "/v1/kv/k", data=b"1", timeout=30).status_code == 201
    assert n.stop() == 0
    assert not os.path.exists(os.path.join(n.data, "run"))


def test_a_directory_is_read_in_order_and_the_last_word_counts(nodes, tmp_path):
    program = os.path.join(BUILD, "holdfastd")
    parts = tmp_path / "conf.d"
    parts.mkdir()
    (tmp_path / "holdfast.conf").write_text("[node]\nid = a\n[peer]\nlisten = :1\n[log]\nlevel = warn\n[cluster]\nmembers = a=h1:1\nmembers = b=h2:1\n")
    (parts / "20-b.conf").write_text("[log]\nlevel = debug\n")
    (parts / "10-a.conf").write_text("[log]\nlevel = error\n[cluster]\nmembers = a=h3:1\nmembers = c=h4:1\n")
    (parts / "30-c.conf~").write_text("nonsense\n")
    (parts / ".40.conf").write_text("nonsense\n")

    def run(*arguments):
        return subprocess.run([program, "-c", str(tmp_path), *arguments], capture_output=True, text=True, check=False)

    printed = run("-T").stdout
    assert "\nlevel = debug\n" in printed
    assert "\nmembers = a=h3:1, c=h4:1\n" in printed
    assert "\nmembers = a=h5:1\n" in run("-T", "--members", "a=h5:1").stdout
    (parts / "99.conf").write_text("[raft]\n\nelection = 40ms\n")
    bad = run("-t")
    assert bad.returncode == 78
    assert bad.stderr.startswith(f"holdfastd: {parts}/99.conf:3: [raft] election: it must be three times")


def test_a_leader_replaces_its_consensus_worker_and_no_write_fails(nodes):
    """Three times over; clients with tokens go to the next node when this one says that it stops."""
    three = [nodes.node(f"n{i}") for i in (1, 2, 3)]
    members = ", ".join(f"{n.id}={n.peer}" for n in three)

    def write(node, election):
        node.options["config"] = node.data + ".conf"
        with open(node.options["config"] + ".new", "w") as f:
            f.write(f"[raft]\nelection = {election}\n")
        os.rename(node.options["config"] + ".new", node.options["config"])

    for n in three:
        n.options["members"] = members
        write(n, "500ms")
        n.launch()
    for n in three:
        n.wait_workers()
    leader_of(three)
    load = Load(nodes, three, "--connections", "12", "--tokens")
    for election in ("600ms", "700ms", "800ms"):
        load.wait_writes(300)
        leader = leader_of(three)
        old = leader.workers()["consensus"]
        write(leader, election)
        leader.signal(signal.SIGHUP)
        wait_until(lambda: leader.workers().get("consensus", old) != old, "another consensus worker")
        leader.wait_workers()
    load.wait_writes(300)
    figures = load.stop()
    assert figures["writes"]["failed"] == figures["writes"]["unknown"] == 0, figures
    print(f"{figures['writes']['ok']} writes, 0 failed; longest gap {figures['longest_gap_us'] / 1000:g} ms")


def test_no_request_fails_while_the_consensus_worker_is_replaced(nodes, configured):
    """Clients that know this node only, and try nothing twice."""
    c = configured().start()
    n = c.node
    assert requests.put(n.url + "/v1/kv/first", data=b"1", timeout=30).status_code == 201
    load = Load(nodes, [n], "--connections", "32", "--reads", "30", "--timeout", "30000")
    for election in ("700ms", "800ms", "900ms", "1s"):
        load.wait_writes(500)
        old = n.workers()["consensus"]
        c.write(raft_election=election)
        c.hang_up()
        wait_until(lambda: n.workers().get("consensus", old) != old, "another consensus worker")
        n.wait_workers()
    load.wait_writes(500)
    figures = load.stop()
    for kind in ("writes", "reads"):
        assert figures[kind]["failed"] == figures[kind]["unknown"] == 0, (figures, n.log())
    print(f"{figures['writes']['ok']} writes and {figures['reads']['ok']} reads, 0 failed")
