"""GET /v1/backup of real nodes: what it shows, what a slow reader costs, and how it ends before its end."""

import subprocess

import pytest
import requests

from backup_file import check_backup, read_backup
from metric_text import scrape
from nodes import PATIENCE, SANITIZED, wait_until
from raw_http import BrokenOff
from slow_reader import WINDOW_BYTES, SlowReader, fill, is_filled
from under_load import Load, leader_of, status

def backup_of(node):
    """A whole one, and what its head says of it is so."""
    answer = requests.get(node.url + "/v1/backup", timeout=PATIENCE)
    assert answer.status_code == 200, answer.text
    backup = read_backup(answer.content, sums=len(answer.content) < 4 << 20)
    assert answer.headers["Content-Type"] == "application/octet-stream"
    assert int(answer.headers["Holdfast-Revision"]) == backup.index
    assert answer.headers["Holdfast-Cluster"] == f"{backup.cluster:016x}" == status(node)["cluster"]
    name = f"holdfast-{backup.cluster:016x}-{backup.index}.backup"
    assert answer.headers["Content-Disposition"] == f'attachment; filename="{name}"'
    return backup


def memory(node):
    """{worker: bytes of its own} resident, without what it shares with files."""

    def own(pid):
        with open(f"/proc/{pid}/status") as f:
            return next(int(line.split()[1]) * 1024 for line in f if line.startswith("RssAnon:"))

    return {name: own(pid) for name, pid in node.workers().items()}


def test_under_load_it_is_the_state_as_of_its_revision(nodes):
    cluster = nodes.cluster(3)
    leader = leader_of(cluster)
    follower = next(n for n in cluster if n is not leader)
    fill(leader, 2)
    keys = ["--keys", "400", "--deletes", "20", "--cas", "20", "--reads", "20", "--value-size", "1000"]
    load = Load(nodes, cluster, "--connections", "12", "--prefix", "between/", *keys)
    load.wait_writes(500)
    backups = []
    for node in (leader, follower):
        reader = SlowReader(node)
        load.wait_writes(300)  # while the first slices wait for their reader
        backups.append(read_backup(reader.rest()))
        assert backups[-1].index == int(reader.headers["holdfast-revision"])
        reader.close()
        backups.append(backup_of(node))
    load.wait_writes(300)
    load.stop()
    last = status(leader)["applied"]
    for backup in backups:
        assert is_filled(backup, 2) and backup.index < last
        sure = check_backup(backup, load.history)
        print(f"revision {backup.index} of {last}: {len(backup.keys)} keys, {sure} of the load's are sure")
        assert sure > 300


def test_a_slow_reader_costs_the_others_nothing_and_little_memory(nodes):
    n1 = nodes.node("n1", http_body_timeout="60s", raft_cache="1MiB", state_cache="4MiB").start()
    fill(n1, 16)
    fill(n1, 16)
    requests.get(n1.url + "/v1/backup", timeout=PATIENCE)  # what every reader needs once
    before = memory(n1)
    reader = SlowReader(n1)
    wait_until(lambda: scrape(n1).value("holdfast_http_streams") == 1, "the stream to be counted")
    # One at a time.
    second = requests.get(n1.url + "/v1/backup", timeout=PATIENCE)
    assert second.status_code == 503 and second.json()["code"] == "busy" and second.headers["Retry-After"] == "1"
    # Every key changes while the reader stands still.
    fill(n1, 16)
    for i in range(200):
        assert requests.put(f"{n1.url}/v1/kv/other/{i}", data=b"x", timeout=PATIENCE).status_code == 201
        assert requests.get(f"{n1.url}/v1/kv/fill/000/0000", timeout=PATIENCE).status_code == 200
    grown = {name: now - before[name] for name, now in memory(n1).items()}
    print(f"bytes more: {grown}")
    if not SANITIZED:
        assert grown["http 0"] < 4 * WINDOW_BYTES
        # What is put aside has a cache of 8 MiB; 16 MiB were.
        assert grown["consensus"] < 12 * WINDOW_BYTES
    backup = read_backup(reader.rest(), sums=False)
    assert backup.index == int(reader.headers["holdfast-revision"]) and is_filled(backup, 16)
    assert all(record.version == 2 for key, record in backup.keys.items() if key.startswith(b"fill/"))
    reader.close()
    wait_until(lambda: scrape(n1).value("holdfast_http_streams") == 0, "the end of the stream to be counted")
    assert scrape(n1).value("holdfast_http_broken_streams_total") == 0
    assert "a request was slow method=GET route=/v1/backup" not in n1.log()


def test_who_stops_reading_is_cut_off(nodes):
    n1 = nodes.node("n1", http_body_timeout="1s").start()
    fill(n1, 8)
    reader = SlowReader(n1)
    n1.wait_log("a backup was given up by its client")
    with pytest.raises((BrokenOff, ConnectionError)):
        reader.rest()
    reader.close()
    assert scrape(n1).value("holdfast_http_broken_streams_total") == 1
    # Neither is it in the way of the next, nor does one that leaves by itself.
    SlowReader(n1).close()
    wait_until(lambda: n1.log().count("a backup was given up by its client") == 2, "the second to be given up")
    assert is_filled(backup_of(n1), 8)


def curl(node, *arguments, to):
    return subprocess.Popen(
        ["curl", "-sS", "--limit-rate", "1M", *arguments, node.url + "/v1/backup", "-o", to],
        stderr=subprocess.PIPE,
        text=True,
    )


def test_curl_says_so_when_it_breaks_off(nodes, tmp_path):
    n1 = nodes.node("n1").start()
    fill(n1, 16)
    for version, worker, wanted in (
        ("--http1.1", "consensus", 18),
        ("--http1.0", "consensus", 56),
        ("--http1.1", "http 0", 18),
    ):
        got = tmp_path / (version + worker)
        with curl(n1, version, to=got) as client:
            wait_until(lambda: got.exists() and got.stat().st_size > 0, "the backup to come")
            n1.kill(worker)
            said = client.communicate(timeout=PATIENCE)[1]
        assert client.returncode == wanted, said
        n1.wait_workers()
    assert n1.log().count("an answer ends before it is whole route=/v1/backup: the consensus worker is gone") == 2
    # Nobody is left in the way.
    wait_until(lambda: requests.get(n1.url + "/v1/backup", timeout=PATIENCE).status_code == 200, "another one")


def test_a_stop_does_not_wait_for_a_reader_for_long(nodes):
    n1 = nodes.node("n1", limits_request="2s").start()
    fill(n1, 8)
    reader = SlowReader(n1)
    assert n1.stop() == 0
    with pytest.raises((BrokenOff, ConnectionError)):
        reader.rest()
    reader.close()


def test_a_node_without_a_cluster_has_none(nodes):
    n1 = nodes.node("n1").start()
    answer = requests.get(n1.url + "/v1/backup", timeout=PATIENCE)
    assert answer.status_code == 409 and answer.json()["code"] == "conflict"
    requests.put(n1.url + "/v1/kv/a", data=b"1", timeout=PATIENCE)
    head = requests.head(n1.url + "/v1/backup", timeout=PATIENCE)
    assert head.status_code == 200 and head.headers["Holdfast-Revision"] == str(status(n1)["applied"])
    backup = backup_of(n1)
    assert {key: record.value for key, record in backup.keys.items()} == {b"a": b"1"}
    assert backup.hash == status(n1)["hash"]
