"""Whoever reads the log stops reading: a terminal that is paused, a collector that hangs. The node goes on without."""

import re
import signal

import requests

from log_pipe import LogPipe
from nodes import is_alive, wait_until
from under_load import leader_of, status


def with_pipe(node):
    node.log_pipe = LogPipe(node.log_path)
    return node


def lines_lost(node):
    text = requests.get(node.url + "/metrics", timeout=10).text
    return int(re.search(r"^holdfast_log_lines_lost_total (\d+)$", text, re.M)[1])


def puts(node, value):
    return requests.put(node.url + "/v1/kv/a", data=value, timeout=10).ok


def lines_told(node):
    return sum(int(lost) for lost in re.findall(r"lines of this log were lost: .* lost=(\d+)", node.log()))


def test_a_node_whose_log_nobody_reads_still_answers_and_counts_what_is_lost(nodes):
    n = with_pipe(nodes.node(log_level="debug")).start()
    assert puts(n, b"1")
    n.log_pipe.stall()
    n.signal(signal.SIGHUP)
    dead = n.kill("http 0")  # the supervisor and the consensus worker have something to say about it
    wait_until(lambda: n.workers().get("http 0", dead) != dead, "a new HTTP worker")
    wait_until(lambda: lines_lost(n) > 0, "the count of lost lines")
    assert puts(n, b"2")
    n.log_pipe.resume()
    wait_until(lambda: lines_told(n) == lines_lost(n), "a line that says how many were lost")
    assert all(line.startswith("2") or "pipe" in line for line in n.log().splitlines() if line)
    assert n.stop() == 0


def test_a_node_whose_log_nobody_reads_stops_when_it_is_told_to(nodes):
    n = with_pipe(nodes.node()).start()
    assert puts(n, b"1")
    pids = n.pids()
    n.log_pipe.stall()
    n.signal(signal.SIGHUP)
    assert n.stop() == 0
    assert not any(map(is_alive, pids))


def test_a_node_that_nobody_has_ever_listened_to_starts(nodes):
    n = with_pipe(nodes.node())
    n.log_pipe.stall()
    n.launch()
    wait_until(lambda: status(n), "an answer")
    assert puts(n, b"1")
    assert n.stop() == 0


def test_a_leader_whose_log_nobody_reads_leads_on_and_hands_over_in_the_end(nodes):
    members = nodes.cluster(3, prepare=with_pipe, log_level="debug")
    leader = leader_of(members)
    term = status(leader)["term"]
    others = [n for n in members if n is not leader]
    leader.log_pipe.stall()
    for follower in others:  # each time it logs that a node is gone, and that it is there again
        for _ in range(3):
            follower.kill("consensus")
            assert puts(leader, b"1")
            wait_until(lambda: puts(follower, b"2"), "a write through the follower")
    assert lines_lost(leader) > 0
    assert (status(leader)["term"], status(leader)["leader"]["id"]) == (term, leader.id)
    assert leader.stop() == 0
    assert leader_of(others) in others
