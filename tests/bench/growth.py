"""Figures of long lives: what checkpoints cost those who write."""

import bisect
import datetime
import glob
import os
import re
import statistics
import struct
import time

import requests

from machine import Cluster, fill, now, percentile, show_machine
from under_load import Load, leader_of, wait_equal


# --- what was measured ---


def boot_offset():
    """Microseconds from the clock of the logs to that of the figures."""
    return now() - time.time_ns() // 1000


def checkpoints(node):
    """(begin, end) of each in this life of the node, in microseconds of CLOCK_BOOTTIME."""
    offset = boot_offset()
    found = []
    for at, took in re.findall(r"^(\S+ \S+) .*: the state is checkpointed took=(\d+)ms", node.log(), re.MULTILINE):
        end = int(datetime.datetime.fromisoformat(at).timestamp() * 1e6) + offset
        found.append((end - int(took) * 1000, end))
    return found


def merged(intervals):
    """The same without overlaps, in order."""
    made = []
    for begin, end in sorted(intervals):
        if made and begin <= made[-1][1]:
            made[-1] = (made[-1][0], max(made[-1][1], end))
        else:
            made.append((begin, end))
    return made


class Times:
    """The writes of a --times file."""

    def __init__(self, path):
        with open(path, "rb") as f:
            self.all = [(due, took) for due, took, write in struct.iter_unpack("=qII", f.read()) if write]

    def split(self, intervals):
        """How long each took that overlaps with one of these, and each that does not."""
        spans = merged(intervals)
        begins = [begin for begin, _ in spans]
        within, without = [], []
        for due, took in self.all:
            i = bisect.bisect_right(begins, due + took) - 1
            (within if i >= 0 and spans[i][1] >= due else without).append(took)
        return within, without


def show_times(name, took):
    if not took:
        print(f"{name:40}       none", flush=True)
        return
    shares = "".join(f"{percentile(took, share) / 1000:9.2f}" for share in (0.5, 0.9, 0.99, 0.999))
    print(f"{name:40}{len(took):11}{shares}{max(took) / 1000:9.2f}", flush=True)


def show_checkpoints(cluster, times, since):
    of_nodes = [[c for c in checkpoints(n) if c[1] >= since] for n in cluster.all]
    intervals = [c for node in of_nodes for c in node]
    lasted = [(end - begin) / 1000 for begin, end in intervals]
    within, without = times.split(intervals)
    print(f"\n{'writes':40}{'number':>11}{'p50':>9}{'p90':>9}{'p99':>9}{'p99.9':>9}{'max':>9}  ms")
    show_times("all", [took for _, took in times.all])
    show_times("while any node checkpoints", within)
    show_times("while none does", without)
    print(
        f"checkpoints: {', '.join(str(len(c)) for c in of_nodes)} on the nodes, "
        f"median {percentile(lasted or [0], 0.5):.0f} ms, longest {max(lasted or [0]):.0f} ms; "
        f"p99 with them / without: {percentile(within or [0], 0.99) / max(1, percentile(without or [1], 0.99)):.2f}",
        flush=True,
    )


def bench_checkpoints(keys, seconds, rate):
    with Cluster(log_level="debug") as cluster:
        show_machine(cluster.nodes.directory)
        leader = leader_of(cluster.all)
        fill(leader, 0, keys)
        wait_equal(cluster.all)
        since = now()
        path = os.path.join(cluster.nodes.directory, "times")
        load = Load(
            cluster.nodes,
            [leader],
            *f"--connections 64 --keys {keys} --prefix bench/ --seed 1 --duration {seconds} --rate {rate} --times {path}".split(),
        )
        figures = load.finish()
        print(f"{figures['writes']['per_second']:.0f} puts/s over {keys} keys")
        show_checkpoints(cluster, Times(path), since)


# --- restarts ---

RESTARTS = 5
UNDER_WAY_SECONDS = 6  # of puts before each kill


def file_bytes(directory, pattern):
    """What the files take on the disk."""
    return sum(os.stat(p).st_blocks * 512 for p in glob.glob(os.path.join(directory, pattern)))


def restart(nodes, node, keys):
    """Killed under load and started: milliseconds until its workers are at work, until a linearizable read is answered;
    bytes of the log, of the state's own log, of the state."""
    load = Load(nodes, [node], *f"--connections 64 --keys {keys} --prefix bench/ --seed 1".split())
    time.sleep(UNDER_WAY_SECONDS)
    node.kill_all()
    load.process.kill()
    load.process.communicate()
    sizes = [file_bytes(node.data, p) for p in ("log/*", "state/log.*", "state/state.db")]
    begun = now()
    node.start()
    at_work = now()
    while requests.get(f"{node.url}/v1/kv/bench/00000000", timeout=60).status_code != 200:
        pass
    return ((at_work - begun) / 1000, (now() - begun) / 1000, *(s / 2**20 for s in sizes))


def bench_restart(most):
    """Of one node alone, so that nobody else's log makes it wait."""
    with Cluster(1) as cluster:
        show_machine(cluster.nodes.directory)
        node = leader_of(cluster.all)
        print(f"\n{'kill -9 under load, median of':30}{RESTARTS:2}{'at work':>10}{'longest':>10}{'read':>10}{'longest':>10}  ms"
              f"{'log':>8}{'state log':>11}{'state':>8}  MiB")
        have, keys = 0, 10000
        while keys <= most:
            fill(node, have, keys)
            rounds = list(zip(*(restart(cluster.nodes, node, keys) for _ in range(RESTARTS))))
            middle = [statistics.median(column) for column in rounds]
            print(f"{keys:26} keys  {middle[0]:10.0f}{max(rounds[0]):10.0f}{middle[1]:10.0f}{max(rounds[1]):10.0f}    "
                  f"{middle[2]:8.0f}{middle[3]:11.0f}{middle[4]:8.0f}", flush=True)
            have, keys = keys, keys * 10
